"""Groups runs that differ only in their seed, and averages them.

Example
-------
    [mean_of(runs) for runs in group_by_setting(runs)]
"""

from collections import defaultdict
from typing import Any, Dict, Hashable, List, Sequence, Tuple

import numpy as np

from ..config_hash import is_left_out
from .stored import StoredRun

SEED, MAX_ROUNDS = ("system", "seed"), ("system", "max_rounds")


def group_by_setting(runs: Sequence[StoredRun]) -> List[List[StoredRun]]:
    """Return the runs in groups that differ only in the seed, in the order of their first runs.

    A run is alone if its settings are unknown. Of two runs with the same seed, the second begins another group: they
    are no independent samples. The runs of a group have at least their first round in common.
    """
    groups: Dict[Hashable, List[StoredRun]] = defaultdict(list)
    times_seen: Dict[Hashable, int] = defaultdict(int)
    for number, run in enumerate(runs):
        setting: Hashable = number
        if run.settings and run.curve["round"].is_unique:
            settings = settings_that_matter(run)
            seed = settings.pop(SEED, None)
            first = run.curve["round"].min()
            setting = (run.dataset, run.accuracy_of, run.loss_of, first, tuple(sorted(settings.items())))
            times_seen[setting, seed] += 1
            setting = (setting, times_seen[setting, seed])
        groups[setting].append(run)
    return list(groups.values())


def settings_that_matter(run: StoredRun) -> Dict[Tuple[str, str], str]:
    """Return the settings that affect the model, and the number of rounds: (section, key) -> value as text."""
    return {
        (section, key): repr(int(value) if isinstance(value, float) and value.is_integer() else value)
        for section, part in run.settings.items()
        for key, value in part.items()
        if (section, key) == MAX_ROUNDS or not is_left_out(section, key)
    }


def at_common_rounds(runs: Sequence[StoredRun]) -> List[StoredRun]:
    """Return the runs of a group with curves of the rounds that all of them have; a single run as it is."""
    if len(runs) == 1:
        return list(runs)
    curves = [run.curve.set_index("round") for run in runs]
    common = sorted(set.intersection(*(set(curve.index) for curve in curves)))
    return [run._replace(curve=curve.loc[common].reset_index()) for run, curve in zip(runs, curves)]


def mean_of(runs: Sequence[StoredRun]) -> StoredRun:
    """Return a run whose curve is the mean of several, and its spread their standard deviation (divisor n - 1).

    Both cover the rounds that all runs have; a value is unknown where it is unknown in one of them. A single run is
    returned as it is.
    """
    if len(runs) == 1:
        return runs[0]
    name = "%s and %d more" % (runs[0].name, len(runs) - 1)
    curves = [run.curve.set_index("round") for run in at_common_rounds(runs)]
    values = np.stack([curve.to_numpy() for curve in curves])
    rounds = list(curves[0].index)
    mean, spread = (_like(runs[0].curve, rounds, of) for of in (values.mean(axis=0), values.std(axis=0, ddof=1)))
    return runs[0]._replace(name=name, curve=mean, spread=spread, n_runs=len(runs))


def _like(curve: Any, rounds: Sequence[float], values: np.ndarray) -> Any:
    """Return a curve with the columns of another one, at some rounds."""
    from pandas import DataFrame

    found = DataFrame(values, columns=[column for column in curve.columns if column != "round"])
    found.insert(0, "round", rounds)
    return found.astype("float64")
