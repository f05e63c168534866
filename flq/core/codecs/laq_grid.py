"""The grid of LAQ: an even number of levels, none of them zero, and one radius for the whole vector.

With R the largest magnitude and L = 2**b - 1, the levels are R (2c - L) / L for the codes
c = 0..L, both ends exact, and the error of every entry is at most R / L. Zero is no level: entries
near zero are coded as +-R / L, so that the quantizer contracts only if few entries are small
compared with the largest.

Source: Sun et al. 2019, arXiv:1909.07588, eqs. (5) and (6), with tau = 1 / L.
"""

import numpy as np

from ..layout import Layout, Vector
from .bitpack import unpack
from .codec import Payload
from .uniform import Decoder, Grid, table_decoder, whole_vector

LAQ = 16  # codec LAQ + b is the grid of b bits, 1..8


class MidRise(Grid):
    """Nearest rounding to a level; halfway up. A zero vector decodes to zeros for any codes."""

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.codec_id = LAQ + bits
        self.top = (2**bits - 1) / 2  # the largest level in steps; the levels lie half a step off zero

    def _scaled(self, layout: Layout) -> Layout:
        return whole_vector(layout)

    def _check_codes(self, packed: Payload, n_codes: int) -> None:
        """Do nothing: all codes are valid."""

    def _decoder(self, scale: np.float32, weight: float) -> Decoder:
        levels = np.arange(1 - 2**self.bits, 2**self.bits, 2).astype(np.float32)  # 2c - L
        levels /= np.float32(2**self.bits - 1)
        levels *= scale
        levels *= np.float32(weight)
        if 8 % self.bits == 0:
            return table_decoder(levels, self.bits)

        def decode(packed: Payload, values: Vector) -> None:
            np.take(levels, unpack(packed, values.size, self.bits), out=values, mode="clip")

        return decode
