"""The sheet Roll-call: the outcome of each worker in each round, one letter per cell.

Example
-------
    add_roll_call(workbook, [(1, {0: "uploaded", 1: "skipped"}), (2, {0: "late"})])
"""

from typing import Any, Dict, Mapping, NamedTuple, Sequence, Tuple

from ..drawing.style import GRID
from .marks import LATE, LOST, look_of
from .sheets import cell_value, fit_to_pages, put, stay_in_view, styles

NAME = "Roll-call"
PER_PAGE = 64  # columns of workers on a printed page
LETTER_WIDTH, HEADING_WIDTH, HEADING_POINTS = 3.3, 12, 92
LINES = {"border": 1, "border_color": GRID}


class Mark(NamedTuple):
    """The letter and the format of a status."""

    status: str
    letter: str
    look: Dict[str, Any]


MARKS = (
    Mark("uploaded", "U", look_of("uploaded")),
    Mark("skipped", "S", look_of("skipped")),
    Mark("refused", "R", look_of("refused")),
    Mark("late", "L", LATE),
    Mark("lost", "X", LOST),
)


def add_roll_call(workbook: Any, roll_calls: Sequence[Tuple[int, Mapping[int, str]]]) -> None:
    """Add the sheet: a row per round, a column per worker; a cell is empty if the worker was not in the round.

    Parameters
    ----------
    roll_calls : sequence of (round, {worker id: status})
    """
    sheet, style = workbook.add_worksheet(NAME), styles(workbook)
    workers = sorted({worker_id for _, statuses in roll_calls for worker_id in statuses})
    columns = {worker_id: column for column, worker_id in enumerate(workers, start=1)}
    letters = {mark.status: mark.letter for mark in MARKS}
    key = "\n".join(["round"] + ["%s %s" % (mark.letter, mark.status) for mark in MARKS])
    put(sheet, 0, 0, key, style(bold=True, text_wrap=True, valign="top", align="left", indent=1))
    for worker_id, column in columns.items():
        put(sheet, 0, column, "worker %d" % worker_id, style(bold=True, rotation=90, align="center", valign="bottom"))

    cell = style(align="center", **LINES)
    for line, (round_index, statuses) in enumerate(roll_calls, start=1):
        put(sheet, line, 0, cell_value(round_index), style(num_format="0", align="right", indent=1))
        for worker_id, status in statuses.items():
            put(sheet, line, columns[worker_id], letters.get(status) or cell_value(status), cell)
    if roll_calls and workers:
        for mark in MARKS:
            sheet.conditional_format(
                1,
                1,
                len(roll_calls),
                len(workers),
                {
                    "type": "cell",
                    "criteria": "==",
                    "value": '"%s"' % mark.letter,
                    "format": workbook.add_format(mark.look),
                },
            )

    sheet.set_column(0, 0, HEADING_WIDTH)
    if workers:
        sheet.set_column(1, len(workers), LETTER_WIDTH)
    sheet.set_row(0, HEADING_POINTS)
    stay_in_view(sheet)
    fit_to_pages(sheet, max(1, -(-len(workers) // PER_PAGE)), 0)
