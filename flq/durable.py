"""Writes files atomically: after a power failure there is the new file or the old one, complete.

The data goes to a temporary file in the same folder, which is synced and renamed; then the folder
is synced. Without the last step a power failure may undo the rename.
"""

import errno
import io
import json
import lzma
import os
import struct
import zipfile
import zlib
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Callable, Dict, Iterator, Tuple

import numpy as np

from .errors import ConfigError, FlqError
from .reasons import named_reason

FORMAT = 1
HEAD = "head.json"  # the member of a state file that holds the JSON values
READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)  # raised by zipfile for damaged bytes


class Corrupted(FlqError):
    """A state file is incomplete or damaged; its content is lost."""


def write_whole(path: str, write: Callable[[BinaryIO], Any], mode: int = 0o666) -> None:
    """Write a file atomically and durably.

    Parameters
    ----------
    path : str
    write : callable(stream)
    mode : int
        Permissions of a new file, before the umask.

    Raises
    ------
    OSError
        If it cannot be written; a previous file is unchanged.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "it is not a regular file", path)  # the rename would replace a device
    temporary = path + ".part"
    with suppress(FileNotFoundError):  # left by a killed writer; it may have other permissions
        os.unlink(temporary)
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # the disk may be full or read-only
            os.unlink(temporary)
        raise
    sync_folder(folder_of(path))


def sync_folder(path: str) -> None:
    """Sync the names in a folder to disk if the file system supports it."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network and virtual file systems cannot sync a folder
            raise
    finally:
        os.close(folder)


def make_folder(path: str) -> None:
    """Make a folder and its missing parents durably.

    The name of an existing folder is synced too: the process that made it may have been killed before its sync.
    """
    above = folder_of(path)
    if not os.path.isdir(path):
        make_folder(above)
        os.makedirs(path, exist_ok=True)
    with suppress(PermissionError):  # another user's folder, whose names are not ours to sync
        sync_folder(above)


def folder_of(path: str) -> str:
    """Return the folder that contains a path."""
    return os.path.dirname(os.path.abspath(path))


@contextmanager
def writing(what: str, folder: str, hint: str) -> Iterator[None]:
    """Turn an error of making or writing a folder into a ConfigError that says why.

    Parameters
    ----------
    what : str
        The beginning of the sentence; "cannot be written" or the like follows.
    hint : str
        What to do.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError("%s: %s" % (what, why_unwritable(folder, error)), hint) from None


def why_unwritable(folder: str, error: OSError) -> str:
    """Return why a folder cannot be made or written: a file that is in its place, or else the system's reason."""
    existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        return "%s is not a folder" % existing
    path = error.filename if isinstance(error.filename, str) else folder
    return "%s: %s" % (path, error.strerror or error)


def save_state(path: str, meta: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
    """Write a state file of JSON values and arrays.

    An array with several names is stored once. Apart from its head, ``numpy.load`` can read the file. The same state
    gives the same bytes.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    members = {}  # type: Dict[int, str]
    names = {name: members.setdefault(id(array), "array%d.npy" % len(members)) for name, array in arrays.items()}
    different = {names[name]: array for name, array in arrays.items()}
    head = json.dumps({"format": FORMAT, "meta": meta, "arrays": names}).encode("utf-8")

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            with archive.open(HEAD, "w") as member:
                member.write(head)
            for name, array in different.items():
                with archive.open(name, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_whole(path, write)


def load_state(path: str) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Read a state file; return its JSON values and arrays.

    The file is durable when this returns.

    Raises
    ------
    Corrupted
        If it is incomplete, damaged, unreadable, or of another version of FLQ.
    FileNotFoundError
        If it does not exist.
    """
    sync_folder(folder_of(path))  # its writer may have been killed before its sync
    with open(path, "rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                head = json.loads(archive.read(HEAD).decode("utf-8"))
                if head["format"] != FORMAT:
                    raise ValueError("it has format %s, expected %s" % (head["format"], FORMAT))
                members = {name: read_array(archive.read(name)) for name in set(head["arrays"].values())}
            return head["meta"], {name: members[member] for name, member in head["arrays"].items()}
        except READ_ERRORS as error:
            raise Corrupted("%s is damaged: %s" % (os.path.basename(path), named_reason(error))) from None


def read_array(data: bytes) -> np.ndarray:
    """Return a member's array; zipfile has verified the checksum of ``data``."""
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
