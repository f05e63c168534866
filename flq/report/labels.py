"""Labels runs by what distinguishes them.

Example
-------
    labels_of(runs)
    # ['lowrank', 'fedavg']
"""

from collections import defaultdict
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from .config_sheet import DERIVED_SETTINGS
from .seeds import SEED, settings_that_matter
from .stored import StoredRun, shown

LONGEST = 40  # characters of a label of settings


def labels_of(runs: Sequence[StoredRun]) -> List[str]:
    """Return the shortest distinct labels: modes, modes and bits, the settings that differ, or the runs' names.

    Beside the mean of several seeds, a run that repeats a seed of the same setting has "seed N again" in its label.
    """
    repeats = _repeats(runs) if any(run.n_runs > 1 for run in runs) else [""] * len(runs)
    for found in (
        [run.mode for run in runs],
        [" ".join([run.mode, *_bits(run.settings.get("flq_algorithm", {}))]) for run in runs],
        _differing(runs, {SEED, *DERIVED_SETTINGS}),
        _differing(runs, {SEED}),
    ):
        labels = [", ".join(filter(None, parts)) for parts in zip(found, repeats)]
        if all(run.mode for run in runs) and len(set(labels)) == len(runs) and max(map(len, labels)) <= LONGEST:
            return labels
    return [run.name for run in runs]


def _bits(settings: Mapping[str, Any]) -> List[str]:
    """Return the bits per number and the bytes per message, up and down, if set."""
    limits: Dict[str, List[Any]] = {
        unit: [settings.get(prefix + way) for way in ("_up", "_down")]
        for prefix, unit in (("b", "bit"), ("bytes", "B"))
    }
    return [
        "%s %s" % ("/".join("-" if value is None else shown(value) for value in values), unit)
        for unit, values in limits.items()
        if any(value is not None for value in values)
    ]


def _differing(runs: Sequence[StoredRun], without: Set[Tuple[str, str]]) -> List[str]:
    """Return the settings that differ, the mode first; no labels if they are unknown or too many to name a run."""
    if not all(run.settings for run in runs):
        return []
    found = [settings_that_matter(run) for run in runs]
    keys = [key for key in found[0] if key not in without and len({settings.get(key) for settings in found}) > 1]
    keys.sort(key=lambda key: key != ("flq_algorithm", "mode"))
    labels = [", ".join(_text(key, run.settings[section].get(key)) for section, key in keys) for run in runs]
    return labels


def _repeats(runs: Sequence[StoredRun]) -> List[str]:
    """Return for each run which seed of an earlier setting it repeats; empty if none."""
    n_seen: Dict[Any, int] = defaultdict(int)
    repeats = []
    for number, run in enumerate(runs):
        settings = settings_that_matter(run)
        seed = settings.pop(SEED, None)
        setting = (run.dataset, run.accuracy_of, run.loss_of, tuple(sorted(settings.items()))) if settings else number
        times = n_seen[setting]
        n_seen[setting] += 1
        repeats.append("" if not times else "seed %s again%s" % (seed, "" if times == 1 else " (%d)" % times))
    return repeats


def _text(key: str, value: Any) -> str:
    text = "null" if value is None else "%g" % value if isinstance(value, float) else shown(value)
    return text if key in ("mode", "name") else "%s %s" % (key, text)
