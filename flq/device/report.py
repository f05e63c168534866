"""The fields of a device report, which workers send and the master checks.

A report is a JSON object. All keys except ``life`` are optional: values without a sensor are omitted.
"""

import re
from typing import Any, Dict, NamedTuple

from ..errors import BadValues
from .sensors import MOST_NAMES, is_name

LONGEST_TEXT = 200
HINT = "flq/device/report.py has the fields of a report"


class Field(NamedTuple):
    """The type of a value. ``kind``: number, whole, flag, text, life or rails; numbers have bounds."""

    kind: str
    meaning: str
    lowest: float = 0
    highest: float = 0


FIELDS = {
    "name": Field("text", "name given by the worker's owner"),
    "life": Field("life", "8 hexadecimal digits, new for each process; energy_j counts from its start"),
    "cpu": Field("number", "load of all CPUs", 0, 1),
    "gpu": Field("number", "load of the GPU", 0, 1),
    "ram_mb": Field("number", "main memory in use, MB of 2^20 bytes", 0, 2**30),
    "ram_total_mb": Field("number", "main memory, MB", 0, 2**30),
    "temperature_c": Field("number", "the hottest zone, degrees Celsius", -100, 200),
    "peak_c": Field("number", "peak of all zones since the start, degrees Celsius", -100, 200),
    "throttled": Field("flag", "whether CPU or GPU are throttled by heat or power"),
    "power_w": Field("number", "power of the whole board, W", 0, 10**5),
    "rails_w": Field("rails", "power by the name of the rail, W; rails overlap", 0, 10**5),
    "energy_j": Field("number", "energy of the whole board since the start, J", 0, 10**13),
    "uncovered_s": Field("number", "seconds since the start that energy_j does not cover", 0, 10**10),
    "samples": Field("whole", "samples trained on since the start", 0, 2**53),
    "problem": Field("text", "a problem of the worker"),
}  # type: Dict[str, Field]


def checked(value: Any) -> Dict[str, Any]:
    """Check an untrusted report; return it in the order of the table.

    Raises
    ------
    BadValues
        If it is not an object, lacks ``life``, or has an unknown field or an invalid value.
    """
    if not isinstance(value, dict):
        raise BadValues("a device report must be an object, got %s" % _shown(value), HINT)
    for name in value:
        if name not in FIELDS:
            raise BadValues("a device report has no field %s" % _shown(name), HINT)
    if "life" not in value:
        raise BadValues("a device report must have the field life", HINT)
    return {name: _checked(value[name], field, name) for name, field in FIELDS.items() if name in value}


def printable(text: str) -> str:
    """Return a text as a report requires it: one line of limited length."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 3] + "..."


def _checked(value: Any, field: Field, name: str) -> Any:
    if field.kind == "rails":
        return _checked_rails(value, field, name)
    if field.kind == "flag":
        fits, words = isinstance(value, bool), "true or false"
    elif field.kind == "life":
        fits, words = isinstance(value, str) and bool(re.match(r"[0-9a-f]{8}\Z", value)), "8 hexadecimal digits"
    elif field.kind == "text":
        fits = isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable()
        words = "a printable text of at most %d characters" % LONGEST_TEXT
    else:
        is_whole = field.kind == "whole"
        fits = (
            isinstance(value, int if is_whole else (int, float))
            and not isinstance(value, bool)
            and field.lowest <= value <= field.highest
        )  # NaN fails both comparisons
        words = "a %snumber in %d..%d" % ("whole " * is_whole, field.lowest, field.highest)
    if not fits:
        raise BadValues("%s of a device report must be %s, got %s" % (name, words, _shown(value)), HINT)
    return value


def _checked_rails(value: Any, field: Field, name: str) -> Dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MOST_NAMES or not all(map(is_name, value)):
        raise BadValues(
            "%s of a device report must be an object of at most %d rails, each with a short name of "
            "printable ASCII characters, got %s" % (name, MOST_NAMES, _shown(value)),
            HINT,
        )
    return {rail: _checked(power, field._replace(kind="number"), name) for rail, power in value.items()}


def _shown(value: Any) -> str:
    """Describe a JSON value in a few ASCII characters, whatever its size."""
    if isinstance(value, (dict, list)):
        return "%s of %d" % ("an object" if isinstance(value, dict) else "a list", len(value))
    if isinstance(value, int) and abs(value) > 2**64:
        return "a number of %d bits" % value.bit_length()
    return ascii(value[:80] if isinstance(value, str) else value)
