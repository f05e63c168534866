"""The lazy rule: a worker with little to say stays silent.

A worker skips iff round > warmup, clock < C and E <= thr_scale * S, where E is the energy of
what its quantizer would get, the clock counts its rounds in a row without an applied upload,
and S is what the model has moved of late:

    S = sum over d = 1..D of xi_d |G^(k-d)|^2,   xi_d = ck (1/d) / (1 + 1/2 + ... + 1/D)

with G the aggregate that the master really applied. Comparing with G, not with differences of
the model, makes the rule independent of the server optimizer.

Departs from LAQ (Sun et al. 2019, arXiv:1909.07588, eq. (7a)): the movement term is that of
the aggregate, the weights sum to ck, and the quantization errors do not enter.
"""

from typing import Sequence

from .rules import Rules


def movement(aggregate_energies: Sequence[float], rules: Rules) -> float:
    """Return S, from the energies |G|^2 of past aggregates, the newest last.

    Rounds before the first count as zero.
    """
    harmonic = sum(1.0 / d for d in range(1, rules.depth + 1))
    recent = list(aggregate_energies)[-rules.depth:][::-1]
    return sum(rules.ck / d / harmonic * energy for d, energy in enumerate(recent, 1))


def may_skip(energy: float, threshold: float, clock: int, round_index: int, rules: Rules) -> bool:
    """Return whether a worker skips the round.

    Parameters
    ----------
    energy : float
        |what the quantizer would get|^2.
    threshold : float
        S of the round plan.
    clock : int
        Rounds in a row in which nothing of this worker was applied.
    """
    return (rules.thr_scale > 0 and round_index > rules.warmup and clock < rules.max_silence
            and energy <= rules.thr_scale * threshold)
