"""The two READMEs agree, and everything that they name exists."""

import documents
import pytest

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"


@pytest.mark.parametrize("part", documents.PARTS, ids=lambda part: part.__name__)
def test_both_languages_say_the_same(part):
    assert part(documents.text_of(ENGLISH)) == part(documents.text_of(CHINESE))
    assert len(part(documents.text_of(ENGLISH))) > 5


def test_both_languages_link_the_same():
    assert documents.compared_links(ENGLISH) == documents.compared_links(CHINESE)
    assert len(documents.compared_links(ENGLISH)) > 5


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_links_lead_somewhere(name):
    assert documents.dead_links(name) == []


def test_settings_that_are_named_exist():
    assert len(documents.settings_in(documents.text_of(ENGLISH))) > 5
    assert documents.unknown_settings(documents.text_of(ENGLISH)) == []
