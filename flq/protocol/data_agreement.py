"""What the workers report of their data, and what they must agree on.

=================== ============== ===========================================================================
dataset.partition   dataset.scale  the first report
=================== ============== ===========================================================================
local               null           decides the scale of the run: a worker that used another one builds again, and
                                   one whose values are far from -1..1 with that scale is rejected
local               a number       decides nothing
any other           any            fixes the checksum of the run: a worker whose data have another is rejected
=================== ============== ===========================================================================

Until round 1 begins, a worker's report counts as the first one if no other worker has a lease: what the first worker
has wrong can be mended, and does not outlive it. A worker without a report, whose task has no data set, may always
join.
"""

from typing import AbstractSet, Any, Callable, Dict, NamedTuple, Optional, Set

from ..core.data_report import NO_CHECKSUM, DataReport, described, from_json, merged, sizes, to_json, value_range
from ..core.settings import Settings
from ..errors import Conflict
from . import notes
from .events import DATA, Note

FITTING = (0.1, 2.0)  # the largest value of a worker's data, divided by a scale that another worker has chosen
NEAR = (0.1, 10.0)  # likewise with a scale that the settings give
MOST_TIMES = 30.0  # the largest value of a worker's table over that of another's
ONE_RANGE = "give all workers values of one range"
SCALE_HINT = ONE_RANGE + ", or set dataset.scale in a new run"
SAME_FILES = "copy the same files to every worker"
SAME_RANGE = 0.01  # of the span of values: copies of one data set differ by less, however its pictures are decoded
MOST_NOTES = 10  # about one worker


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
        self._of_all: Optional[DataReport] = None  # a copy of what ``of_run`` has merged
        self._told: Dict[Optional[int], Set[str]] = {}  # id of a worker, None = of none -> texts of notes

    @property
    def settings(self) -> Settings:
        """The settings of the run, with the scale that the first report has decided, if it has."""
        if self.first is None or not self._decides_scale:
            return self._settings
        return with_scale(self._settings, self.first.report.scale)

    def settings_for(self, worker_id: int, leased: Optional[AbstractSet[int]]) -> Settings:
        """Return the settings with which a worker that has not joined builds; ``leased`` as in :meth:`admits`."""
        return self._settings if self._may_decide(worker_id, leased) else self.settings

    def _may_decide(self, worker_id: int, leased: Optional[AbstractSet[int]]) -> bool:
        """Return whether the report of a worker counts as the first one."""
        return self.first is None or leased is not None and leased <= {worker_id}

    @property
    def _decides_scale(self) -> bool:
        return self._is_local and self._settings.dataset.scale is None

    def admits(self, worker_id: int, report: Optional[DataReport], leased: Optional[AbstractSet[int]]) -> bool:
        """Return whether a worker may join with its data; False if it must build again, with other settings.

        Parameters
        ----------
        worker_id : int
        report : DataReport or None
        leased : set of int, or None
            The workers with a lease; None after round 1 has begun.

        Raises
        ------
        Conflict
            If its data are not those of the run.
        """
        first = self.first
        if report is None or self._is_local and not self._decides_scale:
            return True
        if first is None or self._may_decide(worker_id, leased):
            return not self._is_local or report.scale == report.auto_scale
        if self._is_local:
            is_right, words, hint = (
                _fits(report, first.report.scale),
                _does_not_fit(worker_id, report, first),
                SCALE_HINT,
            )
        else:
            is_right, words = report.checksum == first.report.checksum, _different(worker_id, report, first)
            hint = SAME_FILES + ", or set dataset.partition=local in a new run"
        if not is_right:
            error = Conflict(words + self._like_the_master(worker_id, report), self._hint(worker_id, hint, leased))
            self._tell(Note("worker %d is rejected: %s" % (worker_id, error), DATA, worker_id))
            raise error
        return not self._is_local or report.scale == first.report.scale

    def _like_the_master(self, worker_id: int, report: DataReport) -> str:
        """Return the end of a sentence: that the master's copy is that of a rejected worker, if it is."""
        is_same = not self._is_local and self.own is not None and self.own.checksum == report.checksum
        return "; the master has the same copy as worker %d" % worker_id if is_same else ""

    def _hint(self, worker_id: int, hint: str, leased: Optional[AbstractSet[int]]) -> str:
        """Return what helps a rejected worker."""
        assert self.first is not None
        first_id = self.first.worker_id
        if worker_id == first_id:
            return "restore them, or begin a new run"
        if leased is not None and self._may_decide(first_id, leased):
            return "%s; until round 1 begins, worker %d may be started again with other data" % (hint, first_id)
        return hint

    def has_changed(self, worker_id: int, report: Optional[DataReport]) -> bool:
        """Return whether a report differs from the one that is kept of the worker."""
        return report is not None and self.reports.get(worker_id, report) != report

    def take(self, worker_id: int, report: Optional[DataReport], leased: Optional[AbstractSet[int]] = None) -> None:
        """Keep the report of a worker that joins; tell the operator what is odd about it.

        ``leased`` as in :meth:`admits`, before the worker joins.
        """
        if report is None:
            return
        if self.first is None or self._may_decide(worker_id, leased):
            self.first = First(worker_id, report)
            self.reports.clear()
        if self._is_local or worker_id == self.first.worker_id:
            self.reports[worker_id] = report
            self._of_all = None
            self.n_taken += 1
        if not self._is_local:
            self._compare(worker_id, report, self.first)
        warning = self.warning(report, "worker %d" % worker_id)
        if warning is not None:
            self._tell(Note(warning, DATA, worker_id))

    def _compare(self, worker_id: int, report: DataReport, first: First) -> None:
        """Tell the operator if the master evaluates on other data than a worker has."""
        if self.own is None:
            return
        if self.own.checksum != report.checksum:
            self._tell(notes.other_data(sizes(self.own), sizes(report)))
        elif worker_id == first.worker_id and _values_differ(report, self.own):
            self._tell(Note(_other_values("the master", self.own, first), DATA))

    def warning(self, report: Optional[DataReport], who: str = "this worker") -> Optional[str]:
        """Return a sentence if a worker's table or values do not suit the first worker's, or the scale of the run."""
        if report is None or self.first is None:
            return None
        sentences = [self._other_columns(report, who), self._odd_values(report, who)]
        return "; ".join(filter(None, sentences)) or None

    def _other_columns(self, report: DataReport, who: str) -> Optional[str]:
        """Return a sentence if the columns of a worker's table are not called as the first worker's."""
        assert self.first is not None
        if not 0 != report.columns != self.first.report.columns != 0:
            return None
        words = "the columns of %s have other names, or another order, than those of worker %d: %s"
        return words % (who, self.first.worker_id, "features are taken by their place, not by their name")

    def _odd_values(self, report: DataReport, who: str) -> Optional[str]:
        """Return a sentence if a worker's values do not suit the scale of the run, or the first worker's values."""
        assert self.first is not None
        if not self._is_local:
            return _other_values(who, report, self.first) if _values_differ(report, self.first.report) else None
        if not self._decides_scale:
            return _far_from_given_scale(report, who)
        first = self.first.report
        if report.auto_scale == first.scale:
            return _other_values(who, report, self.first, ONE_RANGE) if _ranges_differ(report, first) else None
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
        """Tell the operator, each sentence once."""
        told = self._told.setdefault(note.worker_id, set())
        if note.text not in told and len(told) < MOST_NOTES:
            told.add(note.text)
            self._emit(note)

    def own_values(self, report: Optional[DataReport]) -> str:
        """Return the range and scale of a worker's local data, for the note that it has joined; "" for shared data."""
        if report is None or not self._is_local:
            return ""
        return "; %s values %s, divided by %.7g" % (report.dtype, value_range(report), report.scale)

    @property
    def of_run(self) -> Optional[DataReport]:
        """The report of all workers' data together; before the first one, what the master has read; or None."""
        if not self.reports:
            return self.own
        if self._of_all is None:
            found = merged([report for _, report in sorted(self.reports.items())])
            self._of_all = found._replace(checksum=NO_CHECKSUM) if self._is_local else found
        return self._of_all

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
        self._of_all = None


def with_scale(settings: Settings, scale: Optional[float]) -> Settings:
    """Return settings with another ``dataset.scale``."""
    return settings._replace(dataset=settings.dataset._replace(scale=scale))


def _largest(report: DataReport) -> float:
    """Return the largest absolute value."""
    return max(abs(report.lowest), abs(report.highest))


def _fits(report: DataReport, scale: float) -> bool:
    """Return whether a scale that another worker has chosen suits a worker's values, or is its own choice."""
    return report.auto_scale == scale or FITTING[0] <= _largest(report) / scale <= FITTING[1]


def _ranges_differ(report: DataReport, first: DataReport) -> bool:
    """Return whether one of two workers' values are not scaled, and far larger than the other's."""
    smaller, larger = sorted((_largest(report), _largest(first)))
    return larger > NEAR[1] * first.scale and larger > MOST_TIMES * smaller


def _far_from_given_scale(report: DataReport, who: str) -> Optional[str]:
    """Return a sentence if local values are far from -1..1 with the scale that the settings give."""
    largest, is_own = _largest(report) / report.scale, report.auto_scale == report.scale
    if largest <= NEAR[1] and (largest >= NEAR[0] or is_own):  # pixels may be dark
        return None
    return "the values of %s, %s, divided by dataset.scale, %.7g, are far from -1..1: %s" % (
        who,
        value_range(report),
        report.scale,
        ONE_RANGE,
    )


def _does_not_fit(worker_id: int, report: DataReport, first: First) -> str:
    """Return the sentence for values that the scale of the run does not suit."""
    if worker_id == first.worker_id:
        words = (
            "the data of worker %d have changed: its values are %s; when it joined first, they were %s, divided by %.7g"
        )
        return words % (worker_id, value_range(report), value_range(first.report), first.report.scale)
    words = "the values of worker %d, %s, are not in the range of the run: worker %d has %s, divided by %.7g"
    return words % (worker_id, value_range(report), first.worker_id, value_range(first.report), first.report.scale)


def _different(worker_id: int, report: DataReport, first: First) -> str:
    """Return the sentence for data that are not those of the run."""
    if worker_id == first.worker_id:
        words = "the data of worker %d have changed: %s; when it joined first, it had %s"
        return words % (worker_id, sizes(report), sizes(first.report))
    words = "the data of worker %d differ from those of the run: %s; worker %d has %s"
    return words % (worker_id, sizes(report), first.worker_id, sizes(first.report))


def _values_differ(one: DataReport, other: DataReport) -> bool:
    """Return whether copies with the same labels have values of different ranges, or different scales."""
    most = SAME_RANGE * (other.highest - other.lowest)
    is_near = abs(one.lowest - other.lowest) <= most and abs(one.highest - other.highest) <= most
    return not is_near or one.scale != other.scale


def _other_values(who: str, report: DataReport, first: First, hint: str = SAME_FILES) -> str:
    """Return the sentence for values that differ from the first worker's."""
    return "the values of %s, %s, divided by %.7g, differ from those of worker %d, %s, divided by %.7g: %s" % (
        who,
        value_range(report),
        report.scale,
        first.worker_id,
        value_range(first.report),
        first.report.scale,
        hint,
    )
