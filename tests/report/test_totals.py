"""Totals: their formulas, their cached values, and totals without a formula."""

import pytest
from openpyxl import load_workbook
from report_rows import a_round, a_worker, column, values

from flq.report.excel import write_workbook
from flq.report.rows import COLUMNS, SUMMED, Sum, WorkerRow


@pytest.fixture
def both(tmp_path):
    """Write a workbook; return it with formulas, and with their values."""

    def write(summary=(), rounds=(), workers=()):
        path = str(tmp_path / "run.xlsx")
        write_workbook(path, summary, rounds, workers, {})
        return load_workbook(path), load_workbook(path, data_only=True)

    return write


def letter(sheet, title):
    return column(sheet, title)[0].column_letter


def test_a_running_total_adds_a_round_to_the_total_before(both):
    formulas, numbers = both(rounds=[a_round(1), a_round(2), a_round(3)])
    sheet, title = formulas["Rounds"], "total wire, both ways (bytes)"
    own, up, down = (letter(sheet, name) for name in (title, "wire up (bytes)", "wire down (bytes)"))
    assert values(sheet, title) == [
        "=%s2+%s2" % (up, down),
        "=%s2+%s3+%s3" % (own, up, down),
        "=%s3+%s4+%s4" % (own, up, down),
    ]
    assert values(numbers["Rounds"], title) == [2400, 4800, 7200]
    assert column(numbers["Rounds"], title)[2].number_format == "#,##0"


def test_the_foot_of_the_workers_sums_the_columns_that_can_be_summed(both):
    workers = [a_worker(0), a_worker(1, energy_j=None, wire_bytes_up=7), a_worker(2, last_loss=None)]
    formulas, numbers = both(workers=workers)
    for field, kind in COLUMNS.items():
        if field not in WorkerRow._fields or field == "worker_id":
            continue
        formula, number = (values(book["Workers"], kind.title)[-1] for book in (formulas, numbers))
        if field in SUMMED:
            name = letter(formulas["Workers"], kind.title)
            assert formula == "=SUM(%s2:%s4)" % (name, name)
            assert number == sum(getattr(row, field) or 0 for row in workers), field
        else:
            assert (formula, number) == (None, None)
    assert values(numbers["Workers"], "worker") == [0, 1, 2, "total"]
    assert column(numbers["Workers"], "samples")[-1].font.bold


def test_without_workers_there_is_no_foot(both):
    assert both()[0]["Workers"].max_row == 1


def test_a_total_of_the_summary_is_its_rounds_and_later_traffic(both):
    summary = [
        ("wire up (bytes)", Sum(3100, "wire_bytes_up", lines=("after",))),
        ("mode", "bbit"),
        ("after", 100),
        ("uploads", Sum(4, workers="uploaded")),
        ("seconds", Sum(4.5, "round_s")),
    ]
    formulas, numbers = both(summary, [a_round(1, round_s=1.5), a_round(2, round_s=3.0)], [a_worker(0), a_worker(1)])
    wire, seconds = (letter(formulas["Rounds"], title) for title in ("wire up (bytes)", "round (s)"))
    uploaded = letter(formulas["Workers"], "uploaded")
    assert values(formulas["Summary"], "value") == [
        "=SUM(Rounds!%s2:%s3)+B4" % (wire, wire),
        "bbit",
        100,
        "=Workers!%s4" % uploaded,
        "=SUM(Rounds!%s2:%s3)" % (seconds, seconds),
    ]
    assert values(numbers["Summary"], "value") == [3100, "bbit", 100, 4, 4.5]
    assert [cell.number_format for cell in column(numbers["Summary"], "value")] == [
        "#,##0",
        "#,##0.00##",
        "#,##0",
        "#,##0",
        "#,##0.00##",
    ]


@pytest.mark.parametrize(
    "asked, rounds, workers",
    [
        (Sum(3101, "wire_bytes_up"), 2, 0),  # something else was counted
        (Sum(0, "wire_bytes_up"), 0, 0),  # no rounds
        (Sum(0, workers="uploaded"), 2, 0),  # no workers
        (Sum(0.1 + 0.3, "round_s"), 2, 0),
    ],
)
def test_a_number_to_which_the_sheets_do_not_add_up_is_no_formula(both, asked, rounds, workers):
    formulas, _ = both(
        [("total", asked)], [a_round(k) for k in range(1, 1 + rounds)], [a_worker(k) for k in range(workers)]
    )
    assert values(formulas["Summary"], "value") == [asked.value]


def test_a_column_that_is_left_out_is_in_no_formula(both):
    formulas, _ = both([("energy", Sum(0, workers="energy_j"))], [a_round()], [a_worker(energy_j=None)])
    assert values(formulas["Summary"], "value") == [0]


def test_a_total_without_rounds_is_the_later_traffic(both):
    formulas, numbers = both([("total", Sum(5, "wire_bytes_up", lines=("after",))), ("after", 5)])
    assert values(formulas["Summary"], "value") == ["=B3", 5]
    assert values(numbers["Summary"], "value") == [5, 5]


def test_totals_with_more_digits_than_excel_keeps_are_text(both):
    large = 8 * 10**14
    formulas, numbers = both(
        [("total", Sum(3 * large, "wire_bytes_up"))],
        [a_round(k, wire_bytes_up=large) for k in (1, 2, 3)],
        [a_worker(wire_bytes_up=10**15)],
    )
    expected = [large, "1600000000000000", "2400000000000000"]
    assert values(numbers["Rounds"], "total wire up (bytes)") == expected
    assert [str(value)[0] for value in values(formulas["Rounds"], "total wire up (bytes)")] == ["=", "1", "2"]
    assert values(formulas["Summary"], "value") == ["2400000000000000"]
    assert values(formulas["Workers"], "wire up (bytes)")[0] == "1000000000000000"
