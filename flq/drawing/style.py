"""The style of figures: sizes and fonts for a two-column paper.

It holds while something is drawn, and leaves no trace in Matplotlib's own settings.

Example
-------
>>> @styled
... def a_line(values):
...     figure, axes = new_figure()
...     axes.plot(values)
...     return figure
"""

import functools
from typing import Any, Callable, Dict, Sequence, Tuple

COLUMN, PAGE = 3.35, 7.0  # widths in inches: of one column, and of both
HEIGHT = 2.2
DPI = 200  # of PNG
# Okabe and Ito's colours, which colour-blind readers can tell apart; the charts of a workbook have them too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GRID = "#D9D9D9"
MOST_LETTERS = 40  # of a name in a legend
LINE_INCHES = 0.14  # of a legend
# Where Matplotlib's own type has no letter: the first of these that is installed has Chinese ones.
FALLBACKS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "Microsoft YaHei", "PingFang SC")

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
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
    "svg.hashsalt": "flq",  # names of parts are the same each time
}


def styled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a function with this style; restore Matplotlib's settings afterwards."""

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


def new_figure(width: float = COLUMN, height: float = HEIGHT, n_panels: int = 1) -> Tuple[Any, Any]:
    """Return an empty figure and its axes, side by side; sizes are in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, n_panels)


def plain(text: str, most_letters: int = MOST_LETTERS) -> str:
    """Return an untrusted name for literal drawing: one line, ``$`` escaped."""
    letters = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    short = letters if len(letters) <= most_letters else letters[: most_letters - 3] + "..."
    return short.replace("$", r"\$")


def colour(style: int) -> str:
    """Return the colour of a line; lines of one meaning have one style everywhere."""
    return PALETTE[style % len(PALETTE)]


def thousands(axis: Any) -> None:
    """Label the ticks of an axis with whole numbers and thousands separators."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: "{:,.0f}".format(value)))


def legend_above(figure: Any, handles: Sequence[Any], **more: Any) -> None:
    """Put a legend above the axes, with as many columns as fit.

    For each line but the first the figure becomes higher.
    """
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=list(handles), loc="outside upper center", ncols=columns, **more)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * (-(-len(handles) // columns) - 1))
