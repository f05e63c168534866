"""Master and workers in one process: the same machines, joined by bytes instead of HTTP.

No array passes between the machines except as the bytes of a frame, and JSON bodies pass as
text, so that bits and bytes reported here are those that would be sent. Time is virtual: when
everybody waits, the clock moves to the next deadline.
"""

import json
import random
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..core.layout import Vector
from ..errors import ConfigError, FlqError
from ..protocol import events, worker_events
from ..protocol.master_machine import MasterMachine
from ..protocol.options import run_options
from ..protocol.wire import check_version, decode
from ..protocol.worker_machine import WorkerMachine
from ..training.frameworks import make_task
from ..training.task import Task, Trainer

TRAINING_S = 1.0  # virtual seconds that a local training takes


class Simulated(NamedTuple):
    """What a simulated run left.

    Attributes
    ----------
    model, shared : ndarray of shape (n_params,), float32
        x and w after the last round.
    reports : list of RoundReport
    reason : str
        Why the run ended.
    master : MasterMachine
    exit_codes : dict
        Worker id -> exit code, of the workers that left.
    """

    model: Vector
    shared: Vector
    reports: List[events.RoundReport]
    reason: str
    master: MasterMachine
    exit_codes: Dict[int, int]


class _Worker:
    """A worker's machine, its trainer, and what it does next."""

    def __init__(self, worker_id: int) -> None:
        self.machine = WorkerMachine(worker_id, "simulated", random.Random(worker_id), give_up_s=3600.0)
        self.trainer: Any = None
        self.action = self.machine.start(0.0)
        self.wakes_at: Optional[float] = None  # while it pauses or trains
        self.ticket: Optional[int] = None  # while the master has not replied
        self.result: Any = None


def simulate(
    settings: Dict[str, Dict[str, Any]],
    dies: Optional[Dict[int, int]] = None,
    build: Optional[Callable[[Dict[str, Dict[str, Any]], int], Any]] = None,
    worker_ids: Optional[Sequence[int]] = None,
    watch: Callable[[events.RoundClosed], None] = lambda closed: None,
    listen: Callable[[events.Event], None] = lambda event: None,
) -> Simulated:
    """Run a whole run in memory.

    Parameters
    ----------
    settings : dict
        As ``Config.settings()`` returns them.
    dies : dict, optional
        Worker id -> round in which it vanishes instead of training.
    build : callable, optional
        (settings, worker id) -> trainer. By default all workers share a task.
    worker_ids : sequence of int, optional
        Who takes part; all by default.
    watch : callable, optional
        Gets each round when it has closed.
    listen : callable, optional
        Gets each request as the master does, before it.

    Raises
    ------
    ConfigError
        If fewer than ``min_workers`` take part, who would wait for ever.
    """
    system = settings["system"]
    ids = range(system["total_workers"]) if worker_ids is None else worker_ids
    n_able = len(set(ids) & set(range(system["total_workers"])))
    if n_able < system["min_workers"]:
        raise ConfigError(
            "worker_ids holds %d of the ids 0..%d, but a round opens only with system.min_workers = %d"
            % (n_able, system["total_workers"] - 1, system["min_workers"]),
            "add worker_ids or lower system.min_workers",
        )
    task = make_task(settings)
    master = MasterMachine(run_options("simulated", settings, task.layout), task.start())
    return _Loop(settings, master, dies or {}, build or _one_task(), ids, watch, listen).run()


def _one_task() -> Callable[[Dict[str, Dict[str, Any]], int], Trainer]:
    """Return what builds trainers by the settings that workers get; the first one makes the task of all."""
    tasks: List[Task] = []

    def build(settings: Dict[str, Dict[str, Any]], worker_id: int) -> Trainer:
        if not tasks:
            tasks.append(make_task(settings))
        return Trainer(tasks[0], worker_id)

    return build


class _Loop:
    def __init__(
        self,
        settings,
        master: MasterMachine,
        dies: Dict[int, int],
        build,
        ids: Sequence[int],
        watch: Callable[[events.RoundClosed], None],
        listen: Callable[[events.Event], None],
    ) -> None:
        self._settings, self._master, self._dies, self._build, self._watch = settings, master, dies, build, watch
        self._listen = listen
        self._workers = {worker_id: _Worker(worker_id) for worker_id in ids}
        self._now = 0.0
        self._tickets: Dict[int, _Worker] = {}
        self._n_tickets = 0
        self._reports: List[events.RoundReport] = []
        self._reason = ""
        self._exit_codes: Dict[int, int] = {}

    def run(self) -> Simulated:
        """Let every worker act in turn until all have left."""
        while self._workers:
            acted = False
            for worker_id, worker in sorted(self._workers.items()):
                acted = self._step(worker_id, worker) or acted
            if not acted:
                self._wait()
        return Simulated(
            self._master.model.state.model,
            self._master.model.state.shared,
            self._reports,
            self._reason,
            self._master,
            self._exit_codes,
        )

    def _step(self, worker_id: int, worker: _Worker) -> bool:
        """Let one worker do its action; return whether anything happened."""
        if worker.ticket is not None or (worker.wakes_at is not None and worker.wakes_at > self._now):
            return False
        action = worker.action
        if worker.wakes_at is not None:
            worker.wakes_at = None
            self._report(worker, worker.result)
        elif isinstance(action, worker_events.Exit):
            self._exit_codes[worker_id] = action.code
            del self._workers[worker_id]
        elif isinstance(action, worker_events.Build):
            worker.trainer = self._build(action.settings, worker_id)
            self._report(worker, worker_events.Built(worker.trainer.n_samples, worker.trainer.layout))
        elif isinstance(action, worker_events.Train):
            if self._dies.get(worker_id) == action.round_index:
                del self._workers[worker_id]
                return True
            done = worker.trainer.local_update(action.shared, action.round_index)
            worker.wakes_at = self._now + TRAINING_S
            worker.result = worker_events.Trained(done.update, done.loss, TRAINING_S, done.held_back)
        elif isinstance(action, worker_events.Save):  # in memory nobody dies without warning
            self._report(worker, worker_events.Saved())
        elif isinstance(action, worker_events.Pause):
            worker.wakes_at, worker.result = self._now + action.seconds, worker_events.Paused()
        else:
            self._call(worker_id, worker, action)
        return True

    def _call(self, worker_id: int, worker: _Worker, action: worker_events.Action) -> None:
        """Send a request to the master."""
        self._n_tickets += 1
        ticket = worker.ticket = self._n_tickets
        self._tickets[ticket] = worker
        if isinstance(action, worker_events.CallRegister):
            body = json.loads(json.dumps(action.body))
            check_version("the worker", body.pop("wire"))
            event: events.Event = events.Register(ticket, **body)
        elif isinstance(action, worker_events.CallPoll):
            event = events.Poll(ticket, worker_id, action.epoch, action.have, action.answered)
        else:
            frame = b"".join(bytes(buffer) for buffer in action.frame)
            event = events.Answered(ticket, decode(frame, self._master.link), frame, have=action.have)
        self._listen(event)
        self._tell(event)

    def _tell(self, event: events.Event) -> None:
        """Hand an event to the master's machine and do what it says."""
        for effect in self._master.handle(event, self._now):
            if isinstance(effect, events.Reply):
                worker = self._tickets.pop(effect.ticket)
                worker.ticket = None
                self._report(worker, _received(worker.action, effect.body))
            elif isinstance(effect, events.RoundClosed):
                self._reports.append(effect.report)
                self._watch(effect)
            elif isinstance(effect, events.RunEnded):
                self._reason = effect.reason

    def _report(self, worker: _Worker, event: worker_events.Event) -> None:
        worker.action = worker.machine.handle(event, self._now)

    def _wait(self) -> None:
        """Nobody can act: move the clock to whatever comes first."""
        due = [worker.wakes_at for worker in self._workers.values() if worker.wakes_at is not None]
        deadline = self._master.next_deadline(self._now)
        self._now = min(due + ([deadline] if deadline is not None else []))
        self._tell(events.Tick())


def _received(action: worker_events.Action, body: Any) -> worker_events.Event:
    """Turn the master's reply into what the worker's machine gets."""
    if isinstance(body, FlqError):
        return worker_events.Problem(body.status_hint, str(body))
    if body is None:
        return worker_events.NothingNew(0.0)
    if isinstance(body, dict):
        return worker_events.Registered(json.loads(json.dumps(body)))
    stream = b"".join(bytes(buffer) for buffer in body)
    return (
        worker_events.Polled(stream)
        if isinstance(action, worker_events.CallPoll)
        else (worker_events.VerdictReceived(stream))
    )
