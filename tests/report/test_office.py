"""LibreOffice opens the workbooks: every page is there, and every cell says what was written."""

import re
import shutil
import subprocess

import pytest
from openpyxl import load_workbook
from report_rows import HOSTILE, a_round, a_worker

from flq.report.compare import compare
from flq.report.excel import write_workbook
from flq.report.reference import CurveRow, write_curves

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program():
    """Return LibreOffice."""
    found = shutil.which("soffice")
    if found is None:
        pytest.skip("no LibreOffice (soffice) on this machine")
    return found


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory):
    """Write a workbook of each kind: of a run, of the reference and of a comparison; return them by name."""
    folder = tmp_path_factory.mktemp("office")
    run, reference, comparison = [folder / name for name in ("run.xlsx", "results_digits_bin.xlsx", "compare.xlsx")]
    settings = {"text": {"key%d" % index: text for index, text in enumerate(HOSTILE)},
                "other": {"seed": 2 ** 63 - 1, "true": True, "lr": 1e-3, "words": "gr\u00fc\u00df & <b>\"'"}}
    write_workbook(str(run), [(text, text) for text in HOSTILE] + [("test accuracy", 0.1 + 0.2)],
                   [a_round(k, accuracy=0.9 / k if k % 2 else None) for k in range(1, 21)],
                   [a_worker(m, state="=1+1") for m in range(4)], settings)
    write_curves(str(reference), "bin", [CurveRow(k, 2.0 / k, 1 - 0.9 / k, 2.1 / k, 4, 1000 * k, 10 * k, 1010 * k)
                                         for k in range(1, 21)], [(k, (-1) ** k) for k in range(1, 21)])
    compare([str(reference)], str(comparison))
    return {"run": run, "reference": reference, "comparison": comparison}


@pytest.fixture(scope="module")
def converted(program, workbooks):
    """Convert all of them with LibreOffice, which calculates them anew; return new file by (name, kind)."""
    folder = workbooks["run"].parent
    for kind in ("pdf", "xlsx"):  # it takes seconds to start: once for each
        subprocess.run([program, "-env:UserInstallation=" + (folder / "profile").as_uri(), "--headless",
                        "--convert-to", kind, "--outdir", str(folder / "converted"),
                        *map(str, workbooks.values())], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
    return {(name, kind): folder / "converted" / path.with_suffix("." + kind).name
            for name, path in workbooks.items() for kind in ("pdf", "xlsx")}


def n_pages(pdf):
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def cells(path):
    """Return the cells that are not empty, by sheet and place."""
    return {(sheet.title, cell.coordinate): cell.value for sheet in load_workbook(str(path), data_only=True).worksheets
            for row in sheet.iter_rows() for cell in row if cell.value is not None}


def assert_same_cells(before, after):
    assert before and set(before) == set(after)
    for place, value in before.items():
        expected = pytest.approx(value, rel=1e-14) if isinstance(value, float) else value
        assert after[place] == expected and isinstance(after[place], str) == isinstance(value, str), place


@pytest.mark.parametrize("name, expected", [
    ("run", 6),  # Summary, Rounds (two wide), Workers, Config, Charts
    ("reference", 3), ("comparison", 3)])
def test_every_page_and_every_cell_is_there(workbooks, converted, name, expected):
    assert n_pages(converted[name, "pdf"]) == expected
    assert_same_cells(cells(workbooks[name]), cells(converted[name, "xlsx"]))
