"""The table of settings in docs/configuration.md, made from the model.

Example
-------
>>> print(markdown_table().splitlines()[0])
### system
"""

import json
from typing import Type

from .config import SECTIONS, Section, allowed, is_optional


def markdown_table() -> str:
    """Return one heading and one Markdown table per section, keys in the model's order."""
    return "\n".join(_section(name, model) for name, model in SECTIONS.items())


def _section(name: str, model: Type[Section]) -> str:
    lines = ["### " + name, "", "| key | default | allowed | meaning |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        words = " ".join(filter(None, allowed(field))) + (", or null" if is_optional(field) else "")
        lines.append("| `%s` | `%s` | %s | %s |" % (key, json.dumps(field.default), words, field.description))
    return "\n".join(lines) + "\n"
