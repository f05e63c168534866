"""The codec that changes nothing: float32 values, little-endian.

Moving statistics travel like this with every codec.
"""

from typing import Iterator, Optional, Sequence, Tuple

import numpy as np

from ...errors import CodecError
from ..layout import BLOCK, Layout, Vector, blocks

Payload = np.ndarray  # (n_bytes,) uint8
Weighted = Sequence[Tuple[Payload, float]]  # payloads and their weights
Noise = Optional[np.random.Philox]

FLOAT32 = 32  # its number on the wire


class Codec:
    """What the codecs share: adding up decoded payloads. Each has the rest of the list in ``codecs/__init__.py``."""

    codec_id: int
    bits: int

    def read(self, payload: Payload, layout: Layout, weight: float, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
        """Yield part after part of what is trained, and weight * the decoded values there, float32.

        Payloads of one codec and layout have the same parts. The values lie in ``scratch``, or are not to be written
        to, and count until the next ones are asked for.

        Parameters
        ----------
        scratch : ndarray of float32
            Its length is that of the longest part, and a multiple of 8 unless no tensor is longer.
        """
        raise NotImplementedError

    def add_to(
        self, out: Vector, payload: Payload, layout: Layout, weight: float = 1.0, base: Optional[Vector] = None
    ) -> None:
        """Set ``out`` to ``base`` + ``weight`` * the decoded vector; ``base`` None is ``out`` itself."""
        self.add_all(out, [(payload, weight)], layout, base)

    def add_all(self, out: Vector, weighted: Weighted, layout: Layout, base: Optional[Vector] = None) -> None:
        """Do the same with several payloads, one after the other, in one pass."""
        source = out if base is None else base
        scratch = np.empty(min(BLOCK, layout.n_trained), np.float32)
        readers = [self.read(payload, layout, weight, scratch) for payload, weight in weighted]
        for part, values in readers[0]:
            total = np.add(source[part], values, out=out[part])
            for reader in readers[1:]:
                np.add(total, next(reader)[1], out=total)
        statistics = slice(layout.n_trained, None)
        add_exact(
            out[statistics],
            [(statistics_of(payload, layout), weight) for payload, weight in weighted],
            None if base is None else base[statistics],
        )


class Float32(Codec):
    """The values themselves."""

    codec_id = bits = FLOAT32

    def payload_size(self, layout: Layout) -> int:
        """Return the payload's length in bytes."""
        return 4 * layout.n_params

    def encode(
        self, vector: Vector, layout: Layout, noise: Noise = None, rest: Optional[Vector] = None, limit: int = 0
    ) -> Payload:
        """Return the little-endian bytes of the values, uint8 (4 * n_params,); ``rest`` becomes zeros."""
        payload = vector.astype("<f4").view(np.uint8)
        self.check(payload, layout)
        if rest is not None:
            rest[:] = 0.0
        return payload

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless every value is finite."""
        check_length(payload, self.payload_size(layout))
        check_exact(payload.view("<f4"))

    def read(self, payload: Payload, layout: Layout, weight: float, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
        """Yield part after part of what is trained, and its weighted values."""
        vector = payload.view("<f4")
        for part in blocks(layout.n_trained, scratch.size):
            values = vector[part]
            yield part, values if weight == 1.0 else np.multiply(values, np.float32(weight), out=scratch[: values.size])


def exact_payload(vector: Vector) -> Payload:
    """Return a vector as a payload of Float32; not a copy where its bytes are little-endian."""
    return vector.astype("<f4", copy=False).view(np.uint8)


def statistics_of(payload: Payload, layout: Layout) -> Vector:
    """Return the part of a payload that holds the moving statistics, float32; with every codec it is the last."""
    return payload[payload.size - 4 * (layout.n_params - layout.n_trained) :].view("<f4")


def check_length(payload: Payload, expected: int) -> None:
    """Raise CodecError unless the payload has so many bytes."""
    if payload.size != expected:
        raise CodecError("the payload has %d bytes, expected %d" % (payload.size, expected))


def check_exact(values: Vector) -> None:
    """Raise CodecError unless every value is finite."""
    is_finite = np.empty(min(BLOCK, values.size), bool)
    for part in blocks(values.size):
        if not np.isfinite(values[part], out=is_finite[: part.stop - part.start]).all():
            raise CodecError("the vector holds NaN or infinite values, expected finite ones")


def add_exact(out: Vector, weighted: Sequence[Tuple[Vector, float]], base: Optional[Vector] = None) -> None:
    """Set ``out`` to ``base`` + weight * values + ..., elementwise in float32; ``base`` None is ``out`` itself."""
    scratch = np.empty(min(BLOCK, out.size), np.float32)
    for part in blocks(out.size):
        total = (out if base is None else base)[part]
        for values, weight in weighted:
            summand = values[part]
            if weight != 1.0:
                summand = np.multiply(summand, np.float32(weight), out=scratch[: summand.size])
            total = np.add(total, summand, out=out[part])
