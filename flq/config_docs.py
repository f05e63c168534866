"""Makes the tables of settings in docs/configuration.md and docs/zh/configuration.md from the model.

    python -m flq.config_docs            # print the English tables
    python -m flq.config_docs --write    # replace the tables of both pages

docs/zh/configuration-texts.json is a JSON object from each English text to the Chinese one. A text that has changed in
``config.py`` therefore has no translation, and making the Chinese tables fails.

Example
-------
>>> print(markdown_table().splitlines()[0])
### system
"""

import json
import sys
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence, Type

from pydantic.fields import FieldInfo

from .config import SECTIONS, Section, allowed, is_optional
from .core.settings import Settings
from .errors import ConfigError, FlqError

DOCS = Path(__file__).resolve().parent.parent / "docs"
TEXTS = "docs/zh/configuration-texts.json"

Say = Callable[[str], str]


def markdown_table(texts: Optional[Mapping[str, str]] = None) -> str:
    """Return one heading and one Markdown table per section, keys in the model's order.

    Parameters
    ----------
    texts : mapping from str to str, optional
        Translation of each English text; without it the table is in English.

    Raises
    ------
    ConfigError
        If a text has no translation.
    """

    def say(text: str) -> str:
        if texts is None:
            return text
        if text not in texts:
            raise ConfigError("there is no translation of %s" % json.dumps(text), "add it to %s" % TEXTS)
        return texts[text]

    return "\n".join(_section(name, model, say) for name, model in SECTIONS.items())


def _section(name: str, model: Type[Section], say: Say) -> str:
    heads = [say(head) for head in ("key", "default", "allowed", "meaning")]
    lines = ["### " + name, "", "| %s |" % " | ".join(heads), "|---|---|---|---|"]
    defaults = getattr(Settings(), name)
    for key, field in model.model_fields.items():
        lines.append(
            "| `%s` | `%s` | %s | %s |"
            % (key, json.dumps(getattr(defaults, key)), _allowed(field, say), say(str(field.description)))
        )
    return "\n".join(lines) + "\n"


def _allowed(field: FieldInfo, say: Say) -> str:
    """Return kind and range of a field, joined in the order of the language."""
    kind, bounds = allowed(field)
    for beginning in ("one of ", "a list of any of "):
        if kind.startswith(beginning):
            kind = say(beginning + "%s") % kind[len(beginning) :]
            break
    else:
        kind, bracket, options = kind.partition(" (")  # of an object
        kind = say(kind) + bracket + options
    if bounds.startswith("in "):
        bounds = say("in %s") % bounds[len("in ") :]
    elif bounds.startswith("of "):
        bounds = say(bounds)
    else:
        bounds = say(" and ").join(bounds.split(" and "))
    return (say("%s %s") % (kind, bounds) if bounds else kind) + (say(", or null") if is_optional(field) else "")


def chinese_texts(docs: Path = DOCS) -> Mapping[str, str]:
    """Return the translation, from each English text to the Chinese one."""
    texts: Mapping[str, str] = json.loads((docs / "zh" / "configuration-texts.json").read_text(encoding="utf-8"))
    return texts


def write_pages(docs: Path = DOCS) -> None:
    """Replace the tables of configuration.md and zh/configuration.md, which are the end of each page."""
    english, chinese = markdown_table(), markdown_table(chinese_texts(docs))  # both before anything is written
    for page, table in ((docs / "configuration.md", english), (docs / "zh" / "configuration.md", chinese)):
        text, heading, _ = page.read_text(encoding="utf-8").partition("\n### ")
        page.write_text(text + heading[:1] + table, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Print the English tables or, with --write, replace those of both pages; return the exit code."""
    if list(arguments) not in ([], ["--write"]):
        print("usage: python -m flq.config_docs [--write]", file=sys.stderr)
        return 2
    try:
        if arguments:
            write_pages()
        else:
            print(markdown_table(), end="")
    except FlqError as error:
        print("flq.config_docs: error: %s" % error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
