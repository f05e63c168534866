"""The workbook, read back."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from openpyxl import load_workbook

from flq.report import excel
from flq.report.excel import write_workbook
from flq.report.rows import COLUMNS, TOTALS, RoundRow, WorkerRow

NAN, INFINITY = float("nan"), float("inf")


def a_round(round_index=1, **changes):
    return RoundRow(round_index=round_index, accuracy=0.5, test_loss=1.25, shared_accuracy=0.25, training_loss=2.0,
                    uploaded=3, skipped=1, refused=0, late=0, lost=0, payload_bits_up=8000, payload_bits_down=4000,
                    frame_bytes_up=1100, frame_bytes_down=600, wire_bytes_up=1500, wire_bytes_down=900,
                    retransmitted_bytes=7, training_s=1.5, waiting_s=0.25, round_s=2.0)._replace(**changes)


def a_worker(worker_id=0, **changes):
    return WorkerRow(worker_id=worker_id, n_samples=359, state="ended", rounds=2, uploaded=2, skipped=0, refused=0,
                     late=0, lost=0, payload_bits_up=16000, frame_bytes_up=2200, frame_bytes_down=1200,
                     wire_bytes_up=3000, wire_bytes_down=1800, retransmitted_bytes=14, training_s=3.0, waiting_s=0.5,
                     last_loss=0.125)._replace(**changes)


@pytest.fixture
def written(tmp_path):
    """Write a workbook and read it back."""
    def write(summary=(), rounds=(), workers=(), settings=None):
        path = str(tmp_path / "run.xlsx")
        write_workbook(path, summary, rounds, workers, settings or {})
        assert os.listdir(str(tmp_path)) == ["run.xlsx"]
        return load_workbook(path)
    return write


def parts(folder, prefix):
    """Return the XML parts of the workbook whose names begin so."""
    with zipfile.ZipFile(str(folder / "run.xlsx")) as archive:
        return [archive.read(name).decode() for name in sorted(archive.namelist()) if name.startswith(prefix)]


def column(sheet, title):
    """Return the cells under a heading."""
    titles = [cell.value for cell in sheet[1]]
    return [row[titles.index(title)] for row in sheet.iter_rows(min_row=2)]


def values(sheet, title):
    return [cell.value for cell in column(sheet, title)]


def test_each_field_of_a_round_stands_under_its_heading(written):
    sheet = written(rounds=[a_round()])["Rounds"]
    for field, value in a_round()._asdict().items():
        assert values(sheet, COLUMNS[field].title) == [value], field


def test_each_field_of_a_worker_stands_under_its_heading(written):
    sheet = written(workers=[a_worker(0), a_worker(1, state="lost")])["Workers"]
    assert values(sheet, "worker") == [0, 1]
    assert values(sheet, "state") == ["ended", "lost"]
    for field, value in a_worker()._asdict().items():
        assert values(sheet, COLUMNS[field].title)[0] == value, field


def test_totals_are_running_sums(written):
    sheet = written(rounds=[a_round(1), a_round(2, wire_bytes_up=10, wire_bytes_down=5), a_round(3)])["Rounds"]
    assert values(sheet, "total wire up (bytes)") == [1500, 1510, 3010]
    assert values(sheet, "total wire down (bytes)") == [900, 905, 1805]
    assert values(sheet, "total wire, both ways (bytes)") == [2400, 2415, 4815]
    assert values(sheet, "total payload up (bits)") == [8000, 16000, 24000]
    assert values(sheet, "total sent again (bytes)") == [7, 14, 21]
    assert [cell.value for cell in sheet[1]][len(RoundRow._fields):] == [title for title, _ in TOTALS]


def test_settings_are_listed_by_section_and_key(written):
    settings = {"model": {"lr": 0.1, "name": "mlp"}, "system": {"deterministic": True, "x": None}}
    sheet = written(settings=settings)["Config"]
    assert list(sheet.iter_rows(min_row=2, values_only=True)) == [
        ("model", "lr", 0.1), ("model", "name", "mlp"), ("system", "deterministic", True), ("system", "x", None)]


@pytest.mark.parametrize("unknown", [None, NAN, INFINITY, -INFINITY])
def test_what_is_not_known_is_an_empty_cell(written, unknown):
    workbook = written([("final loss", unknown)], [a_round(accuracy=unknown, training_loss=unknown)],
                       [a_worker(last_loss=unknown)])
    assert values(workbook["Summary"], "value") == [None]
    assert values(workbook["Rounds"], "test accuracy (%)") == [None]
    assert values(workbook["Rounds"], "training loss") == [None]
    assert values(workbook["Rounds"], "test loss") == [1.25]
    assert values(workbook["Workers"], "last training loss") == [None]


def test_number_formats_follow_the_kind_of_column(written):
    workbook = written([("final test accuracy", 0.5), ("payload up (bits)", 8000), ("final loss", 0.25)],
                       [a_round()], [a_worker()])
    rounds = workbook["Rounds"]
    assert column(rounds, "test accuracy (%)")[0].number_format == "0.00%"
    assert column(rounds, "payload up (bits)")[0].number_format == "#,##0"
    assert column(rounds, "total wire up (bytes)")[0].number_format == "#,##0"
    assert column(rounds, "training (s)")[0].number_format == "#,##0.00"
    assert column(workbook["Workers"], "samples")[0].number_format == "#,##0"
    assert ([cell.number_format for cell in column(workbook["Summary"], "value")]
            == ["0.00%", "#,##0", "#,##0.00##"])


def test_every_kind_of_column_has_a_number_format():
    assert {column.kind for column in COLUMNS.values()} == set(excel.FORMATS)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(\"http://x\")", "#N/A"])
def test_text_is_never_a_formula_or_an_error(written, tmp_path, text):
    workbook = written([(text, text)], workers=[a_worker(state=text)], settings={text: {text: text}})
    cells = [*workbook["Summary"][2], *workbook["Config"][2], *column(workbook["Workers"], "state")]
    assert [cell.value for cell in cells] == [text] * 6
    sheets = parts(tmp_path, "xl/worksheets/sheet")
    assert len(sheets) == 4
    assert not any("<f>" in sheet or 't="e"' in sheet for sheet in sheets)


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\ud800b", "a\uffffb"])
def test_characters_that_no_workbook_can_hold_are_replaced(written, text):
    assert values(written([("name", text)])["Summary"], "value") == ["a\ufffdb"]


def test_whole_numbers_keep_all_their_digits(written):
    sheet = written(settings={"system": {"seed": 2 ** 63 - 1, "other": 10 ** 15 - 1}})["Config"]
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


def test_a_run_without_accuracies_has_no_charts(written):
    assert written(rounds=[a_round(accuracy=None)]).sheetnames == ["Summary", "Rounds", "Workers", "Config"]
    assert written(rounds=[a_round()]).sheetnames == ["Summary", "Rounds", "Workers", "Config", "Charts"]


def test_a_run_without_rounds_has_sheets_with_headings_only(written):
    workbook = written([("state", "FINISHED")])
    assert workbook.sheetnames == ["Summary", "Rounds", "Workers", "Config"]
    assert workbook["Rounds"].max_row == workbook["Workers"].max_row == 1


def test_two_charts_show_accuracy_by_round_and_by_bytes(written, tmp_path):
    workbook = written(rounds=[a_round(1), a_round(2, accuracy=None)])
    by_round, by_bytes = parts(tmp_path, "xl/charts/chart")
    letter = column(workbook["Rounds"], "total wire, both ways (bytes)")[0].column_letter
    assert "<f>'Rounds'!$A$2:$A$3</f>" in by_round
    assert "<f>'Rounds'!$%s$2:$%s$3</f>" % (letter, letter) in by_bytes
    for chart in (by_round, by_bytes):
        assert "<f>'Rounds'!$B$2:$B$3</f>" in chart and "<f>'Rounds'!$D$2:$D$3</f>" in chart


def test_charts_have_axes_titles_straight_lines_and_bridge_what_was_not_evaluated(written, tmp_path):
    written(rounds=[a_round(1), a_round(2)])
    for chart in parts(tmp_path, "xl/charts/chart"):
        assert chart.count('<delete val="0"') == 2
        assert chart.count("<title>") == 3
        assert chart.count('<smooth val="0"') == 2 and 'smooth val="1"' not in chart
        assert 'dispBlanksAs val="span"' in chart


@pytest.mark.parametrize("wire_bytes, unit", [(10 ** 5, "kB"), (10 ** 6, "MB")])
def test_the_axis_of_bytes_has_a_readable_unit(written, tmp_path, wire_bytes, unit):
    written(rounds=[a_round(wire_bytes_up=wire_bytes, wire_bytes_down=0)])
    assert "both ways (%s)" % unit in parts(tmp_path, "xl/charts/chart")[1]


def test_many_rounds_are_drawn_without_marks(written, tmp_path):
    written(rounds=[a_round(k) for k in range(1, 50)])
    assert 'symbol val="circle"' in parts(tmp_path, "xl/charts/chart")[0]
    written(rounds=[a_round(k) for k in range(1, 51)])
    assert 'symbol val="none"' in parts(tmp_path, "xl/charts/chart")[0]


def test_a_workbook_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run.xlsx"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")
    monkeypatch.setattr(excel.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_workbook(str(path), [], [a_round()], [], {})
    assert path.read_bytes() == b"old"
    assert os.listdir(str(tmp_path)) == ["run.xlsx"]


def test_importing_the_report_does_not_import_openpyxl():
    code = "import sys, json, flq.report.excel; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout)
    assert "flq.report.excel" in modules and "openpyxl" not in modules
