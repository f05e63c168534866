"""Highlights cells: of lost and late workers, and of changed settings. Text says the same in black and white.

Example
-------
    mark_workers(workbook, sheet, {"worker_id": 0, "state": 2, "lost": 8}, 64)
"""

from typing import Any, Dict, Mapping

from ..drawing.statuses import COLOURS, ink_on, tint


def look_of(status: str) -> Dict[str, object]:
    """Return the format of a cell that shows a status: its colour, and letters that contrast with it."""
    ground = COLOURS[status].light
    return {"bg_color": ground, "font_color": ink_on(ground)}


LATE: Dict[str, object] = dict(look_of("late"), bold=True)
LOST: Dict[str, object] = dict(look_of("lost"), bold=True)
LOST_WORKER: Dict[str, object] = {"bg_color": tint(COLOURS["lost"].light, 0.2), "font_color": "#000000"}
NEVER_JOINED: Dict[str, object] = {"font_color": "#7F7F7F", "italic": True}
CHANGED: Dict[str, object] = {"bg_color": "#DDEBF7", "font_color": "#1F3864", "bold": True}


def mark_rounds(workbook: Any, sheet: Any, columns: Mapping[str, int], n_rounds: int) -> None:
    """Colour the counts of late and lost workers that are not 0."""
    for field, look in (("late", LATE), ("lost", LOST)):
        _mark_counts(workbook, sheet, columns[field], n_rounds, look)


def mark_workers(workbook: Any, sheet: Any, columns: Mapping[str, int], n_workers: int) -> None:
    """Colour the rows of lost workers, and in all rows the counts of late and lost rounds that are not 0."""
    if not n_workers:
        return
    for field, look in (("late", LATE), ("lost", LOST)):
        _mark_counts(workbook, sheet, columns[field], n_workers, look)
    for state, look in (("lost", LOST_WORKER), ("never joined", NEVER_JOINED)):
        _mark_rows(workbook, sheet, columns["state"], state, n_workers, 1 + max(columns.values()), look)


def mark_changed(workbook: Any, sheet: Any, column: int, n_columns: int, n_rows: int) -> None:
    """Colour the rows of settings with "changed" in a column."""
    if n_rows:
        _mark_rows(workbook, sheet, column, "changed", n_rows, n_columns, CHANGED)


def _mark_rows(
    workbook: Any, sheet: Any, column: int, text: str, n_rows: int, n_columns: int, look: Mapping[str, Any]
) -> None:
    """Colour the rows that have a text in a column."""
    from xlsxwriter.utility import xl_col_to_name

    criteria = '=$%s2="%s"' % (xl_col_to_name(column), text)
    options = {"type": "formula", "criteria": criteria, "format": workbook.add_format(dict(look))}
    sheet.conditional_format(1, 0, n_rows, n_columns - 1, options)


def _mark_counts(workbook: Any, sheet: Any, column: int, n_rows: int, look: Mapping[str, Any]) -> None:
    if n_rows:
        sheet.conditional_format(
            1,
            column,
            n_rows,
            column,
            {"type": "cell", "criteria": ">", "value": 0, "format": workbook.add_format(dict(look))},
        )
