"""What two versions of a document must have in common, in any language."""

import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from flq.config import SECTIONS

PROJECT = Path(__file__).resolve().parent.parent
FILES = {"model.npz", "model.keras"}  # look like settings, and are none


def text_of(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def english_name(name: str) -> str:
    """Return the path of the English version of a document or picture, from the project folder; other paths stay."""
    if name.startswith("README."):
        return "README.md"
    return re.sub(r"\.zh(\.\w+)$", r"\1", name.replace("docs/zh/", "docs/", 1))


# Each of these functions takes a text and returns the parts that must be equal in both languages.


def shape(text: str) -> List[str]:
    """Return the kinds of lines in order: headings by level, rows of tables, items of lists, quotations, pictures."""
    return re.findall(r"^(#+ |\||\* |- |\d+\. |> |!\[|<!-- .*? -->)", text, re.MULTILINE)


def cells(text: str) -> List[Tuple[int, List[str]]]:
    """Return the number of cells of each row of a table, and the numbers in it."""
    return [(len(re.findall(r"(?<!\\)\|", line)), numbers(line)) for line in text.splitlines() if line.startswith("|")]


def commands(text: str) -> List[str]:
    """Return the lines of code without their comments, which begin with # or behind two spaces."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line)
    return [re.split(r"\s{2,}|(?:^|\s)#", line.strip())[0] for line in lines]


def code(text: str) -> List[str]:
    """Return the texts between backticks, sorted."""
    return sorted(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def links(text: str) -> List[str]:
    """Return the targets of links and pictures, sorted."""
    return sorted(re.findall(r"\]\(([^)]+)\)", text))


def numbers(text: str) -> List[str]:
    """Return the numbers written in digits, sorted."""
    return sorted(re.findall(r"\d+(?:[.,]\d+)*", text))


PARTS: Tuple[Callable[[str], List[Any]], ...] = (shape, cells, commands, code, numbers)


# Where links lead, and what is named


def targets(name: str) -> List[str]:
    """Return the paths, from the project folder, that a document links to, without web addresses."""
    folder = os.path.dirname(name)
    return sorted(os.path.normpath(os.path.join(folder, link)) for link in links(text_of(name)) if "://" not in link)


def dead_links(name: str) -> List[str]:
    return [target for target in targets(name) if not (PROJECT / target).exists()]


def compared_links(name: str) -> List[str]:
    """Return the link targets of a document, by English names, without the link to its other language."""
    other = [english_name(target) for target in targets(name)]
    return sorted([target for target in other if target != english_name(name)])


def unknown_settings(text: str) -> List[str]:
    """Return the texts that look like a setting, section.key between backticks, but are none."""
    named = {name for name in code(text) if re.fullmatch(r"(%s)\.\w+" % "|".join(SECTIONS), name)} - FILES
    return sorted(name for name in named if name not in _settings())


def settings_in(text: str) -> List[str]:
    return sorted(set(code(text)) & set(_settings()))


def _settings() -> Dict[str, None]:
    return {"%s.%s" % (section, key): None for section, model in SECTIONS.items() for key in model.model_fields}
