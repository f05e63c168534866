"""Logging of the two programs: a rotating file, and lines on the terminal."""

import logging
import os
from logging.handlers import RotatingFileHandler

MAX_BYTES, N_KEPT = 5000000, 3  # a program's log never takes more than 20 MB


def set_up_logging(path: str, verbose: bool) -> None:
    """Send the log of this process to ``path`` and, shorter, to stderr.

    Parameters
    ----------
    path : str
        Its folder is made if it is missing.
    verbose : bool
        Also show what is of interest only when something goes wrong.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    to_file = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=N_KEPT, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_terminal = logging.StreamHandler()
    to_terminal.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("flq")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.addHandler(to_file)
    logger.addHandler(to_terminal)


def log_trace(logger: logging.Logger, error: Exception) -> None:
    """Write where an error came from into the log file only: on the terminal it would bury the sentence."""
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "where it came from:", (),
                               (type(error), error, error.__traceback__))
    for handler in logging.getLogger("flq").handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
