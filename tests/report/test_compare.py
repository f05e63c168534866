"""Comparison of runs: known numbers in, known numbers out; an invalid file is one sentence."""

import json
import re
import subprocess
import sys
import zipfile

import pytest
from openpyxl import Workbook, load_workbook
from report_rows import HOSTILE, a_round, has_formula, parts

from flq.errors import FlqError
from flq.report import stored
from flq.report.__main__ import main
from flq.report.compare import compare
from flq.report.compare_table import choose_thresholds
from flq.report.excel import write_workbook
from flq.report.reference import CurveRow, write_curves
from flq.report.stored import read_runs


def ours(path, accuracies, dataset="digits", **changes):
    """Write the workbook of a run: 2,400 wire bytes and 12,000 payload bits a round."""
    summary = [("data set", dataset), ("model", "mlp"), ("mode", "bbit")]
    changes = dict(dict(average_accuracy=None, own_accuracy=None), **changes)
    rounds = [a_round(k, accuracy=accuracy, **changes) for k, accuracy in enumerate(accuracies, start=1)]
    write_workbook(str(path), summary, rounds, [], {})
    return str(path)


def theirs(path, accuracies, mode="bin", bits=8000):
    """Write the workbook of a reference run with a number of payload bits per round."""
    rows = [CurveRow(k, 1.0, accuracy, 1.0, 4, bits * k, 0, bits * k) for k, accuracy in enumerate(accuracies, start=1)]
    write_curves(str(path), mode, rows)
    return str(path)


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """Compare files; return the rows of the sheet Compare by their headings, and the printed text.

    No figures are written, because these take long.
    """
    monkeypatch.setattr("flq.report.compare.write_pictures", lambda *_: [])

    def run(paths, thresholds=()):
        out = str(tmp_path / "compare.xlsx")
        text, _ = compare(paths, out, thresholds)
        heading, *rows = load_workbook(out)["Compare"].iter_rows(values_only=True)
        return [dict(zip(heading, row)) for row in rows], text

    return run


def test_two_runs_stand_side_by_side(compared, tmp_path):
    rows, text = compared(
        [ours(tmp_path / "a.xlsx", [0.5, 0.8, 0.75]), ours(tmp_path / "b.xlsx", [0.25, 0.9])], [0.8, 0.9]
    )
    assert rows == [
        {
            "run": "a.xlsx",
            "file": "a.xlsx",
            "data set": "digits",
            "model": "mlp",
            "mode": "bbit",
            "accuracy of": "test set",
            "rounds": 3,
            "final accuracy (%)": 0.75,
            "best accuracy (%)": 0.8,
            "wire (bytes)": 7200,
            "payload (bits)": 36000,
            "rounds to 80%": 2,
            "uploads to 80%": 6,
            "payload bits to 80%": 24000,
            "wire bytes to 80%": 4800,
            "rounds to 90%": None,
            "uploads to 90%": None,
            "payload bits to 90%": None,
            "wire bytes to 90%": None,
        },
        {
            "run": "b.xlsx",
            "file": "b.xlsx",
            "data set": "digits",
            "model": "mlp",
            "mode": "bbit",
            "accuracy of": "test set",
            "rounds": 2,
            "final accuracy (%)": 0.9,
            "best accuracy (%)": 0.9,
            "wire (bytes)": 4800,
            "payload (bits)": 24000,
            "rounds to 80%": 2,
            "uploads to 80%": 6,
            "payload bits to 80%": 24000,
            "wire bytes to 80%": 4800,
            "rounds to 90%": 2,
            "uploads to 90%": 6,
            "payload bits to 90%": 24000,
            "wire bytes to 90%": 4800,
        },
    ]
    assert "Bytes are wire bytes" in text


def test_the_printed_table_is_aligned_and_empty_where_nothing_is_known(compared, tmp_path):
    _, text = compared([ours(tmp_path / "a.xlsx", [0.5]), ours(tmp_path / "quadratic.xlsx", [None, None])], [0.5])
    shared, totals, costs, _ = text.split("\n\n")
    assert shared == "data set digits; model mlp; mode bbit"
    assert [re.split("  +", line.strip()) for line in totals.splitlines()] == [
        ["final", "best", "wire", "payload"],
        ["run", "accuracy of", "rounds", "accuracy", "accuracy", "(bytes)", "(bits)"],
        ["a.xlsx", "test set", "1", "50.00%", "50.00%", "2,400", "12,000"],
        ["quadratic.xlsx", "2", "4,800", "24,000"],
    ]
    assert [re.split("  +", line.strip()) for line in costs.splitlines()] == [
        ["rounds", "uploads", "payload bits", "wire bytes"],
        ["run", "to 50%", "to 50%", "to 50%", "to 50%"],
        ["a.xlsx", "1", "3", "12,000", "2,400"],
        ["quadratic.xlsx"],
    ]
    for lines in totals.splitlines(), costs.splitlines():
        assert len(lines[1]) == len(lines[2]) <= 80 and max(map(len, lines)) == len(lines[1])
    assert totals.splitlines()[3].endswith(" 24,000") and len(totals.splitlines()[3]) == len(totals.splitlines()[1])


def test_the_accuracy_is_that_of_the_saved_result_and_is_named(compared, tmp_path):
    paths = [
        ours(tmp_path / "ema.xlsx", [0.5, 0.6], average_accuracy=0.75, own_accuracy=0.125),
        ours(tmp_path / "plain.xlsx", [0.5, 0.6], own_accuracy=0.125),
        ours(tmp_path / "local.xlsx", [None, None], own_accuracy=0.125),
        theirs(tmp_path / "results_fmnist_bin.xlsx", [0.3]),
    ]
    rows, text = compared(paths)
    assert [(row["accuracy of"], row["best accuracy (%)"]) for row in rows] == [
        ("average, test set", 0.75),
        ("test set", 0.6),
        ("workers' own data", 0.125),
        ("test set", 0.3),
    ]
    assert "average, test set" in text and "workers' own data" in text
    assert ">accuracy<" in parts(tmp_path / "compare.xlsx", "xl/charts/chart")[0]
    curves = list(load_workbook(str(tmp_path / "compare.xlsx"))["Curves"].iter_rows(values_only=True))
    assert curves[0][1::2] == (
        "ema.xlsx: accuracy, average, test set (%)",
        "plain.xlsx: accuracy, test set (%)",
        "local.xlsx: accuracy, workers' own data (%)",
        "results_fmnist_bin.xlsx: accuracy, test set (%)",
    )


def test_a_run_that_knows_no_accuracy_names_none(compared, tmp_path):
    rows, _ = compared([ours(tmp_path / "a.xlsx", [None])])
    assert rows[0]["accuracy of"] is None


def test_with_a_reference_file_all_are_compared_by_payload(compared, tmp_path):
    rows, text = compared(
        [ours(tmp_path / "a.xlsx", [0.5, 0.8]), theirs(tmp_path / "results_fmnist_bin.xlsx", [0.1, 0.2, 0.85])], [0.8]
    )
    assert [row["file"] for row in rows] == ["a.xlsx", "results_fmnist_bin.xlsx"]
    assert [(row["data set"], row["model"], row["mode"]) for row in rows] == [
        ("digits", "mlp", "bbit"),
        ("fmnist", None, "bin"),
    ]
    assert [row["wire (bytes)"] for row in rows] == [4800, None]
    assert [row["payload (bits)"] for row in rows] == [24000, 24000]
    assert [row["payload bytes to 80%"] for row in rows] == [24000 / 8, 24000 / 8]
    assert not any("wire bytes" in title for title in rows[0])
    assert "Bytes are payload (bits / 8)" in text
    assert "no wire bytes in results_fmnist_bin.xlsx." in " ".join(text.split())


def test_the_chart_has_a_line_per_run_over_its_own_cells(compared, tmp_path):
    compared(
        [
            ours(tmp_path / "a.xlsx", [0.5, None, 0.8]),
            ours(tmp_path / "quadratic.xlsx", [None]),
            theirs(tmp_path / "results_fmnist_bin.xlsx", [0.1, 0.2, 0.3]),
        ]
    )
    workbook = load_workbook(str(tmp_path / "compare.xlsx"))
    assert workbook.sheetnames == ["Compare", "Charts", "Curves"]
    assert list(workbook["Curves"].iter_rows(values_only=True)) == [
        (
            "a.xlsx: payload so far (bytes)",
            "a.xlsx: accuracy, test set (%)",
            "results_fmnist_bin.xlsx: payload so far (bytes)",
            "results_fmnist_bin.xlsx: accuracy, test set (%)",
        ),
        (1500, 0.5, 1000, 0.1),
        (4500, 0.8, 2000, 0.2),
        (None, None, 3000, 0.3),
    ]
    (chart,) = parts(tmp_path / "compare.xlsx", "xl/charts/chart")
    assert re.findall("<c:f>([^<]*)</c:f>", chart) == [
        "Curves!$A$2:$A$3",
        "Curves!$B$2:$B$3",
        "Curves!$C$2:$C$4",
        "Curves!$D$2:$D$4",
    ]
    assert re.findall("<c:tx><c:v>([^<]*)</c:v></c:tx>", chart) == ["a.xlsx", "results_fmnist_bin.xlsx"]
    assert "payload so far, both ways (kB)" in chart


def test_runs_without_accuracies_have_no_chart_and_no_thresholds(compared, tmp_path):
    rows, _ = compared([ours(tmp_path / "a.xlsx", [None])])
    assert not any(" to " in title for title in rows[0]) and rows[0]["best accuracy (%)"] is None
    assert load_workbook(str(tmp_path / "compare.xlsx")).sheetnames == ["Compare"]


@pytest.mark.parametrize(
    "bests, expected",
    [
        ([0.97], [0.9, 0.95]),
        ([0.89, 0.97], [0.8, 0.85, 0.95]),
        ([0.85, 0.85], [0.8, 0.85]),
        ([0.07], [0.05]),
        ([0.02], []),
        ([0.02, 0.9], [0.9]),
        ([1.0], [0.95, 1.0]),
    ],
)
def test_thresholds_are_chosen_from_the_accuracies_of_the_runs(tmp_path, bests, expected):
    runs = [read_runs(ours(tmp_path / ("%d.xlsx" % index), [0.01, best, 0.0]))[0] for index, best in enumerate(bests)]
    assert choose_thresholds(runs) == expected


def test_files_with_the_same_name_are_labelled_with_their_folders(compared, tmp_path):
    for folder in "one", "two":
        (tmp_path / folder).mkdir()
        ours(tmp_path / folder / "a.xlsx", [0.5])
    rows, _ = compared([str(tmp_path / "one" / "a.xlsx"), str(tmp_path / "two" / "a.xlsx")])
    assert [row["file"] for row in rows] == ["one/a.xlsx", "two/a.xlsx"]


def test_a_file_with_several_curves_is_several_runs(compared, tmp_path):
    workbook = Workbook()
    workbook.active.title = "curve_bin"
    for sheet in workbook.active, workbook.create_sheet("curve_bbit"):
        sheet.append(CurveRow._fields)
        sheet.append((1, 1.0, 0.5, 1.0, 4, 8, 8, 16))
    workbook.save(str(tmp_path / "x.xlsx"))
    rows, _ = compared([str(tmp_path / "x.xlsx")])
    assert [(row["file"], row["mode"]) for row in rows] == [("x.xlsx bin", "bin"), ("x.xlsx bbit", "bbit")]


@pytest.mark.parametrize("text", HOSTILE + ("\x1b[31mred", "long" * 100))
def test_texts_from_a_file_are_text_wherever_they_go(compared, tmp_path, text):
    path = ours(tmp_path / "=1+1.xlsx", [0.5], dataset=text)
    rows, printed = compared([path])
    assert rows[0]["file"] == "=1+1.xlsx" and len(rows[0]["data set"]) <= 80
    assert rows[0]["data set"] == stored.shown(text.replace("\x1b", "\ufffd"))
    assert not has_formula(tmp_path / "compare.xlsx")
    assert "\x1b" not in printed


def sentence_of(capsys, *arguments):
    """Run the command line, which must fail; return its single sentence."""
    try:
        code = main(["compare", *arguments])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("python -m flq.report compare: error: ")
    return err


def table_file(path, sheet, *rows):
    workbook = Workbook()
    workbook.active.title = sheet
    for row in rows:
        workbook.active.append(row)
    workbook.save(str(path))


CURVE = ("iter", "acc", "cum_bits_total")


@pytest.mark.parametrize(
    "sheet, rows, expected",
    [
        ("Sheet", [], "has no sheet Rounds and no sheet curve_<mode>, it has: Sheet"),
        ("Rounds", [], "sheet Rounds has no column 'total payload up (bits)'"),
        ("curve_bin", [CURVE], "has no rounds"),
        ("curve_bin", [("iter", "acc"), (1, 0.5)], "sheet curve_bin has no column 'cum_bits_total'"),
        ("curve_bin", [CURVE, (1, "high", 8)], "the column 'acc' must contain numbers, got 'high'"),
        ("curve_bin", [CURVE, (1, True, 8)], "the column 'acc' must contain numbers, got 'True'"),
        ("curve_bin", [CURVE, (1, 85.5, 8)], "accuracies must be in 0..1, got 85.5..85.5"),
        ("curve_bin", [CURVE, (1, 0.5, None)], "a round has an empty cell for its payload bits"),
        ("curve_bin", [CURVE, (None, 0.5, 8)], "a round has an empty cell for its round"),
        ("curve_bin", [CURVE, (1, 0.5, -8)], "must be in 0..1e+18, got -8..1"),
        ("curve_bin", [CURVE, (1, 0.5, 1e300)], "must be in 0..1e+18, got 1..1e+300"),
    ],
)
def test_a_workbook_that_is_no_run_is_one_sentence(capsys, tmp_path, sheet, rows, expected):
    table_file(tmp_path / "bad.xlsx", sheet, *rows)
    sentence = sentence_of(capsys, str(tmp_path / "bad.xlsx"), "--out", str(tmp_path / "out.xlsx"))
    assert expected in sentence and "bad.xlsx" in sentence
    assert not (tmp_path / "out.xlsx").exists()


def test_a_file_that_is_no_workbook_is_one_sentence(capsys, tmp_path):
    good, out = ours(tmp_path / "good.xlsx", [0.5]), str(tmp_path / "out.xlsx")
    cut = (tmp_path / "good.xlsx").read_bytes()[:-100]
    for name, content in (("text.xlsx", b"round,accuracy\n1,0.5\n"), ("empty.xlsx", b""), ("cut.xlsx", cut)):
        (tmp_path / name).write_bytes(content)
        assert "is not an Excel workbook" in sentence_of(capsys, good, str(tmp_path / name), "--out", out)
    assert "no such file" in sentence_of(capsys, str(tmp_path / "none.xlsx"), "--out", out)
    assert "no such workbook, and no such run in results" in sentence_of(capsys, str(tmp_path), "--out", out)
    with zipfile.ZipFile(str(tmp_path / "zip.xlsx"), "w") as archive:
        archive.writestr("a.txt", "text")
    assert "cannot be read as an Excel workbook" in sentence_of(capsys, str(tmp_path / "zip.xlsx"), "--out", out)


def test_a_file_that_would_unpack_to_too_much_is_not_unpacked(capsys, tmp_path, monkeypatch):
    path = ours(tmp_path / "a.xlsx", [0.5])
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    monkeypatch.setattr(stored, "MOST_UNPACKED_BYTES", size)
    assert len(read_runs(path)) == 1
    monkeypatch.setattr(stored, "MOST_UNPACKED_BYTES", size - 1)
    monkeypatch.setattr("openpyxl.load_workbook", None)
    sentence = sentence_of(capsys, path, "--out", str(tmp_path / "out.xlsx"))
    assert "would unpack to %s bytes" % format(size, ",") in sentence


def test_a_sheet_with_a_cell_far_out_is_read_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "MOST_ROWS", 20)
    workbook = Workbook()
    workbook.active.title = "curve_bin"
    workbook.active.append(CURVE)
    workbook.active.append((1, 0.5, 8))
    workbook.active["XFD2"] = 1
    workbook.save(str(tmp_path / "wide.xlsx"))
    assert len(read_runs(str(tmp_path / "wide.xlsx"))[0].curve) == 1
    workbook.active["A1048576"] = 1
    workbook.save(str(tmp_path / "long.xlsx"))
    with pytest.raises(FlqError, match="sheet curve_bin has more than 20 rows"):
        read_runs(str(tmp_path / "long.xlsx"))


def test_mistakes_on_the_command_line_are_one_sentence(capsys, tmp_path):
    path = ours(tmp_path / "a.xlsx", [0.5])
    assert "--accuracy: must be > 0 and <= 1, got 80" in sentence_of(capsys, path, "--accuracy", "80")
    assert "invalid number value: 'high'" in sentence_of(capsys, path, "--accuracy", "high")
    assert "required: RUN" in sentence_of(capsys)
    assert "is one of the compared files" in sentence_of(capsys, path, "--out", path)
    assert "cannot be written: No such file" in sentence_of(capsys, path, "--out", str(tmp_path / "no" / "b.xlsx"))
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2 and "required: command" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named(capsys, tmp_path, monkeypatch):
    path = ours(tmp_path / "a.xlsx", [0.5])
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "the package pandas is missing" in sentence_of(capsys, path, "--out", str(tmp_path / "out.xlsx"))


def test_the_command_prints_the_table_and_the_written_files(tmp_path):
    ours(tmp_path / "a.xlsx", [0.5, 0.75])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flq.report",
            "compare",
            str(tmp_path / "a.xlsx"),
            "--out",
            str(tmp_path / "c.xlsx"),
            "--accuracy",
            "0.6",
            "0.5",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.index("to 50%") < done.stdout.index("to 60%")
    titles = [cell.value for cell in load_workbook(str(tmp_path / "c.xlsx"))["Compare"][1]]
    assert titles.index("rounds to 50%") < titles.index("wire bytes to 60%")
    paths = [str(tmp_path / name) for name in ("c.xlsx", "c.png", "c.svg")]
    assert done.stdout.endswith("written: %s\n" % ", ".join(paths))
    assert load_workbook(str(tmp_path / "c.xlsx")).sheetnames[0] == "Compare"


def test_importing_the_command_imports_neither_pandas_nor_openpyxl():
    code = "import sys, json, flq.report.__main__; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout)
    assert "flq.report.compare" in modules and not {"pandas", "openpyxl"} & set(modules)
