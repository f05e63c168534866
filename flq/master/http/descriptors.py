"""Limits the number of connections to the file descriptors that this process may open.

The journal and its write-ahead log, snapshots, results, logs and pipes of child processes need descriptors too, and
matter more than a connection. Source: getrlimit(2).
"""

import logging
import os
import resource  # Linux, like the rest of the master

from ...errors import ConfigError

RESERVE = 128  # descriptors for all else, some 30 in use at a time; at most half of those left
FOR_A_WORKER = 2  # its connection, and a broken one that is not closed yet
FOR_OTHERS = 8
UNLIMITED = 1 << 20

logger = logging.getLogger(__name__)


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # the system does not allow it: the limit is unchanged
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def n_open() -> int:
    """Return the number of descriptors in use."""
    return len(os.listdir("/dev/fd"))


def usual_connections(total_workers: int) -> int:
    """Return the default maximum number of connections."""
    return 4 * total_workers + 256


def n_connections(total_workers: int, wanted: int, limit: int, in_use: int) -> int:
    """Return the maximum number of connections.

    Parameters
    ----------
    total_workers : int
    wanted : int
        ``security.max_connections``; 0 = the default.
    limit, in_use : int
        Number of descriptors allowed, and in use.

    Raises
    ------
    ConfigError
        If the workers' connections do not fit, or ``wanted`` is less than one per worker plus one.
    """
    left = max(0, limit - in_use)
    room = left - min(RESERVE, left // 2)
    needed = FOR_A_WORKER * total_workers + FOR_OTHERS
    if room < needed:
        raise ConfigError(
            "%d workers need %d connections, expected at most %d: this process may open %d files, and keeps %d for "
            "journal, results and logs" % (total_workers, needed, room, limit, limit - room),
            _remedy(needed, in_use, "lower system.total_workers"),
        )
    if 0 < wanted <= total_workers:
        raise ConfigError(
            "security.max_connections is %d, expected at least %d: one for each worker, and one more"
            % (wanted, total_workers + 1),
            "raise it, or set it to 0 for the usual number",
        )
    if wanted > room:
        logger.warning(
            "security.max_connections is %d, expected at most %d: this process may open %d files, and keeps "
            "%d for journal, results and logs; no more than %d connections are kept (%s)",
            wanted,
            room,
            limit,
            limit - room,
            room,
            _remedy(wanted, in_use, "lower security.max_connections"),
        )
    return min(wanted or usual_connections(total_workers), room)


def _remedy(n_needed: int, in_use: int, otherwise: str) -> str:
    enough = n_needed + in_use + RESERVE
    return "raise the hard limit with ulimit -Hn %d as root, in a systemd unit with LimitNOFILE=%d; or %s" % (
        enough,
        enough,
        otherwise,
    )
