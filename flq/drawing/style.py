"""The style of figures: sizes, fonts and colours for a two-column paper.

:func:`styled` applies it to one function, and leaves Matplotlib's own settings unchanged.

Example
-------
>>> @styled
... def a_line(values):
...     figure, axes = new_figure()
...     axes.plot(values)
...     return figure
"""

import contextlib
import functools
import warnings
from typing import Any, Callable, Dict, FrozenSet, Iterator, Sequence, Tuple

COLUMN, PAGE = 3.35, 7.0  # widths in inches: of one column, and of both
HEIGHT = 2.2
DPI = 200  # of PNG
# Okabe and Ito's colours, distinct for colour-blind readers; the charts of a workbook use them too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GRID = "#D9D9D9"
MOST_LETTERS = 40  # of a name in a legend
LINE_INCHES = 0.14  # of a legend
# Fonts with Chinese letters, which Matplotlib's own font lacks; the first that is installed is used. Matplotlib names a
# collection (.ttc) by its first font, for Noto Sans CJK the Japanese one.
FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "Arial Unicode MS",
)

SETTINGS: Dict[str, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.borderaxespad": 0.3,
    "legend.columnspacing": 1.4,
    "legend.labelspacing": 0.3,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.2,
    "lines.markeredgewidth": 0.8,
    "hatch.linewidth": 0.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "svg.fonttype": "none",  # text can be searched and edited
    "svg.hashsalt": "flq",  # the same ids every time
}


def styled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function to draw in this style; it restores Matplotlib's settings afterwards."""

    @functools.wraps(function)
    def inner(*args: Any, **more: Any) -> Any:
        from matplotlib import rc_context, rcParamsDefault

        plain_matplotlib = {key: value for key, value in rcParamsDefault.items() if not key.startswith("backend")}
        with rc_context(dict(plain_matplotlib, **SETTINGS, **{"font.family": families()})):
            return function(*args, **more)

    return inner


@functools.lru_cache(maxsize=None)
def families() -> Sequence[str]:
    """Return the font families: Matplotlib's, and a Chinese one if installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ("DejaVu Sans",) + tuple(name for name in FALLBACKS if name in installed)[:1]


def lacking(text: str) -> str:
    """Return the letters of a text that no font of the figures has, each once."""
    return "".join(sorted(letter for letter in set(text) if letter.isprintable() and ord(letter) not in _glyphs()))


@functools.lru_cache(maxsize=None)
def _glyphs() -> FrozenSet[int]:
    """Return the code points that the fonts of the figures have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[name]))) for name in families()]
    return frozenset(code for font in fonts for code in font.get_charmap())


@contextlib.contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Return a context in which Matplotlib does not warn of letters that its fonts lack: it draws a box for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield


def new_figure(width: float = COLUMN, height: float = HEIGHT, n_panels: int = 1) -> Tuple[Any, Any]:
    """Return an empty figure and its axes, side by side if there are several; sizes are in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, n_panels)


def plain(text: str, most_letters: int = MOST_LETTERS) -> str:
    """Return an untrusted text, safe to draw: one line, shortened, ``$`` escaped."""
    letters = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    short = letters if len(letters) <= most_letters else letters[: most_letters - 3] + "..."
    return short.replace("$", r"\$")


def colour(style: int) -> str:
    """Return the colour of a line style; a quantity has the same style everywhere."""
    return PALETTE[style % len(PALETTE)]


def thousands(axis: Any) -> None:
    """Label the ticks of an axis with whole numbers and thousands separators."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: "{:,.0f}".format(value)))


def legend_above(figure: Any, handles: Sequence[Any], **more: Any) -> None:
    """Put a legend above the axes, with as many columns as fit; each further line makes the figure taller."""
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=list(handles), loc="outside upper center", ncols=columns, **more)
        with without_glyph_warnings():
            width = legend.get_window_extent().width
        if columns == 1 or width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * (-(-len(handles) // columns) - 1))
