"""Transfers results and logs from a host, and log lines as they are written."""

import os
import shutil
import tarfile
import tempfile
import threading
from typing import Any, BinaryIO, Callable, Dict, List, Tuple

from .framing import ReplyFrame
from .hosts import Host
from .ssh import Connection, DeployError

FOLDERS = ("results", "logs")
FETCH_S = 3600.0
PIECE = 1 << 20


def collect_host(connection: Connection, host: Host, folder: str) -> int:
    """Fetch new and changed files of a host into a folder; return their number.

    A file is unchanged if its size and modification time are equal. No local file is removed.
    """
    listing = connection.run("files", host.access.project_dir).output
    there: Dict[str, Tuple[int, int]] = {}
    for entry in listing.split("\0")[:-1]:
        size, changed, path = entry.split(" ", 2)
        there[path] = (int(size), int(float(changed)))
    new = [path for path, about in sorted(there.items()) if about != _about(os.path.join(folder, path))]
    if not new:
        return 0
    os.makedirs(folder, exist_ok=True)
    names = b"".join(os.fsencode(path) + b"\0" for path in new)
    with tempfile.TemporaryFile(dir=folder) as archive:
        connection.run("pack", host.access.project_dir, payload=names, timeout_s=FETCH_S, output=archive)
        return unpack(archive, folder)


def _about(path: str) -> Tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (-1, -1)
    return found.st_size, int(found.st_mtime)


def unpack(archive: BinaryIO, folder: str) -> int:
    """Write the files of an untrusted archive below a folder; return their number.

    Only plain files are accepted, and only in results/ and logs/.

    Raises
    ------
    DeployError
        If the archive is incomplete, or contains another kind of file or another path.
    """
    n_files = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:") as members:
            for member in members:
                parts = member.name.split("/")
                if not member.isfile():
                    continue
                if parts[0] not in FOLDERS or any(part in ("", ".", "..") for part in parts):
                    raise DeployError("it sent an unexpected file: %.100r" % member.name)
                path = os.path.join(folder, *parts)
                _require_no_links(folder, parts)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                source = members.extractfile(member)
                with open(path + ".part", "wb") as target:
                    shutil.copyfileobj(source, target, PIECE)
                os.replace(path + ".part", path)
                os.utime(path, (member.mtime, member.mtime))
                n_files += 1
    except (tarfile.TarError, EOFError) as error:
        raise DeployError("it sent an incomplete archive: %s" % error) from None
    return n_files


def _require_no_links(folder: str, parts: List[str]) -> None:
    path = folder
    for part in parts[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path):
            raise DeployError("%s is a symbolic link; files are not written through links" % path)


class Lines:
    """A stream for a step's output, which passes each line on at once, with a prefix.

    Parameters
    ----------
    prefix : str
    take : callable(str)
        Gets each line.
    frame : ReplyFrame
        Only lines between its marks are passed on.
    """

    def __init__(self, prefix: str, take: Callable[[str], None], frame: ReplyFrame) -> None:
        self._prefix, self._take, self._frame = prefix, take, frame
        reading, writing = os.pipe()
        self._source = os.fdopen(reading, "rb")
        self.stream: BinaryIO = os.fdopen(writing, "wb")
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Lines":
        self._reader.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stream.close()
        self._reader.join()
        self._source.close()

    def _read(self) -> None:
        source = iter(self._source)
        if not any(line.endswith(self._frame.begin) for line in source):
            return
        for line in source:
            line, end, _ = line.partition(self._frame.end)
            if line:
                self._take(self._prefix + line.decode("utf-8", "replace").rstrip("\r\n"))
            if end:
                break
        for _ in source:  # drain the output of login scripts, which would block otherwise
            pass
