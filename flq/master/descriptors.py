"""How many connections this process may hold: each one takes a file descriptor, and they are limited.

The journal and its log, snapshots, results, logs, pipes of other processes and sockets of their own take some as well;
an open that fails there would cost more than a connection. Source: getrlimit(2).
"""

import logging
import os
import resource  # Linux, like the rest of the master

from ..errors import ConfigError

RESERVE = 128      # for all that is no connection; of a small limit, half: some 30 are in use at a time
FOR_A_WORKER = 2   # the one that it uses, and one that broke and is not closed yet
FOR_OTHERS = 8
UNLIMITED = 1 << 20

logger = logging.getLogger(__name__)


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; return what it is then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # some systems have another limit besides: it stays as it is
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def n_open() -> int:
    """Return how many descriptors are in use."""
    return len(os.listdir("/dev/fd"))


def usual_connections(total_workers: int) -> int:
    """Return how many connections are kept unless somebody says otherwise."""
    return 4 * total_workers + 256


def n_connections(total_workers: int, wanted: int, limit: int, in_use: int) -> int:
    """Return how many connections are kept.

    Parameters
    ----------
    total_workers : int
    wanted : int
        By the settings; 0 = as many as are usual.
    limit, in_use : int
        Descriptors that there may be, and those that there are.

    Raises
    ------
    ConfigError
        If there would be too few for the workers.
    """
    left = max(0, limit - in_use)
    room = left - min(RESERVE, left // 2)
    needed = FOR_A_WORKER * total_workers + FOR_OTHERS
    if room < needed:
        raise ConfigError(
            "%d workers need %d connections, expected at most %d: this process may open %d files, and keeps %d for "
            "journal, results and logs" % (total_workers, needed, room, limit, limit - room), _remedy(
                needed, in_use, "lower system.total_workers"))
    if wanted > room:
        logger.warning("security.max_connections is %d, expected at most %d: this process may open %d files, and keeps "
                       "%d for journal, results and logs; no more than %d connections are kept (%s)", wanted, room,
                       limit, limit - room, room, _remedy(wanted, in_use, "lower security.max_connections"))
    return min(wanted or usual_connections(total_workers), room)


def _remedy(n_needed: int, in_use: int, otherwise: str) -> str:
    enough = n_needed + in_use + RESERVE
    return ("raise the hard limit with ulimit -Hn %d as root, in a systemd unit with LimitNOFILE=%d; or %s"
            % (enough, enough, otherwise))
