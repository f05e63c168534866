"""The colours of statuses: one palette for page, workbook and figures, legible for colour-blind readers."""

import itertools
import re

import numpy as np
import pytest

from flq.core.statuses import STATUSES
from flq.drawing.statuses import COLOURS, THEMES, ink_on, luminance, rgb, style_sheet, tint
from flq.master.live.page_files import page_files
from flq.report.roll_call import MARKS

CARD = {"light": "#FFFFFF", "dark": "#171E27"}  # the grounds on the page
SEEN = {  # Machado et al. 2009, severity 1.0, for linear RGB
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour, seen):
    parts = np.array(rgb(colour)) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(seen) @ linear, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_every_status_has_a_colour():
    assert tuple(COLOURS) == STATUSES


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("theme", THEMES)
def test_any_two_differ_for_all_readers(theme, seen):
    colours = [getattr(each, theme) for each in COLOURS.values()]
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(lab(one, SEEN[seen]) - lab(other, SEEN[seen])) >= 20, (one, other)


@pytest.mark.parametrize("theme", THEMES)
def test_all_stand_out_from_the_ground(theme):
    assert min(contrast(getattr(each, theme), CARD[theme]) for each in COLOURS.values()) > 1.8


def test_letters_on_a_colour_are_legible():
    for each in COLOURS.values():
        assert contrast(each.light, ink_on(each.light)) >= 4.5
        assert contrast(tint(each.light, 0.2), "#000000") >= 10


def test_a_tint_lies_between_white_and_the_colour():
    assert (tint("#1F6FC9", 0.0), tint("#1F6FC9", 1.0), tint("#000000", 0.5)) == ("#FFFFFF", "#1F6FC9", "#808080")


@pytest.mark.parametrize("theme", THEMES)
def test_the_page_gets_these_colours_and_has_no_others(theme):
    text = page_files()["%s.css" % theme].content.decode()
    assert text.endswith(style_sheet(theme))
    for status, each in COLOURS.items():
        assert re.findall("--%s: (#[^;]+);" % status, text) == [getattr(each, theme)]


def test_the_workbook_has_these_colours():
    assert {mark.status: mark.look["bg_color"] for mark in MARKS} == {
        status: each.light for status, each in COLOURS.items()
    }
