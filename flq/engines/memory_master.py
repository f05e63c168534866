"""The master's machine in this process: calls and replies pass as bytes, without a disk."""

from typing import Callable, Dict, List, Tuple

from ..protocol import events
from ..protocol.exchange import CallAction, to_master, to_worker
from ..protocol.master_machine import MasterMachine
from ..protocol.options import run_options
from ..protocol.worker_events import Event
from .engine import Federation, RunResult

Receive = Callable[[Event], None]


class MemoryMaster:
    """A master for the workers of one process; one thread at a time may use it.

    Arrays pass only as the bytes of frames, and JSON bodies as text, so that bits and bytes reported are
    those that HTTP would carry.

    Parameters
    ----------
    federation : Federation

    Attributes
    ----------
    machine : MasterMachine
    reports : list of RoundReport
    reason : str
        Why the run ended.
    """

    def __init__(self, federation: Federation) -> None:
        options = run_options("simulated", federation.settings, federation.layout)
        self.machine = MasterMachine(options, federation.start)
        self.reports: List[events.RoundReport] = []
        self.reason = ""
        self._watch = federation.watch
        self._waiting: Dict[events.Ticket, Tuple[CallAction, Receive]] = {}
        self._n_tickets = 0

    def call(self, worker_id: int, action: CallAction, now: float, reply: Receive) -> None:
        """Take a worker's call; ``reply`` gets the event when the master answers, possibly at once."""
        self._n_tickets += 1
        self._waiting[self._n_tickets] = action, reply
        self._tell(to_master(action, self._n_tickets, worker_id, self.machine.link), now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        self._tell(events.Tick(), now)

    def result(self, exit_codes: Dict[int, int]) -> RunResult:
        """Return the result of the run."""
        state = self.machine.model.state
        return RunResult(state.model, state.shared, self.reports, self.reason, self.machine, exit_codes)

    def _tell(self, event: events.Event, now: float) -> None:
        for effect in self.machine.handle(event, now):
            if isinstance(effect, events.Reply):
                action, reply = self._waiting.pop(effect.ticket)
                reply(to_worker(action, effect.body))
            elif isinstance(effect, events.RoundClosed):
                self.reports.append(effect.report)
                self._watch(effect)
            elif isinstance(effect, events.RunEnded):
                self.reason = effect.reason
