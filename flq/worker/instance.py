"""The state folder: a worker's instance id, and the lock that keeps it unique.

The file holds the id and its CRC32: without that, one flipped bit would make another worker of it.
"""

import logging
import os
import re
import uuid
import zlib
from contextlib import suppress
from typing import IO, Optional, Tuple

from ..durable import folder_of, make_folder, sync_folder, writing
from ..errors import Conflict
from ..locks import lock

logger = logging.getLogger(__name__)


def take(state_dir: str) -> Tuple[str, IO[str]]:
    """Lock the state folder; return its instance id and the lock.

    The lock lasts until the file is closed or the process ends in any way.

    Raises
    ------
    Conflict
        If a running worker holds the folder.
    ConfigError
        If the folder cannot be written, or its file system has no locks.
    """
    with writing("the worker's state cannot be written", state_dir, "--state_dir must be a writable folder"):
        return _take(state_dir)


def _take(state_dir: str) -> Tuple[str, IO[str]]:
    make_folder(state_dir)
    path = os.path.join(state_dir, "instance")
    stream = open(path, "a+", encoding="ascii", errors="replace")
    try:
        if not lock(stream, "choose a --state_dir on a local disk"):
            raise Conflict(
                "another worker is running with the state folder %s" % state_dir,
                "use another --worker_id or --state_dir",
            )
        return _instance_of(stream, path), stream
    except BaseException:
        with suppress(OSError):  # the disk may be full
            stream.close()
        raise


def _instance_of(stream: IO[str], path: str) -> str:
    """Return the instance id in the file, a new one if it holds none; it is durable then."""
    stream.seek(0)
    content = stream.read()
    instance = _instance_in(content)
    if instance is None:
        if content.strip("\0"):  # a power failure may leave an empty file, or zeros
            logger.warning("%s is damaged: this worker joins as new", path)
        instance = uuid.uuid4().hex
        stream.truncate(0)
        stream.write("%s %s" % (instance, _check_of(instance)))
        stream.flush()
    os.fsync(stream.fileno())  # also an existing id: its writer may have been killed before this
    sync_folder(folder_of(path))
    return instance


def _instance_in(content: str) -> Optional[str]:
    """Return the instance in a file, None if it holds none; FLQ 0.1.0 wrote no CRC32."""
    found = re.match("([0-9a-f]{32})(?: ([0-9a-f]{8}))?$", content.strip())
    return found.group(1) if found and found.group(2) in (None, _check_of(found.group(1))) else None


def _check_of(instance: str) -> str:
    return "%08x" % zlib.crc32(instance.encode("ascii"))
