"""The bytes that a run's exchange would take in float32, computed, for the saving on the page and in the workbook.

The exchange is the same: each upload is one model, and each worker that was there at the end of a round received one.
In round 1 it received none, because the workers make the first model from the seed. Every value that a round can
change takes 4 bytes. A skipped or refused worker sends nothing here, either; headers, polls, retransmissions and late
uploads count in the measured bytes alone: the saving is never overstated.
"""

from typing import Sequence

from ..core.layout import Layout
from .rows import RoundRow

BYTES_PER_VALUE = 4


def n_models(rounds: Sequence[RoundRow]) -> int:
    """Return the number of models that the exchange of these rounds sends, both ways."""
    return sum(row.uploaded + (_n_present(row) if row.round_index > 1 else 0) for row in rounds)


def model_bytes(layout: Layout) -> int:
    """Return the bytes of the values of a model that a round can change."""
    return BYTES_PER_VALUE * (layout.n_trained + layout.n_exact)


def _n_present(row: RoundRow) -> int:
    return row.uploaded + row.skipped + row.refused + row.late
