"""Totals as formulas with cached values: running totals, column sums, lines of the summary.

A formula shows the terms of a total, and Excel recalculates it when a cell changes. It is written only if it yields the
counted number.

Example
-------
    running_totals([row_1, row_2], {"wire_bytes_up": 9, "wire_bytes_down": 10})[1][4]
    # Formula(text='=P2+J3', value=3010)
"""

import math
import numbers
from itertools import accumulate
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from .headline import Line
from .rows import SUMMED, TOTALS, RoundRow, Sum, WorkerRow
from .sheets import Formula, cell_value

Columns = Mapping[str, int]  # field -> column of a sheet, counted from 0


def running_totals(rounds: Sequence[RoundRow], columns: Columns) -> List[Tuple[Formula, ...]]:
    """Return the running totals, in the columns after ``columns``: the previous total plus this round."""
    first = len(columns)
    totals = []
    for number, (_, fields) in enumerate(TOTALS):
        own = _name(first + number)
        added = [_name(columns[field]) for field in fields]
        sums = accumulate(sum(getattr(row, field) for field in fields) for row in rounds)
        totals.append(
            [
                Formula(
                    "="
                    + "+".join(
                        ([own + str(line - 1)] if line > 2 else []) + [letters + str(line) for letters in added]
                    ),
                    value,
                )
                for line, value in enumerate(sums, start=2)
            ]
        )
    return list(zip(*totals))


def foot_of(workers: Sequence[WorkerRow], columns: Columns) -> List[Any]:
    """Return the last row of the sheet Workers: the sums of columns that can be summed, otherwise None."""
    cells: Dict[str, Any] = {
        field: Formula("=SUM(%s2:%s%d)" % (_name(column), _name(column), 1 + len(workers)), _sum(workers, field))
        for field, column in columns.items()
        if field in SUMMED
    }
    cells[min(columns, key=columns.__getitem__)] = "total"
    return [cells.get(field) for field in columns]


def summary_cells(
    summary: Sequence[Line],
    rounds: Sequence[RoundRow],
    round_columns: Columns,
    workers: Sequence[WorkerRow],
    worker_columns: Columns,
) -> List[Line]:
    """Return the lines of the summary, with a formula for each sum."""
    cells = {line.label: ("B%d" % number, line.value) for number, line in enumerate(summary, start=2)}
    return [
        line._replace(value=_formula(line.value, cells, rounds, round_columns, workers, worker_columns))
        if isinstance(line.value, Sum)
        else line
        for line in summary
    ]


def _formula(
    asked: Sum,
    cells: Mapping[str, Tuple[str, Any]],
    rounds: Sequence[RoundRow],
    round_columns: Columns,
    workers: Sequence[WorkerRow],
    worker_columns: Columns,
) -> Any:
    """Return the formula, or the number itself if the cells do not add up to it."""
    terms, total = [], 0
    if rounds and asked.rounds in round_columns:
        letters = _name(round_columns[asked.rounds])
        terms.append("SUM(Rounds!%s2:%s%d)" % (letters, letters, 1 + len(rounds)))
        total += _sum(rounds, asked.rounds)
    if workers and asked.workers in worker_columns:
        terms.append("Workers!%s%d" % (_name(worker_columns[asked.workers]), 2 + len(workers)))
        total += _sum(workers, asked.workers)
    for label in asked.lines:
        if label in cells:
            name, value = cells[label]
            terms.append(name)
            total += value.value if isinstance(value, Sum) else value
    if not terms or not math.isclose(total, asked.value, rel_tol=0 if isinstance(asked.value, int) else 1e-12):
        return asked.value
    return Formula("=" + "+".join(terms), asked.value)


def _sum(rows: Sequence[Any], field: str) -> Any:
    """Return the sum of the numeric cells of a column."""
    found = [value for value in (cell_value(getattr(row, field)) for row in rows) if isinstance(value, (int, float))]
    return sum(found) if all(isinstance(value, numbers.Integral) for value in found) else math.fsum(found)


def _name(column: int) -> str:
    """Return Excel's letters for a column number, counted from 0."""
    from xlsxwriter.utility import xl_col_to_name

    return xl_col_to_name(column)
