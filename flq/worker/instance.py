"""The state folder: which instance of a worker this is, and the lock that keeps it the only one."""

import os
import re
import uuid
from typing import IO, Tuple

from ..durable import make_folder, sync_folder
from ..errors import Conflict, FlqError
from ..locks import lock


def take(state_dir: str) -> Tuple[str, IO[str]]:
    """Lock the state folder, and return the instance id that it holds and the lock.

    The lock lasts until the file is closed or the process ends, however it ends.

    Raises
    ------
    Conflict
        If a running worker holds the folder.
    ConfigError
        If its file system has no locks.
    OSError
        If the folder can not be written.
    """
    make_folder(state_dir)
    path = os.path.join(state_dir, "instance")
    stream = open(path, "a+", encoding="ascii", errors="replace")
    try:
        if not lock(stream, "choose a --state_dir on a local disk"):
            raise Conflict("another worker is running with the state folder %s" % state_dir,
                           "use another --worker_id or --state_dir")
    except FlqError:
        stream.close()
        raise
    stream.seek(0)
    instance = stream.read().strip()
    if not re.match("[0-9a-f]{32}$", instance):  # empty, or zeros that a power failure has left
        instance = uuid.uuid4().hex
        stream.truncate(0)
        stream.write(instance)
        stream.flush()
    os.fsync(stream.fileno())  # also of a name that is there: who wrote it may have been killed before this
    sync_folder(state_dir)
    return instance, stream
