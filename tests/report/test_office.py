"""LibreOffice opens the workbooks: every sheet exists, every cell has its text, every formula is correct."""

import re
import shutil
import subprocess
import zipfile

import pytest
from factory import settings_with
from openpyxl import load_workbook
from report_rows import HOSTILE, a_round, a_worker

from flq.core.layout import Layout, Tensor
from flq.report.compare import compare
from flq.report.excel import write_workbook
from flq.report.reference import CurveRow, write_curves
from flq.report.summary import Totals, summary

STATUSES = ("uploaded", "skipped", "refused", "late", "lost")
SETTINGS = settings_with(dataset="digits", name="mlp", mode="bbit")
LAYOUT = Layout((Tensor("dense/kernel", (100, 10)),))


@pytest.fixture(scope="module")
def program():
    """Return LibreOffice."""
    found = shutil.which("soffice")
    if found is None:
        pytest.skip("no LibreOffice (soffice) on this machine")
    return found


def write_run(path):
    """Write the workbook of a run like a master, with traffic after the last round; return its summary."""
    rounds = [
        a_round(k, accuracy=0.9 / k if k % 2 else None, round_s=k / 7, wire_bytes_up=10**6 + k) for k in range(1, 21)
    ]
    workers = [
        a_worker(
            m,
            state="lost" if m == 3 else "=1+1",
            training_s=m / 7,
            energy_j=None if m == 2 else m / 3,
            wire_bytes_up=5 * 10**6 + 60,
            wire_bytes_down=5000,
        )
        for m in range(4)
    ]
    wire = tuple(sum(getattr(row, field) for row in workers) for field in ("wire_bytes_up", "wire_bytes_down"))
    totals = Totals(workers, (20 * 8000 + 5, 20 * 4000 + 7), wire, (3, 4))
    lines = summary("run", "20 rounds are done", rounds, totals, SETTINGS, "abc", LAYOUT)
    settings = {
        "text": {"key%d" % index: text for index, text in enumerate(HOSTILE)},
        "other": {"seed": 2**63 - 1, "true": True, "lr": 1e-3, "words": "gr\u00fc\u00df & <b>\"'", "escape": "_x0041_"},
    }
    write_workbook(
        str(path),
        [(text, text) for text in HOSTILE] + lines,
        rounds,
        workers,
        settings,
        [(k, {m: STATUSES[(k + m) % 5] for m in range(4)}) for k in range(1, 21)],
    )


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory):
    """Write a workbook of each kind: of a run, of the reference and of a comparison; return them by name.

    "uncalculated" is the run's without the values of its formulas: a program that shows any has calculated them.
    """
    folder = tmp_path_factory.mktemp("office")
    names = {
        "run": "run.xlsx",
        "uncalculated": "uncalculated.xlsx",
        "reference": "results_digits_bin.xlsx",
        "comparison": "compare.xlsx",
    }
    paths = {name: folder / file for name, file in names.items()}
    write_run(paths["run"])
    with zipfile.ZipFile(str(paths["run"])) as archive, zipfile.ZipFile(str(paths["uncalculated"]), "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, re.sub("</f><v>[^<]*</v>", "</f>", archive.read(name).decode("utf-8")))
    write_curves(
        str(paths["reference"]),
        "bin",
        [CurveRow(k, 2.0 / k, 1 - 0.9 / k, 2.1 / k, 4, 1000 * k, 10 * k, 1010 * k) for k in range(1, 21)],
        [(k, (-1) ** k) for k in range(1, 21)],
    )
    compare([str(paths["reference"])], str(paths["comparison"]))
    return paths


@pytest.fixture(scope="module")
def converted(program, workbooks):
    """Convert all of them with LibreOffice; return new file by (name, kind)."""
    folder = workbooks["run"].parent
    for kind in ("pdf", "xlsx"):  # it takes seconds to start: once for each
        subprocess.run(
            [
                program,
                "-env:UserInstallation=" + (folder / "profile").as_uri(),
                "--headless",
                "--convert-to",
                kind,
                "--outdir",
                str(folder / "converted"),
                *map(str, workbooks.values()),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=300,
        )
    return {
        (name, kind): folder / "converted" / path.with_suffix("." + kind).name
        for name, path in workbooks.items()
        for kind in ("pdf", "xlsx")
    }


def n_pages(pdf):
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def cells(path, numbers=True):
    """Return the cells that are not empty, by sheet and place: with the numbers of formulas, or with formulas."""
    return {
        (sheet.title, cell.coordinate): cell.value
        for sheet in load_workbook(str(path), data_only=numbers).worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None
    }


def assert_same_cells(before, after):
    assert before and set(before) == set(after)
    for place, value in before.items():
        expected = pytest.approx(value, rel=1e-14) if isinstance(value, float) else value
        assert after[place] == expected and isinstance(after[place], str) == isinstance(value, str), place


@pytest.mark.parametrize(
    "name, expected",
    [
        ("run", 11),  # Summary, Charts, Read me (3 long), Rounds (2 wide), Roll-call, Workers (2 wide), Config
        ("reference", 3),
        ("comparison", 3),
    ],
)
def test_every_sheet_and_every_cell_is_present(workbooks, converted, name, expected):
    assert n_pages(converted[name, "pdf"]) == expected
    assert_same_cells(cells(workbooks[name]), cells(converted[name, "xlsx"]))


def test_every_formula_gives_the_number_that_was_written(workbooks, converted):
    formulas = {
        place: value
        for place, value in cells(workbooks["run"], numbers=False).items()
        if str(value).startswith("=") and value not in HOSTILE
    }
    written, calculated = cells(workbooks["run"]), cells(converted["uncalculated", "xlsx"])
    assert not set(formulas) & set(cells(workbooks["uncalculated"]))
    assert {sheet for sheet, _ in formulas} == {"Summary", "Rounds", "Workers"}
    assert len(formulas) == 10 + 20 * 8 + 16
    for place in formulas:
        assert calculated[place] == pytest.approx(written[place], rel=1e-14), (place, formulas[place])


def test_traffic_after_the_last_round_is_in_the_totals(workbooks):
    sheet = load_workbook(str(workbooks["run"]))["Summary"]
    lines = {row[0].value: row[1] for row in sheet.iter_rows(min_row=2)}
    for what, unit in (("payload up", "bits"), ("payload down", "bits"), ("wire up", "bytes"), ("wire down", "bytes")):
        total, after = lines["%s (%s)" % (what, unit)], lines["%s after the last round (%s)" % (what, unit)]
        assert re.fullmatch("=SUM[(]Rounds!([A-Z]+)2:[A-Z]+21[)][+]" + after.coordinate, total.value)
        assert after.value
