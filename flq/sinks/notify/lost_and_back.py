"""Summarizes lost and returned workers: sixty that are lost at once make one line.

Example
-------
>>> lost_and_back = LostAndBack()
>>> for kind in ("lost", "back", "lost"):
...     lost_and_back.take(3, kind == "lost", 7)
>>> [item.body for item in lost_and_back.items()]
['Worker 3 is lost (round 7, 2 losses in all).']
"""

from typing import Dict, List, NamedTuple, Sequence

from .notice import INFO, WARNING, WORKERS, Item, names_of


class _Flaps(NamedTuple):
    """The changes of a worker since the last report."""

    n_lost: int
    is_lost: bool
    round_index: int


class LostAndBack:
    """The workers lost and returned since the last report."""

    def __init__(self) -> None:
        self._flaps: Dict[int, _Flaps] = {}

    def take(self, worker_id: int, is_lost: bool, round_index: int) -> None:
        """Record that a worker is lost or back."""
        before = self._flaps.get(worker_id)
        self._flaps[worker_id] = _Flaps((before.n_lost if before else 0) + is_lost, is_lost, round_index)

    def items(self) -> List[Item]:
        """Return items on lost workers, returned workers, and those that did both."""
        states = (
            (" is lost", " are lost", WARNING, [who for who, flaps in self._flaps.items() if flaps.is_lost]),
            (
                " is back",
                " are back",
                INFO,
                [who for who, flaps in self._flaps.items() if not flaps.is_lost and not flaps.n_lost],
            ),
            (
                " was lost and is back",
                " were lost and are back",
                INFO,
                [who for who, flaps in self._flaps.items() if not flaps.is_lost and flaps.n_lost],
            ),
        )
        return [
            self._item(one if len(workers) == 1 else many, level, workers)
            for one, many, level, workers in states
            if workers
        ]

    def clear(self) -> None:
        """Forget the reported changes."""
        self._flaps.clear()

    def _item(self, state: str, level: str, workers: Sequence[int]) -> Item:
        count = "worker %d" % workers[0] if len(workers) == 1 else "%d workers" % len(workers)
        which = ": %s" % names_of(workers) if len(workers) > 1 else ""
        n_lost = sum(self._flaps[who].n_lost for who in workers)
        often = ", %d losses in all" % n_lost if n_lost > len(workers) else ""
        round_index = max(self._flaps[who].round_index for who in workers)
        return Item(
            WORKERS,
            count + state,
            "%s%s%s (round %d%s)." % (count[0].upper() + count[1:], state, which, round_index, often),
            level,
        )
