"""The worker's side of a run: do the actions of its machine, and report their outcomes.

The worker itself builds, trains, saves and pauses (:class:`Local`). Its calls go to the master, through a transport:
``call(action)`` carries CallRegister, CallPoll or CallAnswer there and returns the reply as an event. HTTP is such a
function; bytes in memory and the faulty networks of the tests are others.
"""

import json
from typing import Any, Callable, Dict, Optional, Union

from ..core.data_report import optional_report
from ..core.settings import Settings
from ..errors import FlqError, OutOfMemory
from . import events
from .messages import Answer
from .wire import Link, check_version, decode
from .worker_events import (
    Build,
    Built,
    CallAnswer,
    CallPoll,
    CallRegister,
    Event,
    Exit,
    NothingNew,
    Pause,
    Paused,
    Polled,
    Problem,
    Registered,
    Save,
    Saved,
    Train,
    Trained,
    Unable,
    VerdictReceived,
)
from .worker_machine import WorkerMachine

CallAction = Union[CallRegister, CallPoll, CallAnswer]
Call = Callable[[CallAction], Optional[Event]]


class Local:
    """Does the actions that need no master; it keeps nothing on disk.

    Where time is virtual, a method may return None: its event comes later, as with a call.

    Parameters
    ----------
    build_trainer : callable(settings) -> Trainer
    clock : callable() -> float
        The time in seconds.
    sleep : callable(seconds)
    """

    def __init__(
        self, build_trainer: Callable[[Settings], Any], clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self.trainer: Any = None
        self._build_trainer, self._clock, self._sleep = build_trainer, clock, sleep

    def build(self, action: Build) -> Optional[Event]:
        """Build the trainer."""
        self.trainer = self._build_trainer(action.settings)
        return Built(self.trainer.n_samples, self.trainer.layout, self.trainer.data_report)

    def train(self, action: Train) -> Optional[Event]:
        """Train from the shared copy."""
        began = self._clock()
        try:
            local = self.trainer.local_update(action.shared, action.round_index)
        except OutOfMemory as error:
            return Unable(str(error), self._clock() - began)
        return Trained(local.update, local.loss, self._clock() - began, local.held_back, local.n_trained)

    def save(self, action: Save) -> Optional[Event]:
        """Keep what a restarted process needs."""
        return Saved()

    def pause(self, action: Pause) -> Optional[Event]:
        """Sleep."""
        self._sleep(action.seconds)
        return Paused()


def methods_of(local: Local) -> Dict[type, Callable[[Any], Optional[Event]]]:
    """Return the method for each type of action that needs no master; the transport does the others."""
    return {Build: local.build, Train: local.train, Save: local.save, Pause: local.pause}


def run_worker(
    machine: WorkerMachine,
    local: Local,
    call: Call,
    clock: Callable[[], float],
    follow: Callable[[], None] = lambda: None,
) -> Exit:
    """Run a worker until its machine says exit.

    Parameters
    ----------
    machine : WorkerMachine
        One that has not started.
    local : Local
    call : callable(action) -> event
        The transport to the master. It does not retry: the machine does.
    clock : callable() -> float
        The time in seconds; it never goes back.
    follow : callable, optional
        Called after each event.
    """
    methods, action = methods_of(local), machine.start(clock())
    while not isinstance(action, Exit):
        do: Callable[[Any], Optional[Event]] = methods.get(type(action), call)
        event = do(action)
        assert event is not None  # only virtual time delays one
        action = machine.handle(event, clock())
        follow()
    return action


# -- a transport without HTTP: calls to events of the master's machine, replies to events of the worker's ----


def to_master(action: CallAction, ticket: events.Ticket, worker_id: int, link: Link, session: str = "") -> events.Event:
    """Return a call as an event of the master's machine.

    Only JSON text and the bytes of a frame pass.

    Raises
    ------
    FlqError
        If the frame is invalid, or the worker has another wire version.
    """
    if isinstance(action, CallRegister):
        body = json.loads(json.dumps(action.body))
        check_version("the worker", body.pop("wire"))
        data = optional_report(body.pop("data", None))
        return events.Register(ticket, session=session, data=data, **body)
    if isinstance(action, CallPoll):
        return events.Poll(ticket, worker_id, action.epoch, action.have, action.answered, session=session)
    frame = b"".join(action.frame)
    return events.Answered(ticket, decode(frame, link, Answer), frame, have=action.have, session=session)


def to_worker(action: CallAction, reply: Any) -> Event:
    """Return the master's reply (a JSON object, buffers, None or an FlqError) as an event."""
    if isinstance(reply, FlqError):
        return Problem(reply.status_hint, str(reply))
    if reply is None:
        return NothingNew(0.0)
    if isinstance(reply, dict):
        return Registered(json.loads(json.dumps(reply)))
    stream = bytearray().join(reply)
    return Polled(stream) if isinstance(action, CallPoll) else VerdictReceived(stream)
