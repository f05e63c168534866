"""Notices that a run diverges: a loss that is not finite, or far above where it started.

Example
-------
>>> watch = DivergenceWatch()
>>> watch.take(1, {"training loss": 2.4}, accuracy=0.1)
>>> found = watch.take(2, {"training loss": 3.1e4}, accuracy=0.1)
>>> found.sentence("lower model.lr")
'the run diverges: training loss 3.1e+04 in round 2 (2.4 in round 1); lower model.lr'
>>> watch.take(3, {"training loss": 2.2e7}, accuracy=0.1)  # reported once per episode
"""

import math
import threading
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from .rows import RoundRow

FACTOR = 10.0  # a loss this many times its first value is far above it,
UNTRAINED = 10.0  # unless an untrained model can have it: the logarithm of 22,000 classes
HIGHEST = 100.0  # the mean loss of a classifier is far too high from here on, even in the first round
RECOVERED = 1 / 3  # an episode ends when all losses are below this share of their limits
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
    loss of a classifier, which has an accuracy, is also too high above 100: it may explode within the first round, so
    that its first value says nothing.

    Attributes
    ----------
    now : Divergence or None
        The first sign of the current episode.
    """

    def __init__(self) -> None:
        self.now: Optional[Divergence] = None
        self._lock = threading.Lock()
        self._first: Dict[str, Tuple[float, int]] = {}
        self._last: Dict[str, float] = {}
        self._newest = 0
        self._is_classifier = False

    def take(
        self, round_index: int, losses: Mapping[str, Optional[float]], accuracy: Optional[float]
    ) -> Optional[Divergence]:
        """Process the known losses of a round, not those of a round before the newest; return a new episode's sign."""
        with self._lock:
            if round_index < self._newest:
                return None
            self._newest = round_index
            self._is_classifier = self._is_classifier or accuracy is not None
            known = {name: float(value) for name, value in losses.items() if value is not None}
            self._last.update(known)
            before = dict(self._first)
            for name, value in known.items():
                if value and math.isfinite(value):
                    self._first.setdefault(name, (value, round_index))
            signs = [name for name, value in known.items() if self._exceeds(name, value, 1.0)]
            if self.now is not None:
                if not any(self._exceeds(name, value, RECOVERED) for name, value in self._last.items()):
                    self.now = None
                return None
            if signs:
                name = signs[0]
                first, first_round = before.get(name, (None, 0))
                self.now = Divergence(name, known[name], round_index, first, first_round)
            return self.now

    def _exceeds(self, name: str, value: float, share: float) -> bool:
        """Return whether a value is not finite, or above this share of the limit."""
        if not math.isfinite(value):
            return True
        limit = max(FACTOR * abs(self._first.get(name, (0.0, 0))[0]), UNTRAINED)
        return value > share * (min(limit, HIGHEST) if self._is_classifier else limit)


def losses_of(row: RoundRow) -> Dict[str, Optional[float]]:
    """Return the losses of a round by name."""
    return {TRAINING: row.training_loss, TEST: row.test_loss, OWN: row.own_loss}
