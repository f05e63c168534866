"""Makes and reads tokens, which authenticate requests: one of the operator, and one per worker id.

They are in a file that only its owner may read, one per line::

    operator 3q2-7wAAAAB...
    worker0 kS0xJ6...

The master makes the file and adds new ids; existing lines never change. A worker reads its own
line of such a file, or a file that contains only its token.
"""

import os
import re
import secrets
from typing import Callable, Dict, List, Mapping, Optional, Set

from .durable import folder_of, make_folder, write_whole, writing
from .errors import ConfigError
from .locks import lock

OPERATOR = "operator"
ENVIRONMENT = "FLQ_TOKEN"
_NAME = re.compile(r"(operator|worker(0|[1-9][0-9]{0,9}))\Z")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,200}\Z")  # characters allowed after "Bearer"
N_BYTES = 32  # of randomness


def worker_name(worker_id: int) -> str:
    """Return the name of a worker's token."""
    return "worker%d" % worker_id


def default_path(project_dir: str) -> str:
    """Return the default path of the token file."""
    return os.path.join(project_dir, "state", "tokens")


def make_tokens(path: str, total_workers: int) -> Dict[str, str]:
    """Return the tokens of a master by name; make and write the missing ones first.

    Raises
    ------
    ConfigError
        If the file is not a token file, cannot be read or written, or the file system has no locks.
    """
    folder = folder_of(path)
    with writing("the token file %s cannot be used" % path, folder, "--token_file must be a file in a writable folder"):
        return _read_and_add(path, folder, total_workers)


def _read_and_add(path: str, folder: str, total_workers: int) -> Dict[str, str]:
    if not os.path.isdir(folder):
        make_folder(folder)
        os.chmod(folder, 0o700)
    with open(path + ".lock", "a") as stream:  # two masters that start at the same time make one set of tokens
        lock(stream, "name a --token_file on a local disk", waits=True)
        tokens = read_tokens(path) if os.path.exists(path) else {}
        names = [OPERATOR] + [worker_name(worker_id) for worker_id in range(total_workers)]
        missing = [name for name in names if name not in tokens]
        if missing:
            tokens.update((name, secrets.token_urlsafe(N_BYTES)) for name in missing)
            text = "".join("%s %s\n" % item for item in tokens.items())
            write_whole(path, lambda stream: stream.write(text.encode("ascii")), mode=0o600)
    return tokens


def read_tokens(path: str) -> Dict[str, str]:
    """Return the tokens of a file by name, in its order.

    Raises
    ------
    ConfigError
        If it is not a token file. No message shows its content.
    OSError
        If it cannot be read.
    """
    tokens = {}  # type: Dict[str, str]
    seen: Set[str] = set()
    for number, line in enumerate(_lines(path), 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != 2 or not _NAME.match(words[0]) or not _TOKEN.match(words[1]):
            raise ConfigError(
                "line %d of %s must be a name and a token, such as: worker0 TOKEN" % (number, path),
                "restore the file, or remove it and let the master make a new one for everybody",
            )
        if seen.intersection(words):
            raise ConfigError(
                "line %d of %s repeats a name or a token; each must be there once" % (number, path),
                "remove one of the lines",
            )
        seen.update(words)
        tokens[words[0]] = words[1]
    return tokens


def is_open_to_others(path: str) -> bool:
    """Return whether users other than its owner may read or change a file."""
    return bool(os.stat(path).st_mode & 0o077)


def worker_token_source(
    worker_id: int, token_file: Optional[str], environment: Mapping[str, str], project_dir: str
) -> Callable[[], Optional[str]]:
    """Return a function that returns a worker's token, or None if there is none.

    The worker calls it whenever it registers: on one machine, the master may make the tokens
    after the worker has started.

    Parameters
    ----------
    worker_id : int
    token_file : str or None
        From the command line; it precedes the environment, which precedes the tokens in the
        project's folder.
    environment : mapping
    project_dir : str

    Raises
    ------
    ConfigError
        If a token file cannot be read, or a token is not valid. The function raises it too.
    """
    if token_file is not None:
        return lambda: _token_of_file(token_file, worker_id)
    given = environment.get(ENVIRONMENT, "").strip()
    if given:
        if not _TOKEN.match(given):
            raise ConfigError(
                "the environment variable %s holds no token" % ENVIRONMENT,
                "set it to the token of %s in the master's token file" % worker_name(worker_id),
            )
        return lambda: given
    path = default_path(project_dir)
    return lambda: _tokens_of(path).get(worker_name(worker_id)) if os.path.exists(path) else None


def _token_of_file(path: str, worker_id: int) -> str:
    """Return the only token of a file, or a worker's token in a token file."""
    try:
        words = " ".join(_lines(path)).split()
    except OSError as error:
        raise ConfigError("the token file %s cannot be read: %s" % (path, error.strerror)) from None
    if len(words) == 1 and _TOKEN.match(words[0]):
        return words[0]
    token = _tokens_of(path).get(worker_name(worker_id))
    if token is None:
        raise ConfigError(
            "%s holds no token of worker %d" % (path, worker_id),
            "it needs the line %s of the master's token file; if that has none, use an id in range, or raise "
            "system.total_workers on the master" % worker_name(worker_id),
        )
    return token


def _tokens_of(path: str) -> Dict[str, str]:
    try:
        return read_tokens(path)
    except OSError as error:
        raise ConfigError("the tokens in %s cannot be read: %s" % (path, error.strerror)) from None


def _lines(path: str) -> List[str]:
    """Return the lines of a small text file; bytes that are not ASCII make a line invalid."""
    with open(path, encoding="ascii", errors="replace") as stream:
        return stream.read(1 << 21).splitlines()
