"""Writes workbooks atomically, with sheets of typed cells under a frozen heading.

Cells hold values. Only a :class:`Formula` is evaluated, and only our own code creates one: untrusted text, such as a
worker's name or a file name, never becomes a formula. XlsxWriter is imported inside the functions, because most
processes that import this package never write a workbook.

Example
-------
    with writing("results/run.xlsx") as workbook:
        fill(workbook, "Rounds", ("round", "loss"), [(1, 0.5)], [("0", "0.0000")])
"""

import io
import math
import numbers
import re
import textwrap
from contextlib import contextmanager
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ..durable import write_whole

# In memory, because /tmp may be small. Text that looks like a formula, a number or a URL remains text.
OPTIONS = {"in_memory": True, "strings_to_formulas": False, "strings_to_numbers": False, "strings_to_urls": False}
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production Char
RICH = "<r>"  # XlsxWriter does not escape a text that begins and ends with this element
EXACT_IN_EXCEL = 10**15  # Excel keeps 15 digits of a number
MOST_ROWS = 2**20  # of a sheet
WIDEST, PAGE_WIDTH = 60, 190  # maximum widths in characters: of a column, and of a legible page
LINE_POINTS, TALLEST_POINTS = 15, 409  # height of a line of the heading, and maximum height of a row
A4 = 9  # Excel's paper code


class Formula(NamedTuple):
    """A formula and its value, which is cached for programs that do not evaluate formulas."""

    text: str
    value: Any


@contextmanager
def writing(path: str) -> Iterator[Any]:
    """Yield a new workbook and write it atomically when the block ends, replacing an existing file.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written.
    """
    from xlsxwriter import Workbook

    content = io.BytesIO()
    workbook = Workbook(content, OPTIONS)
    yield workbook
    workbook.close()
    write_whole(path, lambda stream: stream.write(content.getbuffer()))


def fill(
    workbook: Any,
    name: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[Any]],
    formats: Sequence[Sequence[str]],
    foot: Sequence[Any] = (),
    numbers_left: bool = False,
    widest: Sequence[int] = (),
) -> Any:
    """Add a sheet: a frozen heading and typed cells, with fitting widths and heading height.

    A wide sheet is printed on several pages side by side, so that it remains legible.

    Parameters
    ----------
    workbook : xlsxwriter.Workbook
    rows : sequence of sequences
        None, NaN and infinities become empty cells; numbers and formulas remain such; all else becomes text.
    formats : sequence of sequences of str
        Excel's number format of each cell; ignored for text.
    foot : sequence, optional
        A last row in bold, with the formats of the row above it.
    numbers_left : bool, default False
        Align numbers left, like text: for columns of mixed types.
    widest : sequence of int, optional
        The largest width of each column in characters.

    Returns
    -------
    xlsxwriter.worksheet.Worksheet

    Raises
    ------
    ValueError
        If there are more rows than a sheet holds.
    """
    if len(rows) + 2 > MOST_ROWS:
        raise ValueError("an Excel sheet holds at most %d rows, got %d" % (MOST_ROWS - 2, len(rows)))
    sheet, style = workbook.add_worksheet(name), styles(workbook)
    left_columns = set()  # those with left-aligned headings
    titles = [clean_text(title) for title in titles]
    widths = [max((len(word) for word in title.split()), default=0) for title in titles]
    for line, (row, row_formats) in enumerate(zip(rows, formats), start=1):
        for column, (value, number_format) in enumerate(zip(row, row_formats)):
            content = cell_value(value)
            if content is None:
                continue
            is_left = numbers_left or isinstance(content, str) or number_format == "General"
            left = {"align": "left", "indent": 1} if is_left else {}
            put(sheet, line, column, content, style(num_format=number_format, **left))
            if is_left:
                left_columns.add(column)
            widths[column] = max(widths[column], _width(content))
    last = len(rows)
    if foot:
        last += 1
        for column, (value, number_format) in enumerate(zip(foot, formats[-1])):
            content = cell_value(value)
            put(sheet, last, column, content, style(num_format=number_format, bold=True, top=1, align="right"))
            widths[column] = max(widths[column], _width(content))

    widths = [
        min(pair) + 4 for pair in zip(widths, widest or [WIDEST] * len(widths))
    ]  # 4: room for the bold heading and the indent
    for column, (title, width) in enumerate(zip(titles, widths)):
        side = {"align": "left", "indent": 1} if column in left_columns else {"align": "right"}
        put(sheet, 0, column, title, style(bold=True, bottom=1, text_wrap=True, valign="bottom", **side))
        sheet.set_column(column, column, width)
    n_lines = max(len(textwrap.wrap(title, width - 3)) for title, width in zip(titles, widths))
    sheet.set_row(0, min(LINE_POINTS * n_lines, TALLEST_POINTS))
    stay_in_view(sheet)
    fit_to_pages(sheet, -(-sum(widths) // PAGE_WIDTH), 0)
    everything = {
        kind: _area(last, len(titles) - 1) for kind in ("number_stored_as_text", "formula_differs", "formula_range")
    }
    sheet.ignore_errors(everything)  # long numbers are text, and the first of running totals differs, on purpose
    return sheet


def styles(workbook: Any) -> Callable[..., Any]:
    """Return a function that creates formats of the workbook and caches them by their properties."""
    made = {}

    def style(**properties: Any) -> Any:
        key = tuple(sorted(properties.items()))
        if key not in made:
            made[key] = workbook.add_format(properties)
        return made[key]

    return style


def put(sheet: Any, line: int, column: int, content: Any, style: Any = None) -> None:
    """Write one cell; ``content`` is from :func:`cell_value`, and line and column count from 0."""
    if isinstance(content, Formula):
        sheet.write_formula(line, column, content.text, style, content.value)
    elif isinstance(content, str):
        sheet.write_string(line, column, content, style)
    elif isinstance(content, bool):
        sheet.write_boolean(line, column, content, style)
    elif content is None:
        sheet.write_blank(line, column, None, style)
    else:
        sheet.write_number(line, column, content, style)


def stay_in_view(sheet: Any) -> None:
    """Freeze the first row and column, and repeat them on every page."""
    sheet.freeze_panes(1, 1)
    sheet.repeat_rows(0)
    sheet.repeat_columns(0)


def fit_to_pages(sheet: Any, wide: int, long: int) -> None:
    """Print in landscape, fitted to a number of pages across and down; 0 = as many as needed."""
    sheet.set_landscape()
    sheet.set_paper(A4)
    sheet.fit_to_pages(wide, long)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.7)  # inches
    sheet.set_footer("&C&A, page &P of &N", {"margin": 0.3})  # &A: name of the sheet


def cell_value(value: Any) -> Any:
    """Return a valid cell value: bool, int, finite float, formula, XML-safe text; None = empty."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Formula):  # text instead, if Excel cannot hold its value exactly
        content = cell_value(value.value)
        return content if content is None or isinstance(content, str) else value
    if isinstance(value, numbers.Integral) and abs(int(value)) < EXACT_IN_EXCEL:
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return float(value) if math.isfinite(value) else None
    return clean_text(str(value)) or None


def clean_text(text: str) -> str:
    """Replace characters that XML cannot represent, and escape markup."""
    return (" " if text.startswith(RICH) else "") + NOT_IN_XML.sub("\ufffd", text)


def _area(last_line: int, last_column: int) -> str:
    """Return the range from A1 to a cell, counted from 0."""
    from xlsxwriter.utility import xl_range

    return xl_range(0, 0, last_line, last_column)


def _width(content: Any) -> int:
    """Return the approximate width of a cell in characters."""
    if isinstance(content, Formula):
        content = content.value
    if isinstance(content, (float, int)):
        return len(format(content, ",.2f" if isinstance(content, float) else ","))
    return max(map(len, (content or "").splitlines()), default=0)
