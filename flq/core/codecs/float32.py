"""The lossless codec: float32 values, little-endian.

Every codec sends moving statistics in this form.
"""

from typing import Iterator, Optional, Tuple

import numpy as np

from ..layout import Layout, Vector, blocks
from .codec import Codec, Noise, Payload, Weighted, add_exact, check_exact, check_length

FLOAT32 = 32  # its number on the wire


class Float32(Codec):
    """The unchanged values."""

    codec_id = bits = FLOAT32

    def payload_size(self, layout: Layout) -> int:
        """Return the payload's length in bytes."""
        return 4 * layout.n_params

    def encode(
        self, vector: Vector, layout: Layout, noise: Noise = None, residual: Optional[Vector] = None, limit: int = 0
    ) -> Payload:
        """Return the little-endian bytes of the values, uint8 (4 * n_params,); ``residual`` becomes zeros."""
        payload = vector.astype("<f4").view(np.uint8)
        self.check(payload, layout)
        if residual is not None:
            residual[:] = 0.0
        return payload

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless every value is finite."""
        check_length(payload, self.payload_size(layout))
        check_exact(payload.view("<f4"))

    def read(self, payload: Payload, layout: Layout, weight: float, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
        """Yield slice after slice of the trained part, each with its weighted values."""
        vector = payload.view("<f4")
        for part in blocks(layout.n_trained, scratch.size):
            values = vector[part]
            yield part, values if weight == 1.0 else np.multiply(values, np.float32(weight), out=scratch[: values.size])

    def _add_constants(self, out: Vector, weighted: Weighted, layout: Layout, base: Optional[Vector]) -> None:
        add_exact(out, [(payload.view("<f4")[layout.constants], weight) for payload, weight in weighted], base)


def exact_payload(vector: Vector) -> Payload:
    """Return a vector as a payload of Float32; no copy if its bytes are little-endian."""
    return vector.astype("<f4", copy=False).view(np.uint8)
