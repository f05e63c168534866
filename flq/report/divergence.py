"""Notices that a run diverges: a loss that is not finite, or far above where it started.

Example
-------
>>> watch = DivergenceWatch(is_classifier=True)
>>> watch.take(1, {"training loss": 2.4})
>>> found = watch.take(2, {"training loss": 3.1e4})
>>> found.sentence("lower model.lr")
'the run diverges: training loss 3.1e+04 in round 2 (2.4 in round 1); lower model.lr'
>>> watch.take(3, {"training loss": 2.2e7})  # reported once per episode
"""

import math
import threading
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from .rows import RoundRow

FACTOR = 10.0  # a loss this many times its first value is far above it,
UNTRAINED = 10.0  # unless an untrained model can have it: the logarithm of 22,000 classes
HIGHEST = 100.0  # the mean loss of a classifier is far too high from here on, even in the first round
CALM = 10  # an episode ends when all losses have been below their limits for so many rounds
TRAINING, TEST, OWN = "training loss", "test loss", "loss on the workers' own data"
UPDATES = "updates of the workers"  # 0 = finite


class Divergence(NamedTuple):
    """The first sign of an episode.

    Attributes
    ----------
    quantity : str
    value : float
        May be non-finite.
    round_index : int
    first : float or None
        The first finite value of the quantity other than 0, in round ``first_round``; None = this is the first.
    """

    quantity: str
    value: float
    round_index: int
    first: Optional[float]
    first_round: int

    def sentence(self, advice: str) -> str:
        """Return one line: what is seen, what it was before, and the advice."""
        if math.isfinite(self.value):
            seen = "%s %.4g in round %d" % (self.quantity, self.value, self.round_index)
        else:
            seen = "%s not finite in round %d" % (self.quantity, self.round_index)
        if self.first is not None:
            seen += " (%.4g in round %d)" % (self.first, self.first_round)
        elif math.isfinite(self.value):
            seen += " (a model that guesses has the logarithm of the number of classes)"
        return "the run diverges: %s; %s" % (seen, advice)


class DivergenceWatch:
    """Follows the losses of a run. Safe to use from any thread.

    A loss is too high if it exceeds ten times its first value and could not be that of an untrained model. The mean
    loss of a classifier is also too high above 100: it may explode within the first round, so that its first value says
    nothing.

    Parameters
    ----------
    is_classifier : bool
        Whether losses are cross-entropies; others may have any size.

    Attributes
    ----------
    now : Divergence or None
        The first sign of the current episode.
    """

    def __init__(self, is_classifier: bool) -> None:
        self.now: Optional[Divergence] = None
        self._lock = threading.Lock()
        self._first: Dict[str, Tuple[float, int]] = {}
        self._last: Dict[str, float] = {}
        self._newest: Dict[str, int] = {}  # the round of each of them
        self._too_high_in = 0  # the newest round in which one was too high
        self._is_classifier = is_classifier

    def take(self, round_index: int, losses: Mapping[str, Optional[float]]) -> Optional[Divergence]:
        """Process the losses of a round that are known; return the first sign of a new episode, if there is one.

        Models are evaluated later than rounds close: the rounds of one loss ascend, not those of different losses. A
        loss of an earlier round than the last one of its name is ignored.
        """
        with self._lock:
            known = {
                name: float(value)
                for name, value in losses.items()
                if value is not None and round_index >= self._newest.get(name, 0)
            }
            self._newest.update(dict.fromkeys(known, round_index))
            self._last.update(known)
            before = dict(self._first)
            for name, value in known.items():
                if value and math.isfinite(value):
                    self._first.setdefault(name, (value, round_index))
            signs = [name for name, value in known.items() if self._exceeds(name, value)]
            is_new = self.now is None and bool(signs) and round_index > self._too_high_in
            if is_new:
                first, first_round = before.get(signs[0], (None, 0))
                self.now = Divergence(signs[0], known[signs[0]], round_index, first, first_round)
            if signs:
                self._too_high_in = max(self._too_high_in, round_index)
            elif round_index >= self._too_high_in + CALM and not any(
                self._exceeds(*last) for last in self._last.items()
            ):
                self.now = None
            return self.now if is_new else None

    def _exceeds(self, name: str, value: float) -> bool:
        """Return whether a value is not finite, or above its limit."""
        if not math.isfinite(value):
            return True
        limit = max(FACTOR * abs(self._first.get(name, (0.0, 0))[0]), UNTRAINED)
        return value > (min(limit, HIGHEST) if self._is_classifier else limit)


def losses_of(row: RoundRow) -> Dict[str, Optional[float]]:
    """Return the losses of a round by name."""
    return {TRAINING: row.training_loss, TEST: row.test_loss, OWN: row.own_loss}
