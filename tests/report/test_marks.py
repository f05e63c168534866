"""Colours of cells, and the sheet of roll calls."""

import pytest
from openpyxl import load_workbook
from report_rows import a_round, a_worker, column

from flq.core.statuses import STATUSES
from flq.report.excel import write_workbook
from flq.report.marks import LATE, LOST, LOST_WORKER, NEVER_JOINED
from flq.report.roll_call import MARKS


@pytest.fixture
def written(tmp_path):
    def write(rounds=(), workers=(), roll_calls=()):
        path = str(tmp_path / "run.xlsx")
        write_workbook(path, [], rounds, workers, {}, roll_calls)
        return load_workbook(path)

    return write


def rules(sheet):
    """Return the conditional formats of a sheet: (cells, formula) -> (letters, ground)."""
    found = {}
    for area in sheet.conditional_formatting:
        for rule in area.rules:
            ground = rule.dxf.fill.bgColor.rgb if rule.dxf.fill is not None else None
            found[str(area.sqref), rule.operator, rule.formula[0]] = "#" + rule.dxf.font.color.rgb[2:], ground
    return found


def look(properties):
    ground = properties.get("bg_color")
    return properties["font_color"], ground and "FF" + ground[1:]


def test_counts_of_late_and_lost_workers_stand_out_where_they_are_not_0(written):
    sheet = written([a_round(k) for k in (1, 2, 3)])["Rounds"]
    late, lost = (column(sheet, title)[0].column_letter for title in ("late", "lost"))
    assert rules(sheet) == {
        ("%s2:%s4" % (late, late), "greaterThan", "0"): look(LATE),
        ("%s2:%s4" % (lost, lost), "greaterThan", "0"): look(LOST),
    }


def test_the_row_of_a_lost_worker_is_highlighted_but_not_the_totals(written):
    sheet = written([a_round()], [a_worker(k) for k in range(4)])["Workers"]
    state, last = column(sheet, "state")[0].column_letter, sheet.dimensions.split(":")[1][:-1]
    late, lost = (column(sheet, title)[0].column_letter for title in ("late", "lost"))
    assert sheet.max_row == 6
    assert rules(sheet) == {
        ("A2:%s5" % last, None, '$%s2="lost"' % state): look(LOST_WORKER),
        ("A2:%s5" % last, None, '$%s2="never joined"' % state): look(NEVER_JOINED),
        ("%s2:%s5" % (late, late), "greaterThan", "0"): look(LATE),
        ("%s2:%s5" % (lost, lost), "greaterThan", "0"): look(LOST),
    }


def test_empty_sheets_have_no_colours(written):
    workbook = written()
    assert workbook.sheetnames == ["Summary", "Read me", "Rounds", "Workers", "Config"]
    assert rules(workbook["Rounds"]) == rules(workbook["Workers"]) == {}


def test_a_roll_call_has_a_line_per_round_and_a_column_per_worker(written):
    workbook = written(
        roll_calls=[(1, {2: "uploaded", 0: "skipped"}), (2, {0: "late", 2: "lost", 7: "refused"}), (4, {7: "other"})]
    )
    assert workbook.sheetnames[3] == "Roll-call"
    sheet = workbook["Roll-call"]
    heading, *lines = sheet.iter_rows(values_only=True)
    assert heading == ("round\nU uploaded\nS skipped\nR refused\nL late\nX lost", "worker 0", "worker 2", "worker 7")
    assert lines == [(1, "S", "U", None), (2, "L", "X", "R"), (4, None, None, "other")]
    assert rules(sheet) == {("B2:D4", "equal", '"%s"' % mark.letter): look(mark.look) for mark in MARKS}
    assert sheet.freeze_panes == "B2" and sheet.print_title_rows == "$1:$1" and sheet.print_title_cols == "$A:$A"


@pytest.mark.parametrize("n_workers, pages_wide", [(1, 1), (64, 1), (65, 2), (4096, 64)])
def test_64_workers_stand_beside_each_other_on_a_page(written, n_workers, pages_wide):
    sheet = written(roll_calls=[(1, dict.fromkeys(range(n_workers), "uploaded"))])["Roll-call"]
    assert sheet.max_column == 1 + n_workers
    assert (sheet.page_setup.fitToWidth or 1) == pages_wide and sheet.page_setup.fitToHeight == 0


def test_every_status_has_a_distinct_letter():
    assert tuple(mark.status for mark in MARKS) == STATUSES
    assert len({mark.letter for mark in MARKS}) == len(MARKS)
