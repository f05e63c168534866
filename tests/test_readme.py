"""The two READMEs are in step, and what they name is there."""

import re
from pathlib import Path

import pytest

from flq.config import SECTIONS

PROJECT = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = "README.md", "README.zh-CN.md"


def text_of(name):
    return (PROJECT / name).read_text(encoding="utf-8")


def commands(text):
    """Return the indented lines without their comments: commands, the line of a round, the tree."""
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    return [re.split(r"\s{2,}|\s#", line.strip())[0] for line in lines]


def code(text):
    """Return what stands between backticks, as a sorted list."""
    return sorted(re.findall(r"`([^`]+)`", text))


def links(text):
    return sorted(target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README"))


def shape(text):
    """Return the kinds of paragraphs in order: headings by level, rows of tables, bullets."""
    return [re.match(r"#+ |\||\* ", line).group() for line in text.splitlines() if re.match(r"#+ |\||\* ", line)]


@pytest.mark.parametrize("part", [commands, code, links, shape], ids=lambda part: part.__name__)
def test_both_languages_say_the_same(part):
    assert part(text_of(ENGLISH)) == part(text_of(CHINESE))
    assert len(part(text_of(ENGLISH))) > 5


def test_a_difference_would_be_found():
    text = text_of(ENGLISH)
    assert code(text.replace("`cifar10`", "`cifar100`", 1)) != code(text)
    assert commands(text.replace("-X POST", "-X GET")) != commands(text)
    assert shape(text.replace("\n* `jetson", "\n`jetson")) != shape(text)


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_links_lead_somewhere(name):
    assert [target for target in re.findall(r"\]\(([^)]+)\)", text_of(name)) if not (PROJECT / target).exists()] == []


def test_settings_that_are_named_exist():
    keys = set(SECTIONS) | {key for model in SECTIONS.values() for key in model.model_fields}
    dotted = [name for name in code(text_of(ENGLISH)) if re.fullmatch(r"(%s)\.\w+" % "|".join(SECTIONS), name)]
    named = set(dotted) - {"model.npz", "model.keras"}  # which are files
    assert len(named) > 5
    assert [name for name in sorted(named) if name.split(".")[1] not in keys] == []
