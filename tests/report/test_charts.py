"""The charts of a run's workbook: their lines, and the cells of their points."""

import re

import pytest
from openpyxl import load_workbook
from report_rows import HOSTILE, a_round, a_worker, column, formulas, parts

from flq.drawing.statuses import COLOURS
from flq.drawing.style import PALETTE
from flq.report.axes import Axis
from flq.report.charts import DASHES, ChartLine, line_chart, place
from flq.report.excel import ACCURACIES, LOSSES, ROLL_CALL, WIRE, write_workbook
from flq.report.rows import COLUMNS
from flq.report.sheets import fill, writing

UNKNOWN = dict.fromkeys(("accuracy", "shared_accuracy", "average_accuracy", "own_accuracy"))


@pytest.fixture
def drawn(tmp_path):
    """Write a workbook; return it and the XML of its charts by their titles."""

    def write(rounds, workers=()):
        path = tmp_path / "run.xlsx"
        write_workbook(str(path), [], rounds, workers, {})
        charts = {words(chart)[0]: chart for chart in parts(path, "xl/charts/chart")}
        return load_workbook(str(path)), charts

    return write


def words(chart):
    """Return the texts of a chart: its title, then those of its axes."""
    return re.findall("<a:t>([^<]*)</a:t>", chart)


def references(chart):
    return re.findall("<c:f>([^<]*)</c:f>", chart)


def legend(chart):
    return re.findall("<c:tx><c:v>([^<]*)</c:v></c:tx>", chart)


def cells(sheet, title, last):
    letter = column(sheet, title)[0].column_letter
    return "%s!$%s$2:$%s$%d" % (sheet.title, letter, letter, last)


def test_accuracy_and_loss_are_drawn_by_round_and_by_bytes_and_workers_as_bars(drawn):
    workbook, charts = drawn([a_round(1), a_round(2)], [a_worker()])
    assert workbook.sheetnames[:2] == ["Summary", "Charts"]
    assert list(charts) == [
        "Accuracy by round",
        "Accuracy by bytes on the wire",
        "Loss by round",
        "Loss by bytes on the wire",
        "Bytes on the wire per worker",
        "Skips and uploads per worker",
    ]
    assert len(workbook["Charts"]._charts) == 6


@pytest.mark.parametrize("unknown, what", [({}, "Accuracy"), (UNKNOWN, "Loss")])
def test_the_curves_of_the_result_stand_beside_the_summary(drawn, unknown, what):
    workbook, _ = drawn([a_round(1, **unknown), a_round(2, **unknown)])
    found = workbook["Summary"]._charts
    titles = [chart.title.tx.rich.p[0].r[0].t for chart in found]
    assert titles == ["%s by round" % what, "%s by bytes on the wire" % what]
    assert min(chart.anchor._from.col for chart in found) >= workbook["Summary"].max_column


@pytest.mark.parametrize("what, quantities", [("Accuracy", ACCURACIES), ("Loss", LOSSES)])
@pytest.mark.parametrize(
    "across, x_title", [("by round", "round"), ("by bytes on the wire", "total wire, both ways (bytes)")]
)
def test_lines_refer_to_the_cells_of_the_rounds(drawn, what, quantities, across, x_title):
    workbook, charts = drawn([a_round(1), a_round(2), a_round(3)])
    sheet, chart = workbook["Rounds"], charts["%s %s" % (what, across)]
    expected = []
    for field, _, _ in quantities:
        expected += [cells(sheet, x_title, 4), cells(sheet, COLUMNS[field].title, 4)]
    assert sorted(references(chart)) == sorted(expected)
    assert legend(chart) == [name for _, name, _ in quantities]


def test_bars_refer_to_the_cells_of_the_workers(drawn):
    workbook, charts = drawn([a_round()], [a_worker(m, refused=1, late=1, lost=1) for m in range(5)])
    sheet = workbook["Workers"]
    for title, quantities in (("Bytes on the wire per worker", WIRE), ("Skips and uploads per worker", ROLL_CALL)):
        assert set(references(charts[title])) == {
            cells(sheet, COLUMNS[field].title, 6) for field, _, _ in quantities
        } | {cells(sheet, "worker", 6)}
        assert '<c:grouping val="stacked"/>' in charts[title] and '<c:overlap val="100"/>' in charts[title]


def test_outcomes_that_did_not_occur_have_no_bars(drawn):
    _, charts = drawn([a_round()], [a_worker(0, lost=2), a_worker(1)])
    assert legend(charts["Skips and uploads per worker"]) == ["skipped", "uploaded", "lost"]


def test_outcomes_have_the_colours_of_the_page_and_the_figures(drawn):
    _, charts = drawn([a_round()], [a_worker(0, uploaded=1, skipped=1, refused=1, late=1, lost=1)])
    found = re.findall('<a:solidFill><a:srgbClr val="([0-9A-F]{6})"', charts["Skips and uploads per worker"])
    assert [value for value in found if "#" + value in {each.light for each in COLOURS.values()}] == [
        COLOURS[name].light[1:] for name in ("skipped", "uploaded", "refused", "late", "lost")
    ]


@pytest.mark.parametrize("n_workers, skip", [(4, 1), (16, 1), (17, 2), (64, 4)])
def test_the_numbers_of_many_workers_leave_room_for_each_other(drawn, n_workers, skip):
    _, charts = drawn([a_round()], [a_worker(m) for m in range(n_workers)])
    assert '<c:tickLblSkip val="%d"/>' % skip in charts["Bytes on the wire per worker"]


def test_a_run_without_accuracies_has_charts_of_its_losses(drawn):
    _, charts = drawn([a_round(**UNKNOWN)])
    assert list(charts) == ["Loss by round", "Loss by bytes on the wire"]
    assert len(legend(charts["Loss by round"])) == 3


def test_a_quantity_that_is_not_known_has_no_line(drawn):
    _, charts = drawn([a_round(average_accuracy=None, own_accuracy=None, own_loss=None)])
    assert legend(charts["Accuracy by round"]) == ["master's model, test set", "shared copy, test set"]
    assert len(legend(charts["Loss by round"])) == 2


def test_a_run_of_which_nothing_is_known_has_bars_only(drawn):
    nothing = dict(UNKNOWN, test_loss=None, training_loss=float("nan"), own_loss=None)
    assert drawn([a_round(**nothing)])[0].sheetnames == ["Summary", "Read me", "Rounds", "Workers", "Config"]
    assert list(drawn([a_round(**nothing)], [a_worker()])[1]) == [
        "Bytes on the wire per worker",
        "Skips and uploads per worker",
    ]


def test_charts_have_titled_axes_straight_lines_and_bridge_gaps(drawn):
    _, charts = drawn([a_round(1), a_round(2, accuracy=None)], [a_worker()])
    for title, chart in charts.items():
        assert "<c:delete" not in chart and chart.count("<c:title>") == 3 and len(words(chart)) == 3
        assert "<c:overlay" not in chart  # title, axes and legend cover nothing
        assert chart.count('<c:crosses val="min"/>') == 2  # both axes stand at the edge
        if "worker" not in title:
            assert "<c:smooth" not in chart and '<c:dispBlanksAs val="span"/>' in chart


def test_a_chart_holds_its_points_for_readers_that_do_not_calculate(drawn):
    _, charts = drawn([a_round(1), a_round(2, accuracy=None, wire_bytes_up=10**6)])
    assert len(re.findall("<c:numCache>", charts["Accuracy by bytes on the wire"])) == 8
    assert re.findall('<c:pt idx="1"><c:v>([^<]*)</c:v>', charts["Accuracy by bytes on the wire"])[0] == "1003300"


def test_the_axis_of_accuracies_is_as_wide_as_they_are(drawn):
    known = dict(shared_accuracy=None, average_accuracy=None, own_accuracy=None)
    _, charts = drawn([a_round(1, accuracy=0.91, **known), a_round(2, accuracy=0.96, **known)])
    for title in "Accuracy by round", "Accuracy by bytes on the wire":
        assert '<c:max val="0.96"/>' in charts[title] and '<c:min val="0.91"/>' in charts[title]


@pytest.mark.parametrize("wire_bytes, unit", [(900, "B"), (10**5, "kB"), (10**6, "MB"), (10**9, "GB")])
def test_the_axis_of_bytes_has_a_readable_unit(drawn, wire_bytes, unit):
    _, charts = drawn([a_round(wire_bytes_up=wire_bytes, wire_bytes_down=0)])
    assert words(charts["Accuracy by bytes on the wire"])[1] == "on the wire so far, both ways (%s)" % unit


def test_losses_of_different_size_stand_on_powers_of_ten(drawn):
    _, charts = drawn([a_round(1, test_loss=500.0), a_round(2)])
    assert 'logBase val="10"' in charts["Loss by round"]
    assert "logBase" not in charts["Accuracy by round"]


def test_many_points_are_drawn_without_marks_and_few_evaluations_with(drawn):
    assert 'symbol val="circle"' in drawn([a_round(k) for k in range(1, 50)])[1]["Loss by round"]
    assert 'symbol val="circle"' not in drawn([a_round(k) for k in range(1, 51)])[1]["Loss by round"]
    every_tenth = [a_round(k, **(UNKNOWN if k % 10 else {})) for k in range(1, 101)]
    assert 'symbol val="none"' not in drawn(every_tenth)[1]["Accuracy by round"]


def test_no_two_styles_look_alike():
    assert len({(n % len(PALETTE), n % len(DASHES)) for n in range(28)}) == 28


@pytest.mark.parametrize("text", HOSTILE + ("<b>&\"'</b>", "a\x00b", "=Sheet!$A$2", "run!B2.xlsx"))
def test_names_in_a_chart_are_text(tmp_path, text):
    path = str(tmp_path / "run.xlsx")
    with writing(path) as workbook:
        fill(workbook, "Sheet", ("x", "y"), [(1, 2)], [("0", "0")])
        place(
            workbook,
            "Charts",
            [line_chart(workbook, text, [ChartLine(text, "Sheet", 0, 1, [2])], Axis(text, "0"), Axis(text, "0"))],
        )
    (chart,) = parts(path, "xl/charts/chart")
    assert references(chart) == ["Sheet!$A$2", "Sheet!$B$2"] and not formulas(path)
    drawn = load_workbook(path)["Charts"]._charts[0]
    shown = re.sub("!(?=[$]?[A-Z])", "! ", text.replace("\x00", "\ufffd"))
    assert drawn.series[0].tx.v == shown and drawn.series[0].tx.strRef is None
    assert [run.t for run in drawn.title.tx.rich.p[0].r] == [shown]
