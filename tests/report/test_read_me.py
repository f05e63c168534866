"""The sheet Read me explains everything in the workbook."""

import pytest
from openpyxl import load_workbook
from report_rows import a_round, a_worker

from flq.report.excel import write_workbook
from flq.report.read_me import SHEETS, unit_of
from flq.report.roll_call import MARKS
from flq.report.rows import COLUMNS, RoundRow, WorkerRow

NO_ENERGY = dict.fromkeys(("energy_j", "energy_per_round_j", "energy_per_1000_samples_j", "energy_per_point_j"))


@pytest.fixture
def lines(tmp_path):
    """Write a workbook; return its sheets and the lines of its Read me."""

    def write(rounds=(), workers=(), roll_calls=()):
        path = str(tmp_path / "run.xlsx")
        write_workbook(path, [], rounds, workers, {}, roll_calls)
        workbook = load_workbook(path)
        return workbook.sheetnames, list(workbook["Read me"].iter_rows(values_only=True))

    return write


def test_it_follows_the_charts_and_describes_every_sheet(lines):
    names, rows = lines([a_round()], [a_worker()], [(1, {0: "uploaded"})])
    assert names == ["Summary", "Charts", "Read me", "Rounds", "Roll-call", "Workers", "Config"]
    told = [row[0] for row in rows if row[0] in SHEETS]
    assert told == [name for name in names if name != "Read me"]


def test_every_column_has_its_unit_and_its_meaning(lines):
    _, rows = lines([a_round()], [a_worker()])
    told = {row[0]: row[1:] for row in rows}
    for field, column in COLUMNS.items():
        sheets = [name for name, kind in (("Rounds", RoundRow), ("Workers", WorkerRow)) if field in kind._fields]
        assert told[column.title] == (", ".join(sheets), unit_of(column) or None, column.meaning)
        assert column.meaning.endswith("."), field


def test_a_column_that_is_left_out_is_not_explained(lines):
    _, rows = lines([a_round(accuracy=None)], [a_worker(**NO_ENERGY)])
    told = {row[0] for row in rows}
    assert not told & {COLUMNS[field].title for field in NO_ENERGY} and COLUMNS["accuracy"].title not in told
    assert {"test loss", "state", "highest temperature (°C)"} <= told


def test_the_letters_of_the_roll_call_are_explained_where_there_is_one(lines):
    told = {"%s %s" % (mark.letter, mark.status) for mark in MARKS}
    assert told <= {row[0] for row in lines([a_round()], [], [(1, {0: "late"})])[1]}
    names, rows = lines([a_round()])
    assert not (told | {"Roll-call"}) & ({row[0] for row in rows} | set(names))


@pytest.mark.parametrize(
    "field, unit",
    [
        ("wire_bytes_up", "bytes"),
        ("payload_bits_up", "bits"),
        ("accuracy", "%"),
        ("round_s", "s"),
        ("peak_c", "°C"),
        ("energy_j", "J"),
        ("lost", "number"),
        ("test_loss", "loss"),
        ("state", ""),
    ],
)
def test_the_unit_is_that_of_the_heading_or_of_its_kind(field, unit):
    assert unit_of(COLUMNS[field]) == unit
