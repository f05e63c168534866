"""The texts of the page: both languages have the same, with the same values in them, and all that is asked for."""

import re
from pathlib import Path

import pytest

from flq.core.statuses import STATUSES
from flq.master.live.news import BEGAN, DIVERGED, KINDS, WENT_ON, Item
from flq.master.live.page_files import FOLDER
from flq.master.routes.openapi import STATES
from flq.protocol.events import BACK, CONTESTED, GONE, HEAVY, JOINED, NONFINITE, RESYNC, UNABLE
from flq.report.divergence import OWN, TEST, TRAINING, UPDATES

PAGE = Path(FOLDER)
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in PAGE.glob("*.js")}
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")


def texts_of(language, table="TEXTS"):
    """Return the texts of a language by name; texts.js is simple enough for a pattern."""
    script = SCRIPTS["texts.js"].partition("export const %s = {" % table)[2]
    part = script.partition("  %s: {" % language)[2].partition("\n  },")[0]
    return dict(re.findall(r'(\w+): "([^"]*)"', part))


ENGLISH, CHINESE = texts_of("en"), texts_of("zh")


def test_both_languages_have_the_same_texts_with_the_same_values():
    assert len(ENGLISH) > 80 and set(ENGLISH) == set(CHINESE)
    for name, text in ENGLISH.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", CHINESE[name])), name


def test_chinese_texts_are_chinese():
    same = {name for name, text in CHINESE.items() if not re.search("[\u4e00-\u9fff]", text)}
    assert same == {"other", "otherLabel", "temperature", "watts", "workbook"}


def test_chinese_log_lines_need_only_values_of_their_kind():
    sentences = texts_of("zh", "SENTENCES")
    about_a_worker = {JOINED, BACK, GONE, RESYNC, UNABLE, NONFINITE, CONTESTED, HEAVY}
    assert set(sentences) == about_a_worker | {BEGAN, DIVERGED, WENT_ON}
    for kind, text in sentences.items():
        asked = set(re.findall(r"\{(\w+)\}", text))
        assert re.search("[\u4e00-\u9fff]", text) and asked <= set(Item._fields), kind
        assert ("worker_id" in asked) == (kind in about_a_worker), kind


@pytest.mark.parametrize(
    "name",
    sorted(
        {"%sKind" % kind for kind in KINDS}
        | set(STATES)
        | set(STATUSES)
        | set(re.findall(r'data-(?:text|label)="(\w+)"', INDEX))
        | {name for text in SCRIPTS.values() for name in re.findall(r'\bsay\("(\w+)"', text)}
    ),
)
def test_there_is_a_text(name):
    assert name in ENGLISH


def test_every_quantity_that_can_diverge_has_a_text():
    table = SCRIPTS["overview.js"].partition("const QUANTITIES = {")[2].partition("}")[0]
    names = dict(re.findall(r'"([^"]+)": "(\w+)"', table))
    assert set(names) == {TRAINING, TEST, OWN, UPDATES} and set(names.values()) <= set(ENGLISH)


def test_every_text_is_used():
    used = set(re.findall(r'"(\w+)"', "".join(text for name, text in SCRIPTS.items() if name != "texts.js") + INDEX))
    made_up = {"%sKind" % kind for kind in KINDS} | {axis + "Axis" for axis in ("round", "bytes")}
    assert set(ENGLISH) - used - made_up - set(STATES) == set()


def test_the_page_without_a_script_has_the_english_texts():
    said = re.findall(r'data-text="(\w+)"[^>]*>([^<]*)<', INDEX)
    assert len(said) > 25
    assert [(name, text) for name, text in said if ENGLISH[name] != text] == []
