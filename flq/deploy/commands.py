"""The subcommands: their work on the hosts, and their output."""

import os
from concurrent.futures import Future
from typing import Any, Dict, List, Optional

from ..errors import ConfigError
from .cluster import Cluster, WorkerEntry
from .environment import given_environment
from .facts import fitting, manager_of, require_fit
from .fleet import Fleet
from .hosts import Host
from .programs import PROGRAM_S, ProgramRecord, records_of
from .programs import start as start_program
from .release import make_release
from .ssh import Connection, DeployError
from .steps import Deployed, Deployment, look
from .steps import deploy as deploy_host
from .tables import manifest_table, workers_table
from .transfer import Lines, collect_host
from .units import absolute, settings_flags
from .waiting import show_run, wait_for_workers

UNCHANGED = "unchanged"
FOLLOW_S = 7 * 24 * 3600.0
MANIFEST_S = 600.0  # a board reads all of its data


def check(fleet: Fleet) -> None:
    """Report for each host the environment that suits it, and whether it can be deployed."""

    def work(connection: Connection, host: Host) -> str:
        facts = look(connection, host, fleet.is_dry)
        packages = "its own environment"
        if given_environment(host, facts.home) is None:
            fit = fitting(host, facts)
            packages = "Python %s, requirements/%s.txt" % (fit.version, fit.requirements)
        words = [
            facts.board or facts.machine,
            "L4T " + facts.l4t if facts.l4t else "",
            packages,
            "%d MB of memory" % facts.memory_mb,
            "%d MB free on its disk" % facts.disk_mb,
            "clock %+.0f s" % facts.ahead_s,
            "systemd: " + manager_of(host, facts),
            *require_fit(host, facts),
        ]
        return ", ".join(filter(None, words))

    fleet.each(work, lambda _, text: text)


def deploy(fleet: Fleet, cluster: Cluster, project_dir: str, wheelhouse: Optional[str], wait_s: float) -> None:
    """Install and start everything on all hosts; wait until all workers have joined."""
    shared = Deployment(cluster, make_release(project_dir), project_dir, wheelhouse, fleet.is_dry, Future(), fleet.tell)

    def work(connection: Connection, host: Host) -> Deployed:
        try:
            return deploy_host(connection, host, shared)
        except BaseException:
            if host.master is not None and not shared.tokens.done():
                shared.tokens.set_exception(
                    DeployError(
                        "the master's machine failed, which provides the token for this one; deploy again when it works"
                    )
                )
            raise

    def describe(_: Host, outcome: Deployed) -> str:
        text = ", ".join(outcome.changes) or UNCHANGED
        return "; ".join([text, *(unit + " has ended" for unit in outcome.ended), *outcome.notes])

    outcomes = fleet.each(work, describe)
    if any(outcome.ended for outcome in outcomes.values()):
        show_run(fleet, cluster)
        return
    wait_for_workers(fleet, cluster, wait_s)


def start(fleet: Fleet) -> None:
    """Start programs that are not running; the master resumes the unfinished run or starts a new one."""

    def work(connection: Connection, host: Host) -> str:
        words = []
        for unit, record in _deployed(connection, host, fleet.is_dry).items():
            if record.is_running:
                words.append(unit + " runs")
                continue
            start_program(connection, host, record.manager, unit, record.mark, host.runs_master_as(unit))
            words.append(unit + " started")
        return ", ".join(words)

    fleet.each(work, lambda _, text: text)


def restart(fleet: Fleet) -> None:
    """Restart everything; an unfinished run is resumed."""

    def work(connection: Connection, host: Host) -> str:
        for unit, record in _deployed(connection, host, fleet.is_dry).items():
            start_program(connection, host, record.manager, unit, record.mark, False)
        return ", ".join(unit + " restarted" for unit in host.units)

    fleet.each(work, lambda _, text: text)


def _deployed(connection: Connection, host: Host, is_dry: bool) -> Dict[str, ProgramRecord]:
    """Return the records of all programs of a host.

    Raises
    ------
    DeployError
        If a program was never deployed.
    """
    records = records_of(connection, host)
    if is_dry:
        return {unit: ProgramRecord("inactive", "MANAGER", "FINGERPRINT", "stopped") for unit in host.units}
    missing = [unit for unit in host.units if unit not in records]
    if missing:
        raise DeployError("%s is not deployed there: run ./deploy_jetson.sh deploy" % missing[0])
    return records


def stop(fleet: Fleet, cluster: Cluster) -> None:
    """Stop the programs; an unfinished run can be resumed."""

    def work(connection: Connection, host: Host) -> str:
        answer = connection.run("stop", host.access.project_dir, *host.units, timeout_s=PROGRAM_S)
        return ", ".join(answer.lines)

    done = fleet.each(work, lambda _, text: text)
    master = fleet.hosts[0]
    if fleet.is_dry or master.units[0] + " was not deployed" not in done.get(master.name, ""):
        show_run(fleet, cluster)


def status(fleet: Fleet, cluster: Cluster) -> None:
    """Show the run, and the state of each program."""
    records = fleet.each(records_of)
    run_status = show_run(fleet, cluster)
    if not fleet.is_dry:
        fleet.say(workers_table(fleet.hosts, records, run_status))


def logs(fleet: Fleet, name: Optional[str], n_lines: int, is_following: bool) -> None:
    """Show the newest log of each program; follow it until Ctrl-C."""
    chosen = fleet.hosts if name is None else [host for host in fleet.hosts if name in (host.name, host.address)]
    if not chosen:
        raise ConfigError(
            "the cluster has no host %s; its hosts are %s" % (name, ", ".join(host.name for host in fleet.hosts))
        )

    def work(connection: Connection, host: Host) -> None:
        with Lines(host.name + ": ", fleet.say, connection.frame) as lines:
            connection.run(
                "logs",
                host.access.project_dir,
                str(n_lines),
                "yes" if is_following else "no",
                *(program.log_name for program in host.programs),
                timeout_s=FOLLOW_S,
                output=lines.stream,
            )

    fleet.each(work, hosts=chosen, jobs=len(chosen) if is_following and not fleet.is_dry else None)


def collect(fleet: Fleet, folder: str) -> None:
    """Fetch new and changed results and logs of all hosts."""

    def describe(host: Host, n_files: int) -> str:
        return "%d new files in %s" % (n_files, os.path.join(folder, host.name)) if n_files else "nothing new"

    fleet.each(lambda connection, host: collect_host(connection, host, os.path.join(folder, host.name)), describe)


def uninstall(fleet: Fleet) -> None:
    """Remove the deployment except results, state and logs."""

    def work(connection: Connection, host: Host) -> str:
        answer = connection.run("uninstall", host.access.project_dir, timeout_s=PROGRAM_S)
        left = [line.partition(" ")[2] for line in answer.lines if line.startswith("left ")]
        removed = [line for line in answer.lines if line.startswith("removed ")]
        return (
            ", ".join(removed + ["results, state and logs stay in " + path for path in left]) or "nothing was deployed"
        )

    fleet.each(work, lambda _, text: text)


def manifest(fleet: Fleet, cluster: Cluster) -> None:
    """Show the class counts of each worker's local data."""

    def dataset_name(connection: Connection, host: Host) -> str:
        flags = settings_flags(host.programs[0], cluster, look(connection, host, fleet.is_dry).project)
        answer = connection.run("config", host.access.project_dir, *flags)
        return "DATASET" if fleet.is_dry else answer.values()["dataset"]["name"]

    def work(connection: Connection, host: Host) -> List[Dict[str, Any]]:
        home, found = look(connection, host, fleet.is_dry).home, []
        for program in host.programs:
            if isinstance(program.entry, WorkerEntry):
                entry = program.entry
                words = ["--manifest", "--json", "--worker_id", str(entry.worker_id), "--dataset", *names.values()]
                if entry.data_dir is not None:
                    words += ["--data_dir", absolute(entry.data_dir, home)]
                answer = connection.run("worker", host.access.project_dir, *words, timeout_s=MANIFEST_S)
                found.append({} if fleet.is_dry else answer.values())
        return found

    names = fleet.each(dataset_name, hosts=fleet.hosts[:1])  # the master's configuration holds for all
    if names:
        found = fleet.each(work)
        if not fleet.is_dry:
            fleet.say(manifest_table([row for host in fleet.hosts for row in found.get(host.name, [])]))
