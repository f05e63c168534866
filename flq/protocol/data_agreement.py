"""What the workers report of their data, and what they must agree on.

=================== ============== ===========================================================================
dataset.partition   dataset.scale  the first report
=================== ============== ===========================================================================
local               null           decides the scale of the run: a worker that used another one builds again, and
                                   one whose values are far from -1..1 with that scale is rejected
local               a number       decides nothing
any other           any            fixes the checksum of the run: a worker whose data have another is rejected
=================== ============== ===========================================================================

A worker without a report, whose task has no data set, may always join.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set

from ..core.data_report import DataReport, described, from_json, merged, sizes, to_json, value_range
from ..core.settings import Settings
from ..errors import Conflict
from . import notes
from .events import DATA, Note

FITTING = (0.1, 2.0)  # the largest value of a worker's data, divided by a scale that another worker has chosen
SCALE_HINT = "give all workers values of one range, or set dataset.scale"


class First(NamedTuple):
    """The first report of a run, and the worker that sent it."""

    worker_id: int
    report: DataReport


class DataAgreement:
    """The reports of the workers' data.

    Parameters
    ----------
    settings : Settings
        As configured.
    emit : callable(Note)
        Tells the operator.

    Attributes
    ----------
    first : First or None
    reports : dict
        Worker id -> its report when it joined last. With a partition all workers have the same data, so only the
        first report is kept.
    own : DataReport or None
        What the master has read itself, to evaluate; the run does not depend on it.
    n_taken : int
        How often ``reports`` have changed in this process.
    """

    def __init__(self, settings: Settings, emit: Callable[[Note], None]) -> None:
        self.first: Optional[First] = None
        self.reports: Dict[int, DataReport] = {}
        self.own: Optional[DataReport] = None
        self.n_taken = 0
        self._settings, self._emit = settings, emit
        self._is_local = settings.dataset.partition == "local"
        self._warned: Set[Optional[int]] = set()  # ids of workers, None = of the master's data

    @property
    def settings(self) -> Settings:
        """The settings of the run, with the scale that the first report has decided, if it has."""
        if self.first is None or not self._decides_scale:
            return self._settings
        return with_scale(self._settings, self.first.report.scale)

    @property
    def _decides_scale(self) -> bool:
        return self._is_local and self._settings.dataset.scale is None

    def admits(self, worker_id: int, report: Optional[DataReport]) -> bool:
        """Return whether a worker may join with its data; False if it must build again, with the run's scale.

        Raises
        ------
        Conflict
            If its data are not those of the run.
        """
        first = self.first
        if report is None or first is None or self._is_local and not self._decides_scale:
            return True
        if self._is_local:
            problem = None if _fits(report, first.report.scale) else _does_not_fit(worker_id, report, first)
        else:
            problem = None if report.checksum == first.report.checksum else _different(worker_id, report, first)
        if problem is not None:
            error = Conflict(*problem)
            self._tell(Note("worker %d is rejected: %s" % (worker_id, error), DATA, worker_id))
            raise error
        return not self._is_local or report.scale == first.report.scale

    def take(self, worker_id: int, report: Optional[DataReport]) -> None:
        """Keep the report of a worker that joins; tell the operator what is odd about it."""
        if report is None:
            return
        if self.first is None:
            self.first = First(worker_id, report)
        if self._is_local or worker_id == self.first.worker_id:
            self.reports[worker_id] = report
            self.n_taken += 1
        if self.own is not None and not self._is_local and self.own.checksum != report.checksum:
            self._tell(notes.other_data(sizes(self.own), sizes(report)))
        warning = self.warning(report, "worker %d" % worker_id)
        if warning is not None:
            self._tell(Note(warning, DATA, worker_id))

    def warning(self, report: Optional[DataReport], who: str = "this worker") -> Optional[str]:
        """Return a sentence if the scale of the run is not the one that fits a worker's values."""
        if report is None or self.first is None or not self._decides_scale:
            return None
        first = self.first.report
        if report.auto_scale == first.scale:
            return None
        return (
            "the values of %s, %s, are divided by %.7g, which worker %d has chosen for its values, %s; alone they "
            "would be divided by %.7g: %s"
            % (
                who,
                value_range(report),
                first.scale,
                self.first.worker_id,
                value_range(first),
                report.auto_scale,
                SCALE_HINT,
            )
        )

    def _tell(self, note: Note) -> None:
        """Tell the operator, once about each worker."""
        if note.worker_id not in self._warned:
            self._warned.add(note.worker_id)
            self._emit(note)

    def own_values(self, report: Optional[DataReport]) -> str:
        """Return the range and scale of a worker's local data, for the note that it has joined; "" for shared data."""
        if report is None or not self._is_local:
            return ""
        return "; %s values %s, divided by %.7g" % (report.dtype, value_range(report), report.scale)

    @property
    def of_run(self) -> Optional[DataReport]:
        """The report of all workers' data together; before the first one, what the master has read; or None."""
        if self.reports:
            return merged([report for _, report in sorted(self.reports.items())])
        return self.own

    def stored(self) -> Optional[Dict[str, Any]]:
        """Return what the journal keeps for people, JSON values: "all" and, with local data, "workers"; or None."""
        if self.of_run is None:
            return None
        of_workers = sorted(self.reports.items()) if self._is_local else []
        workers = [[worker_id, described(report)] for worker_id, report in of_workers]
        return {"all": described(self.of_run), "workers": workers}

    def capture(self) -> Dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "first": None if self.first is None else [self.first.worker_id, to_json(self.first.report)],
            "reports": [[worker_id, to_json(report)] for worker_id, report in sorted(self.reports.items())],
        }

    def resume(self, body: Dict[str, Any]) -> None:
        """Restore the captured state."""
        if body["first"] is not None:
            self.first = First(body["first"][0], from_json(body["first"][1]))
        self.reports = {worker_id: from_json(report) for worker_id, report in body["reports"]}


def with_scale(settings: Settings, scale: Optional[float]) -> Settings:
    """Return settings with another ``dataset.scale``."""
    return settings._replace(dataset=settings.dataset._replace(scale=scale))


def _fits(report: DataReport, scale: float) -> bool:
    """Return whether a scale suits a worker's values, or is what it would choose itself."""
    largest = max(abs(report.lowest), abs(report.highest)) / scale
    return report.auto_scale == scale or FITTING[0] <= largest <= FITTING[1]


def _does_not_fit(worker_id: int, report: DataReport, first: First) -> List[str]:
    """Return the sentence and the hint for values that the scale of the run does not suit."""
    words = "the values of worker %d, %s, are not in the range of the run: worker %d has %s, divided by %.7g"
    return [
        words % (worker_id, value_range(report), first.worker_id, value_range(first.report), first.report.scale),
        SCALE_HINT,
    ]


def _different(worker_id: int, report: DataReport, first: First) -> List[str]:
    """Return the sentence and the hint for data that are not those of the run."""
    if worker_id == first.worker_id:
        words = "the data of worker %d have changed: %s; when it joined first, it had %s"
        return [words % (worker_id, sizes(report), sizes(first.report)), "restore them, or begin a new run"]
    words = "the data of worker %d differ from those of the run: %s; worker %d has %s"
    return [
        words % (worker_id, sizes(report), first.worker_id, sizes(first.report)),
        "copy the same files to every worker, or set dataset.partition=local",
    ]
