"""How long the payloads of mode lowrank may be in a round.

Where the settings leave it open, the first size follows from the model. The first rounds move it far,
and a few bytes say most of that. Later the master falls behind with what it has to say, x - w grows over
what a round adds to x, and payloads get longer. What decides is |x - w|^2 and |G|^2 of the
round before, which every master that replays the run finds again: never an evaluation or a time.

A budget for all uploads of a round is divided among those who may upload.
"""

import math
from typing import NamedTuple

from ..errors import ConfigError
from .codecs import LOWRANK, QUANTIZERS
from .codecs.lowrank_payload import matrix_shape
from .layout import Layout
from .settings import Rules

BYTES_PER_NUMBER = 0.33  # of one component of each matrix, and of all other tensors
DOWN = 1.5  # times the size upwards: the aggregate has the components of many workers
FEWEST = 30  # step, and the ends of the codes
FREE_LAG = 2.0  # |x - w|^2 / |G|^2 up to which the first size lasts
MOST = 4.0  # times the first size
LEAST = 0.25  # times the first size: what a budget must leave for an upload


class Sizes(NamedTuple):
    """Longest payloads in bytes, upwards and downwards; 0 in the other modes."""

    up: int
    down: int


def sizes(lag: float, movement: float, n_workers: int, layout: Layout, rules: Rules) -> Sizes:
    """Return the sizes of a round.

    Parameters
    ----------
    lag, movement : float
        |x - w|^2 when the round opens, and |G|^2 of the round before; 0 before the first.
    n_workers : int
        How many take part.
    """
    if rules.mode != "lowrank":
        return Sizes(0, 0)
    growth = min(math.sqrt(max(lag / (FREE_LAG * movement), 1.0)), MOST) if movement else 1.0
    exact, longest = 4 * (layout.n_params - layout.n_trained), QUANTIZERS[LOWRANK].payload_size(layout)
    size = growth * _first_size(layout)
    up, down = [
        given or min(exact + int(times * size), longest)
        for given, times in ((rules.bytes_up, 1.0), (rules.bytes_down, DOWN))
    ]
    if rules.up_budget_bits:
        up = min(up, rules.up_budget_bits // 8 // min(rules.sel_clients or n_workers, n_workers))
    return Sizes(up, down)


def check_room(n_workers: int, layout: Layout, rules: Rules) -> None:
    """Refuse sizes that say next to nothing of a model.

    Raises
    ------
    ConfigError
        If an upload has less than a quarter of the size that the model would get by itself.
    """
    if rules.mode != "lowrank":
        return
    exact = 4 * (layout.n_params - layout.n_trained)
    n_others = sum(tensor.size for tensor in layout.trained.tensors if matrix_shape(tensor) is None)
    zeros = 16 + 2 * len(layout.tensors) + n_others // 1000  # what nothing at all takes
    least, most = max(int(LEAST * _first_size(layout)), zeros) + exact, QUANTIZERS[LOWRANK].payload_size(layout)
    got = sizes(0.0, 0.0, n_workers, layout, rules)
    for key, size in (("bytes_up", got.up), ("bytes_down", got.down)):
        if size < least:
            raise ConfigError(
                "%s is %d bytes for a model of %d parameters, expected at least %d"
                % (key, size, layout.n_params, least),
                "raise flq_algorithm.%s or budget_selection.up_budget_bits, or lower "
                "budget_selection.sel_clients" % key,
            )

    for key, size in (("bytes_up", rules.bytes_up), ("bytes_down", rules.bytes_down)):
        if size > most:
            raise ConfigError(
                "%s is %d bytes for a model of %d parameters, expected at most %d" % (key, size, layout.n_params, most),
                "mode bbit takes more bits per parameter",
            )


def longest_upload(n_workers: int, layout: Layout, rules: Rules) -> int:
    """Return the length in bytes of the payload of an upload, of the longest in the first round."""
    return sizes(0.0, 0.0, n_workers, layout, rules).up or QUANTIZERS[rules.codec_up].payload_size(layout)


def _first_size(layout: Layout) -> float:
    shapes = [matrix_shape(tensor) or (tensor.size,) for tensor in layout.trained.tensors]
    return FEWEST + 2 * len(shapes) + BYTES_PER_NUMBER * sum(sum(shape) for shape in shapes)
