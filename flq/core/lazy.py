"""The lazy rule: a worker whose update is small skips the round.

A worker skips iff round > warmup, clock < C and E <= thr_scale * T. The clock counts the worker's consecutive rounds
without an applied upload, and T contains S, the recent movement of the model:

    S = sum over d = 1..D of xi_d |G^(k-d)|^2

with G the aggregate that the master applied. In all modes but laq

    E = |input of the quantizer|^2,   T = S,   xi_d = ck (1/d) / (1 + 1/2 + ... + 1/D)

Comparing with G, not with differences of the model, makes the rule independent of the server
optimizer.

Mode laq is Sun et al. 2019, arXiv:1909.07588, eqs. (7a) and (7b), with t_bar = C:

    E = |Q - Q'|^2,   T = (1/M^2) S + 3 (|g - Q|^2 + |g' - Q'|^2),   xi_d = ck / D

where g is the gradient, Q the master's quantized copy of it, and g' and Q' those of the worker's
last upload. The paper's T has (1 / (alpha^2 M^2)) sum xi_d |x^(k+1-d) - x^(k-d)|^2 in place of
S / M^2. They are equal: the model moves by x^(k+1-d) - x^(k-d) = -alpha G^(k-d), with G the sum of
the M stored gradients, so that the step length cancels and no past model is stored.

The rule of the other modes departs from that: the movement term is that of the mean, the newest
aggregate weighs most, and the quantization errors do not enter.
"""

from typing import Sequence

from .settings import Rules


def movement(aggregate_energies: Sequence[float], rules: Rules, n_workers: int) -> float:
    """Return S, in mode laq S / M^2, from the energies |G|^2 of past aggregates, newest last.

    Rounds before the first count as zero.

    Parameters
    ----------
    n_workers : int
        M, the number of workers whose mirrors the aggregate holds.
    """
    recent = list(aggregate_energies)[-rules.depth :][::-1]
    if rules.is_laq:
        return sum([rules.ck / rules.depth * energy for energy in recent]) / n_workers**2
    harmonic = sum([1.0 / d for d in range(1, rules.depth + 1)])
    return sum([rules.ck / d / harmonic * energy for d, energy in enumerate(recent, 1)])


def may_skip(energy: float, threshold: float, clock: int, round_index: int, rules: Rules) -> bool:
    """Return whether a worker skips the round.

    Parameters
    ----------
    energy, threshold : float
        E and T.
    clock : int
        Consecutive rounds in which no upload of this worker was applied.
    """
    return (
        rules.thr_scale > 0
        and round_index > rules.warmup
        and clock < rules.max_silence
        and energy <= rules.thr_scale * threshold
    )
