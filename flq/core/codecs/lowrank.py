"""The codec of mode lowrank: payloads up to a given size.

lowrank_payload.py defines their format, lowrank_encoder.py chooses the best one.
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
    """The low-rank codec."""

    codec_id = LOWRANK
    bits = 0  # per parameter: no fixed number

    def payload_size(self, layout: Layout) -> int:
        """Return the size in bytes of the largest payload, about 8 bits per parameter."""
        return 1024 + layout.n_trained + 4 * layout.n_exact

    def encode(
        self, vector: Vector, layout: Layout, noise: Noise = None, residual: Optional[Vector] = None, limit: int = 0
    ) -> Payload:
        """Return the best payload of at most ``limit`` bytes, uint8.

        Raises
        ------
        CodecError
            If a value is NaN or infinite, or not even a payload of zeros fits the limit.
        """
        payload = fit(vector, layout, limit)
        if residual is not None:
            self.add_to(residual, payload, layout, -1.0, vector)
            residual[layout.n_trained :] = 0.0
        return payload

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless the payload is well-formed and decodes to finite values."""
        parts = parse(payload, layout)
        check_exact(statistics_of(payload, layout))
        for part in parts:
            bound = largest(part)
            if not bound < 1e38:
                raise CodecError("the payload decodes to values up to %.3g, expected finite float32" % bound)

    def read(self, payload: Payload, layout: Layout, weight: float, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
        """Yield slice after slice of the trained part, each with its weighted values."""
        for where, tensor, part in zip(layout.trained.slices(), layout.tensors, parse(payload, layout)):
            for block, values in values_of(part, tensor, scratch):
                values *= np.float32(weight)
                yield slice(where.start + block.start, where.start + block.stop), values
