"""The sheet "Read me": the sheets, columns and units of a run's workbook.

Example
-------
    add_read_me(workbook, {"round_index": 0, "lost": 1}, {"worker_id": 0, "state": 1}, True)
"""

import re
import textwrap
from typing import Any, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set

from flq import __version__

from .headline import FLOAT32, SAVING
from .marks import CHANGED, LATE, LOST, LOST_WORKER, NEVER_JOINED
from .roll_call import MARKS
from .rows import COLUMNS, Column
from .sheets import LINE_POINTS, fit_to_pages, put, styles

NAME = "Read me"
WIDTHS = (38, 17, 9, 80)  # characters: name, sheets, unit, meaning
LETTERS = 1.05  # average letters per width of a digit
UNITS = {"index": "number", "count": "number", "loss": "loss"}  # of columns whose heading has no unit
HEADING = {"bold": True, "bottom": 1, "font_size": 12}


class Entry(NamedTuple):
    """A line of the sheet; one without a meaning is a heading."""

    name: str
    meaning: str = ""
    sheets: str = ""
    unit: str = ""
    look: Optional[Mapping[str, Any]] = None


ABOUT = (
    Entry("One run of FLQ, communication-efficient federated learning"),
    Entry("written by", "FLQ %s. Bits and bytes are counted as sent, not estimated." % __version__),
    Entry("totals", "Formulas: click one to see its terms. All other cells are values."),
    Entry("empty cells", "Unknown or not measured; not 0. Columns that are empty for the whole run are omitted."),
)
SHEETS = {
    "Summary": "The run in a few lines, and its accuracy as curves.",
    "Charts": "Accuracy and loss by round and by bytes on the wire; bytes and rounds by worker.",
    "Rounds": "One row per round: evaluation, participation, cost. Running totals on the right.",
    "Roll-call": "One row per round, one column per worker; empty: the worker was not a member of that round.",
    "Workers": "One row per worker for the whole run, and the totals.",
    "Data": "What the workers have seen of their data, and the samples of each class; with local data, of each worker.",
    "Config": (
        "Every setting in force: the master's --set overrides its configuration file, which overrides the"
        " defaults. Those that differ from the default are marked as changed, with the default beside them; where it "
        'is null, FLQ may have derived the value from the data or other settings ("given or derived"). config.json '
        "in the folder of the run has the same settings and can start such a run again."
    ),
}
BYTES = (
    Entry("Up, down; payload, frames, wire"),
    Entry("up, down", "From the workers to the master, and from the master to the workers."),
    Entry("payload", "The quantizer's output: scales and codes. The papers count these bits."),
    Entry("frames", "Whole messages of a round: a header and, in some, a payload."),
    Entry(
        "wire",
        (
            "Everything that passed the master's sockets: frames, HTTP headers, polls, retries, heartbeats, "
            "interrupted bodies; not the headers of TCP, TLS and lower layers."
        ),
    ),
)
FLOAT32_MEANING = (
    "Computed: the payload of the same exchange without compression. Each upload is one model, and after round 1 each "
    "worker that was not lost received one; each parameter that a round can change takes 4 bytes."
)
LINES = (
    Entry("Lines of Summary that need an explanation"),
    Entry(
        "duration, seconds",
        "The sum over the rounds, each from its opening to its close; without pauses of the master.",
    ),
    Entry(FLOAT32, FLOAT32_MEANING, "", "bytes"),
    Entry(
        SAVING,
        "Computed: 1 - wire / the same in float32. All measured bytes stand against a payload without headers, so the "
        "saving is not overstated. It is negative where headers and polls outweigh a small model.",
        "",
        "%",
    ),
    Entry("payload, wire", 'Over the whole run: the sum of the rounds and the line "after the last round".'),
    Entry(
        "... after the last round",
        ("Traffic outside rounds: the last verdicts, a round that was open at the stop, the notice of the end."),
    ),
    Entry("wire of other peers", "Requests of users, browsers and scripts; in no other number.", "", "bytes"),
    Entry("test accuracy", 'The last known value; "measured on" says of which model and on which data.'),
    Entry("energy", "The sum over the workers whose boards have a sensor.", "", "J"),
)
COLOURS = (
    Entry("Colours"),
    Entry("lost worker", "Workers: the lease of this worker had ended when this was written.", look=LOST_WORKER),
    Entry("never joined", "Workers: this worker sent requests, but did not join.", look=NEVER_JOINED),
    Entry("lost: 1 or more", "Rounds: workers lost in the round. Workers: rounds in which it was lost.", look=LOST),
    Entry("late: 1 or more", "The same for late workers.", look=LATE),
    Entry("changed", "Config: this setting differs from the default.", look=CHANGED),
)


def add_read_me(
    workbook: Any,
    round_columns: Iterable[str],
    worker_columns: Iterable[str],
    has_roll_call: bool,
    has_data: bool = False,
) -> None:
    """Add the sheet; ``round_columns`` and ``worker_columns`` are the fields that the workbook shows."""
    sheet, style = workbook.add_worksheet(NAME), styles(workbook)
    for column, width in enumerate(WIDTHS):
        sheet.set_column(column, column, width)
    absent = {name for name, is_there in (("Roll-call", has_roll_call), ("Data", has_data)) if not is_there}
    for line, entry in enumerate(_entries(list(round_columns), list(worker_columns), absent)):
        if not entry.meaning:
            for column, text in enumerate((entry.name, entry.sheets, entry.unit, None)):
                put(sheet, line, column, text or None, style(**HEADING))
            sheet.set_row(line, 2 * LINE_POINTS if line else 1.5 * LINE_POINTS)
            continue
        put(sheet, line, 0, entry.name, style(align="left", valign="top", text_wrap=True, **(entry.look or {})))
        for column, text in enumerate((entry.sheets, entry.unit, entry.meaning), start=1):
            put(sheet, line, column, text or None, style(valign="top", text_wrap=True))
        n_lines = max(
            len(textwrap.wrap(text, int(LETTERS * width)))
            for text, width in ((entry.name, WIDTHS[0]), (entry.meaning, WIDTHS[-1]))
        )
        sheet.set_row(line, LINE_POINTS * n_lines)
    sheet.hide_gridlines(2)
    fit_to_pages(sheet, 1, 0)


def _entries(round_columns: List[str], worker_columns: List[str], absent: Set[str]) -> Iterator[Entry]:
    """Yield the lines, without those on absent sheets."""
    yield from ABOUT
    yield Entry("Sheets")
    yield from (Entry(name, meaning) for name, meaning in SHEETS.items() if name not in absent)
    yield from BYTES
    yield from LINES
    yield Entry("Columns", "", "sheets", "unit")
    for field, column in COLUMNS.items():
        sheets = [name for name, fields in (("Rounds", round_columns), ("Workers", worker_columns)) if field in fields]
        if sheets:
            yield Entry(column.title, column.meaning, ", ".join(sheets), unit_of(column))
    yield Entry("total ...", "The running sum of that column.", "Rounds", "as there")
    yield from COLOURS
    if "Roll-call" not in absent:
        yield from (
            Entry("%s %s" % (mark.letter, mark.status), "Roll-call: %s" % _lower(mark.status), look=mark.look)
            for mark in MARKS
        )


def _lower(status: str) -> str:
    """Return the meaning of a status of the roll call, beginning with a lower-case letter."""
    meaning = "Its update was applied." if status == "uploaded" else COLUMNS[status].meaning
    return meaning[0].lower() + meaning[1:]


def unit_of(column: Column) -> str:
    """Return the unit of a column, from the parentheses in its heading or its kind of number."""
    found = re.search(r"\(([^)]+)\)$", column.title)
    return found.group(1) if found else UNITS.get(column.kind, "")
