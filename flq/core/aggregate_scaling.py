"""Optional scaling and clipping of the aggregate before the server step.

Both are off by default. They come from flags of FLQ v3. A factor changes a step of sgd, which is the default here;
under Adam it nearly cancels.
"""

import math

import numpy as np

from .layout import Vector, blocks, energy
from .settings import Rules


def scale(total: Vector, n_selected: int, rules: Rules) -> None:
    """Scale G by n_selected / sel_ref and clip its norm, in place, as the rules ask.

    Elementwise float32; the norm is a float64 sum over blocks. After clipping, the norm is ``clip_global`` up to
    float32 rounding. A non-finite G is left unchanged: closing the round rejects it.

    Parameters
    ----------
    total : ndarray of shape (n_params,), float32
        The aggregate; modified.
    n_selected : int
        Number of uploads in the round.
    """
    if rules.scale_by_selected:
        _multiply(total, n_selected / rules.sel_ref)
    if rules.clip_global > 0:
        norm = math.sqrt(energy(total))
        if rules.clip_global < norm < math.inf:
            _multiply(total, rules.clip_global / norm)


def _multiply(total: Vector, factor: float) -> None:
    for part in blocks(total.size):
        total[part] *= np.float32(factor)
