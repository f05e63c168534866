"""A worker in virtual time: it acts in turn, and trains and pauses without waiting."""

from typing import Any, Callable, Optional, Tuple, Union, cast

from ..core.settings import Settings
from ..protocol.exchange import Call, Local, methods_of
from ..protocol.worker_events import Event, Pause, Paused, Train, Trained, Unable
from ..protocol.worker_machine import WorkerMachine

TRAINING_S = 1.0  # virtual seconds of a local training


class VirtualWorker(Local):
    """A worker's machine, its trainer, and its next action.

    Parameters
    ----------
    machine : WorkerMachine
        One that has not started.
    build : callable(settings, worker id) -> Trainer
    clock : callable() -> float
        The virtual time in seconds.

    Attributes
    ----------
    action : Action
        What the machine asks for.
    is_waiting : bool
        Whether the event of the action is still to come: the worker trains, pauses, or waits for the master's reply.
    due : (float, Event) or None
        When the waiting ends at the latest, and with which event.
    """

    def __init__(
        self, machine: WorkerMachine, build: Callable[[Settings, int], Any], clock: Callable[[], float]
    ) -> None:
        super().__init__(lambda settings: build(settings, machine.worker_id), clock, lambda seconds: None)
        self._methods = methods_of(self)
        self.machine = machine
        self.action = machine.start(clock())
        self.is_waiting = False
        self.due: Optional[Tuple[float, Event]] = None

    def act(self, call: Call) -> None:
        """Do the action; ``call`` returns None where the reply comes later."""
        self.is_waiting = True
        event = self._methods.get(type(self.action), call)(self.action)
        if event is not None:
            self.report(event)

    def report(self, event: Event) -> None:
        """Report the outcome of the action to the machine."""
        self.is_waiting, self.due = False, None
        self.action = self.machine.handle(event, self._clock())

    def train(self, action: Train) -> None:
        """Train; the update is due when the virtual training is over."""
        event = cast(Union[Trained, Unable], super().train(action))._replace(training_s=TRAINING_S)
        self.due = self._clock() + TRAINING_S, event

    def pause(self, action: Pause) -> None:
        """Make the end of the pause due."""
        self.due = self._clock() + action.seconds, Paused()
