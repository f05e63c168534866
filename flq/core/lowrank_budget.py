"""Payload sizes of mode lowrank in a round.

If the settings give no size, the first one follows from the model. The first rounds move the model far, and a few
bytes carry most of that. Later the master's backlog x - w grows relative to what a round adds to x, and payloads get
longer. The size depends on |x - w|^2 and |G|^2 of the round before, which a replay of the run reproduces, and never on
an evaluation or the time.

A budget for all uploads of a round is divided among the workers that may upload.
"""

import math
from typing import NamedTuple

from ..errors import ConfigError
from .codecs import LOWRANK, QUANTIZERS
from .codecs.lowrank_payload import matrix_shape
from .layout import Layout
from .settings import Rules

BYTES_PER_NUMBER = 0.33  # for one component of each matrix, and for all other tensors
DOWN = 1.5  # times the size of an upload: the aggregate has the components of many workers
FEWEST = 30  # bytes: the step, and the final states of the coder
FREE_LAG = 2.0  # |x - w|^2 / |G|^2 up to which the first size is kept
MOST = 4.0  # times the first size: the largest size
LEAST = 0.25  # times the first size: the smallest size that a budget must leave for an upload


class Sizes(NamedTuple):
    """Largest payloads in bytes, up and down; 0 in the other modes."""

    up: int
    down: int


NO_LIMITS = Sizes(0, 0)


def sizes(lag: float, movement: float, n_workers: int, layout: Layout, rules: Rules) -> Sizes:
    """Return the payload sizes of a round.

    Parameters
    ----------
    lag, movement : float
        |x - w|^2 when the round opens, and |G|^2 of the round before; 0 before the first.
    n_workers : int
        Number of workers in the round.
    """
    if rules.mode != "lowrank":
        return NO_LIMITS
    growth = min(math.sqrt(max(lag / (FREE_LAG * movement), 1.0)), MOST) if movement else 1.0
    exact, longest = 4 * layout.n_exact, QUANTIZERS[LOWRANK].payload_size(layout)
    size = growth * _first_size(layout)
    up, down = [
        given or min(exact + int(times * size), longest)
        for given, times in ((rules.bytes_up, 1.0), (rules.bytes_down, DOWN))
    ]
    if rules.up_budget_bits:
        up = min(up, rules.up_budget_bits // 8 // min(rules.sel_clients or n_workers, n_workers))
    return Sizes(up, down)


def check_room(n_workers: int, layout: Layout, rules: Rules) -> None:
    """Reject payload sizes that do not suit the model.

    Raises
    ------
    ConfigError
        If a payload has less than a quarter of the model's default size, or more than mode lowrank can use.
    """
    if rules.mode != "lowrank":
        return
    exact = 4 * layout.n_exact
    n_others = sum(tensor.size for tensor in layout.trained.tensors if matrix_shape(tensor) is None)
    zeros = 16 + 2 * len(layout.tensors) + n_others // 1000  # size of an all-zero payload
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
                "use mode bbit for more bits per parameter",
            )


def longest_upload(n_workers: int, layout: Layout, rules: Rules) -> int:
    """Return the size in bytes of the largest upload payload; in mode lowrank, of the first round."""
    return sizes(0.0, 0.0, n_workers, layout, rules).up or QUANTIZERS[rules.codec_up].payload_size(layout)


def _first_size(layout: Layout) -> float:
    shapes = [matrix_shape(tensor) or (tensor.size,) for tensor in layout.trained.tensors]
    return FEWEST + 2 * len(shapes) + BYTES_PER_NUMBER * sum(sum(shape) for shape in shapes)
