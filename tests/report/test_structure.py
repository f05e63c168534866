"""Excel opens the workbooks without repairing anything."""

import zipfile

import pytest
from ooxml import problems
from report_rows import HOSTILE, a_round, a_worker

from flq.report.compare import compare
from flq.report.excel import write_workbook
from flq.report.reference import CurveRow, write_curves
from flq.report.sheets import fill, writing

ROLL_CALLS = [(1, {0: "uploaded", 1: "skipped"}), (2, {0: "late", 1: "lost", 5: "=1+1"})]
CURVE = [CurveRow(1, 2.0, 0.5, float("nan"), 4, 1000, 10, 1010), CurveRow(2, 1.0, None, 1.0, 4, 2000, 20, 2020)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write the workbook of a run with all sheets and columns, and with hostile texts."""
    path = tmp_path_factory.mktemp("structure") / "run.xlsx"
    settings = {
        "text": {"key%d" % index: text for index, text in enumerate(HOSTILE)},
        "other": {"seed": 2**63 - 1, "true": True, "none": None, "long": "x" * 40000, "words": "<b>&\"'\x00"},
    }
    write_workbook(
        str(path),
        [(text, text) for text in HOSTILE] + [("accuracy", float("nan"))],
        [a_round(1), a_round(2, accuracy=None, lost=1)],
        [a_worker(0), a_worker(1, state="lost", energy_j=None), a_worker(2, state=HOSTILE[0])],
        settings,
        ROLL_CALLS,
    )
    return path


def test_a_run_has_nothing_to_repair(run):
    assert problems(run) == []


@pytest.mark.parametrize(
    "rounds, workers, roll_calls",
    [
        ([], [], []),
        ([a_round()], [], []),
        ([], [a_worker()], []),
        ([], [], [(1, {})]),
        (
            [a_round(k) for k in range(1, 60)],
            [a_worker(k) for k in range(70)],
            [(k, dict.fromkeys(range(70), "skipped")) for k in range(1, 60)],
        ),
    ],
)
def test_nor_have_short_and_long_ones(tmp_path, rounds, workers, roll_calls):
    path = tmp_path / "run.xlsx"
    write_workbook(str(path), [], rounds, workers, {}, roll_calls)
    assert problems(path) == []


def test_nor_has_a_sheet_with_a_very_long_heading(tmp_path):
    path = tmp_path / "run.xlsx"
    with writing(str(path)) as workbook:
        fill(workbook, "Sheet", ["word " * 2000, "long" * 10000], [(1, 2)], [("0", "0")])
    assert problems(path) == []


@pytest.mark.parametrize("rows, bin_rows", [([], None), (CURVE, None), (CURVE, [(1, -1)]), ([], [])])
def test_nor_has_the_reference(tmp_path, rows, bin_rows):
    path = tmp_path / "results_digits_bin.xlsx"
    write_curves(str(path), "bin", rows, bin_rows)
    assert problems(path) == []


def test_nor_has_a_comparison(tmp_path, run):
    write_curves(str(tmp_path / "=1+1!B2.xlsx"), "bin", CURVE)
    compare([str(run), str(tmp_path / "=1+1!B2.xlsx")], str(tmp_path / "compare.xlsx"))
    assert problems(tmp_path / "compare.xlsx") == []


@pytest.mark.parametrize(
    "part, old, new, expected",
    [
        ("xl/workbook.xml", 'name="Config"', 'name="config/"', "no sheet can be called 'config/'"),
        ("xl/workbook.xml", 'name="Config"', 'name="%s"' % ("c" * 32), "no sheet can be called"),
        ("xl/workbook.xml", 'name="Config"', 'name="rounds"', "two sheets are called rounds"),
        ("xl/workbook.xml", "!$A:$A", "!#REF!", "refers to"),
        ("xl/workbook.xml", 'localSheetId="5"', 'localSheetId="50"', "is of no sheet"),
        ("xl/_rels/workbook.xml.rels", "worksheets/sheet3.xml", "worksheets/sheet33.xml", "sheet33.xml is not there"),
        ("xl/_rels/workbook.xml.rels", 'Id="rId3"', 'Id="rId2"', "nothing has the id rId3"),
        (
            "[Content_Types].xml",
            "/xl/worksheets/sheet3.xml",
            "/xl/worksheets/sheet33.xml",
            "has a type and is not there",
        ),
        ("xl/worksheets/sheet4.xml", "</worksheet>", "", "is no XML"),
        ("xl/worksheets/sheet4.xml", '<row r="3"', '<row r="2"', "row 2 is out of order"),
        ("xl/worksheets/sheet4.xml", '<c r="B2"', '<c r="A2"', "cell A2 is out of order"),
        ("xl/worksheets/sheet4.xml", '<c r="B2" s="', '<c r="B2" s="9', "cell B2 has style 9"),
        ("xl/worksheets/sheet4.xml", "<v>0.5</v>", "<v>nan</v>", "is nan"),
        ("xl/worksheets/sheet4.xml", "<v>2400</v>", "", "has a formula without a value"),
        ("xl/worksheets/sheet4.xml", 't="s"><v>', 't="s"><v>99', "refers to text 99"),
        ("xl/worksheets/sheet4.xml", 'priority="2"', 'priority="1"', "conditional formats of one priority"),
        ("xl/worksheets/sheet4.xml", 'type="cellIs"', 'type="cell"', "colours by cell"),
        ("xl/worksheets/sheet4.xml", 'dxfId="', 'dxfId="9', "by the formula"),
        ("xl/worksheets/sheet4.xml", '<col min="2"', '<col min="1"', "columns 1 to 2 are out of order"),
        ("xl/worksheets/sheet4.xml", "<pageMargins", "<drawing/><pageMargins", "elements out of order"),
        ("xl/styles.xml", '<xf numFmtId="164"', '<xf numFmtId="999"', "refers to number format 999"),
        ("xl/styles.xml", "<dxfs count", '<dxfs count="99" was', "another number of dxfs"),
        ("xl/charts/chart1.xml", "<c:f>Rounds!", "<c:f>Round!", "it refers to Round!"),
        ("xl/charts/chart1.xml", "<c:crossAx val=", '<c:crossAx val="1" was=', "its axes are"),
    ],
)
def test_errors_that_excel_would_repair_are_found(run, tmp_path, part, old, new, expected):
    damaged = tmp_path / "damaged.xlsx"
    with zipfile.ZipFile(str(run)) as archive, zipfile.ZipFile(str(damaged), "w") as copy:
        for name in archive.namelist():
            text = archive.read(name).decode()
            assert name != part or old in text
            copy.writestr(name, text.replace(old, new, 1) if name == part else text)
    assert any(expected in sentence for sentence in problems(damaged)), problems(damaged)


def test_a_duplicate_part_is_found(run, tmp_path):
    damaged = tmp_path / "damaged.xlsx"
    damaged.write_bytes(run.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(str(damaged), "a") as archive:
        archive.writestr("xl/styles.xml", archive.read("xl/styles.xml"))
    assert problems(damaged) == ["xl/styles.xml is there twice"]
