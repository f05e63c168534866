"""The engine interface: places for workers, and a function that runs a federation there."""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..core.layout import Layout, Vector
from ..core.settings import Settings, rules_from_settings
from ..core.worker_step import first_state
from ..errors import ConfigError
from ..protocol.events import RoundClosed, RoundReport
from ..protocol.master_machine import MasterMachine
from ..training.frameworks import make_task
from ..training.task import Task, Trainer

BuildTrainer = Callable[[Settings, int], Any]
MEBIBYTE = 1 << 20


class Federation(NamedTuple):
    """A run and its workers.

    Attributes
    ----------
    settings : Settings
    layout, start
        The parameter layout and x^0.
    worker_ids : sequence of int
        The workers that take part.
    build : callable(settings, worker id) -> Trainer, optional
        By default all workers of a place share a task.
    watch : callable(RoundClosed)
        Called with each closed round.
    """

    settings: Settings
    layout: Layout
    start: Vector
    worker_ids: Sequence[int]
    build: Optional[BuildTrainer]
    watch: Callable[[RoundClosed], None]

    def builder(self) -> BuildTrainer:
        """Return the trainer factory of one place; all its trainers share a task."""
        tasks: List[Task] = []

        def build(settings: Settings, worker_id: int) -> Trainer:
            if not tasks:
                tasks.append(make_task(settings))
            return Trainer(tasks[0], worker_id)

        return self.build or build


class RunResult(NamedTuple):
    """The result of a run.

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
    reports: List[RoundReport]
    reason: str
    master: MasterMachine
    exit_codes: Dict[int, int]


class Place(NamedTuple):
    """A host, a device of it ("cpu", "gpu:0"), and its free memory in bytes, None = unknown."""

    host: str
    device: str
    memory: Optional[int]


class Assignment(NamedTuple):
    """The workers of a place."""

    place: Place
    worker_ids: Tuple[int, ...]


class Engine(NamedTuple):
    """A row of the table of engines."""

    places: Callable[[], List[Place]]
    run: Callable[[Federation, List[Assignment]], RunResult]


def make_federation(
    settings: Settings,
    worker_ids: Optional[Sequence[int]] = None,
    build: Optional[BuildTrainer] = None,
    watch: Callable[[RoundClosed], None] = lambda closed: None,
) -> Federation:
    """Return a federation of all workers, or of some.

    Raises
    ------
    ConfigError
        If fewer than ``min_workers`` take part, which would wait for ever.
    """
    system = settings.system
    ids = range(system.total_workers) if worker_ids is None else worker_ids
    n_able = len(set(ids) & set(range(system.total_workers)))
    if n_able < system.quorum:
        raise ConfigError(
            "worker_ids holds %d of the ids 0..%d, but a round opens only with system.min_workers = %d"
            % (n_able, system.total_workers - 1, system.quorum),
            "add worker_ids or lower system.min_workers",
        )
    task = make_task(settings)
    return Federation(settings, task.layout, task.start(), ids, build, watch)


def assign(federation: Federation, places: Sequence[Place]) -> List[Assignment]:
    """Return the plan: worker m runs on place m mod n.

    Raises
    ------
    ConfigError
        If there is no place, an id occurs twice, or a place cannot hold what its workers keep between rounds.
    """
    ids = list(federation.worker_ids)
    twice = sorted({worker_id for worker_id in ids if ids.count(worker_id) > 1})
    if twice or not places:
        raise ConfigError(
            "worker_ids holds worker %d twice" % twice[0] if twice else "the engine has no place for workers"
        )
    plan = [
        Assignment(place, tuple(worker_id for worker_id in ids if worker_id % len(places) == index))
        for index, place in enumerate(places)
    ]
    each = bytes_of_a_worker(federation)
    for place, worker_ids in plan:
        if place.memory is not None and each * len(worker_ids) > place.memory:
            raise ConfigError(
                "%d workers of %d MB do not fit into the %d MB that are free on %s of %s"
                % (len(worker_ids), each // MEBIBYTE, place.memory // MEBIBYTE, place.device, place.host),
                "take fewer workers or more places",
            )
    return [assignment for assignment in plan if assignment.worker_ids]


def bytes_of_a_worker(federation: Federation) -> int:
    """Return the bytes that a worker keeps between rounds: its memories and its shared copy."""
    state = first_state(federation.layout, rules_from_settings(federation.settings))
    memories = [memory for memory in (state.residual, state.mirror) if memory is not None]
    return federation.start.nbytes + sum(memory.nbytes for memory in memories)


def describe(plan: Sequence[Assignment]) -> Iterator[str]:
    """Yield the lines that describe the plan."""
    for place, worker_ids in plan:
        free = "" if place.memory is None else ", %d MB free" % (place.memory // MEBIBYTE)
        named = ", ".join(map(str, worker_ids[:8])) + (", ..." if len(worker_ids) > 8 else "")
        plural = "" if len(worker_ids) == 1 else "s"
        yield "%s on %s%s: %d worker%s (%s)" % (place.device, place.host, free, len(worker_ids), plural, named)
