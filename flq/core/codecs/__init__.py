"""The quantizers: a float32 vector <-> the payload bytes of a frame.

A payload is one float32 scale per tensor (little-endian, in layout order; none in float32, one
for the whole vector in laq8 and laq), then the packed codes, every tensor beginning on a byte, then the
moving statistics of the layout as float32 values. All passes work on blocks that fit the cache.
Decoding is elementwise float32 arithmetic in a fixed order, so that every machine gets the same
bits from the same payload.

Every quantizer has

``encode(vector, layout, noise, rest, limit) -> payload``  raises CodecError on NaN or infinite values
``check(payload, layout)``                          raises CodecError unless some vector encodes to it
``read(payload, layout, weight, scratch)``           yields weight * decoded, block by block
``payload_size(layout) -> int``                     bytes of the longest payload; but for lowrank, of every one
``add_to(out, payload, layout, weight, base)``      out = base + weight * decoded; without base in place
``add_all(out, weighted, layout, base)``             the same with (payload, weight) pairs, in their order

``codec_id``, its number on the wire, and ``bits`` per parameter. Only stochastic rounding draws
from ``noise``, the raw integers of its round and worker. ``rest``, if given, takes vector -
decoded, in the same pass. ``limit`` is the payload's largest size in bytes, for lowrank alone.
Float32 is in float32.py, the grid of LAQ in laq_grid.py, lowrank.py has its own, the others are in
uniform.py.

>>> layout = Layout((Tensor("w", (4,)),))
>>> decode(QUANTIZERS[2], QUANTIZERS[2].encode(np.array([1, -3, 0, 3], np.float32), layout), layout)
array([ 0., -3.,  0.,  3.], dtype=float32)
"""

from typing import Dict, Union

import numpy as np

from ..layout import Layout, Vector
from .float32 import FLOAT32, Float32, Noise, Payload, exact_payload, statistics_of
from .laq_grid import LAQ, MidRise
from .lowrank import LOWRANK, LowRank
from .uniform import LAQ8, Grid, Sign, Stochastic

__all__ = [
    "FLOAT32",
    "LAQ",
    "LAQ8",
    "LOWRANK",
    "QUANTIZERS",
    "Noise",
    "Payload",
    "Quantizer",
    "decode",
    "exact_payload",
    "plus",
    "statistics_of",
]

Quantizer = Union[Float32, Sign, Grid, Stochastic, MidRise, LowRank]

QUANTIZERS: Dict[int, Quantizer] = {
    codec.codec_id: codec
    for codec in [Float32(), Sign(), Stochastic(), LowRank()]
    + [Grid(bits) for bits in range(2, 9)]
    + [MidRise(bits) for bits in range(1, 9)]
}


def decode(codec: Quantizer, payload: Payload, layout: Layout) -> Vector:
    """Return the vector that a payload stands for, float32 (n_params,), new."""
    vector = np.full(layout.n_params, -0.0, np.float32)  # -0.0 + v is v, also where v is -0.0
    codec.add_to(vector, payload, layout)
    return vector


def plus(vector: Vector, codec_id: int, payload: Payload, layout: Layout, weight: float = 1.0) -> Vector:
    """Return ``vector + weight * decoded``, float32 (n_params,), new: how both ends move a copy they share."""
    moved = np.empty_like(vector)
    QUANTIZERS[codec_id].add_to(moved, payload, layout, weight, vector)
    return moved
