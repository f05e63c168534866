"""Settings as JSON, ``{section: {key: value}}``: the form of the journal and of registrations.

Example
-------
>>> settings_from_json(to_json(Settings())) == Settings()
True
>>> value_from_json("jetson_optimization", "prefetch_size", 4.0, "prefetch_size")
4
"""

from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...errors import ConfigError
from .sections import Settings

Json = Dict[str, Dict[str, Any]]

MASTER_ONLY = ("report", "notify", "security")  # sections that workers do not get

# Lowest and highest value of keys that load a worker's machine; the master's configuration has the same limits.
LIMITS = {
    "threads": (1, 1024),
    "batch_size": (0, 10**6),
    "n_classes": (2, 10**6),
    "lr_decay_rounds": (1, 10**9),
    "gpu_memory_limit_mb": (1, 10**6),
    "prefetch_size": (0, 10000),
    "num_parallel_calls": (1, 1024),
    "cuda_cache_mb": (0, 4096),
    "telemetry_s": (0, 1e9),
}  # type: Dict[str, Tuple[float, float]]

LARGEST = float(np.finfo(np.float64).max)
WIDEST = {int: (0, 2**63 - 1), float: (-LARGEST, LARGEST)}  # type: Dict[Any, Tuple[float, float]]

ITEMS = {Tuple[int, ...]: int, Tuple[str, ...]: str}  # type: Dict[Any, Any]
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Tuple[int, ...]: "a list of whole numbers",
    Tuple[str, ...]: "a list of texts",
    Dict[str, Any]: "an object of numbers",  # strategies.options_of checks what it holds
}  # type: Dict[Any, str]
OPTIONAL = {Optional[kind]: kind for kind in WORDS}  # type: Dict[Any, Any]


def to_json(settings: Settings) -> Json:
    """Return all values, ready for JSON."""
    return {
        name: {key: list(value) if isinstance(value, tuple) else value for key, value in section._asdict().items()}
        for name, section in settings._asdict().items()
    }


def public(content: Json) -> Json:
    """Return the JSON form without ``system.master_url``, which concerns one worker alone."""
    system = {key: value for key, value in content["system"].items() if key != "master_url"}
    return dict(content, system=system)


def for_workers(settings: Settings) -> Json:
    """Return the settings for workers: the public ones without the sections of the master."""
    return {name: section for name, section in public(to_json(settings)).items() if name not in MASTER_ONLY}


def settings_from_json(content: Any, allow_missing: bool = False) -> Settings:
    """Return the settings in a master's message or a journal; unknown keys are ignored.

    Parameters
    ----------
    content : JSON value
        As from :func:`for_workers`; the sections that it leaves out have their defaults.
    allow_missing : bool
        Whether other keys may be missing too, as in the journal of an older version.

    Raises
    ------
    ConfigError
        If a key is missing, or a value has the wrong type or is out of ``LIMITS``.
    """
    sections = {}
    for name, defaults in Settings()._asdict().items():
        given = content.get(name) if isinstance(content, dict) else None
        given = given if isinstance(given, dict) else {}
        lacking = [key for key in defaults._fields if key not in given and key != "master_url"]
        if lacking and not allow_missing and name not in MASTER_ONLY:
            raise ConfigError(
                "the master's settings lack %s.%s" % (name, lacking[0]),
                "install the same version of FLQ on master and workers",
            )
        sections[name] = defaults._replace(
            **{
                key: value_from_json(name, key, given[key], "the master's %s.%s" % (name, key))
                for key in defaults._fields
                if key in given
            }
        )
    return Settings(**sections)


def value_from_json(section: str, key: str, value: Any, place: str) -> Any:
    """Return a JSON value as its key's type; 3.0 counts as 3.

    Raises
    ------
    ConfigError
        If the key does not admit it; ``place`` names it in the message.
    """
    expected = type(getattr(Settings(), section)).__annotations__[key]
    kind = OPTIONAL.get(expected, expected)
    if value is None and kind is not expected:
        return None
    limits = LIMITS.get(key, WIDEST.get(kind))
    if _fits(kind, value) and (limits is None or limits[0] <= value <= limits[1]):
        return _read(kind, value)
    words = WORDS[kind] + (" in %d..%d" % limits if limits and (kind is int or key in LIMITS) else "")
    raise ConfigError("%s must be %s%s, got %.60r" % (place, words, "" if kind is expected else " or null", value))


def _fits(kind: Any, value: Any) -> bool:
    """Return whether a JSON value can be read as a type."""
    if kind in ITEMS:
        return isinstance(value, (list, tuple)) and all(_fits(ITEMS[kind], item) for item in value)
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int and isinstance(value, float):
        return value.is_integer()
    if kind is float:
        return isinstance(value, (int, float))
    return isinstance(value, dict if kind == Dict[str, Any] else kind)


def _read(kind: Any, value: Any) -> Any:
    if kind in ITEMS:
        return tuple(_read(ITEMS[kind], item) for item in value)
    return kind(value) if kind in (int, float) else value
