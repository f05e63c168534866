"""The sources of the live page's messages: a run, or the settings before it has begun."""

from typing import List

from ...core.settings import Settings
from ...report.names import name_of_dataset
from ...report.rows import RoundRow
from ..records.round_log import Record
from ..runtime.run import Run
from . import feed
from .broadcast import Sources
from .status import status_before


class Rows:
    """Caches the rows of a record; reads only those again that may have changed.

    Not thread-safe.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._rows: List[RoundRow] = []
        self._n_complete = 0  # rows at the beginning that are evaluated: unchanged unless one is evaluated late
        self._n_late = 0

    def newest(self) -> List[RoundRow]:
        """Return all rows."""
        n_late = self._record.n_late
        if n_late != self._n_late:
            self._n_complete, self._n_late = 0, n_late
        del self._rows[self._n_complete :]
        self._rows += self._record.rounds(self._rows[-1].round_index if self._rows else 0)
        while self._n_complete < len(self._rows) and not self._record.is_untested(
            self._rows[self._n_complete].round_index
        ):
            self._n_complete += 1
        return self._rows


def sources_of(run: Run) -> Sources:
    """Return the sources of a run."""
    options = run.machine.options
    facts, max_rounds = _facts(options.settings, options.layout.n_params), options.settings.system.max_rounds
    rows = Rows(run.record)

    def rounds() -> feed.Json:
        known = rows.newest()
        since = known[-feed.HISTORY - 1].round_index if len(known) > feed.HISTORY else 0
        return feed.rounds_message(known, run.record.roll_calls(since), max_rounds, facts, options.layout)

    return {
        "state": lambda: feed.state_message(run.status, facts, run.results.places if run.ending.has_ended else None),
        "rounds": rounds,
        "log": lambda: feed.log_message(run.feed.news.newest()),
    }


def sources_before(run_id: str, settings: Settings, settings_hash: str, state: str) -> Sources:
    """Return the sources of a master without a machine yet."""
    facts = _facts(settings, 0)
    max_rounds = settings.system.max_rounds
    status = status_before(run_id, settings_hash, state, max_rounds)
    return {
        "state": lambda: feed.state_message(status, facts),
        "rounds": lambda: feed.rounds_message([], [], max_rounds, facts),
        "log": lambda: feed.log_message([]),
    }


def _facts(settings: Settings, n_params: int) -> feed.RunFacts:
    dataset = name_of_dataset(settings.dataset.name) if settings.model.has_data else ""
    return feed.facts_of(settings, dataset, n_params)
