"""The codecs: a float32 vector <-> the payload bytes of a frame.

A payload is one float32 scale per tensor (little-endian, in layout order; none in float32, one
for the whole vector in laq8 and laq), then the packed codes, each tensor starting on a byte, then the
moving statistics of the layout as float32 values. All passes work on blocks that fit the cache.
Decoding is elementwise float32 arithmetic in a fixed order, so that every machine decodes a payload
to the same bits.

A codec is a class (codec.py) and a row of ``MODES`` below, which gives its name in the settings: validation, docs,
wire and contract tests follow from the row. float32.py, laq_grid.py and lowrank.py (with a payload format of its own)
hold one codec each, uniform.py the others.

>>> from flq.core.layout import Tensor
>>> layout = Layout((Tensor("w", (4,)),))
>>> decode(QUANTIZERS[2], QUANTIZERS[2].encode(np.array([1, -3, 0, 3], np.float32), layout), layout)
array([ 0., -3.,  0.,  3.], dtype=float32)
"""

from typing import Dict

import numpy as np

from ..layout import Layout, Vector
from .codec import Codec, Mode, Noise, Payload, statistics_of
from .float32 import FLOAT32, Float32, exact_payload
from .laq_grid import LAQ, MidRise
from .lowrank import LOWRANK, LowRank
from .uniform import LAQ8, Grid, Sign, Stochastic

__all__ = [
    "FLOAT32",
    "LAQ",
    "LAQ8",
    "LOWRANK",
    "MODES",
    "QUANTIZERS",
    "Codec",
    "Mode",
    "Noise",
    "Payload",
    "decode",
    "exact_payload",
    "plus",
    "statistics_of",
]

MODES: Dict[str, Mode] = {
    "lowrank": Mode(
        "large tensors as sums of outer products, in bytes_up bytes",
        {None: LowRank()},
        ("residual", "mirror", "none"),
        "sends a part of an update and the rest later",
    ),
    "bbit": Mode("b_up bits on a grid", {None: Grid(4), 1: Sign(), **{bits: Grid(bits) for bits in range(2, 9)}}),
    "bin": Mode("sign and mean magnitude", {None: Sign()}),
    "laq8": Mode(
        "8 bits by stochastic rounding with one scale",
        {None: Stochastic()},
        ("none", "residual", "flq", "mirror"),
        down=8,
        is_lazy=False,
    ),
    "laq": Mode(
        "LAQ as published, the sum of the workers' stored gradients, each coded with b_up bits as the difference from "
        "the last",
        {None: MidRise(4), FLOAT32: Float32(), **{bits: MidRise(bits) for bits in range(1, 9)}},
        ("mirror",),
        "sums stored gradients",
        down=FLOAT32,
        aggregator="sum",
    ),
    "fedavg": Mode(
        "exact float32",
        {None: Float32()},
        ("none",),
        "sends exact float32 updates, without an error to remember",
        is_lazy=False,
    ),
}

QUANTIZERS: Dict[int, Codec] = {codec.codec_id: codec for mode in MODES.values() for codec in mode.codecs.values()}


def decode(codec: Codec, payload: Payload, layout: Layout) -> Vector:
    """Return the decoded vector, float32 (n_params,), new."""
    vector = np.full(layout.n_params, -0.0, np.float32)  # -0.0 + v is v even if v is -0.0
    codec.add_to(vector, payload, layout)
    return vector


def plus(vector: Vector, codec_id: int, payload: Payload, layout: Layout, weight: float = 1.0) -> Vector:
    """Return ``vector + weight * decoded``, float32 (n_params,), new: the update of a shared copy."""
    moved = np.empty_like(vector)
    QUANTIZERS[codec_id].add_to(moved, payload, layout, weight, vector)
    return moved
