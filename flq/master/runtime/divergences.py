"""Says that a run diverges, once per episode: in the log, on the page, and to the sinks."""

import logging
import math
from typing import Callable, Dict, Mapping, Optional, Sequence, Set

from ...core.settings import Settings
from ...protocol.events import UNCHANGED, Note, RoundReport
from ...report.divergence import OWN, TRAINING, UPDATES, Divergence, DivergenceWatch, losses_of
from ...report.rows import RoundRow

logger = logging.getLogger(__name__)


class Divergences:
    """Follows the losses and updates of a run.

    Parameters
    ----------
    settings : Settings
    say : callable(str, int)
        Takes the sentence and the round.
    """

    def __init__(self, settings: Settings, say: Callable[[str, int], None]) -> None:
        self._advice = "lower model.lr" + (", or check dataset.scale" if settings.model.has_data else "")
        self._say = say
        self._watch = DivergenceWatch(is_classifier=settings.model.has_data)
        self._noted: Set[str] = set()  # kinds of the notes of the open round

    @property
    def now(self) -> Optional[Divergence]:
        """The first sign of the current episode, if there is one. Any thread may read it."""
        return self._watch.now

    def resume(self, reports: Sequence[RoundReport], rows: Sequence[RoundRow]) -> None:
        """Process the rounds of a resumed run; what the last master has said is not repeated."""
        for report, row in zip(reports, rows):
            self._watch.take(row.round_index, _signs_of(report, True))
            self._watch.take(row.round_index, losses_of(row))

    def note(self, note: Note) -> None:
        """Process a note of the machine, by the thread that owns it."""
        self._noted.add(note.kind)

    def close_round(self, report: RoundReport) -> None:
        """Process the end of a round, by the thread that owns the machine.

        One worker whose update is not finite may have bad data; a run diverges when no worker has a loss.
        """
        signs = _signs_of(report, UNCHANGED not in self._noted)
        self._noted.clear()
        self._take(report.round_index, signs)

    def evaluated(self, row: RoundRow) -> None:
        """Process a round whose model has been evaluated or missed, by any thread."""
        self._take(row.round_index, losses_of(row))

    def _take(self, round_index: int, losses: Mapping[str, Optional[float]]) -> None:
        found = self._watch.take(round_index, losses)
        if found is not None:
            sentence = found.sentence(self._advice)
            logger.warning("%s", sentence)
            self._say(sentence, round_index)


def _signs_of(report: RoundReport, has_changed: bool) -> Dict[str, Optional[float]]:
    """Return what shows at the end of a round, and whether it has left the model as it was."""
    is_finite = has_changed and (not report.n_nonfinite or report.training_loss is not None)
    return {UPDATES: 0.0 if is_finite else math.inf, TRAINING: report.training_loss, OWN: report.own_loss}
