"""Facts about a machine, and the choice of service manager and packages from them."""

from typing import Dict, List, NamedTuple, Optional

from .hosts import Host
from .ssh import DeployError, Result

LEAST_DISK_MB = 3000  # for code, packages and results
LARGEST_SKEW_S = 30.0
NEWEST_PIP = {"3.6": "21.3.1", "3.8": "25.0.1"}  # the newest for that Python, whose bundled pip is too old
JETSON = {32: ("jetson-nano", "3.6"), 34: ("jetpack5", "3.8"), 35: ("jetpack5", "3.8"), 36: ("jetpack6", "3.10")}
MODERN = ("3.11", "3.12", "3.13", "3.10", "3.9")  # for requirements/worker.txt and local.txt; best first
OLDER = {"3.8": "worker-py38", "3.6": "worker-py36"}


class Facts(NamedTuple):
    """The result of the step `facts` of scripts/board.sh.

    Attributes
    ----------
    home, project, user, machine, board, l4t : str
        l4t is such as "32.7.1", or empty.
    ahead_s : float
        How far its clock is ahead of ours, at least; the exact value is hidden by the round-trip time.
    memory_mb, disk_mb : int
    systemd : int
        Version of systemd; 0 = none.
    managers : list of str
        Those of "system" and "user" that may be used.
    pythons : dict
        {version: path}.
    current, venv : str
        The current release, and the target of its .venv; empty if there is none.
    releases, environments : list of str
        Those that are completely installed.
    """

    home: str
    project: str
    user: str
    machine: str
    ahead_s: float
    memory_mb: int
    disk_mb: int
    board: str
    l4t: str
    systemd: int
    managers: List[str]
    pythons: Dict[str, str]
    current: str
    venv: str
    releases: List[str]
    environments: List[str]


def read_facts(answer: Result) -> Facts:
    """Parse the output of the step.

    Raises
    ------
    DeployError
        If it is incomplete.
    """
    found: Dict[str, List[str]] = {}
    for line in answer.lines:
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value.strip())
    one = {name: values[-1] for name, values in found.items()}
    pythons: Dict[str, str] = {}
    for line in found.get("python", []):
        version, _, path = line.partition(" ")
        pythons.setdefault(version, path)
    try:
        begun, done = map(float, found["clock"])
        return Facts(
            one["home"],
            one["project"],
            one["user"],
            one["machine"],
            ahead_at_least(begun - answer.began, done - answer.ended),
            int(one["memory_mb"]),
            int(one["disk_mb"]),
            one["board"],
            one["l4t"],
            int((one.get("systemd") or "0").split(".")[0]),
            found.get("manager", []),
            pythons,
            one.get("current", ""),
            one.get("venv", ""),
            found.get("release", []),
            found.get("environment", []),
        )
    except (KeyError, ValueError) as error:
        raise DeployError("its facts are incomplete: %s of %d lines cannot be read" % (error, len(found))) from None


def ahead_at_least(first_s: float, last_s: float) -> float:
    """Return the smallest possible lead of a remote clock, in seconds; negative if it is behind.

    Parameters
    ----------
    first_s : float
        Its time at the start of its answer minus ours at the start of the request: an upper bound.
    last_s : float
        Its time at the end of its answer minus ours when the answer arrived: a lower bound.
    """
    return max(last_s, min(0.0, first_s))


def assumed_facts(host: Host) -> Facts:
    """Return the facts that a dry run assumes: a board without a deployment."""
    project = "~/" + host.access.project_dir
    return Facts(
        "~",
        project,
        "USER",
        "MACHINE",
        0.0,
        4000,
        30000,
        "",
        "",
        247,
        ["system", "user"],
        {"3.11": "python3.11"},
        "",
        "",
        [],
        [],
    )


class Fit(NamedTuple):
    """The packages for a machine: a file in requirements/, the Python, and the pip to install (None = its own)."""

    requirements: str
    version: str
    python: str
    pip: Optional[str]


def fitting(host: Host, facts: Facts) -> Fit:
    """Choose the requirements for a machine by its board and its Python.

    Raises
    ------
    DeployError
        If it has no suitable Python.
    """
    if host.master is not None:
        candidates = [("local", version) for version in MODERN]
    elif facts.l4t:
        release = int(facts.l4t.split(".")[0])
        candidates = [JETSON[release]] if release in JETSON else [("worker", version) for version in MODERN]
    else:
        candidates = [("worker", version) for version in MODERN] + [(OLDER[version], version) for version in OLDER]
    for name, version in candidates:
        if version in facts.pythons:
            return Fit(name, version, facts.pythons[version], NEWEST_PIP.get(version))
    raise DeployError(
        "no suitable Python: it has %s, expected one of %s%s; install one, or set `python`"
        % (
            ", ".join(sorted(facts.pythons)) or "none",
            ", ".join(version for _, version in candidates),
            " (L4T %s)" % facts.l4t if facts.l4t and host.master is None else "",
        )
    )


def manager_of(host: Host, facts: Facts) -> str:
    """Return the service manager of a machine: "system", "user" or "none".

    Raises
    ------
    DeployError
        If the cluster file requires one that is not available there.
    """
    asked = host.access.systemd
    if asked == "auto":
        return (facts.managers + ["none"])[0]
    if asked != "none" and asked not in facts.managers:
        raise DeployError(
            "systemd: %s is not available there; %s"
            % (
                asked,
                "it needs root, or sudo without a password"
                if asked == "system" and facts.systemd
                else "use auto or none",
            )
        )
    return asked


def require_fit(host: Host, facts: Facts) -> List[str]:
    """Return warnings about a machine.

    Raises
    ------
    DeployError
        If nothing can be deployed there.
    """
    if not facts.environments and facts.disk_mb < LEAST_DISK_MB and host.access.environment == "auto":
        raise DeployError("only %d MB are free on its disk; packages and code need %d" % (facts.disk_mb, LEAST_DISK_MB))
    notes = []
    if abs(facts.ahead_s) > LARGEST_SKEW_S:
        notes.append(
            "its clock is %.0f s %s: sudo timedatectl set-ntp true"
            % (abs(facts.ahead_s), "ahead" if facts.ahead_s > 0 else "behind")
        )
    return notes
