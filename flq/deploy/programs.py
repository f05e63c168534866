"""The deployed programs of a host: their state, and which of them must be started."""

from typing import Dict, List, NamedTuple, Tuple

from .hosts import Host
from .ssh import Connection

PROGRAM_S = 800.0  # more than systemd's timeouts for a stop and a start together


class ProgramRecord(NamedTuple):
    """A deployed program: its state, its service manager, the fingerprint of its inputs, the stage of its start."""

    state: str
    manager: str
    mark: str
    stage: str

    @property
    def is_running(self) -> bool:
        """Whether it is running or starting."""
        return self.state in ("active", "activating", "reloading")


def records_of(connection: Connection, host: Host) -> Dict[str, ProgramRecord]:
    """Return the records of the deployed programs of a host."""
    answer = connection.run("states", host.access.project_dir, *host.units)
    lines = [line.split() for line in answer.lines]
    return {words[0]: ProgramRecord(*words[1:]) for words in lines if len(words) == 5 and words[0] in host.units}


def start_changed(
    connection: Connection, host: Host, manager: str, marks: Dict[str, str], before: Dict[str, ProgramRecord]
) -> Tuple[List[str], List[str]]:
    """Start programs that are stopped or outdated; return the changes, and the units that have ended normally."""
    done, ended = [], []
    for unit, mark in marks.items():
        was = before.get(unit)
        is_master = host.runs_master_as(unit)
        if was is not None and (was.manager, was.mark, was.stage) == (manager, mark, "started"):
            if was.is_running:
                continue
            if is_master and was.state == "inactive":
                ended.append(unit)  # a finished run is not started again
                continue
        # The first deployment starts a run; a later one only resumes it. The subcommand start starts a new one.
        start(connection, host, manager, unit, mark, is_master and was is None)
        done.append(unit + (" restarted" if was is not None and was.is_running else " started"))
    return done, ended


def start(connection: Connection, host: Host, manager: str, unit: str, mark: str, is_wanted: bool) -> None:
    """Start or restart a program; with ``is_wanted``, a master without an unfinished run starts a new one."""
    connection.run(
        "start", host.access.project_dir, manager, unit, mark, "yes" if is_wanted else "no", timeout_s=PROGRAM_S
    )
