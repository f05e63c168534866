"""Reads settings of a data set from a command line, without the packages of the master's configuration.

Example
-------
>>> section_with(DatasetSettings(), ["dataset.label_column=0", "scale=255"])[-4:]
(255.0, None, False, '0')
"""

import json
import os
from typing import Any, Optional, Sequence

from ..core.settings import DatasetSettings, value_from_json
from ..errors import ConfigError


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
    """Return a value as the configuration reads it."""
    place = "dataset.%s" % key
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if key == "scale" and value == "auto":
        return None
    if key == "label_column" and isinstance(value, int):
        value = str(value)
    value = value_from_json("dataset", key, value, place)
    if key == "scale" and value is not None and not value > 0:
        raise ConfigError("%s must be > 0, got %r" % (place, value))
    if key == "channels" and value not in (None, 1, 3):
        raise ConfigError("%s must be 1 or 3, got %r" % (place, value))
    if key == "input_shape" and value is not None and (len(value) != 3 or min(value) < 1):
        raise ConfigError("%s must be a list of 3 whole numbers above 0, got %s" % (place, list(value)))
    if key == "test_fraction" and not 0 < value < 1:
        raise ConfigError("%s must be in 0..1, got %r" % (place, value))
    return value
