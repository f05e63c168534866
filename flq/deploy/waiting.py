"""Waits until all workers have joined."""

import time
from functools import partial
from typing import Any, Dict, List, Sequence, Tuple

from ..addresses import url_of
from .cluster import Cluster
from .fleet import Fleet
from .hosts import Host, Program
from .programs import ProgramRecord, records_of
from .ssh import Connection
from .tables import run_line
from .units import results_dir_of

SLICE_S = 5.0  # interval at which the programs are checked while workers are missing


def wait_for_workers(fleet: Fleet, cluster: Cluster, wait_s: float) -> None:
    """Wait until the workers of all hosts that have not failed appear in the master's status.

    If a program ends meanwhile, its host has failed; the reason is the last line of the program's log.
    """
    deadline, master_host = time.monotonic() + wait_s, fleet.hosts[0]
    waited = [
        (host, program)
        for host in fleet.hosts
        for program in host.programs
        if program.worker_id is not None and host.name not in fleet.failures
    ]
    while master_host.name not in fleet.failures:
        slice_s = max(0.0, min(SLICE_S, deadline - time.monotonic()))
        asked = [str(program.worker_id) for host, program in waited if host.name not in fleet.failures]
        words = ["--seconds", "%g" % slice_s, "--workers", *asked]
        status = fleet.each(partial(ask, cluster=cluster, words=["wait", *words]), hosts=[master_host]).get(
            master_host.name
        )
        if not status:
            return
        fleet.waiting(len(asked) - len(status["missing"]), len(asked))
        late = [(host, program) for host, program in waited if program.worker_id in status["missing"]]
        if "run_id" in status and not late:
            fleet.say(run_line(status))
            return
        if "run_id" not in status:
            record = fleet.each(records_of, hosts=[master_host]).get(master_host.name, {}).get(master_host.units[0])
            if record is not None and record.state == "inactive":
                fleet.say(run_line(status))
                return
            late.insert(0, (master_host, master_host.programs[0]))
        _fail_ended(fleet, late)
        if time.monotonic() >= deadline:
            _fail_late(fleet, late, status, wait_s)
            return


def show_run(fleet: Fleet, cluster: Cluster) -> Dict[str, Any]:
    """Show the current run or, without a master, the last one; return the status."""
    status = fleet.each(partial(ask, cluster=cluster, words=["status"]), hosts=fleet.hosts[:1]).get(
        fleet.hosts[0].name, {}
    )
    if not fleet.is_dry:
        fleet.say(run_line(status))
    return status


def _fail_ended(fleet: Fleet, programs: Sequence[Tuple[Host, Program]]) -> None:
    """Fail the hosts on which one of these programs has ended."""

    def work(connection: Connection, host: Host) -> List[str]:
        records: Dict[str, ProgramRecord] = records_of(connection, host)
        ended = [
            program
            for where, program in programs
            if where is host and not (program.unit in records and records[program.unit].is_running)
        ]
        return ["%s has ended: %s" % (program.unit, _last_line(connection, host, program)) for program in ended]

    found = fleet.each(work, hosts=[host for host in fleet.hosts if any(host is where for where, _ in programs)])
    for host in fleet.hosts:
        if found.get(host.name):
            fleet.fail(host, found[host.name][0])


def _fail_late(fleet: Fleet, late: Sequence[Tuple[Host, Program]], status: Dict[str, Any], wait_s: float) -> None:
    """Fail the hosts of these programs, which run but have not joined."""
    for host, program in late:
        if host.name not in fleet.failures:
            fleet.fail(
                host,
                status["problem"]
                if program.worker_id is None
                else "worker %d did not connect within %g s" % (program.worker_id, wait_s),
            )
    fleet.say(run_line(status))


def _last_line(connection: Connection, host: Host, program: Program) -> str:
    """Return the last log line of a program."""
    lines = connection.run("last", host.access.project_dir, program.unit, program.log_name).lines
    return ([line.strip() for line in lines if line.strip()] or ["its log is empty"])[-1]


def ask(connection: Connection, host: Host, cluster: Cluster, words: Sequence[str]) -> Dict[str, Any]:
    """Query the status of the run on the master's machine with flq.deploy.on_master."""
    master = cluster.master
    is_safe = master.tls_cert is not None
    url = url_of("https", master.address, master.port) if is_safe else url_of("http", "127.0.0.1", master.port)
    ca = ["--ca", "settings/ca.pem"] if is_safe and cluster.ca is not None else []
    results_dir = results_dir_of(cluster)
    where = [] if results_dir is None else ["--results_dir", results_dir]
    answer = connection.run("ask", host.access.project_dir, *words[:1], "--url", url, *ca, *where, *words[1:])
    return answer.values() if answer.output else {}  # a dry run has no answer
