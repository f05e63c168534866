"""Sets up logging of master and worker: a rotating file per start, and lines on stderr, above a progress bar if any.

A file that cannot be written, for example on a full disk, does not stop the program: one line says so, and all lines
still go to the terminal.
"""

import io
import logging
import os
import re
import sys
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import Optional

from .console.screen import Drawer, drawer_of
from .output import SteadyFile, text_of

MAX_BYTES, N_KEPT = 5000000, 3  # the log of one start never takes more than 20 MB
MAX_OLDER_BYTES, MAX_OLDER = 20000000, 50  # total size and number of files kept of earlier starts
NAME = re.compile(r"(.+)_[0-9]{8}_[0-9]{6}(_[0-9]+)?\.log(\.[0-9]+)?\Z")


def set_up_logging(path: str, verbose: bool) -> None:
    """Send the log of this process to ``path`` and, shorter, to stderr.

    Parameters
    ----------
    path : str
        Its folder is made if missing. If the file exists, ``_2`` is put before its extension, or ``_3`` and so on. If
        it is named ``PROGRAM_YYYYMMDD_HHMMSS.log``, the oldest files of that program's earlier starts are removed.
    verbose : bool
        Also log debugging messages; show no progress bar.
    """
    drawer = None if verbose else drawer_of(sys.stderr, os.environ)
    to_terminal = logging.StreamHandler() if drawer is None else DrawingHandler(drawer)
    if drawer is None:
        to_terminal.addFilter(_is_for_files)
    to_terminal.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("flq")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        path = _make(path)
        prune(path)
        logger.addHandler(LogFile(path))
    except OSError as error:
        to_terminal.handle(_trouble(path, error))
    logger.addHandler(to_terminal)


class LogFile(RotatingFileHandler):
    """The log file of one start; the first error of writing it goes to the other handlers."""

    def __init__(self, path: str) -> None:
        self._has_told = False
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=N_KEPT, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.addFilter(_is_for_files)

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a record that cannot be written."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._tell(error)
        else:  # a bug
            super().handleError(record)

    def _open(self) -> io.TextIOWrapper:
        return text_of(SteadyFile(self.baseFilename, self._tell), self.encoding)

    def _tell(self, error: OSError) -> None:
        if not self._has_told:
            self._has_told = True
            for other in logging.getLogger("flq").handlers:
                if other is not self:
                    other.handle(_trouble(self.baseFilename, error))


def _trouble(path: str, error: OSError) -> logging.LogRecord:
    """Return the record that says that a log cannot be written."""
    return logging.getLogger("flq").makeRecord(
        "flq",
        logging.WARNING,
        __file__,
        0,
        "the log %s cannot be written: %s; its lines go to the terminal only",
        (path, error.strerror),
        None,
    )


class DrawingHandler(logging.Handler):
    """Passes log lines to the thread that draws on the terminal, without waiting."""

    def __init__(self, drawer: Drawer) -> None:
        super().__init__()
        self.drawer = drawer

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        try:
            self.drawer.put(self.format(record))
        except Exception:  # as in all handlers: a record that cannot be formatted is a bug, but stops nothing
            self.handleError(record)

    def close(self) -> None:
        """Wait briefly until all lines are shown."""
        self.drawer.close()
        super().close()


def say(text: str) -> None:
    """Print a line on stdout, above the progress bar if there is one."""
    drawer = _drawer() if sys.stdout.isatty() else None
    if drawer is not None:
        return drawer.put(text)
    print(text, flush=True)


def _drawer() -> Optional[Drawer]:
    handlers = logging.getLogger("flq").handlers
    return next((handler.drawer for handler in handlers if isinstance(handler, DrawingHandler)), None)


def _is_for_files(record: logging.LogRecord) -> bool:
    """Return whether a record is for more than the progress bar."""
    return not getattr(record, "is_for_a_bar", False)


def _make(path: str) -> str:
    """Make an empty file of that name, or of the next free one; return its path."""
    (stem, ending), number = os.path.splitext(path), 1
    while True:
        name = path if number == 1 else "%s_%d%s" % (stem, number, ending)
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            return name
        except FileExistsError:
            number += 1


def prune(path: str) -> None:
    """Remove the oldest logs of the same program, so that daily starts do not fill an SD card.

    The most recently written logs stay, up to MAX_OLDER_BYTES and MAX_OLDER.
    """
    folder, own_name = os.path.split(path)
    own = NAME.match(own_name)
    if own is None:
        return
    older = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = NAME.match(entry.name)
            if named and named.group(1) == own.group(1) and not entry.name.startswith(own_name):
                with suppress(OSError):  # another process has removed it
                    status = entry.stat(follow_symlinks=False)
                    older.append((status.st_mtime, entry.path, status.st_size))
    left = MAX_OLDER_BYTES
    for n_newer, (_, older_path, size) in enumerate(sorted(older, reverse=True)):
        left -= size
        if left < 0 or n_newer >= MAX_OLDER:
            with suppress(OSError):
                os.unlink(older_path)


def log_trace(logger: logging.Logger, error: Exception) -> None:
    """Write an error's traceback to the log file only: on the terminal it would bury the message."""
    record = logger.makeRecord(
        logger.name, logging.ERROR, __file__, 0, "traceback:", (), (type(error), error, error.__traceback__)
    )
    for handler in logging.getLogger("flq").handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
