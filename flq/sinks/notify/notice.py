"""Texts of notifications."""

from typing import NamedTuple, Optional, Sequence

from ...core.settings import Settings
from ...report.amounts import amount
from ...report.rows import RoundRow

INFO, SUCCESS, WARNING, FAILURE = "info", "success", "warning", "failure"
END, RUN, WORKERS, BEST = range(4)  # ranks: the lowest comes first in a notice
MOST_NAMED = 10  # workers listed in a line
MOST_LETTERS = 300


class Notice(NamedTuple):
    """A notification: ``title`` is one line, ``body`` several; ``level`` is info, success, warning or failure."""

    title: str
    body: str
    level: str


class Item(NamedTuple):
    """A part of a notification; the title of the notification is that of the item with the lowest rank."""

    rank: int
    title: str
    body: str
    level: str


class Score(NamedTuple):
    """The score of a model: its accuracy, or its loss if there is no accuracy."""

    name: str
    value: float
    is_share: bool

    @property
    def text(self) -> str:
        """The score as text."""
        return "%s %s" % (self.name, share(self.value) if self.is_share else "%.4g" % self.value)


def score_of(row: RoundRow) -> Optional[Score]:
    """Return the score of a round's model, if known."""
    for name, value, is_share in (
        ("accuracy", row.accuracy, True),
        ("accuracy", row.own_accuracy, True),
        ("loss", row.test_loss, False),
        ("loss", row.own_loss, False),
    ):
        if value is not None:
            return Score(name, value, is_share)
    return None


def is_better(new: Score, old: Optional[Score], step: float = 0.0, factor: float = 1.0) -> bool:
    """Return whether an accuracy exceeds ``old`` by ``step``, or a loss is below ``factor`` times ``old``."""
    if old is None or new.is_share != old.is_share:
        return old is None or new.is_share  # an accuracy counts as better than a loss
    return new.value > old.value + step if new.is_share else new.value < old.value * factor


def about_run(run_id: str, settings: Settings) -> str:
    """Return a run's name, data set, model and mode as text."""
    words = (settings.dataset.name, settings.model.name, settings.flq_algorithm.mode)
    return "Run %s (%s)" % (run_id, ", ".join(plain(word, 60) for word in words))


def about_round(row: RoundRow, max_rounds: int, seconds_left: Optional[float]) -> str:
    """Return a line on the progress of a run."""
    parts = ["Round %d of %d" % (row.round_index, max_rounds)]
    score = score_of(row)
    if score is not None:
        parts.append(score.text)
        if score.is_share and row.test_loss is not None:
            parts.append("loss %.4g" % row.test_loss)
    parts += [
        "%s %d" % (status, count)
        for status, count in (
            ("uploaded", row.uploaded),
            ("skipped", row.skipped),
            ("refused", row.refused),
            ("late", row.late),
            ("lost", row.lost),
        )
        if count
    ]
    parts.append("%s up, %s down" % (amount(row.wire_bytes_up), amount(row.wire_bytes_down)))
    if seconds_left:
        parts.append("about %s left" % duration(seconds_left))
    return ", ".join(parts) + "."


def names_of(workers: Sequence[int]) -> str:
    """Return the ids of workers as text, abbreviated if there are many."""
    named = ", ".join(map(str, sorted(workers)[:MOST_NAMED]))
    more = len(workers) - MOST_NAMED
    return named + (" and %d more" % more if more > 0 else "")


def plain(text: str, most: int = MOST_LETTERS) -> str:
    """Return an untrusted text as one line without control characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= most else line[: most - 3] + "..."


def share(value: float) -> str:
    """Format a share (1 = 100 %)."""
    return "%.2f %%" % (100 * value)


def duration(seconds: float) -> str:
    """Format an approximate time."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return "%.0f %s" % (seconds / length, unit)
    return "%.0f s" % seconds
