"""Reads settings of a data set from a command line, without the packages of the master's configuration.

Example
-------
>>> section_with(DatasetSettings(), ["dataset.label_column=0", "scale=255"])[-4:]
(255.0, None, False, '0')
"""

import json
import os
from typing import Any, Dict, Optional, Sequence, Tuple

from ..core.data_report import LARGEST_SCALE, LEAST_SCALE
from ..core.settings import DatasetSettings, value_from_json
from ..errors import ConfigError
from .partition import LOCAL, PARTITIONS

# Lowest and highest value, as in flq/config.py, which needs a package that workers do not have.
LIMITS = {"scale": (LEAST_SCALE, LARGEST_SCALE), "dir_alpha": (1e-6, 1e6), "shards_per_worker": (1, 10**6)}
NAMES: Dict[str, Tuple[Any, ...]] = {"partition": (*PARTITIONS, LOCAL), "channels": (1, 3)}


def add_set(flags: Any) -> None:
    """Add the flag --set, whose values are in ``overrides``, to a parser or a group."""
    flags.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="dataset.KEY=VALUE",
        help="a setting of the data set, as for the master; may be repeated",
    )


def check_data_dir(path: Optional[str]) -> None:
    """Check that what --data_dir names, if it is given, exists on this machine.

    Raises
    ------
    ConfigError
        If there is nothing at the path.
    """
    if path is not None and not os.path.exists(os.path.expanduser(path)):
        raise ConfigError(
            "--data_dir is %s, but there is no such folder" % os.path.abspath(os.path.expanduser(path)),
            "name the folder with the data on this machine",
        )


def section_with(section: DatasetSettings, overrides: Sequence[str]) -> DatasetSettings:
    """Return the settings of a data set with the overrides, each ``dataset.KEY=VALUE`` or ``KEY=VALUE``.

    Raises
    ------
    ConfigError
        If one is not dataset.KEY=VALUE, or there is no such key or value.
    """
    for override in overrides:
        name, equals, text = override.partition("=")
        key = name.strip()[len("dataset.") :] if name.strip().startswith("dataset.") else name.strip()
        if not equals or key not in section._fields or key == "name":
            raise ConfigError(
                "--set must be dataset.KEY=VALUE, got %r" % override[:60],
                "KEY is one of %s" % ", ".join(field for field in section._fields if field != "name"),
            )
        section = section._replace(**{key: _value(key, text)})
    return section


def _value(key: str, text: str) -> Any:
    """Return a value, read and checked as the master's configuration does."""
    place = "dataset.%s" % key
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if key == "scale" and value == "auto":
        return None
    if key == "label_column" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    value = value_from_json("dataset", key, value, place)
    words = None if value is None else _wrong(key, value)
    if words:
        raise ConfigError("%s must be %s, got %r" % (place, words, list(value) if isinstance(value, tuple) else value))
    return value


def _wrong(key: str, value: Any) -> str:
    """Return what a value of the right type must be if it is not; otherwise ""."""
    if key in LIMITS:
        lowest, highest = LIMITS[key]
        if not lowest <= value <= highest:
            return "at least %.15g and at most %.15g" % (lowest, highest)
    if key in NAMES and value not in NAMES[key]:
        *others, last = map(str, NAMES[key])
        return "%s or %s" % (", ".join(others), last)
    if key == "input_shape" and not (len(value) == 3 and all(1 <= axis <= 10**5 for axis in value)):
        return "a list [height, width, channels], such as [32,32,3] for a color picture, of whole numbers in 1..100000"
    if key == "test_fraction" and not 0 < value < 1:
        return "> 0 and < 1"
    return "a text that is not empty" if value == "" else ""
