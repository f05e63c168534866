"""Groups the programs of a cluster by machine."""

import socket
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from ..errors import ConfigError
from .cluster import LOCAL, Access, Cluster, MasterEntry, WorkerEntry

MASTER_UNIT = "flq-master"


class Program(NamedTuple):
    """One program on a host: the master, or a worker."""

    unit: str
    entry: Union[MasterEntry, WorkerEntry]

    @property
    def worker_id(self) -> Optional[int]:
        """The worker's id; None for the master."""
        return None if isinstance(self.entry, MasterEntry) else self.entry.worker_id

    @property
    def log_name(self) -> str:
        """Prefix of the names of its logs."""
        return "master" if self.worker_id is None else "worker%d" % self.worker_id


class Host(NamedTuple):
    """A machine and its programs.

    Attributes
    ----------
    address : str
        For ssh, or "local" for the machine that runs the deployment.
    name : str
        Its name in reports, logs and collected/.
    access : Access
    programs : list of Program
        The master first.
    """

    address: str
    name: str
    access: Access
    programs: List[Program]

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.address == LOCAL

    @property
    def master(self) -> Optional[MasterEntry]:
        """The master's entry, if it runs here."""
        entry = self.programs[0].entry
        return entry if isinstance(entry, MasterEntry) else None

    def runs_master_as(self, unit: str) -> bool:
        """Return whether ``unit`` is the master's."""
        return self.master is not None and unit == self.units[0]

    @property
    def units(self) -> List[str]:
        """The names of its units."""
        return [program.unit for program in self.programs]


def hosts_of(cluster: Cluster) -> List[Host]:
    """Return the machines of a cluster, the master's first.

    Raises
    ------
    ConfigError
        If two entries of the same machine contradict each other.
    """
    master = cluster.master
    address = master.host or (LOCAL if is_this_machine(master.address) else master.address)
    entries: Dict[Tuple[str, Optional[int]], List[Union[MasterEntry, WorkerEntry]]] = {}
    entries[_key(address, master)] = [master]
    for worker in cluster.workers:
        entries.setdefault(_key(worker.host, worker), []).append(worker)
    addresses = [where for where, _ in entries]
    return [
        _host(where, port if addresses.count(where) > 1 else None, on_it) for (where, port), on_it in entries.items()
    ]


def _key(address: str, access: Access) -> Tuple[str, Optional[int]]:
    """Return the identity of a machine: its address and its ssh port, because several may share an address."""
    return (address, None) if address == LOCAL else (address, access.ssh_port)


def _host(address: str, port: Optional[int], entries: List[Union[MasterEntry, WorkerEntry]]) -> Host:
    name = address if port is None else "%s-%d" % (address, port)
    first = entries[0]
    for entry in entries[1:]:
        for field in Access.model_fields:
            if field != "memory_max_mb" and getattr(entry, field) != getattr(first, field):
                raise ConfigError("two programs on %s differ in %s, but a machine has one installation" % (name, field))
    n_workers = sum(isinstance(entry, WorkerEntry) for entry in entries)
    programs = [
        Program(
            MASTER_UNIT
            if isinstance(entry, MasterEntry)
            else "flq-worker"
            if n_workers == 1
            else "flq-worker-%d" % entry.worker_id,
            entry,
        )
        for entry in entries
    ]
    return Host(address, name, first, programs)


def is_this_machine(address: str) -> bool:
    """Return whether an address or name belongs to this machine, by trying to listen on it."""
    try:
        found = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as listener:
                listener.bind(where)
                return True
        except OSError:
            continue
    return False
