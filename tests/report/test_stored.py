"""Workbooks of earlier versions, whose totals are numbers, and of this one, whose totals are formulas."""

from openpyxl import Workbook
from report_rows import a_round

from flq.report.excel import write_workbook
from flq.report.rows import COLUMNS, TOTALS, RoundRow
from flq.report.stored import read_runs


def test_a_workbook_with_numbers_for_totals_is_the_same_run_as_one_with_formulas(tmp_path):
    rounds = [a_round(1, average_accuracy=None), a_round(2, accuracy=0.625, average_accuracy=None)]
    write_workbook(str(tmp_path / "run.xlsx"), [("mode", "bbit")], rounds, [], {}, [(1, {0: "uploaded"})])
    old = Workbook()
    old.active.title = "Summary"
    old.active.append(("mode", "bbit"))
    sheet = old.create_sheet("Rounds")
    sheet.append([COLUMNS[field].title for field in RoundRow._fields] + [title for title, _ in TOTALS])
    for number, row in enumerate(rounds, start=1):
        sheet.append(list(row) + [number * sum(getattr(row, field) for field in fields) for _, fields in TOTALS])
    (tmp_path / "old").mkdir()
    old.save(str(tmp_path / "old" / "run.xlsx"))

    (run,) = read_runs(str(tmp_path / "run.xlsx"))
    (before,) = read_runs(str(tmp_path / "old" / "run.xlsx"))
    assert run._replace(curve=None) == before._replace(curve=None)
    assert run.curve.equals(before.curve)
    assert run.curve[["round", "accuracy", "wire_bytes", "payload_bits"]].values.tolist() == [
        [1, 0.5, 2400, 12000],
        [2, 0.625, 4800, 24000],
    ]


def test_the_largest_run_that_is_planned_for_is_small_enough_to_be_read(tmp_path):
    path = str(tmp_path / "run.xlsx")
    calls = [(k, dict.fromkeys(range(64), "uploaded")) for k in range(1, 2001)]
    write_workbook(path, [], [a_round(k) for k in range(1, 2001)], [], {}, calls)
    (run,) = read_runs(path)
    assert len(run.curve) == 2000 and run.curve.wire_bytes.iloc[-1] == 2000 * 2400
