"""Rows and workbooks for the tests of the report."""

import re
import zipfile

from flq.report.rows import RoundRow, WorkerRow

NAN, INFINITY = float("nan"), float("inf")
HOSTILE = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    '=HYPERLINK("http://x")',
    "#N/A",
    "=cmd|' /C calc'!A0",
    "{=1+1}",
    "http://x/",
    "<script>alert(1)</script>",
    "\u202egpj.exe\u202c",
    "\u200f=1+1",
)


def a_round(round_index=1, **changes):
    """Return a round without unknown values."""
    return RoundRow(
        round_index=round_index,
        accuracy=0.5,
        test_loss=1.25,
        shared_accuracy=0.25,
        training_loss=2.0,
        uploaded=3,
        skipped=1,
        refused=0,
        late=0,
        lost=0,
        payload_bits_up=8000,
        payload_bits_down=4000,
        frame_bytes_up=1100,
        frame_bytes_down=600,
        wire_bytes_up=1500,
        wire_bytes_down=900,
        retransmitted_bytes=7,
        training_s=1.5,
        waiting_s=0.25,
        round_s=2.0,
        average_accuracy=0.75,
        own_accuracy=0.125,
        own_loss=3.0,
        energy_so_far_j=241.0,
    )._replace(**changes)


def a_worker(worker_id=0, **changes):
    return WorkerRow(
        worker_id=worker_id,
        n_samples=359,
        state="ended",
        rounds=2,
        uploaded=2,
        skipped=0,
        refused=0,
        late=0,
        lost=0,
        payload_bits_up=16000,
        frame_bytes_up=2200,
        frame_bytes_down=1200,
        wire_bytes_up=3000,
        wire_bytes_down=1800,
        retransmitted_bytes=14,
        training_s=3.0,
        waiting_s=0.5,
        last_loss=0.125,
        energy_j=120.5,
        energy_per_round_j=60.25,
        energy_per_1000_samples_j=12.5,
        energy_per_point_j=1.5,
        peak_c=61.5,
        name="shelf 2",
    )._replace(**changes)


def parts(path, prefix):
    """Return the XML parts of a workbook with a prefix, the shortest names first."""
    with zipfile.ZipFile(str(path)) as archive:
        names = sorted(archive.namelist(), key=lambda name: (len(name), name))
        return [archive.read(name).decode() for name in names if name.startswith(prefix)]


def column(sheet, title):
    """Return the cells under a heading."""
    titles = [cell.value for cell in sheet[1]]
    return [row[titles.index(title)] for row in sheet.iter_rows(min_row=2)]


def values(sheet, title):
    return [cell.value for cell in column(sheet, title)]


def formulas(path):
    """Return the formulas of a workbook's cells, each once; there are no errors."""
    sheets = parts(path, "xl/worksheets/sheet")
    assert sheets and not any('t="e"' in sheet for sheet in sheets)
    return {formula for sheet in sheets for formula in re.findall("<f[ >]([^<]*)", sheet)}


def has_formula(path):
    return bool(formulas(path))
