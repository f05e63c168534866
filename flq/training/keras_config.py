"""Keras' own configuration, on which FLQ's models must not depend.

A user's ``keras.json`` and the variable KERAS_BACKEND hold for all programs on a machine. If they changed a model
on one machine only, its worker would train another function than the others. So FLQ uses Keras' defaults, with
TensorFlow, and says in the log what it overrides. A user's own module may change the configuration when it is
imported, as it does so on every machine.
"""

import contextlib
import json
import os
import sys
from typing import Any, Dict, Iterator, List, Tuple

from ..errors import DataError

BACKEND = "tensorflow"
DEFAULTS: Dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
ALLOWED = {
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_first", "channels_last"),
}  # what Keras asserts of keras.json


def config_path() -> str:
    """Return where Keras reads its configuration."""
    folder = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return os.path.join(os.path.expanduser(folder), "keras.json")


def choose_backend() -> List[str]:
    """Make Keras use TensorFlow, if it is not imported yet; return lines for the log."""
    if "keras" in sys.modules:
        return []
    asked = os.environ.get("KERAS_BACKEND")
    content, invalid = _content_of_file()
    where, backend = ("KERAS_BACKEND", asked) if asked else (config_path(), content.get("backend", BACKEND))
    os.environ["KERAS_BACKEND"] = BACKEND
    notes = [invalid] if invalid else []
    if backend != BACKEND:
        notes.append("Keras: backend %s of %s is overridden by %s" % (backend, where, BACKEND))
    return notes


def require_backend(keras: Any) -> None:
    """Raise DataError if Keras was imported with another backend than TensorFlow."""
    backend = keras.backend.backend()
    if backend != BACKEND:
        raise DataError(
            "Keras already runs on %s in this process, FLQ needs it on TensorFlow" % backend,
            hint="set KERAS_BACKEND=tensorflow before Keras is imported",
        )


def set_defaults(keras: Any) -> List[str]:
    """Set Keras' configuration to its defaults; return lines for the log."""
    notes = []
    for name, value in DEFAULTS.items():
        was = getattr(keras.backend, name)()
        if was != value:
            notes.append("Keras: %s %s of the user's settings is overridden by %s" % (name, was, value))
        getattr(keras.backend, "set_" + name)(value)
    return notes


@contextlib.contextmanager
def compute_policy(keras: Any, mixed: bool, is_own: bool = False) -> Iterator[None]:
    """Return a context to build a model in, with Keras' defaults; afterwards the configuration is as before.

    Parameters
    ----------
    mixed : bool
        Whether layers compute in float16; variables stay float32.
    is_own : bool
        Whether it is the user's own model, whose module may set a policy if FLQ sets none.
    """
    if is_own and not mixed:
        yield
        return
    mixed_precision, backend = keras.mixed_precision, keras.backend
    policy = mixed_precision.global_policy()  # first: without a policy Keras 3 makes one of floatx
    before = {name: getattr(backend, name)() for name in DEFAULTS}
    set_defaults(keras)
    mixed_precision.set_global_policy("mixed_float16" if mixed else "float32")
    try:
        yield
    finally:
        for name, value in before.items():
            getattr(backend, "set_" + name)(value)
        mixed_precision.set_global_policy(policy)


def what_is_invalid() -> str:
    """Return what is wrong with a value of keras.json that Keras asserts when it is imported, or ""."""
    content, _ = _content_of_file()
    for name, allowed in ALLOWED.items():
        value = content.get(name, allowed[0])
        if value not in allowed:
            return "%s is %s, expected %s" % (name, json.dumps(value)[:40], " or ".join(allowed))
    if not isinstance(content.get("epsilon", 1e-7), float):
        return "epsilon is %s, expected a number such as 1e-7" % json.dumps(content["epsilon"])[:40]
    return ""


def _content_of_file() -> Tuple[Dict[str, Any], str]:
    """Return the content of keras.json, empty if there is none, and a line for the log if it is invalid."""
    path = config_path()
    try:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
    except OSError:
        return {}, ""
    except ValueError as error:  # Keras passes over it
        return {}, "Keras: %s is not used, since it is not valid JSON: %s" % (path, error)
    return (content, "") if isinstance(content, dict) else ({}, "Keras: %s is not a JSON object" % path)
