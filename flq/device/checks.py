"""The findings of a doctor, as text, as JSON, and as an exit code."""

import json
from typing import Any, List, NamedTuple

OK, WARN, FAIL = "ok", "warn", "fail"
MOST_FAILURES = 99  # in an exit code; codes from 126 on have other meanings


class Line(NamedTuple):
    """One finding.

    Attributes
    ----------
    status : str
        ok; warn: it works, but not as well as it could; fail: it does not work.
    name : str
        The subject of the check.
    text : str
        The result.
    fix : str
        How to fix it; empty if there is nothing to fix.
    """

    status: str
    name: str
    text: str
    fix: str = ""


def failures(lines: List[Line]) -> int:
    """Return the number of failures."""
    return sum(line.status == FAIL for line in lines)


def as_text(lines: List[Line]) -> str:
    """Return the findings as aligned text, each fix below its line."""
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
    """Write the findings to a text stream; return the exit code, which is the number of failures."""
    text = as_json(lines) if is_json else as_text(lines)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))  # in the C locale, Python 3.6 uses ASCII
    stream.flush()
    return min(failures(lines), MOST_FAILURES)


def _plain(text: str) -> str:
    """Return an untrusted text as one line without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
