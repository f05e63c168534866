"""The workbook of the reference program, in the original's layout. Runs under Python 3.6 too."""

import os

import pytest
from openpyxl import load_workbook
from report_rows import formulas, parts

from flq.report.reference import CurveRow, write_curves

HEADINGS = ["iter", "loss", "acc", "entropy", "selcnt", "bits_up_cum", "bits_down_cum", "cum_bits_total"]
ROWS = [CurveRow(1, 2.25, 0.5, 2.0, 4, 1000, 500, 1500), CurveRow(2, 1.25, 0.625, 1.0, 3, 1750, 1000, 2750)]


@pytest.fixture
def written(tmp_path):
    """Write a workbook and read it back."""

    def write(mode, rows, bin_rows=None):
        path = str(tmp_path / ("results_digits_%s.xlsx" % mode))
        write_curves(path, mode, rows, bin_rows)
        assert os.listdir(str(tmp_path)) == [os.path.basename(path)]
        return load_workbook(path)

    return write


def table(sheet):
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def test_the_sheet_has_the_original_names_columns_and_order(written):
    workbook = written("bbit", ROWS)
    assert workbook.sheetnames == ["curve_bbit", "Charts"]
    assert table(workbook["curve_bbit"]) == [HEADINGS] + [list(row) for row in ROWS]


def test_mode_bin_has_a_sheet_of_signs(written):
    workbook = written("bin", ROWS, [(1, -1), (2, 1)])
    assert workbook.sheetnames == ["curve_bin", "bin_bin", "Charts"]
    assert table(workbook["bin_bin"]) == [["comm", "bit"], [1, -1], [2, 1]]


def test_accuracies_are_plain_numbers(written):
    row = written("laq8", ROWS)["curve_laq8"][2]
    assert [cell.number_format for cell in row] == ["0", "0.0000", "0.0000", "0.0000", "0", "#,##0", "#,##0", "#,##0"]
    assert row[2].value == 0.5


def test_headings_are_bold_and_stay_in_view(written):
    for sheet in written("bin", ROWS, [(1, 1)]).worksheets[:2]:
        assert sheet.freeze_panes == "B2" and all(cell.font.bold for cell in sheet[1])


def test_unknown_values_keep_their_column(written):
    workbook = written("fedavg", [row._replace(acc=None, entropy=float("nan")) for row in ROWS])
    assert table(workbook["curve_fedavg"])[0] == HEADINGS
    assert [row[2:4] for row in table(workbook["curve_fedavg"])[1:]] == [[None, None]] * 2


def test_charts_refer_to_the_cells_of_the_curve(written, tmp_path):
    written("bbit", ROWS)
    charts = parts(tmp_path / "results_digits_bbit.xlsx", "xl/charts/chart")
    for chart, column in zip(charts, "AHAH"):
        assert "<c:f>curve_bbit!$%s$2:$%s$3</c:f>" % (column, column) in chart
    assert ["$C$2:$C$3" in chart for chart in charts] == [True, True, False, False]
    assert ["$B$2:$B$3" in chart and "$D$2:$D$3" in chart for chart in charts] == [False, False, True, True]
    assert not formulas(tmp_path / "results_digits_bbit.xlsx")


def test_only_known_values_are_drawn(written, tmp_path):
    written("bbit", [row._replace(acc=None, entropy=None) for row in ROWS])
    charts = parts(tmp_path / "results_digits_bbit.xlsx", "xl/charts/chart")
    assert len(charts) == 2 and "$D$2" not in charts[0]


def test_without_rounds_there_are_headings_only(written):
    workbook = written("bin", [], [])
    assert workbook.sheetnames == ["curve_bin", "bin_bin"]
    assert table(workbook["curve_bin"]) == [HEADINGS]
