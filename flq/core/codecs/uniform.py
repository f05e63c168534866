"""The quantizing codecs: scales, packed codes of each tensor, exact statistics.

A block of the vector goes through all passes while it is in the cache, with one scratch
block per call: a pass over memory outside the cache costs as much as four within.
"""

from functools import lru_cache
from typing import Callable, Iterator, Optional, Tuple

import numpy as np

from ...errors import CodecError
from ..layout import BLOCK, Layout, Tensor, Vector, blocks
from .bitpack import has_all_ones, pack, packed_size, unpack
from .codec import Codec, Noise, Payload, check_exact, check_length, statistics_of

LAQ8 = 9  # number of Stochastic on the wire; 1..8 are Sign and the grids of 2..8 bits
_SMALL = np.float32(1e-30)  # below it, L / radius is not a finite float32

Decoder = Callable[[Payload, Vector], None]  # (packed codes, out): writes weighted values, float32 (n_codes,)


class Scaled(Codec):
    """Base of Sign, Grid and Stochastic."""

    def payload_size(self, layout: Layout) -> int:
        """Return the payload's length in bytes."""
        coded = sum(4 + packed_size(tensor.size, self.bits) for tensor in self._scaled(layout).tensors)
        return coded + 4 * layout.n_exact

    def encode(
        self, vector: Vector, layout: Layout, noise: Noise = None, residual: Optional[Vector] = None, limit: int = 0
    ) -> Payload:
        """Return scales and packed codes, uint8 (payload_size,)."""
        payload = np.empty(self.payload_size(layout), np.uint8)
        scaled = self._scaled(layout)
        scales, scratch = self._scales(payload, scaled), _scratch(scaled)
        exact = statistics_of(payload, layout)
        exact[:] = vector[layout.statistics]
        check_exact(exact)
        for index, (part, codes) in enumerate(self._parts(payload, scaled)):
            values = vector[part]
            scale = np.float32(self._scale(values, scratch))
            if not np.isfinite(scale):
                raise CodecError(
                    "tensor %r holds NaN or infinite values, expected finite ones" % scaled.tensors[index].name
                )
            scales[index] = scale
            decode = None if residual is None else self._decoder(scale, -1.0)
            for block in blocks(values.size):
                lossy = scratch[: block.stop - block.start]
                packed = codes[self._bytes_of(block)]
                packed[:] = self._pack(values[block], scale, noise, lossy)
                if decode is not None and residual is not None:
                    decode(packed, lossy)
                    np.add(values[block], lossy, out=residual[part][block])
        if residual is not None:
            residual[layout.n_trained :] = 0.0
        return payload

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless scales are finite and not negative and all codes are valid."""
        check_length(payload, self.payload_size(layout))
        scaled = self._scaled(layout)
        scales = self._scales(payload, scaled)
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise CodecError("a scale is NaN, infinite or negative, expected finite scales of at least 0")
        for part, codes in self._parts(payload, scaled):
            n_codes = part.stop - part.start
            unused = 8 * codes.size - n_codes * self.bits
            if unused and int(codes[-1]) >> (8 - unused):
                raise CodecError("the padding bits of a tensor are set, expected zeros")
            for block in blocks(n_codes):
                self._check_codes(codes[self._bytes_of(block)], block.stop - block.start)
        check_exact(statistics_of(payload, layout))

    def read(self, payload: Payload, layout: Layout, weight: float, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
        """Yield slice after slice of the trained part, each with its weighted values, in ``scratch``."""
        scaled = self._scaled(layout)
        for scale, (tensor, codes) in zip(self._scales(payload, scaled), self._parts(payload, scaled)):
            decode = self._decoder(scale, weight)
            for block in blocks(tensor.stop - tensor.start, scratch.size):
                values = scratch[: block.stop - block.start]
                decode(codes[self._bytes_of(block)], values)
                yield slice(tensor.start + block.start, tensor.start + block.stop), values

    # -- defined by each codec -----------------------------------------------------------

    def _scaled(self, layout: Layout) -> Layout:
        """Return the layout of the tensors that have a scale each."""
        return layout.trained

    def _scale(self, values: Vector, scratch: Vector) -> float:
        """Return a tensor's scale; not finite if a value is not."""
        raise NotImplementedError

    def _pack(self, values: Vector, scale: np.float32, noise: Noise, scratch: Vector) -> Payload:
        """Return the packed codes of a block."""
        raise NotImplementedError

    def _check_codes(self, packed: Payload, n_codes: int) -> None:
        """Raise CodecError unless all codes of a block are valid."""
        raise NotImplementedError

    def _decoder(self, scale: np.float32, weight: float) -> Decoder:
        """Return a decoder of blocks with this scale: weight * value, each operation in float32."""
        raise NotImplementedError

    # -- positions ------------------------------------------------------------------------

    def _scales(self, payload: Payload, scaled: Layout) -> Vector:
        """Return the part of the payload that holds the scales, float32."""
        return payload[: 4 * len(scaled.tensors)].view("<f4")

    def _parts(self, payload: Payload, scaled: Layout) -> Iterator[Tuple[slice, Payload]]:
        """Yield, tensor by tensor, its part of the vector and its part of the payload."""
        start = 4 * len(scaled.tensors)
        for part in scaled.slices():
            stop = start + packed_size(part.stop - part.start, self.bits)
            yield part, payload[start:stop]
            start = stop

    def _bytes_of(self, block: slice) -> slice:
        """Return the bytes of a block's codes; a block starts at a multiple of 8 codes."""
        return slice(block.start * self.bits // 8, packed_size(block.stop, self.bits))


def _scratch(scaled: Layout) -> Vector:
    return np.empty(min(BLOCK, max(tensor.size for tensor in scaled.tensors)), np.float32)


def whole_vector(layout: Layout) -> Layout:
    """Return the trained part as one tensor, for the codecs with one scale."""
    return Layout((Tensor("vector", (layout.n_trained,)),))


def table_decoder(levels: Vector, bits: int) -> Decoder:
    """Return a decoder that looks up all codes of a byte in one row of a table."""
    per_byte = 8 // bits
    table = levels[_codes_of_bytes(bits)]

    def decode(packed: Payload, values: Vector) -> None:
        n_whole = values.size // per_byte
        rows = values[: n_whole * per_byte].reshape(n_whole, per_byte)
        np.take(table, packed[:n_whole], axis=0, out=rows, mode="clip")
        if packed.size > n_whole:
            values[n_whole * per_byte :] = table[packed[-1], : values.size - n_whole * per_byte]

    return decode


@lru_cache(None)
def _codes_of_bytes(bits: int) -> np.ndarray:
    """Return the codes that each byte holds, uint8 (256, 8 / bits)."""
    codes = unpack(np.arange(256, dtype=np.uint8), 256 * 8 // bits, bits).reshape(256, 8 // bits)
    codes.setflags(write=False)
    return codes


class Sign(Scaled):
    """One bit: the sign times the tensor's mean magnitude; the sign of 0 is +.

    Source: signSGD with error feedback, Karimireddy et al. 2019, arXiv:1901.09847, with one
    scale per tensor. A zero tensor decodes to zeros.
    """

    codec_id = bits = 1

    def _scale(self, values: Vector, scratch: Vector) -> float:
        total = 0.0
        for block in blocks(values.size):
            magnitudes = np.abs(values[block], out=scratch[: block.stop - block.start])
            total += float(np.add.reduce(magnitudes, dtype=np.float64))
        return total / values.size

    def _pack(self, values: Vector, scale: np.float32, noise: Noise, scratch: Vector) -> Payload:
        return np.packbits(values >= 0, bitorder="little")

    def _check_codes(self, packed: Payload, n_codes: int) -> None:
        """Do nothing: both codes are valid."""

    def _decoder(self, scale: np.float32, weight: float) -> Decoder:
        return table_decoder(np.array([-scale, scale], np.float32) * np.float32(weight), 1)


class Grid(Scaled):
    """Nearest rounding on a symmetric grid with a zero level.

    The levels of a tensor are radius * (q / L) for q = -L..L, L = 2**(b-1) - 1, and its radius
    is its largest magnitude: the largest entry is always exact, so that the quantizer
    contracts. The code is q + L; code 2**b - 1 is invalid. A zero tensor decodes to zeros.
    """

    def __init__(self, bits: int) -> None:
        self.codec_id = self.bits = bits
        self.top = 2 ** (bits - 1) - 1  # L

    def _scale(self, values: Vector, scratch: Vector) -> float:
        ends = np.array([(values[block].max(), values[block].min()) for block in blocks(values.size)])
        return max(float(ends[:, 0].max()), -float(ends[:, 1].min()))

    def _pack(self, values: Vector, scale: np.float32, noise: Noise, scratch: Vector) -> Payload:
        steps = self._steps(values, scale, scratch)
        steps += np.float32(self.top + 0.5)  # rounds to the nearest by truncation: all values are positive now
        return pack(steps.astype(np.uint8), self.bits)

    def _steps(self, values: Vector, scale: np.float32, out: Vector) -> Vector:
        """Set ``out`` to the values in steps of the grid, -L..L, and return it."""
        top = np.float32(self.top)
        if scale > _SMALL:
            return np.multiply(values, top / scale, out=out)
        if scale > 0:
            np.divide(values, scale, out=out)
            out *= top
        else:
            out[:] = 0.0
        return out

    def _check_codes(self, packed: Payload, n_codes: int) -> None:
        if has_all_ones(packed, n_codes, self.bits):
            raise CodecError(
                "a code of %d bits is %d, expected at most %d" % (self.bits, 2 * self.top + 1, 2 * self.top)
            )

    def _decoder(self, scale: np.float32, weight: float) -> Decoder:
        if self.bits in (2, 4):
            in_use = np.minimum(np.arange(2**self.bits), 2 * self.top)  # beyond L, a level may be infinite
            levels = np.empty(2**self.bits, np.float32)
            self._values(in_use.astype(np.uint8), scale, weight, levels)
            return table_decoder(levels, self.bits)

        def decode(packed: Payload, values: Vector) -> None:
            codes = packed if self.bits == 8 else unpack(packed, values.size, self.bits)
            self._values(codes, scale, weight, values)

        return decode

    def _values(self, codes: np.ndarray, scale: np.float32, weight: float, out: Vector) -> None:
        """Set ``out`` to weight * (radius * (q / L)), in this order, so that q = L is exact; codes are q + L, uint8."""
        out[:] = np.subtract(codes, np.uint8(self.top)).view(np.int8)
        out /= np.float32(self.top)
        out *= scale
        if weight != 1.0:
            out *= np.float32(weight)


class Stochastic(Grid):
    """Unbiased stochastic rounding on the grid of 8 bits, with one scale for the whole vector.

    A value between two levels is rounded up with probability equal to its distance from
    the lower one, in steps of 2**-16. Source: mode laq8 of FLQ v3; the rounding is that of
    QSGD, Alistarh et al. 2017, arXiv:1610.02132, with the largest magnitude as the scale.
    """

    def __init__(self) -> None:
        super().__init__(8)
        self.codec_id = LAQ8

    def _scaled(self, layout: Layout) -> Layout:
        return whole_vector(layout)

    def _pack(self, values: Vector, scale: np.float32, noise: Noise, scratch: Vector) -> Payload:
        if noise is None:
            raise CodecError("stochastic rounding needs raw integers, got none")
        steps = self._steps(values, scale, scratch)
        raw = noise.random_raw((values.size + 3) // 4).astype("<u8").view("<u2")[: values.size]
        fractions = raw.astype(np.float32)
        fractions *= np.float32(2.0**-16)
        steps += fractions
        steps += np.float32(self.top)
        np.minimum(steps, np.float32(2 * self.top), out=steps)  # rounded up, the largest may pass the last level
        return steps.astype(np.uint8)
