"""The workbook, read back."""

import json
import os
import re
import subprocess
import sys

import pytest
from factory import settings_with
from ooxml import problems
from openpyxl import load_workbook
from report_rows import HOSTILE, INFINITY, NAN, a_round, a_worker, column, formulas, parts, values

from flq import durable
from flq.core.settings import to_json
from flq.report import excel
from flq.report.excel import write_workbook
from flq.report.rows import COLUMNS, TOTALS, RoundRow
from flq.report.sheets import MOST_ROWS, fill, writing


@pytest.fixture
def written(tmp_path):
    """Write a workbook and read it back, with the values of formulas."""

    def write(summary=(), rounds=(), workers=(), settings=None):
        path = str(tmp_path / "run.xlsx")
        write_workbook(path, summary, rounds, workers, settings or {})
        assert os.listdir(str(tmp_path)) == ["run.xlsx"]
        return load_workbook(path, data_only=True)

    return write


def test_each_field_of_a_round_is_under_its_heading(written):
    sheet = written(rounds=[a_round()])["Rounds"]
    for field, value in a_round()._asdict().items():
        assert values(sheet, COLUMNS[field].title) == [value], field


def test_each_field_of_a_worker_is_under_its_heading(written):
    sheet = written(workers=[a_worker(0), a_worker(1, state="lost")])["Workers"]
    assert values(sheet, "worker") == [0, 1, "total"]
    assert values(sheet, "state") == ["ended", "lost", None]
    for field, value in a_worker()._asdict().items():
        assert values(sheet, COLUMNS[field].title)[0] == value, field


def test_totals_are_running_sums(written):
    sheet = written(rounds=[a_round(1), a_round(2, wire_bytes_up=10, wire_bytes_down=5), a_round(3)])["Rounds"]
    assert values(sheet, "total wire up (bytes)") == [1500, 1510, 3010]
    assert values(sheet, "total wire down (bytes)") == [900, 905, 1805]
    assert values(sheet, "total wire, both ways (bytes)") == [2400, 2415, 4815]
    assert values(sheet, "total payload up (bits)") == [8000, 16000, 24000]
    assert values(sheet, "total sent again (bytes)") == [7, 14, 21]
    assert [cell.value for cell in sheet[1]][len(RoundRow._fields) :] == [title for title, _ in TOTALS]


def test_settings_are_listed_by_section_and_key(written):
    settings = {"model": {"lr": 0.1, "name": "mlp"}, "system": {"deterministic": True, "x": None}}
    sheet = written(settings=settings)["Config"]
    assert list(sheet.iter_rows(min_row=2, values_only=True)) == [
        ("model", "lr", 0.1, None, None),
        ("model", "name", "mlp", None, None),
        ("system", "deterministic", True, None, None),
        ("system", "x", None, None, None),
    ]


def test_a_setting_that_differs_from_its_default_is_marked_and_the_default_is_beside_it(written):
    settings = to_json(settings_with(lr=0.05, b_up=4, input_shape=[8, 8, 1], deterministic=False, thr_scale=0.5))
    rows = list(written(settings=settings)["Config"].iter_rows(min_row=2, values_only=True))
    assert [row for row in rows if row[3:] != (None, None)] == [
        ("system", "deterministic", False, "changed", True),
        ("dataset", "input_shape", "[8, 8, 1]", "given or derived", "null"),
        ("model", "lr", 0.05, "changed", 0.1),
        ("flq_algorithm", "b_up", 4, "changed", "null"),
        ("lazy_selection", "thr_scale", 0.5, "changed", "null"),
    ]
    assert len(rows) == sum(map(len, settings.values()))


@pytest.mark.parametrize("unknown", [None, NAN, INFINITY, -INFINITY])
def test_an_unknown_value_is_an_empty_cell(written, unknown):
    workbook = written(
        [("final loss", unknown)],
        [a_round(1, accuracy=unknown, training_loss=unknown), a_round(2)],
        [a_worker(0, last_loss=unknown), a_worker(1)],
    )
    assert values(workbook["Summary"], "value") == [None]
    assert values(workbook["Rounds"], "test accuracy (%)") == [None, 0.5]
    assert values(workbook["Rounds"], "training loss") == [None, 2.0]
    assert values(workbook["Rounds"], "test loss") == [1.25, 1.25]
    assert values(workbook["Workers"], "last training loss") == [None, 0.125, None]


@pytest.mark.parametrize("unknown", [None, NAN])
def test_a_value_unknown_in_the_whole_run_has_no_column(written, unknown):
    optional = ("accuracy", "shared_accuracy", "average_accuracy", "own_accuracy", "own_loss", "energy_so_far_j")
    workbook = written(
        rounds=[a_round(k, **dict.fromkeys(optional, unknown)) for k in (1, 2)], workers=[a_worker(last_loss=unknown)]
    )
    titles = [cell.value for cell in workbook["Rounds"][1]]
    left_out = {COLUMNS[field].title for field in optional}
    assert titles == [
        COLUMNS[field].title for field in COLUMNS if field in RoundRow._fields and field not in optional
    ] + [title for title, _ in TOTALS]
    assert not left_out & set(titles) and titles[:3] == ["round", "test loss", "training loss"]
    assert values(workbook["Rounds"], "total wire, both ways (bytes)") == [2400, 4800]
    assert "last training loss" not in [cell.value for cell in workbook["Workers"][1]]


def test_a_round_may_lack_optional_values():
    short = RoundRow(*a_round()[:-4])
    assert (short.average_accuracy, short.own_accuracy, short.own_loss, short.energy_so_far_j) == (None,) * 4


def test_number_formats_follow_the_kind_of_column(written):
    workbook = written(
        [("final test accuracy", 0.5), ("payload up (bits)", 8000), ("final loss", 0.25)], [a_round()], [a_worker()]
    )
    rounds = workbook["Rounds"]
    assert column(rounds, "test accuracy (%)")[0].number_format == "0.00%"
    assert column(rounds, "payload up (bits)")[0].number_format == "#,##0"
    assert column(rounds, "total wire up (bytes)")[0].number_format == "#,##0"
    assert column(rounds, "training (s)")[0].number_format == "#,##0.00"
    assert column(workbook["Workers"], "samples")[0].number_format == "#,##0"
    assert [cell.number_format for cell in column(workbook["Summary"], "value")] == ["0.00%", "#,##0", "#,##0.00##"]


def test_every_kind_of_column_has_a_number_format():
    assert {column.kind for column in COLUMNS.values()} == set(excel.FORMATS)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_never_a_formula_or_an_error(written, tmp_path, text):
    workbook = written([(text, text)], [a_round()], [a_worker(state=text)], {text: {text: text}})
    cells = [*workbook["Summary"][2], *workbook["Config"][2][:3], column(workbook["Workers"], "state")[0]]
    assert [(cell.value, cell.data_type) for cell in cells] == [(text, "s")] * 6
    ours = re.compile(r"[A-Z]+[0-9]+([+][A-Z]+[0-9]+)*|SUM\([A-Z]+2:[A-Z]+[0-9]+\)")
    assert [formula for formula in formulas(tmp_path / "run.xlsx") if not ours.fullmatch(formula)] == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_heading_is_never_a_formula_either(tmp_path, text):
    path = str(tmp_path / "run.xlsx")
    with writing(path) as workbook:
        fill(workbook, "Sheet", [text, "b"], [(1, text)], [("0", "0")])
    cell = load_workbook(path).active["A1"]
    assert (cell.value, cell.data_type) == (text, "s")
    assert not formulas(path)


@pytest.mark.parametrize("text", ["<r><t>=1+1</t></r>", "<r></si></r>", "<r>%s</r>cut off here" % ("x" * 32760)])
def test_text_that_looks_like_formatted_text_is_plain(written, tmp_path, text):
    (value,) = values(written([("name", text)])["Summary"], "value")
    assert value == (" " + text)[:32767]
    assert problems(tmp_path / "run.xlsx") == []


def test_text_that_looks_like_an_escape_is_escaped(written, tmp_path):
    written([("name", "_x0041_")])
    (shared,) = parts(tmp_path / "run.xlsx", "xl/sharedStrings")
    assert "<t>_x005F_x0041_</t>" in shared and "<t>_x0041_</t>" not in shared


def test_rows_that_no_sheet_has_room_for_are_not_dropped_in_silence(tmp_path):
    with pytest.raises(ValueError, match="holds at most 1048574 rows, got 1048576"):
        with writing(str(tmp_path / "run.xlsx")) as workbook:
            fill(workbook, "Sheet", ["a"], range(MOST_ROWS), [])
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\ud800b", "a\uffffb"])
def test_characters_that_no_workbook_can_hold_are_replaced(written, text):
    assert values(written([("name", text)])["Summary"], "value") == ["a\ufffdb"]


def test_whole_numbers_keep_all_their_digits(written):
    sheet = written(settings={"system": {"seed": 2**63 - 1, "other": 10**15 - 1}})["Config"]
    assert values(sheet, "value") == ["9223372036854775807", 999999999999999]


def test_other_values_are_written_as_text(written):
    assert values(written([("bits", (4, 8))])["Summary"], "value") == ["(4, 8)"]


def test_headings_are_bold_and_stay_in_view(written):
    workbook = written([("a", 1)], [a_round()], [a_worker()], {"model": {"lr": 1}})
    for name in ("Summary", "Rounds", "Workers", "Config"):
        sheet = workbook[name]
        assert sheet.freeze_panes == "B2"
        assert all(cell.font.bold for cell in sheet[1])


def test_columns_are_wide_enough_for_their_numbers(written):
    sheet = written(rounds=[a_round(payload_bits_up=123456789012)])["Rounds"]
    letter = column(sheet, "payload up (bits)")[0].column_letter
    assert sheet.column_dimensions[letter].width >= len("123,456,789,012")


def test_a_run_without_rounds_has_sheets_with_headings_only(written):
    workbook = written([("state", "FINISHED")], workers=[a_worker()])
    assert workbook.sheetnames == ["Summary", "Read me", "Rounds", "Workers", "Config"]
    assert workbook["Rounds"].max_row == 1 and workbook["Workers"].max_row == 3
    assert values(workbook["Rounds"], "round") == []


def test_sheets_are_printed_in_landscape_with_their_headings(written):
    workbook = written([("a", 1)], [a_round()], [a_worker()], {"model": {"lr": 1}})
    for sheet in workbook:
        assert sheet.page_setup.orientation == "landscape" and sheet.sheet_properties.pageSetUpPr.fitToPage
        if sheet.title not in ("Charts", "Read me"):
            assert sheet.print_title_rows == "$1:$1"


def test_a_workbook_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run.xlsx"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(durable.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_workbook(str(path), [], [a_round()], [], {})
    assert path.read_bytes() == b"old"
    assert os.listdir(str(tmp_path)) == ["run.xlsx"]


def test_a_workbook_that_cannot_be_made_leaves_no_file(tmp_path):
    with pytest.raises(AttributeError):
        write_workbook(str(tmp_path / "run.xlsx"), [], [a_round(), "no round"], [], {})
    assert os.listdir(str(tmp_path)) == []


def test_importing_the_report_imports_no_package_for_workbooks():
    code = "import sys, json, flq.report.excel; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout)
    assert "flq.report.excel" in modules and not {"openpyxl", "xlsxwriter"} & set(modules)
