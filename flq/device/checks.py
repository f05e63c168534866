"""The findings of a doctor: as text, as JSON, and as an exit code."""

import json
from typing import Any, List, NamedTuple

OK, WARN, FAIL = "ok", "warn", "fail"
MOST_FAILURES = 99  # that an exit code tells: from 126 on they mean something else


class Line(NamedTuple):
    """One finding.

    Attributes
    ----------
    status : str
        ok, warn: it works, but worse than it could; fail: it does not.
    name : str
        What was looked at.
    text : str
        What was found.
    fix : str
        What to do; empty if nothing is to be done.
    """

    status: str
    name: str
    text: str
    fix: str = ""


def failures(lines: List[Line]) -> int:
    """Return the number of failures."""
    return sum(line.status == FAIL for line in lines)


def as_text(lines: List[Line]) -> str:
    """Return the findings as text in columns, each fix below its line."""
    width = max((len(line.name) for line in lines), default=0)
    shown = []
    for line in lines:
        shown.append("%-4s  %-*s  %s" % (line.status, width, line.name, _plain(line.text)))
        if line.fix:
            shown.append("%-4s  %-*s  -> %s" % ("", width, "", _plain(line.fix)))
    shown.append(
        "checks: %d, failures: %d, warnings: %d"
        % (len(lines), failures(lines), sum(line.status == WARN for line in lines))
    )
    return "\n".join(shown) + "\n"


def as_json(lines: List[Line]) -> str:
    """Return the findings as a JSON object: ``lines``, each with status, name, text and fix, and ``failures``."""
    return json.dumps({"lines": [line._asdict() for line in lines], "failures": failures(lines)}, indent=1) + "\n"


def show(lines: List[Line], is_json: bool, stream: Any) -> int:
    """Write the findings to a text stream; return the exit code, the number of failures."""
    text = as_json(lines) if is_json else as_text(lines)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))  # the C locale of Python 3.6 is ASCII
    stream.flush()
    return min(failures(lines), MOST_FAILURES)


def _plain(text: str) -> str:
    """Return a text in one line without control characters; it may come from other machines."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
