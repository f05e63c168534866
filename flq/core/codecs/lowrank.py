"""The codec of mode lowrank: what it encodes to is as long as it is told.

lowrank_payload.py says what a payload stands for, lowrank_encoder.py which one is chosen.
"""

from typing import Iterator, Optional, Tuple

import numpy as np

from ...errors import CodecError
from ..layout import Layout, Vector
from .codec import Codec, Noise, Payload, check_exact, statistics_of
from .lowrank_encoder import fit
from .lowrank_payload import largest, parse, values_of

LOWRANK = 10  # its number on the wire


class LowRank(Codec):
    """The codec; what it encodes to is as long as it is told."""

    codec_id = LOWRANK
    bits = 0  # per parameter: no fixed number

    def payload_size(self, layout: Layout) -> int:
        """Return the length in bytes of the longest payload; for 8 bits per parameter and more there are others."""
        return 1024 + layout.n_trained + 4 * (layout.n_params - layout.n_trained)

    def encode(
        self, vector: Vector, layout: Layout, noise: Noise = None, rest: Optional[Vector] = None, limit: int = 0
    ) -> Payload:
        """Return the best payload of at most ``limit`` bytes, uint8.

        Raises
        ------
        CodecError
            If a value is NaN or infinite, or the limit is less than zeros take.
        """
        payload = fit(vector, layout, limit)
        if rest is not None:
            self.add_to(rest, payload, layout, -1.0, vector)
            rest[layout.n_trained :] = 0.0
        return payload

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless the payload is whole and what it stands for is finite."""
        parts = parse(payload, layout)
        check_exact(statistics_of(payload, layout))
        for part in parts:
            bound = largest(part)
            if not bound < 1e38:
                raise CodecError("the payload stands for values up to %.3g, expected finite float32" % bound)

    def read(self, payload: Payload, layout: Layout, weight: float, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
        """Yield part after part of what is trained, and its weighted values."""
        for where, tensor, part in zip(layout.trained.slices(), layout.tensors, parse(payload, layout)):
            for block, values in values_of(part, tensor, scratch):
                values *= np.float32(weight)
                yield slice(where.start + block.start, where.start + block.stop), values
