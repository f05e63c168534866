"""The workers' contributions to a round, decoded on demand."""

from typing import Iterator, NamedTuple, Sequence, Tuple

import numpy as np

from ..codecs import Codec, Payload
from ..layout import Layout, Vector

ROWS = 8192  # elements of a block, for all workers at once: a thousand workers take 33 MB


class Contributions(NamedTuple):
    """The updates of a round's workers, in the order of their ids.

    Attributes
    ----------
    worker_ids : sequence of int
        Ascending.
    weights : sequence of float
        Each worker's share of the samples; they need not sum to 1 (:func:`server_step.aggregate`).
    is_fresh : sequence of bool
        Whether the update was uploaded in this round; if not, it is the worker's mirror, uploaded earlier.
    payloads : sequence of ndarray of uint8
        The encoded updates.
    codec : Codec
        Decodes them.
    layout : Layout
    """

    worker_ids: Sequence[int]
    weights: Sequence[float]
    is_fresh: Sequence[bool]
    payloads: Sequence[Payload]
    codec: Codec
    layout: Layout

    def add_to(self, out: Vector, factors: Sequence[float]) -> None:
        """Add factor * update of each worker to ``out``, float32 (n_params,), in one pass."""
        weighted = [(payload, factor) for payload, factor in zip(self.payloads, factors) if factor]
        if weighted:
            self.codec.add_all(out, weighted, self.layout)

    def blocks(self) -> Iterator[Tuple[slice, np.ndarray]]:
        """Yield slice after slice of the trained part, each with all updates' values, float32 (n_workers, n), new."""
        scratch = np.empty(min(ROWS, self.layout.n_trained), np.float32)
        readers = [self.codec.read(payload, self.layout, 1.0, scratch) for payload in self.payloads]
        for part, values in readers[0]:
            rows = np.empty((len(readers), values.size), np.float32)
            rows[0] = values
            for row, reader in zip(rows[1:], readers[1:]):
                row[:] = next(reader)[1]
            yield part, rows
