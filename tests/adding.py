"""The worked examples of docs/adding.md, applied to a copy of the code."""

import re
import shutil
from pathlib import Path
from typing import List

PROJECT = Path(__file__).resolve().parent.parent


def blocks_of(section: str) -> List[str]:
    """Return the Python blocks of a section of docs/adding.md."""
    text = (PROJECT / "docs" / "adding.md").read_text(encoding="utf-8")
    (body,) = re.findall(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(section), text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```python\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)


def apply(section: str, folder: Path) -> List[str]:
    """Copy the package flq into a folder and apply a section; return the changed files.

    A block that begins with ``# PATH`` is a file. One that begins with ``# PATH, in TABLE`` is imports of that file,
    functions that go before the table, and rows of it, which go first.
    """
    shutil.copytree(str(PROJECT / "flq"), str(folder / "flq"), ignore=shutil.ignore_patterns("__pycache__"))
    changed = []
    for block in blocks_of(section):
        (name, table, code) = re.fullmatch(r"# ([\w./]+)(?:, in (\w+))?\n(.*)", block, re.DOTALL).groups()
        path = folder / name
        assert path.exists() == bool(table), name
        path.write_text(_with_rows(path.read_text("utf-8"), table, code) if table else code, encoding="utf-8")
        changed.append(name)
    return changed


def _with_rows(source: str, table: str, code: str) -> str:
    imports = [line for line in code.splitlines() if line.startswith(("from ", "import "))]
    rows = [line for line in code.splitlines() if line.startswith('"')]
    functions = [line for line in code.splitlines() if line not in imports + rows]
    lines = source.splitlines()
    (begin,) = [number for number, line in enumerate(lines) if re.match(r"%s\b.*[{(\[]$" % table, line)]
    lines[begin + 1 : begin + 1] = ["    " + row for row in rows]
    lines[begin:begin] = functions
    first = next(number for number, line in enumerate(lines) if line.startswith("from ."))
    lines[first:first] = imports
    return "\n".join(lines) + "\n"
