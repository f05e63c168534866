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


@pytest.fixture
def convert(tmp_path):
    """Convert a workbook with LibreOffice, which calculates it anew; return the new file."""
    program = shutil.which("soffice")
    if program is None:
        pytest.skip("no LibreOffice (soffice) on this machine")

    def run(path, kind):
        folder = tmp_path / "converted"
        subprocess.run([program, "-env:UserInstallation=" + (tmp_path / "profile").as_uri(), "--headless",
                        "--convert-to", kind, "--outdir", str(folder), str(path)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
        return folder / path.with_suffix("." + kind).name
    return run


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


def test_the_workbook_of_a_run(convert, tmp_path):
    path = tmp_path / "run.xlsx"
    settings = {"text": {"key%d" % index: text for index, text in enumerate(HOSTILE)},
                "other": {"seed": 2 ** 63 - 1, "true": True, "lr": 1e-3, "words": "gr\u00fc\u00df & <b>\"'"}}
    write_workbook(str(path), [(text, text) for text in HOSTILE] + [("test accuracy", 0.1 + 0.2)],
                   [a_round(k, accuracy=0.9 / k if k % 2 else None) for k in range(1, 21)],
                   [a_worker(m, state="=1+1") for m in range(4)], settings)
    assert n_pages(convert(path, "pdf")) == 6  # Summary, Rounds (two wide), Workers, Config, Charts
    assert_same_cells(cells(path), cells(convert(path, "xlsx")))


def test_the_workbooks_of_the_reference_and_of_a_comparison(convert, tmp_path):
    path, out = tmp_path / "results_digits_bin.xlsx", tmp_path / "compare.xlsx"
    write_curves(str(path), "bin", [CurveRow(k, 2.0 / k, 1 - 0.9 / k, 2.1 / k, 4, 1000 * k, 10 * k, 1010 * k)
                                    for k in range(1, 21)], [(k, (-1) ** k) for k in range(1, 21)])
    assert n_pages(convert(path, "pdf")) == 3
    assert_same_cells(cells(path), cells(convert(path, "xlsx")))
    compare([str(path)], str(out))
    assert n_pages(convert(out, "pdf")) == 3
    assert_same_cells(cells(out), cells(convert(out, "xlsx")))
