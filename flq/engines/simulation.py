"""All workers in one thread and in virtual time: the machines of a real run, joined by bytes.

Workers take turns. When all of them wait, the clock moves to the next deadline.
"""

import random
import socket
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence

from ..device.files import system_root
from ..device.sensors import meminfo
from ..protocol.events import RoundClosed
from ..protocol.exchange import Call, CallAction
from ..protocol.worker_events import Exit, Train
from ..protocol.worker_machine import WorkerMachine
from .engine import Assignment, BuildTrainer, Federation, Place, RunResult, Settings, make_federation
from .memory_master import MemoryMaster
from .virtual_worker import VirtualWorker

Wrap = Callable[[int, Call], Call]


def places() -> List[Place]:
    """Return the one place: this process."""
    free = meminfo(system_root()).get("MemAvailable")
    return [Place(socket.gethostname(), "cpu", None if free is None else free << 10)]


def run(federation: Federation, plan: Sequence[Assignment]) -> RunResult:
    """Run all workers in this process, ignoring the plan."""
    return _Loop(federation, {}, lambda worker_id, call: call).run()


def simulate(
    settings: Settings,
    dies: Optional[Dict[int, int]] = None,
    build: Optional[BuildTrainer] = None,
    worker_ids: Optional[Sequence[int]] = None,
    watch: Callable[[RoundClosed], None] = lambda closed: None,
    wrap: Wrap = lambda worker_id, call: call,
) -> RunResult:
    """Simulate a run in memory.

    Parameters
    ----------
    settings : Settings
    dies : dict, optional
        Worker id -> round in which it vanishes instead of training.
    build : callable, optional
        (settings, worker id) -> trainer. By default all workers share a task.
    worker_ids : sequence of int, optional
        The workers that take part; all by default.
    watch : callable, optional
        Called with each closed round.
    wrap : callable, optional
        (worker id, call) -> call: stands between a worker and the master. A call that returns no event is
        answered later.

    Raises
    ------
    ConfigError
        If fewer than ``min_workers`` take part, which would wait for ever.
    """
    return _Loop(make_federation(settings, worker_ids, build, watch), dies or {}, wrap).run()


class _Loop:
    def __init__(self, federation: Federation, dies: Dict[int, int], wrap: Wrap) -> None:
        self._master = MemoryMaster(federation)
        self._dies = dies
        self._now = 0.0
        self._workers: Dict[int, VirtualWorker] = {}
        self._calls: Dict[int, Call] = {}
        build = federation.builder()
        for worker_id in sorted(federation.worker_ids):
            machine = WorkerMachine(worker_id, "simulated", random.Random(worker_id), give_up_s=3600.0)
            self._workers[worker_id] = VirtualWorker(machine, build, lambda: self._now)
            self._calls[worker_id] = wrap(worker_id, partial(self._call, worker_id))
        self._exit_codes: Dict[int, int] = {}

    def run(self) -> RunResult:
        """Let every worker act in turn until all have left."""
        while self._workers:
            acted = False
            for worker_id, worker in list(self._workers.items()):
                acted = self._step(worker_id, worker) or acted
            if not acted:
                self._wait()
        return self._master.result(self._exit_codes)

    def _step(self, worker_id: int, worker: VirtualWorker) -> bool:
        """Let one worker do its action; return whether anything happened."""
        action = worker.action
        if worker.is_waiting:
            if worker.due is None or worker.due[0] > self._now:
                return False
            worker.report(worker.due[1])
        elif isinstance(action, Exit):
            self._exit_codes[worker_id] = action.code
            del self._workers[worker_id]
        elif isinstance(action, Train) and self._dies.get(worker_id) == action.round_index:
            del self._workers[worker_id]
        else:
            worker.act(self._calls[worker_id])
        return True

    def _call(self, worker_id: int, action: CallAction) -> None:
        self._master.call(worker_id, action, self._now, self._workers[worker_id].report)

    def _wait(self) -> None:
        """Move the clock to the next deadline, since no worker can act."""
        due = [worker.due[0] for worker in self._workers.values() if worker.due is not None]
        deadline = self._master.machine.next_deadline(self._now)
        self._now = min(due + ([deadline] if deadline is not None else []))
        self._master.tick(self._now)
