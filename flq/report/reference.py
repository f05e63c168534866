"""Writes the workbook of the single-process reference, with the sheets and columns of the original FLQ program.

The sheet ``curve_<mode>`` has the columns iter, loss, acc, entropy, selcnt, bits_up_cum, bits_down_cum,
cum_bits_total; mode bin adds a sheet ``bin_<mode>`` with comm, bit. Scripts that read the original's files can read
these. Only the sheet Charts is new. All bits are payload bits.

Example
-------
    write_curves("results_digits_bbit.xlsx", "bbit", [CurveRow(1, 2.3, 0.41, 2.1, 4, 31400, 31400, 62800)])
"""

from typing import Any, NamedTuple, Optional, Sequence, Tuple

from .axes import amount_axis, loss_axis, round_axis, share_axis
from .charts import ChartLine, line_chart, place
from .sheets import cell_value, fill, writing

CURVE, BIN = "curve_", "bin_"  # prefixes of the names of the sheets
FORMATS = ("0", "0.0000", "0.0000", "0.0000", "0", "#,##0", "#,##0", "#,##0")


class CurveRow(NamedTuple):
    """One round, with the original's column names.

    Attributes
    ----------
    iter : int
        The round, from 1.
    loss : float or None
        Mean training loss of the workers.
    acc, entropy : float or None
        Accuracy (0..1) and mean cross-entropy of the model on the test set; None = unknown.
    selcnt : int
        Number of workers whose updates were applied.
    bits_up_cum, bits_down_cum, cum_bits_total : int
        Payload bits so far: up, down, both.
    """

    iter: int
    loss: Optional[float]
    acc: Optional[float]
    entropy: Optional[float]
    selcnt: int
    bits_up_cum: int
    bits_down_cum: int
    cum_bits_total: int


def write_curves(
    path: str, mode: str, rows: Sequence[CurveRow], bin_rows: Optional[Sequence[Tuple[int, int]]] = None
) -> None:
    """Write the workbook atomically, replacing an existing file.

    All columns are written, even empty ones; charts omit empty columns.

    Parameters
    ----------
    path : str
        The original's name is ``results_<dataset>_<mode>.xlsx``. Its folder must exist.
    mode : str
        fedavg, laq8, bbit or bin; part of the sheets' names.
    bin_rows : sequence of (comm, bit), optional
        Rows of the sheet ``bin_<mode>``: number of the round, and the sign that most workers sent (-1, 1 or 0).

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    with writing(path) as workbook:
        fill(workbook, CURVE + mode, CurveRow._fields, rows, [FORMATS] * len(rows))
        if bin_rows is not None:
            fill(workbook, BIN + mode, ("comm", "bit"), bin_rows, [("0", "0")] * len(bin_rows))
        charts = _charts(workbook, CURVE + mode, rows) if rows else []
        if charts:
            place(workbook, "Charts", charts)


def _charts(workbook: Any, curve: str, rows: Sequence[CurveRow]) -> list:
    """Return the charts of accuracy and losses, by iteration and by bits."""
    columns = {field: column for column, field in enumerate(CurveRow._fields)}
    across = (
        ("iter", "by iteration", round_axis("iteration", rows[-1].iter)),
        ("cum_bits_total", "by payload bits", amount_axis("payload so far, both ways", rows[-1].cum_bits_total, "bit")),
    )
    charts = []
    for what, y_title, names, axis_of in (
        ("Accuracy", "accuracy on the test set", (("acc", "acc", 0),), share_axis),
        ("Loss", "loss", (("entropy", "entropy (test set)", 0), ("loss", "loss (training)", 4)), loss_axis),
    ):
        values = {field: [cell_value(getattr(row, field)) for row in rows] for field, _, _ in names}
        drawn = [(field, name, style) for field, name, style in names if any(v is not None for v in values[field])]
        if not drawn:
            continue
        y_axis = axis_of(y_title, [value for field, _, _ in drawn for value in values[field]])
        for x_field, words, x_axis in across:
            lines = [
                ChartLine(name, curve, columns[x_field], columns[field], values[field], style)
                for field, name, style in drawn
            ]
            charts.append(line_chart(workbook, "%s %s" % (what, words), lines, x_axis, y_axis))
    return charts
