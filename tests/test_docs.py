"""Users' documents exist in English and Chinese and agree; everything that a document names exists."""

import re
import runpy

import documents
import pytest

from flq.core.layout import Layout, Tensor
from flq.core.settings import Settings, public, to_json
from flq.report.config_sheet import config_lines
from flq.report.read_me import NAME, SHEETS
from flq.report.summary import Totals, summary

ENGLISH = sorted(path.name for path in (documents.PROJECT / "docs").glob("*.md"))
CHINESE = sorted(path.name for path in (documents.PROJECT / "docs" / "zh").glob("*.md"))
BOTH = sorted(set(ENGLISH) & set(CHINESE))
DEVELOPERS = {"adding.md", "architecture.md", "states.md", "wire.md"}  # English only
REPORTS = {"bytes.md", "departures.md", "reliability.md", "results.md", "speed.md"}  # English only
FILES = ["CONTRIBUTING.md"] + ["docs/" + name for name in ENGLISH] + ["docs/zh/" + name for name in CHINESE]


def english(name):
    return documents.text_of("docs/" + name)


def chinese(name):
    return documents.text_of("docs/zh/" + name)


def test_every_users_document_has_its_sibling():
    assert set(ENGLISH) - DEVELOPERS - REPORTS == set(CHINESE)
    assert len(BOTH) > 10


@pytest.mark.parametrize("name", BOTH)
def test_siblings_link_each_other_in_their_first_lines(name):
    assert english(name).splitlines()[2] == "[中文](zh/%s)" % name
    assert chinese(name).splitlines()[2] == "[English](../%s)" % name


@pytest.mark.parametrize("part", documents.PARTS, ids=lambda part: part.__name__)
@pytest.mark.parametrize("name", BOTH)
def test_both_languages_say_the_same(name, part):
    assert part(chinese(name)) == part(english(name))


@pytest.mark.parametrize("name", BOTH)
def test_both_languages_link_the_same(name):
    assert documents.compared_links("docs/zh/" + name) == documents.compared_links("docs/" + name)


@pytest.mark.parametrize("name", FILES)
def test_links_lead_somewhere(name):
    assert documents.dead_links(name) == []


def test_a_chinese_document_leads_to_chinese_ones():
    english_ones = {"docs/" + name for name in BOTH} | {"README.md"}
    for name in CHINESE:
        others = set(documents.targets("docs/zh/" + name)) - {"docs/" + name}
        assert others & english_ones == set(), name


@pytest.mark.parametrize("name", ["README.zh-CN.md"] + ["docs/zh/" + name for name in CHINESE])
def test_a_chinese_document_marks_links_to_english_pages(name):
    found = re.findall(r"\[([^\]]*)\]\([^)]*?(\w+\.md)\)", documents.text_of(name))
    assert [text for text, file in found if file in DEVELOPERS | REPORTS and not text.endswith("（英文）")] == []


@pytest.mark.parametrize("name", FILES)
def test_settings_that_are_named_exist(name):
    assert documents.unknown_settings(documents.text_of(name)) == []


def test_there_are_settings_to_look_at():
    assert len({setting for name in ENGLISH for setting in documents.settings_in(english(name))}) > 10


@pytest.mark.parametrize("name", CHINESE)
def test_a_chinese_document_is_chinese(name):
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", chinese(name), flags=re.DOTALL)
    characters, letters = len(re.findall("[\u4e00-\u9fff]", prose)), len(re.findall("[a-zA-Z]", prose))
    assert characters > 0.5 * letters


def test_the_picture_equals_the_output_of_its_program():
    folder = documents.PROJECT / "docs" / "img"
    drawn = runpy.run_path(str(folder / "architecture.py"))["picture"]
    assert (folder / "architecture.svg").read_text(encoding="utf-8") == drawn()


@pytest.mark.parametrize(
    "text, n_lines, n_settings",
    [
        (english("tutorial.md"), r"the run in (\d+) lines", r"(\d+) settings and their values"),
        (chinese("tutorial.md"), r"用 (\d+) 行概括这次运行", r"(\d+) 项设置及其取值"),
    ],
    ids=["english", "chinese"],
)
def test_the_tutorial_counts_the_lines_of_its_workbook(text, n_lines, n_settings):
    totals, layout = Totals([], (0, 0), (0, 0), (0, 0)), Layout((Tensor("kernel", (10, 5)),))
    lines = summary("20260801_120003_ab12", "", [], totals, Settings(), "", layout)
    assert [int(number) for number in re.findall(n_lines, text)] == [len(lines)]
    assert [int(number) for number in re.findall(n_settings, text)] == [len(config_lines(public(to_json(Settings()))))]
    row = 2 + [line.label for line in lines].index("wire down after the last round (bytes)")
    assert re.findall(r"=SUM\(Rounds!P2:P31\)\+B(\d+)", text) == [str(row)]


@pytest.mark.parametrize("text", [english("tutorial.md"), english("workbook.md")], ids=["tutorial", "workbook"])
def test_every_sheet_of_a_workbook_has_its_row(text):
    table = text.split("| sheet | content |\n|---|---|\n")[1].split("\n\n")[0]
    sheets = [line.split("|")[1].strip() for line in table.splitlines()]
    assert sorted(sheets) == sorted([*SHEETS, NAME])


# What is compared would be missed if it were not there.

DOCUMENT = """# A

* a point with `code` and [a link](b.md)
1. another one, of 17

## B

![A picture](c.png)

| a | b |
|---|---|
| 1 | 2.5 |

    run --this      # and a comment

```bash
run --that
```
"""


@pytest.mark.parametrize(
    "part, old, new",
    [
        (documents.shape, "## B", "### B"),
        (documents.shape, "* a", "a"),
        (documents.shape, "1. a", "a"),
        (documents.shape, "![A", "[A"),
        (documents.shape, "|---|---|\n", ""),
        (documents.cells, "2.5", "2.6"),
        (documents.cells, " 2.5 |", " 2.5"),
        (documents.cells, "| 1 ", "| "),
        (documents.commands, "--this", "--thus"),
        (documents.commands, "--that", "--thus"),
        (documents.code, "`code`", "`cod`"),
        (documents.code, "`code`", "code"),
        (documents.numbers, "17", "18"),
        (documents.links, "b.md", "c.md"),
    ],
)
def test_a_difference_would_be_found(part, old, new):
    assert DOCUMENT.count(old) == 1
    assert part(DOCUMENT.replace(old, new)) != part(DOCUMENT)


@pytest.mark.parametrize("part", documents.PARTS, ids=lambda part: part.__name__)
def test_words_and_comments_may_differ(part):
    other = DOCUMENT.replace("a point with", "ein Punkt mit").replace("and a comment", "und ein Kommentar")
    assert part(other) == part(DOCUMENT)


def test_a_wrong_link_and_a_wrong_setting_would_be_found(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("[b](b.md), [c](https://host/c.md) and `system.rounds`", encoding="utf-8")
    monkeypatch.setattr(documents, "PROJECT", tmp_path)
    assert documents.dead_links("docs/a.md") == ["docs/b.md"]
    assert documents.unknown_settings(documents.text_of("docs/a.md")) == ["system.rounds"]
