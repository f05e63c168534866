"""The colours of the outcomes of a round: the one palette of the live page, the workbook and the figures.

The five stay apart for colour-blind readers (Machado et al. 2009, doi:10.1109/TVCG.2009.113), on white paper and on the
dark page: the colour difference CIE76 of any two is 20 or more. Each medium also tells them apart without colour: the
page by shape, the workbook by letter, the figure by marker or order.

Example
-------
>>> COLOURS["uploaded"].light, ink_on(COLOURS["uploaded"].light)
('#1F6FC9', '#FFFFFF')
"""

from typing import Dict, NamedTuple, Tuple


class Colours(NamedTuple):
    """A colour on a light and on a dark background, as #RRGGBB."""

    light: str
    dark: str


# By status, in the order of flq.core.statuses.
COLOURS: Dict[str, Colours] = {
    "uploaded": Colours("#1F6FC9", "#4B97F0"),
    "skipped": Colours("#B8BEC6", "#66717F"),
    "refused": Colours("#882255", "#D9A3E0"),
    "late": Colours("#E69F00", "#F5B83D"),
    "lost": Colours("#C9302C", "#F2493F"),
}
THEMES = Colours._fields


def style_sheet(theme: str) -> str:
    """Return the colours of a theme ("light" or "dark") as variables of a style sheet."""
    return ":root { %s }\n" % " ".join("--%s: %s;" % (name, getattr(each, theme)) for name, each in COLOURS.items())


def ink_on(colour: str) -> str:
    """Return black or white, whichever contrasts more with a background."""
    return "#000000" if luminance(colour) > 0.179 else "#FFFFFF"


def tint(colour: str, share: float) -> str:
    """Return a mixture with white; ``share`` is that of the colour."""
    return "#%02X%02X%02X" % tuple(round(255 + share * (part - 255)) for part in rgb(colour))


def luminance(colour: str) -> float:
    """Return the relative luminance, 0..1 (WCAG 2.1)."""
    linear = [part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb(colour: str) -> Tuple[int, int, int]:
    """Return the parts of #RRGGBB, 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
