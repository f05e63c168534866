"""Sheets of typed cells under a heading that stays in view; workbooks that are written whole.

All cells are values, never formulas: a worker's name, a setting or a file's name can not make
Excel calculate. openpyxl is imported inside the functions, because it takes a third of a second
and most processes that import this package never write a workbook.

Example
-------
>>> workbook = Workbook()
>>> fill(workbook.active, ("round", "loss"), [(1, 0.5)], [("0", "0.0000")])
>>> save(workbook, "results/run.xlsx")
"""

import math
import numbers
import os
import re
import textwrap
from typing import Any, Sequence

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production Char
EXACT_IN_EXCEL = 10 ** 15  # Excel keeps 15 digits of a number
WIDEST = 60  # characters
LINE_POINTS = 15  # height of a line of the heading


def fill(sheet: Any, titles: Sequence[str], rows: Sequence[Sequence[Any]], formats: Sequence[Sequence[str]],
         pages_wide: int = 1) -> None:
    """Write a heading that stays in view, typed cells under it, and fit widths and the heading's height.

    Parameters
    ----------
    sheet : openpyxl.worksheet.worksheet.Worksheet
        An empty one.
    rows : sequence of sequences
        None, NaN and infinities become empty cells, numbers stay numbers, all else becomes text.
    formats : sequence of sequences of str
        Excel's number format of each cell; text does not need one.
    pages_wide : int, default 1
        Pages that the sheet is printed on side by side.
    """
    from openpyxl.styles import Alignment, Font

    bold = Font(name="Calibri", size=11, bold=True)  # openpyxl's own font, bold
    left = Alignment(horizontal="left", indent=1)
    left_columns = set()  # those whose heading stands left too
    titles = [clean_text(title) for title in titles]
    widths = [max((len(word) for word in title.split()), default=0) for title in titles]
    for line, (row, row_formats) in enumerate(zip(rows, formats), start=2):
        for column, (value, number_format) in enumerate(zip(row, row_formats)):
            content = cell_value(value)
            if content is None:
                continue
            cell = _put(sheet, line, column + 1, content)
            if not isinstance(content, str):
                cell.number_format = number_format
            if isinstance(content, str) or number_format == "General":
                cell.alignment = left
                left_columns.add(column + 1)
            widths[column] = max(widths[column], _width(content))

    widths = [min(width, WIDEST) + 4 for width in widths]  # 4: room for the bold heading and the indent
    for column, (title, width) in enumerate(zip(titles, widths), start=1):
        cell = _put(sheet, 1, column, title)
        cell.font = bold
        is_left = column in left_columns
        cell.alignment = Alignment(horizontal="left" if is_left else "right", indent=int(is_left), wrap_text=True,
                                   vertical="top")
        sheet.column_dimensions[cell.column_letter].width = width
    n_lines = max(len(textwrap.wrap(title, width - 3)) for title, width in zip(titles, widths))
    sheet.row_dimensions[1].height = LINE_POINTS * n_lines
    sheet.freeze_panes = "B2"
    sheet.print_title_rows, sheet.print_title_cols = "1:1", "A:A"
    fit_to_pages(sheet, pages_wide, 0)


def _put(sheet: Any, line: int, column: int, content: Any) -> Any:
    """Write one cell; return it."""
    cell = sheet.cell(line, column, content)
    if isinstance(content, str):
        cell.data_type = "s"  # openpyxl takes a leading = for a formula
    return cell


def fit_to_pages(sheet: Any, wide: int, long: int) -> None:
    """Print landscape, so many pages wide and so many long; 0 = as many as it takes."""
    sheet.page_setup.orientation, sheet.page_setup.paperSize = "landscape", sheet.PAPERSIZE_A4
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = wide, long
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.page_margins.left = sheet.page_margins.right = 0.4  # inches
    sheet.page_margins.top, sheet.page_margins.bottom, sheet.page_margins.footer = 0.5, 0.7, 0.3
    sheet.oddFooter.center.text = "&A, page &P of &N"  # codes: the sheet's name, numbers


def cell_value(value: Any) -> Any:
    """Return what a cell can hold: None, bool, int, finite float, or text that XML can carry."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral) and abs(value) < EXACT_IN_EXCEL:
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return float(value) if math.isfinite(value) else None
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """Replace the characters that XML can not carry."""
    return NOT_IN_XML.sub("\ufffd", text)


def _width(content: Any) -> int:
    """Return about how many characters a cell needs."""
    if isinstance(content, (float, int)):
        return len(format(content, ",.2f" if isinstance(content, float) else ","))
    return max(map(len, content.splitlines()), default=0)


def save(workbook: Any, path: str) -> None:
    """Write the workbook: the whole of it or, if anything fails, nothing. A file that is there is replaced.

    Raises
    ------
    OSError
        If the folder does not exist or can not be written.
    """
    temporary = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(temporary, "wb") as file:
            workbook.save(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
