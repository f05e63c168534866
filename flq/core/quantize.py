"""The quantizers: a float32 vector <-> the payload bytes of a frame.

A payload is one float32 scale per tensor (little-endian, in layout order; none in float32),
then the packed codes, every tensor beginning on a byte. All passes work on blocks that fit
the cache. Decoding is elementwise float32 arithmetic in a fixed order, so that every machine
gets the same bits from the same payload.

Every quantizer has

``encode(vector, layout) -> payload``          raises CodecError on NaN or infinite values
``check(payload, layout)``                     raises CodecError unless some vector encodes to it
``add_to(out, payload, layout, weight)``       out += weight * decoded, in place
``payload_size(layout) -> int``                bytes; the payload's length is fixed by the layout

and ``codec_id``, its number on the wire, which is also its bits per parameter.

>>> layout = Layout((Tensor("w", (4,)),))
>>> decode(QUANTIZERS[2], QUANTIZERS[2].encode(np.array([1, -3, 0, 3], np.float32), layout), layout)
array([ 0., -3.,  0.,  3.], dtype=float32)
"""

from typing import Dict, Iterator, Tuple, Union

import numpy as np

from ..errors import CodecError
from .bitpack import pack, packed_size, unpack
from .params import BLOCK, Layout, Vector, blocks

Payload = np.ndarray  # (n_bytes,) uint8
_SMALL = np.float32(1e-30)  # below it, L / radius is not a finite float32


class Float32:
    """The values themselves."""

    codec_id = 32

    def payload_size(self, layout: Layout) -> int:
        """Return the payload's length in bytes."""
        return 4 * layout.n_params

    def encode(self, vector: Vector, layout: Layout) -> Payload:
        """Return the little-endian bytes of the values, uint8 (4 * n_params,)."""
        payload = vector.astype("<f4").view(np.uint8)
        self.check(payload, layout)
        return payload

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless every value is finite."""
        _check_length(payload, self.payload_size(layout))
        values = payload.view("<f4")
        for part in blocks(values.size):
            if not np.isfinite(values[part]).all():
                raise CodecError("the vector holds NaN or infinite values, expected finite ones")

    def add_to(self, out: Vector, payload: Payload, layout: Layout, weight: float = 1.0) -> None:
        """Add ``weight`` times the decoded vector to ``out``, in place."""
        values = payload.view("<f4")
        for part in blocks(values.size):
            out[part] += np.float32(weight) * values[part]


class _Scaled:
    """What Sign and Grid share: one scale per tensor, then packed codes tensor by tensor."""

    def __init__(self, bits: int) -> None:
        self.codec_id = bits
        self.bits = bits

    def payload_size(self, layout: Layout) -> int:
        """Return the payload's length in bytes."""
        return sum(4 + packed_size(tensor.size, self.bits) for tensor in layout.tensors)

    def encode(self, vector: Vector, layout: Layout) -> Payload:
        """Return scales and packed codes, uint8 (payload_size,).

        Raises
        ------
        CodecError
            If a value is NaN or infinite.
        """
        payload = np.empty(self.payload_size(layout), np.uint8)
        scales = payload[:4 * len(layout.tensors)].view("<f4")
        for index, (part, codes) in enumerate(self._parts(payload, layout)):
            values = vector[part]
            scale = np.float32(self._scale(values))
            if not np.isfinite(scale):
                raise CodecError("tensor %r holds NaN or infinite values, expected finite ones"
                                 % layout.tensors[index].name)
            scales[index] = scale
            for block in blocks(values.size):
                codes[self._bytes_of(block)] = self._pack(values[block], scale)
        return payload

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless scales are finite and not negative and all codes are in use."""
        _check_length(payload, self.payload_size(layout))
        scales = payload[:4 * len(layout.tensors)].view("<f4")
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise CodecError("a scale is NaN, infinite or negative, expected finite scales of at least 0")
        for part, codes in self._parts(payload, layout):
            for block in blocks(part.stop - part.start):
                self._check_codes(codes[self._bytes_of(block)], block.stop - block.start)

    def add_to(self, out: Vector, payload: Payload, layout: Layout, weight: float = 1.0) -> None:
        """Add ``weight`` times the decoded vector to ``out``, in place."""
        scales = payload[:4 * len(layout.tensors)].view("<f4")
        scratch = np.empty(min(BLOCK, max(tensor.size for tensor in layout.tensors)) + 8, np.float32)
        for scale, (part, codes) in zip(scales, self._parts(payload, layout)):
            target, decode = out[part], self._decoder(scale)
            for block in blocks(target.size):
                values = decode(codes[self._bytes_of(block)], block.stop - block.start, scratch)
                if weight != 1.0:
                    values *= np.float32(weight)
                target[block] += values

    def _parts(self, payload: Payload, layout: Layout) -> Iterator[Tuple[slice, Payload]]:
        """Yield, tensor by tensor, its part of the vector and its part of the payload."""
        start = 4 * len(layout.tensors)
        for part in layout.slices():
            stop = start + packed_size(part.stop - part.start, self.bits)
            yield part, payload[start:stop]
            start = stop

    def _bytes_of(self, block: slice) -> slice:
        """Return where a block's codes lie: BLOCK is a multiple of 8, so on whole bytes."""
        return slice(block.start * self.bits // 8, packed_size(block.stop, self.bits))

    def _table_decoder(self, levels: Vector):
        """Decode by a table that holds the values of all codes of a byte in one row."""
        per_byte = 8 // self.bits
        codes = unpack(np.arange(256, dtype=np.uint8), 256 * per_byte, self.bits)
        table = levels[codes].reshape(256, per_byte)

        def decode(packed: Payload, n_codes: int, scratch: Vector) -> Vector:
            rows = scratch[:packed.size * per_byte].reshape(packed.size, per_byte)
            np.take(table, packed, axis=0, out=rows, mode="clip")
            return scratch[:n_codes]
        return decode


class Sign(_Scaled):
    """One bit: the sign times the tensor's mean magnitude; the sign of 0 is +.

    Source: signSGD with error feedback, Karimireddy et al. 2019, arXiv:1901.09847, with one
    scale per tensor. A zero tensor decodes to zeros.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def _scale(self, values: Vector) -> float:
        total = 0.0
        for block in blocks(values.size):
            total += float(np.add.reduce(np.abs(values[block]), dtype=np.float64))
        return total / values.size

    def _pack(self, values: Vector, scale: np.float32) -> Payload:
        return np.packbits(values >= 0, bitorder="little")

    def _check_codes(self, packed: Payload, n_codes: int) -> None:
        _check_padding(packed, n_codes, 1)

    def _decoder(self, scale: np.float32):
        return self._table_decoder(np.array([-scale, scale], np.float32))


class Grid(_Scaled):
    """Nearest rounding on a symmetric grid with a zero level.

    The levels of a tensor are radius * (q / L) for q = -L..L, L = 2**(b-1) - 1, and its radius
    is its largest magnitude: the largest entry is always sent exactly, so that the quantizer
    contracts. The code is q + L; code 2**b - 1 is not in use. A zero tensor decodes to zeros.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.top = 2 ** (bits - 1) - 1  # L

    def _scale(self, values: Vector) -> float:
        return max(float(values.max()), -float(values.min()))

    def _pack(self, values: Vector, scale: np.float32) -> Payload:
        top = np.float32(self.top)
        if scale > _SMALL:
            steps = values * (top / scale)
        elif scale > 0:
            steps = values / scale
            steps *= top
        else:
            steps = np.zeros_like(values)
        steps += top + np.float32(0.5)  # nearest by truncation: all values are positive now
        return pack(steps.astype(np.uint8), self.bits)

    def _check_codes(self, packed: Payload, n_codes: int) -> None:
        _check_padding(packed, n_codes, self.bits)
        if int(unpack(packed, n_codes, self.bits).max()) > 2 * self.top:
            raise CodecError("a code of %d bits is %d, expected at most %d"
                             % (self.bits, 2 * self.top + 1, 2 * self.top))

    def _decoder(self, scale: np.float32):
        if self.bits in (2, 4):
            in_use = np.minimum(np.arange(2 ** self.bits), 2 * self.top)  # beyond L, a level may be infinite
            return self._table_decoder(self._values(in_use.astype(np.float32), scale))

        def decode(packed: Payload, n_codes: int, scratch: Vector) -> Vector:
            values = scratch[:n_codes]
            values[:] = packed if self.bits == 8 else unpack(packed, n_codes, self.bits)
            return self._values(values, scale)
        return decode

    def _values(self, codes: Vector, scale: np.float32) -> Vector:
        """Turn codes, as float32, into values in place: radius * (q / L), so that q = L is exact."""
        codes -= np.float32(self.top)
        codes /= np.float32(self.top)
        codes *= scale
        return codes


Quantizer = Union[Float32, Sign, Grid]

QUANTIZERS: Dict[int, Quantizer] = {
    codec.codec_id: codec for codec in [Float32(), Sign()] + [Grid(bits) for bits in range(2, 9)]}


def decode(codec: Quantizer, payload: Payload, layout: Layout) -> Vector:
    """Return the vector that a payload stands for, float32 (n_params,), new."""
    vector = np.full(layout.n_params, -0.0, np.float32)  # -0.0 + v is v, also where v is -0.0
    codec.add_to(vector, payload, layout)
    return vector


def plus(vector: Vector, codec_id: int, payload: Payload, layout: Layout, weight: float = 1.0) -> Vector:
    """Return ``vector + weight * decoded``, float32 (n_params,), new: how both ends move a copy they share."""
    moved = vector.copy()
    QUANTIZERS[codec_id].add_to(moved, payload, layout, weight)
    return moved


def _check_length(payload: Payload, expected: int) -> None:
    if payload.size != expected:
        raise CodecError("the payload has %d bytes, expected %d" % (payload.size, expected))


def _check_padding(packed: Payload, n_codes: int, bits: int) -> None:
    unused = 8 * packed.size - n_codes * bits
    if unused and int(packed[-1]) >> (8 - unused):
        raise CodecError("the padding bits of a tensor are set, expected zeros")
