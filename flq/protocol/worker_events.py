"""The actions and events of the worker's machine. Plain values; no I/O.

The machine asks for one action at a time; the shell performs it and reports one event.
"""

from typing import Any, Dict, NamedTuple, Optional, Union

from ..core.data_report import DataReport
from ..core.held_back import HeldBack
from ..core.layout import Layout, Vector
from ..core.settings import Settings
from .wire import Buffers
from .worker_state import PendingUpload

# Actions of the shell.


class CallRegister(NamedTuple):
    """POST /register with this JSON object; report Registered."""

    body: Dict[str, Any]


class Build(NamedTuple):
    """Load the data and build the model; report Built."""

    settings: Settings


class CallPoll(NamedTuple):
    """GET /get_global_model; report Polled or NothingNew."""

    epoch: int
    have: int
    answered: int


class Train(NamedTuple):
    """Train locally from the shared copy; report Trained."""

    shared: Vector
    round_index: int


class Save(NamedTuple):
    """Write this to disk before any of it is sent; report Saved."""

    pending: PendingUpload


class CallAnswer(NamedTuple):
    """POST the frame to /offer or /upload_update; report VerdictReceived.

    ``have`` is the version of the shared copy: a final verdict may bring the next round.
    """

    path: str
    frame: Buffers
    have: int


class Pause(NamedTuple):
    """Wait; report Paused."""

    seconds: float


class Exit(NamedTuple):
    """Exit with this code; the sentence says why."""

    code: int
    sentence: str


Action = Union[CallRegister, Build, CallPoll, Train, Save, CallAnswer, Pause, Exit]


# Events: the outcomes of actions.


class Registered(NamedTuple):
    """The master's reply to CallRegister."""

    body: Dict[str, Any]


class Built(NamedTuple):
    """Data and model are ready; ``data`` is what the worker reports of its data, None for a task without data."""

    n_samples: int
    layout: Layout
    data: Optional[DataReport] = None


class Polled(NamedTuple):
    """A plan and model frames have arrived."""

    stream: Union[bytes, bytearray, memoryview]


class NothingNew(NamedTuple):
    """The poll ended without a round; ``retry_after_s`` 0 = ask again at once."""

    retry_after_s: float


class Trained(NamedTuple):
    """Local training is done.

    Attributes
    ----------
    update : ndarray of shape (n_params,), float32
    loss : float
    training_s : float
        Seconds that it took.
    held_back : HeldBack or None
        Quality of the shared copy on the worker's held-out data.
    n_trained : int
        Number of samples trained on, for the report of the device.
    """

    update: Vector
    loss: float
    training_s: float
    held_back: Optional[HeldBack] = None
    n_trained: int = 0


class Unable(NamedTuple):
    """The device cannot train in this round; ``training_s`` is how long it has tried."""

    reason: str
    training_s: float


class Saved(NamedTuple):
    """The state is on disk, as far as that is possible."""


class VerdictReceived(NamedTuple):
    """A verdict has arrived, perhaps with (the beginning of) a plan and model frames after it."""

    frame: Union[bytes, bytearray]


class Problem(NamedTuple):
    """The reply is an error.

    Without ``by_master``, a proxy, a login page or another server has replied in the master's place, and the status
    says nothing about this worker.
    """

    status: int
    detail: str
    retry_after_s: float = 0.0
    by_master: bool = True


class Unreachable(NamedTuple):
    """There was no reply.

    With ``made_progress``, a large part of it has come and is kept: the same request brings the rest.
    """

    detail: str
    made_progress: bool = False


class Paused(NamedTuple):
    """The pause is over."""


Event = Union[
    Registered, Built, Polled, NothingNew, Trained, Unable, Saved, VerdictReceived, Problem, Unreachable, Paused
]

OUTCOMES = {
    CallRegister: (Registered, Problem, Unreachable),
    Build: (Built,),
    CallPoll: (Polled, NothingNew, Problem, Unreachable),
    Train: (Trained, Unable),
    Save: (Saved,),
    CallAnswer: (VerdictReceived, Problem, Unreachable),
    Pause: (Paused,),
    Exit: (),
}  # the possible outcomes of an action
