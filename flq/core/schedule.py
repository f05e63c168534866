"""The learning rate per round: a function of the settings and the round alone.

It does not depend on evaluations or the time, so that a run repeats bit for bit.
"""

import math

from .settings.sections import ModelSettings

SCHEDULES = ("constant", "exponential", "step", "cosine")


def learning_rate(model: ModelSettings, round_index: int) -> float:
    """Return the learning rate of a round.

    With lr, f = ``lr_decay`` and n = ``lr_decay_rounds``, in round k = 1, 2, ...:

    =========== ====================================================================
    constant    lr
    exponential lr f^((k-1)/n)
    step        lr f^floor((k-1)/n)
    cosine      from lr to lr f along half a cosine over n rounds, then lr f
    =========== ====================================================================

    All but constant reach lr f after n rounds.

    Parameters
    ----------
    model : ModelSettings
        Read: lr, lr_schedule, lr_decay, lr_decay_rounds.
    round_index : int
        From 1.

    Source: the cosine is that of Loshchilov and Hutter 2017, arXiv:1608.03983, eq. (5), without restarts.
    """
    lr, decay, n_rounds = model.lr, model.lr_decay, model.lr_decay_rounds
    done = round_index - 1
    if model.lr_schedule == "exponential":
        return lr * decay ** (done / n_rounds)
    if model.lr_schedule == "step":
        return lr * decay ** (done // n_rounds)
    if model.lr_schedule == "cosine":
        share = min(done / n_rounds, 1.0)
        return lr * (decay + (1.0 - decay) * 0.5 * (1.0 + math.cos(math.pi * share)))
    return lr
