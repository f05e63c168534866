"""Downloads files whose size and SHA-256 are known.

A file is written under a temporary name in its folder, verified, and renamed, so that a file with
its final name is complete. A lock lets one process at a time download into a folder; the others
wait and then find the files there.
"""

import glob
import hashlib
import logging
import os
import tempfile
import time
from typing import Iterator, List, NamedTuple, Sequence

from ...console import FOR_A_BAR
from ...errors import DataError
from ...leftovers import remove_leftovers
from ...locks import lock
from ...reasons import reason_of

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0  # of connecting, and of each read
BLOCK_BYTES = 1 << 16
STEP_S = 10.0  # longest time between two log lines on a download's progress


class File(NamedTuple):
    """A file to be downloaded: its name, size and SHA-256 as hexadecimal digits."""

    name: str
    n_bytes: int
    sha256: str


class DownloadFailed(Exception):
    """A download has failed, or its content is wrong; the message says why in a few words."""


def download_missing(files: Sequence[File], mirrors: Sequence[str], folder: str) -> None:
    """Download the files that are missing in the folder; try the mirrors in their order.

    Parameters
    ----------
    files : sequence of File
    mirrors : sequence of str
        URLs that end in "/"; a file's name is appended.
    folder : str
        Made if it does not exist.

    Raises
    ------
    DownloadFailed
        If no mirror has the right version of a file.
    DataError
        If the folder cannot be written.
    ConfigError
        If its file system has no locks.
    """
    if all(os.path.exists(os.path.join(folder, file.name)) for file in files):
        return  # before locking: the folder may be read-only
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, ".lock"), "a") as stream:
            lock(stream, "XDG_CACHE_HOME names another place for FLQ's cache, on a local disk", waits=True)
            remove_leftovers(os.path.join(glob.escape(folder), ".*.partial"))
            for file in files:
                if not os.path.exists(os.path.join(folder, file.name)):
                    _download(file, mirrors, folder)
    except OSError as error:  # of the disk; errors of the network are DownloadFailed
        raise DataError(
            "%s cannot be written: %s" % (error.filename or folder, error.strerror or error),
            hint="XDG_CACHE_HOME names another place for FLQ's cache",
        ) from None


def _download(file: File, mirrors: Sequence[str], folder: str) -> None:
    reasons: List[str] = []
    for mirror in mirrors:
        try:
            _download_from(mirror + file.name, file, folder)
            return
        except DownloadFailed as failure:
            logger.info("download=%s failed=1", file.name, extra=FOR_A_BAR)  # reasons are reported if all mirrors fail
            reasons.append("%s: %s" % (mirror + file.name, failure))
    raise DownloadFailed("; ".join(reasons))


def _download_from(url: str, file: File, folder: str) -> None:
    """Download one file, verify it, and give it its final name."""
    logger.info("downloading %s (%.1f MB)", url, file.n_bytes / 1e6)
    handle, partial = tempfile.mkstemp(prefix="." + file.name, suffix=".partial", dir=folder)
    try:
        digest, steps = hashlib.sha256(), Steps(file)
        with os.fdopen(handle, "wb") as out:
            for block in _blocks(url, file.n_bytes):
                digest.update(block)
                out.write(block)
                steps.add(len(block))
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != file.sha256:
            raise DownloadFailed("its SHA-256 is %s, expected %s" % (digest.hexdigest(), file.sha256))
        os.chmod(partial, 0o644)
        os.replace(partial, os.path.join(folder, file.name))
    finally:
        if os.path.exists(partial):
            os.remove(partial)


class Steps:
    """Logs a download's progress: to the progress bar each hundredth, to the log each quarter or every STEP_S."""

    def __init__(self, file: File) -> None:
        self._file, self._n_bytes = file, 0
        self._began = self._said_at = time.monotonic()
        self._say(True)

    def add(self, n_bytes: int) -> None:
        """Count received bytes."""
        before, self._n_bytes = self._n_bytes, self._n_bytes + n_bytes
        if self._part(4, before) or time.monotonic() - self._said_at >= STEP_S:
            self._say(True)
        elif self._part(100, before):
            self._say(False)

    def _part(self, n_parts: int, before: int) -> bool:
        """Return whether another of ``n_parts`` parts is complete."""
        total = max(1, self._file.n_bytes)
        return self._n_bytes * n_parts // total > before * n_parts // total

    def _say(self, is_for_all: bool) -> None:
        now = time.monotonic()
        if is_for_all:
            self._said_at = now
        logger.info(
            "download=%s bytes=%d/%d seconds=%.1f",
            self._file.name,
            self._n_bytes,
            self._file.n_bytes,
            now - self._began,
            extra=None if is_for_all else FOR_A_BAR,
        )


def _blocks(url: str, n_bytes: int) -> Iterator[bytes]:
    """Yield the content of a URL, ``n_bytes`` in total."""
    import http.client  # here, because these imports take a tenth of a program's start and are rarely needed
    import urllib.error
    import urllib.request

    n_read = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            while True:
                block = response.read(BLOCK_BYTES)
                n_read += len(block)
                if n_read > n_bytes:
                    raise DownloadFailed("it is larger than the expected %d bytes" % n_bytes)
                if not block:
                    break
                yield block
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed("HTTP %d %s" % (error.code, error.reason)) from None
    except urllib.error.URLError as error:
        raise DownloadFailed(getattr(error.reason, "strerror", None) or str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise DownloadFailed(getattr(error, "strerror", None) or reason_of(error)) from None
    if n_read < n_bytes:
        raise DownloadFailed("it ended after %d of %d bytes" % (n_read, n_bytes))
