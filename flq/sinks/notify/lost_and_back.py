"""Summarizes lost and returned workers: one line for sixty that are lost at once.

Example
-------
>>> lost_and_back = LostAndBack()
>>> for kind in ("lost", "back", "lost"):
...     lost_and_back.take(3, kind == "lost", 7)
>>> [item.body for item in lost_and_back.items()]
['Worker 3 is lost (round 7, 2 losses in total).']
"""

from typing import Dict, List, NamedTuple, Sequence

from .notice import INFO, WARNING, WORKERS, Item, names_of


class _Flaps(NamedTuple):
    """The changes of a worker since the last notification."""

    n_lost: int
    is_lost: bool
    round_index: int


class LostAndBack:
    """Collects the workers that were lost or came back since the last notification."""

    def __init__(self) -> None:
        self._flaps: Dict[int, _Flaps] = {}

    def take(self, worker_id: int, is_lost: bool, round_index: int) -> None:
        """Record that a worker is lost or back."""
        before = self._flaps.get(worker_id)
        self._flaps[worker_id] = _Flaps((before.n_lost if before else 0) + is_lost, is_lost, round_index)

    def items(self) -> List[Item]:
        """Return up to three items: workers that are lost, are back, or were lost and are back."""
        states = (
            (
                " is lost",
                " are lost",
                WARNING,
                [worker_id for worker_id, flaps in self._flaps.items() if flaps.is_lost],
            ),
            (
                " is back",
                " are back",
                INFO,
                [worker_id for worker_id, flaps in self._flaps.items() if not flaps.is_lost and not flaps.n_lost],
            ),
            (
                " was lost and is back",
                " were lost and are back",
                INFO,
                [worker_id for worker_id, flaps in self._flaps.items() if not flaps.is_lost and flaps.n_lost],
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
        n_lost = sum(self._flaps[worker_id].n_lost for worker_id in workers)
        repeated = ", %d losses in total" % n_lost if n_lost > len(workers) else ""
        round_index = max(self._flaps[worker_id].round_index for worker_id in workers)
        return Item(
            WORKERS,
            count + state,
            "%s%s%s (round %d%s)." % (count[0].upper() + count[1:], state, which, round_index, repeated),
            level,
        )
