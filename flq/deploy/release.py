"""Packs the code to deploy as one archive, named by the hash of its content."""

import gzip
import hashlib
import io
import os
import tarfile
from typing import List, NamedTuple

from ..errors import ConfigError

TOP = (
    "flq_master.py",
    "flq_worker.py",
    "flq_fed_v3.py",
    "flq_config.json",
    "start_master.sh",
    "start_worker.sh",
    "LICENSE",
)
FOLDERS = ("flq", "scripts", "requirements")
N_DIGITS = 12  # of a name: 48 bits


class Release(NamedTuple):
    """A version of the code; equal files give an equal name and archive."""

    name: str
    archive: bytes


def make_release(project_dir: str) -> Release:
    """Pack the code of this project.

    Raises
    ------
    ConfigError
        If the folder is not an FLQ project.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in files_of(project_dir):
            full = os.path.join(project_dir, path)
            member = tarfile.TarInfo(path)
            member.mode = 0o755 if os.access(full, os.X_OK) else 0o644
            member.mtime = 0  # equal files give equal bytes
            data = read_code(full)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    plain = content.getvalue()
    return Release(hashlib.sha256(plain).hexdigest()[:N_DIGITS], gzip.compress(plain, 9, mtime=0))


def read_code(path: str) -> bytes:
    """Return the bytes of a file; CRLF line ends of scripts become LF, which shells require.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise ConfigError("%s cannot be read: %s" % (path, error.strerror)) from None
    return data.replace(b"\r\n", b"\n") if path.endswith(".sh") else data


def files_of(project_dir: str) -> List[str]:
    """Return the files of the code, relative to the project's folder, sorted."""
    paths = [name for name in TOP if os.path.exists(os.path.join(project_dir, name))]
    for top in FOLDERS:
        for folder, inner, names in os.walk(os.path.join(project_dir, top)):
            inner[:] = sorted(name for name in inner if name != "__pycache__")
            paths += [
                os.path.relpath(os.path.join(folder, name), project_dir)
                for name in names
                if not name.startswith(".") and not name.endswith((".pyc", ".part"))
            ]
    return sorted(paths)
