"""What may be done to the aggregate before the model steps: scaling by who was selected, and a clip of its norm.

Both are off by default. They keep what the flags of FLQ v3 meant, but with the step of sgd:
there a factor changes the step, while under Adam it nearly cancels.
"""

import math

import numpy as np

from .layout import Vector, blocks, energy
from .settings import Rules


def scale(total: Vector, n_selected: int, rules: Rules) -> None:
    """Multiply G, in place, by n_selected / sel_ref, and then clip its norm, as the rules ask.

    Elementwise float32; the norm is a float64 sum over blocks. After the clip the norm is
    ``clip_global`` up to the rounding of float32. A G that is not finite is left as it is:
    closing the round refuses it.

    Parameters
    ----------
    total : ndarray of shape (n_params,), float32
        The aggregate; written to.
    n_selected : int
        Number of uploads of the round.
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
