"""Deploys one host in idempotent steps."""

import os
import tarfile
from concurrent.futures import Future
from typing import IO, Callable, Dict, List, NamedTuple, Optional, Tuple

from .cluster import Cluster
from .environment import environment_of, given_environment
from .facts import Facts, Fit, assumed_facts, fitting, manager_of, read_facts, require_fit
from .hosts import Host
from .programs import PROGRAM_S, records_of, start_changed
from .release import Release
from .settings import fingerprint, master_tokens, settings_files
from .ssh import Connection, Result
from .units import settings_flags, unit_text

INSTALL_S = 3600.0  # a board installs packages and compiles h5py
TRANSFER_S = 1800.0  # an archive over a slow link


class Deployment(NamedTuple):
    """State shared by all hosts.

    Attributes
    ----------
    cluster : Cluster
    release : Release
    project_dir : str
        The local folder of the code.
    wheelhouse : str or None
    is_dry : bool
    tokens : Future of dict
        The master's tokens by name, set by the deployment of the master.
    tell : callable(Host, str)
        Reports work that takes long.
    """

    cluster: Cluster
    release: Release
    project_dir: str
    wheelhouse: Optional[str]
    is_dry: bool
    tokens: "Future[Dict[str, str]]"
    tell: Callable[[Host, str], None]


class Deployed(NamedTuple):
    """The result of a deployment on a host; without ``changes``, it was up to date.

    ``ended`` has the units of programs that have ended by themselves and were not restarted.
    """

    changes: List[str]
    notes: List[str]
    ended: List[str]


def look(connection: Connection, host: Host, is_dry: bool = False) -> Facts:
    """Query the facts of a host."""
    answer = connection.run("facts", host.access.project_dir, host.access.python or "-")
    return assumed_facts(host) if is_dry else read_facts(answer)


def deploy(connection: Connection, host: Host, shared: Deployment) -> Deployed:
    """Deploy one host.

    Raises
    ------
    DeployError
        With the reason. The previous programs still run, unless a start has failed.
    """
    project, cluster = host.access.project_dir, shared.cluster
    facts = look(connection, host, shared.is_dry)
    notes, manager = require_fit(host, facts), manager_of(host, facts)
    before = records_of(connection, host)
    changes: List[str] = []

    # Install code and packages beside those in use.
    if shared.release.name not in facts.releases:
        connection.run("release", project, shared.release.name, payload=shared.release.archive, timeout_s=TRANSFER_S)
        changes.append("release %s sent" % shared.release.name)
    venv, fit, made = _environment(connection, host, facts, shared)
    changes += made
    if host.master is None:
        tokens = shared.tokens.result()  # the master's machine is first

    # From here on, programs that start use the new release.
    if (facts.current, facts.venv) != (shared.release.name, venv):
        connection.run("switch", project, shared.release.name, venv, timeout_s=TRANSFER_S)
        changes.append("release %s in use" % shared.release.name)
    if host.master is not None:
        tokens = master_tokens(connection, project, cluster, shared.is_dry)

    # Write the settings and units of the programs.
    contents = {program.unit: settings_files(program, host, cluster, tokens) for program in host.programs}
    texts = {program.unit: unit_text(program, host, cluster, facts, fit, manager) for program in host.programs}
    marks = {unit: fingerprint(shared.release.name, venv, texts[unit], contents[unit]) for unit in host.units}
    files = {path: content for unit in host.units for path, content in contents[unit].items()}
    changes += [
        path for path, content in files.items() if _changed(connection.send("put", project, path, "600", text=content))
    ]
    first = host.programs[0]
    if host.master is not None and (first.unit not in before or before[first.unit].mark != marks[first.unit]):
        connection.run("config", project, *settings_flags(first, cluster, facts.project))
    if host.master is not None:
        shared.tokens.set_result(
            tokens
        )  # releases the other hosts, none of which stops anything before the master's settings are valid
    for unit, text in texts.items():
        answer = connection.send("unit", project, manager, unit, text=text.encode("utf-8"))
        changes += [unit + " written"] if _changed(answer) else []
        notes += [line[len("note ") :] for line in answer.lines if line.startswith("note ")]

    changes += connection.run("retire", project, manager, *host.units, timeout_s=PROGRAM_S).lines
    started, ended = start_changed(connection, host, manager, marks, before)
    return Deployed(changes + started, notes, ended)


def _environment(
    connection: Connection, host: Host, facts: Facts, shared: Deployment
) -> Tuple[str, Optional[Fit], List[str]]:
    """Install a host's packages; return the target of .venv, the chosen packages, and the changes."""
    given = given_environment(host, facts.home)
    if given is not None:
        return given, None, []
    fit = fitting(host, facts)
    environment = environment_of(fit, shared.project_dir, shared.wheelhouse is not None)
    venv = "../../env/" + environment.name
    if environment.name in facts.environments:
        return venv, fit, []
    shared.tell(
        host,
        "installing requirements/%s.txt for Python %s, which takes a few minutes" % (fit.requirements, fit.version),
    )
    if shared.wheelhouse is not None:
        _send_wheels(connection, host, shared.wheelhouse)
    connection.send(
        "environment",
        host.access.project_dir,
        environment.name,
        fit.python,
        fit.pip or "-",
        "no" if shared.wheelhouse is None else "yes",
        text=environment.requirements,
        timeout_s=INSTALL_S,
    )
    return venv, fit, ["environment %s created" % environment.name]


def _send_wheels(connection: Connection, host: Host, wheelhouse: str) -> None:
    """Send the wheels that a board lacks."""
    lines = connection.run("wheels", host.access.project_dir).lines
    there = {name: int(size) for size, _, name in (line.partition(" ") for line in lines)}
    files = sorted(entry.name for entry in os.scandir(wheelhouse) if entry.is_file())
    missing = [name for name in files if there.get(name) != os.path.getsize(os.path.join(wheelhouse, name))]

    def write(stream: IO[bytes]) -> None:
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for name in missing:
                archive.add(os.path.join(wheelhouse, name), arcname=name)

    if missing:
        connection.run("wheelhouse", host.access.project_dir, payload=write, timeout_s=INSTALL_S)


def _changed(answer: Result) -> bool:
    return "changed" in answer.lines
