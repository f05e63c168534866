"""Files that survive a power failure: the whole of one, or the one before it.

A file is written beside its place, forced to disk, renamed, and then the folder is forced to
disk: without the last step the new name may be gone after a power failure although the rename
has returned.
"""

import errno
import io
import json
import lzma
import os
import struct
import zipfile
import zlib
from contextlib import suppress
from typing import Any, BinaryIO, Callable, Dict, Tuple

import numpy as np

from .errors import FlqError

FORMAT = 1
HEAD = "head.json"  # the member of a state file that holds what is no array
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
)  # what zipfile makes of damaged bytes


class Corrupted(FlqError):
    """A state file is torn or damaged: what it held is lost."""


def write_whole(path: str, write: Callable[[BinaryIO], Any], mode: int = 0o666) -> None:
    """Write a file: the whole of it or nothing, also if the power fails.

    Parameters
    ----------
    path : str
    write : callable(stream)
    mode : int
        Permissions of a new file, before the umask.

    Raises
    ------
    OSError
        If it cannot be written; what was there before still is.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "it is not a regular file", path)  # the new file would take the place of a device
    temporary = path + ".part"
    with suppress(FileNotFoundError):  # of a writer that was killed; it may have other permissions
        os.unlink(temporary)
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # a full disk has no room for it
            os.unlink(temporary)
        raise
    sync_folder(folder_of(path))


def sync_folder(path: str) -> None:
    """Force the names in a folder to disk, where the file system can do it."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network and virtual file systems take no such request
            raise
    finally:
        os.close(folder)


def make_folder(path: str) -> None:
    """Make a folder, and those above it that are missing, so that they survive a power failure.

    The name of one that is there is forced to disk as well: who made it may have been killed before that.
    """
    above = folder_of(path)
    if not os.path.isdir(path):
        make_folder(above)
        os.makedirs(path, exist_ok=True)
    with suppress(PermissionError):  # a folder that cannot be read belongs to somebody else, and so do its names
        sync_folder(above)


def folder_of(path: str) -> str:
    """Return the folder that a name is in."""
    return os.path.dirname(os.path.abspath(path))


def save_state(path: str, meta: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
    """Write a state file: JSON values and arrays, an array that has several names once.

    The file is what ``numpy.load`` reads, but for its head. The same state gives the same bytes.

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
    """Read a state file back: the meta values and the arrays.

    What is read here is not taken back by a power failure.

    Raises
    ------
    Corrupted
        If it is torn or damaged, cannot be read, or another version of FLQ has written it.
    FileNotFoundError
        If there is none.
    """
    sync_folder(folder_of(path))  # its writer may have been killed before this
    with open(path, "rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                head = json.loads(archive.read(HEAD).decode("utf-8"))
                if head["format"] != FORMAT:
                    raise ValueError("it has format %s, expected %s" % (head["format"], FORMAT))
                members = {name: read_array(archive.read(name)) for name in set(head["arrays"].values())}
            return head["meta"], {name: members[member] for name, member in head["arrays"].items()}
        except READ_ERRORS as error:
            raise Corrupted(
                "%s is damaged: %s: %s" % (os.path.basename(path), type(error).__name__, str(error).split("\n")[0])
            ) from None


def read_array(data: bytes) -> np.ndarray:
    """Return the array that a member holds; ``data`` is whole, so its checksum has been compared."""
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
