"""Several seeds of one setting: one row, one line, with their spread."""

import os

import pytest
from factory import settings_with
from openpyxl import load_workbook
from report_rows import a_round

pytest.importorskip("matplotlib")
from matplotlib.colors import to_hex  # noqa: E402

from flq.core.settings import public, to_json  # noqa: E402
from flq.errors import FlqError  # noqa: E402
from flq.report.compare import compare  # noqa: E402
from flq.report.compare_table import WIRE  # noqa: E402
from flq.report.excel import write_workbook  # noqa: E402
from flq.report.labels import labels_of  # noqa: E402
from flq.report.overlay import overlay  # noqa: E402
from flq.report.seeds import group_by_setting, mean_of  # noqa: E402
from flq.report.stored import read_runs  # noqa: E402
from flq.report.text_table import shorten  # noqa: E402


@pytest.fixture
def run(tmp_path):
    """Write the workbook of a run, 2,400 wire bytes per round; return its path."""

    def write(name, accuracies, wire=2400, **settings):
        settings = settings_with(**dict(dict(name="mlp", mode="bbit"), **settings))
        rounds = [
            a_round(k, accuracy=accuracy, average_accuracy=None, own_accuracy=None, wire_bytes_up=wire - 900)
            for k, accuracy in enumerate(accuracies, start=1)
        ]
        summary = [("data set", "digits"), ("model", "mlp"), ("mode", settings.flq_algorithm.mode)]
        path = str(tmp_path / (name + ".xlsx"))
        write_workbook(path, summary, rounds, [], public(to_json(settings)))
        return path

    return write


def names_of(paths):
    return [[run.name for run in group] for group in group_by_setting([read_runs(path)[0] for path in paths])]


def test_runs_that_differ_only_in_the_seed_are_one_group(run):
    paths = [run("a", [0.5], seed=1), run("b", [0.5], seed=1, lr=0.2), run("c", [0.5], seed=2), run("d", [0.5], seed=3)]
    assert names_of(paths) == [["a.xlsx", "c.xlsx", "d.xlsx"], ["b.xlsx"]]


@pytest.mark.parametrize("other", [dict(max_rounds=31), dict(total_workers=5), dict(b_up=3), dict(partition="shards")])
def test_any_other_setting_of_the_model_makes_another_group(run, other):
    assert names_of([run("a", [0.5], seed=1), run("b", [0.5], seed=2, **other)]) == [["a.xlsx"], ["b.xlsx"]]


@pytest.mark.parametrize("other", [dict(results_dir="elsewhere"), dict(figure_every=0), dict(linger_s=1.0)])
def test_a_setting_that_affects_no_model_does_not(run, other):
    assert names_of([run("a", [0.5], seed=1), run("b", [0.5], seed=2, **other)]) == [["a.xlsx", "b.xlsx"]]


def test_a_second_run_of_one_seed_is_no_further_sample(run):
    paths = [run("a", [0.5], seed=1), run("b", [0.5], seed=1), run("c", [0.5], seed=2)]
    assert names_of(paths) == [["a.xlsx", "c.xlsx"], ["b.xlsx"]]


def test_runs_without_settings_stay_alone(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.xlsx", "b.xlsx")]
    for path in paths:
        write_workbook(path, [], [a_round()], [], {})
    assert names_of(paths) == [["a.xlsx"], ["b.xlsx"]]


def test_the_mean_covers_the_rounds_that_all_have_and_knows_what_all_know(run):
    paths = [run("a", [0.5, None, 0.75], seed=1), run("b", [0.75, 0.5, 0.25, 0.5], wire=3400, seed=2)]
    mean = mean_of([read_runs(path)[0] for path in paths])
    assert mean.n_runs == 2 and mean.curve["round"].tolist() == [1, 2, 3]
    assert mean.curve.accuracy.fillna(-1).tolist() == [0.625, -1, 0.5]
    assert mean.curve.wire_bytes.tolist() == [2900, 5800, 8700]
    assert mean.spread.accuracy.fillna(-1).tolist() == pytest.approx([0.125 * 2**0.5, -1, 0.25 * 2**0.5])
    assert mean.spread.wire_bytes.tolist() == pytest.approx([500 * 2**0.5, 1000 * 2**0.5, 1500 * 2**0.5])


def test_a_single_run_stays_as_it_is(run):
    (single,) = read_runs(run("a", [0.5]))
    assert mean_of([single]) is single


@pytest.fixture
def compared(run, tmp_path, monkeypatch):
    """Compare three seeds of one setting and a single run; return the workbook and the text."""
    monkeypatch.setattr("flq.report.compare.write_pictures", lambda *_: [])

    def of(width=80):
        paths = [
            run("a", [0.5, 0.75], seed=1),
            run("b", [0.5, 0.8125], wire=3400, seed=2),
            run("c", [0.5, 0.875], seed=3),
            run("d", [0.25, 0.9], mode="fedavg", seed=1),
        ]
        out = str(tmp_path / "out.xlsx")
        text, _ = compare(paths, out, [0.5, 0.8], width=width)
        return load_workbook(out), text

    return of


def table_of(sheet):
    heading, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(heading, row)) for row in rows]


def test_a_setting_has_a_row_with_the_mean_and_one_with_the_standard_deviation(compared):
    workbook, _ = compared()
    mean, spread, single = table_of(workbook["Compare"])
    assert [row["run"] for row in (mean, spread, single)] == ["bbit", "bbit", "fedavg"]
    assert [row["statistic"] for row in (mean, spread, single)] == ["mean of 3 seeds", "SD of 3 seeds", "one run"]
    assert (mean["final accuracy (%)"], spread["final accuracy (%)"]) == (0.8125, 0.0625)
    assert (mean["wire (bytes)"], spread["wire (bytes)"]) == pytest.approx((16400 / 3, 2000 / 3**0.5))
    assert (mean["rounds to 50%"], spread["rounds to 50%"]) == (1, 0)
    assert (single["final accuracy (%)"], single["rounds to 80%"]) == (0.9, 2)
    assert mean["file"] == "a.xlsx, b.xlsx, c.xlsx"


def test_an_accuracy_that_one_seed_did_not_reach_has_no_mean(compared):
    workbook, text = compared()
    mean, spread, _ = table_of(workbook["Compare"])
    assert mean["wire bytes to 80%"] is spread["wire bytes to 80%"] is None
    assert "bbit: 2 of 3 seeds reached 80%." in text and "reached 50%" not in text


def test_every_run_has_its_row_in_another_sheet(compared):
    workbook, _ = compared()
    assert workbook.sheetnames == ["Compare", "Charts", "Runs", "Curves"]
    rows = table_of(workbook["Runs"])
    assert [row["file"] for row in rows] == ["a.xlsx", "b.xlsx", "c.xlsx", "d.xlsx"]
    assert [row["rounds to 80%"] for row in rows] == [None, 2, 2, 2] and "statistic" not in rows[0]


def test_the_curves_have_the_mean_and_its_spread(compared):
    workbook, _ = compared()
    heading, *rows = workbook["Curves"].iter_rows(values_only=True)
    assert heading == (
        "bbit: wire so far (bytes)",
        "bbit: accuracy, test set (%)",
        "bbit: SD of the accuracy of 3 seeds (%)",
        "fedavg: wire so far (bytes)",
        "fedavg: accuracy, test set (%)",
    )
    assert rows[1] == pytest.approx((16400 / 3, 0.8125, 0.0625, 4800, 0.9))
    (chart,) = workbook["Charts"]._charts
    assert [series.yVal.numRef.f for series in chart.series] == ["Curves!$B$2:$B$3", "Curves!$E$2:$E$3"]


@pytest.mark.parametrize("width", [60, 80, 132, 250])
def test_the_printed_table_fits_the_terminal(compared, width):
    _, text = compared(width)
    assert max(map(len, text.splitlines())) <= width
    assert "bbit, 3 seeds" in text and "  SD  " in text
    assert text.count("bbit, 3 seeds") == {60: 3, 80: 3, 132: 2, 250: 1}[width]


def test_the_sheet_is_printed_on_one_page_without_the_facts_and_files(compared):
    workbook, _ = compared()
    for name in "Compare", "Runs":
        sheet = workbook[name]
        assert (sheet.page_setup.fitToWidth or 1, sheet.page_setup.fitToHeight) == (1, 0)
        last = sheet.print_area.split(":")[1].strip("$").split("$")[0]
        after = [cell.value for cell in sheet[1] if cell.column_letter > last]
        assert after == ["data set", "model", "mode", "accuracy of", "file"]


def test_the_figure_has_a_band_around_the_mean(run):
    paths = [run("a", [0.5, 0.75], seed=1), run("b", [0.5, 0.875], seed=2), run("d", [0.25, 0.5], mode="fedavg")]
    means = [mean_of(group) for group in group_by_setting([read_runs(path)[0] for path in paths])]
    figure = overlay(means, labels_of(means), WIRE.name, [WIRE.bytes_of(mean.curve) for mean in means])
    for axes in figure.axes:
        (band,) = axes.collections
        assert [line.get_label() for line in axes.get_lines()] == ["bbit", "fedavg"]
        assert to_hex(band.get_facecolor()[0]) == to_hex(axes.get_lines()[0].get_color())
    edge = figure.axes[0].collections[0].get_paths()[0].vertices
    ends = sorted({y for x, y in edge if x == 2})
    assert ends == pytest.approx([0.8125 - 0.0625 * 2**0.5, 0.8125 + 0.0625 * 2**0.5])


def test_the_axis_has_room_for_the_band(run):
    paths = [run("a", [0.5, 0.85], seed=1), run("b", [0.5, 0.95], seed=2)]
    mean = mean_of([read_runs(path)[0] for path in paths])
    figure = overlay([mean], ["bbit"], WIRE.name, [WIRE.bytes_of(mean.curve)])
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert figure.axes[0].get_ylim()[1] >= band[:, 1].max()


def test_the_axis_ends_at_100_percent_also_if_the_band_does_not(run):
    paths = [run("a", [0.5, 0.89], seed=1), run("b", [0.5, 1.0], seed=2)]
    mean = mean_of([read_runs(path)[0] for path in paths])
    figure = overlay([mean], ["bbit"], WIRE.name, [WIRE.bytes_of(mean.curve)])
    assert figure.axes[0].get_yticks()[-1] == 1.0


@pytest.mark.parametrize(
    "one, two, expected",
    [
        (dict(lr=0.05), dict(lr=0.2), ["lr 0.05", "lr 0.2"]),
        (
            dict(mode="laq8", lr=0.05),
            dict(mode="laq8", lr=0.1, local_epochs=2),
            ["lr 0.05, local_epochs 1", "lr 0.1, local_epochs 2"],
        ),
        (dict(thr_scale=1.0), dict(), ["thr_scale 1", "thr_scale null"]),
        (dict(total_workers=5), dict(total_workers=6), ["total_workers 5", "total_workers 6"]),
        (dict(dataset="digits", n_classes=10), dict(dataset="mnist", n_classes=11), ["digits", "mnist"]),
        (dict(scale=255.0), dict(scale=1.0), ["scale 255", "scale 1"]),
        (dict(max_rounds=20), dict(max_rounds=40), ["max_rounds 20", "max_rounds 40"]),
        (dict(lr=0.05, partition="dirichlet", local_epochs=5, batch_size=64), dict(), ["a.xlsx", "b.xlsx"]),
    ],
)
def test_the_settings_that_differ_name_a_row(run, one, two, expected):
    assert labels_of([read_runs(path)[0] for path in (run("a", [0.5], **one), run("b", [0.5], **two))]) == expected


def test_a_row_covers_the_rounds_that_all_seeds_have_and_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr("flq.report.compare.write_pictures", lambda *_: [])
    paths = [run("a", [0.5, 0.75, 0.9], max_rounds=3, seed=1), run("b", [0.25, 0.5], max_rounds=3, seed=2)]
    text, _ = compare(paths, str(tmp_path / "out.xlsx"), [0.9], width=250)
    workbook = load_workbook(str(tmp_path / "out.xlsx"))
    mean, spread = table_of(workbook["Compare"])
    assert (mean["rounds"], spread["rounds"]) == (2, 0)
    assert (mean["final accuracy (%)"], mean["best accuracy (%)"]) == (0.625, 0.625)
    assert (mean["wire (bytes)"], mean["rounds to 90%"]) == (4800, None)
    assert [row["rounds"] for row in table_of(workbook["Runs"])] == [3, 2]
    assert text.splitlines()[-2:] == [
        "b.xlsx has 2 of 3 rounds.",
        "bbit: the numbers cover the 2 rounds that all 2 seeds have.",
    ]


def test_complete_runs_cause_no_sentence_on_rounds(run, tmp_path, monkeypatch):
    monkeypatch.setattr("flq.report.compare.write_pictures", lambda *_: [])
    paths = [run("a", [0.5, 0.75], max_rounds=2, seed=1), run("b", [0.25, 0.5], max_rounds=2, seed=2)]
    text, _ = compare(paths, str(tmp_path / "out.xlsx"), [0.9], width=250)
    assert " of 2 rounds" not in text and "the numbers cover" not in text


def test_a_repeated_seed_is_named_in_the_label(run):
    paths = [run("a", [0.5], seed=1), run("b", [0.5], seed=2), run("c", [0.5], seed=2), run("d", [0.5], lr=0.2)]
    means = [mean_of(group) for group in group_by_setting([read_runs(path)[0] for path in paths[:3]])]
    assert labels_of(means) == ["bbit", "bbit, seed 2 again"]
    means = [mean_of(group) for group in group_by_setting([read_runs(path)[0] for path in paths])]
    assert labels_of(means) == ["lr 0.1", "lr 0.1, seed 2 again", "lr 0.2"]


def test_a_run_that_is_given_twice_is_rejected(run, tmp_path):
    path = run("a", [0.5], seed=1)
    with pytest.raises(FlqError, match=r"a.xlsx is given twice \(name each run once\)"):
        compare([path, os.path.relpath(path)], str(tmp_path / "out.xlsx"))


def test_a_label_of_settings_is_printed_whole(run, tmp_path, monkeypatch):
    monkeypatch.setattr("flq.report.compare.write_pictures", lambda *_: [])
    paths = [run("a", [0.5], local_epochs=10, total_workers=16), run("b", [0.5], local_epochs=20, total_workers=32)]
    text, _ = compare(paths, str(tmp_path / "out.xlsx"), width=80)
    for path, label in zip(paths, labels_of([read_runs(path)[0] for path in paths])):
        assert len(label) > 28 and label in text, (path, label)


def test_the_name_of_a_file_is_shortened(run, tmp_path, monkeypatch):
    monkeypatch.setattr("flq.report.compare.write_pictures", lambda *_: [])
    paths = [run("flq_results_digits_bbit_2026080%d" % day, [0.5]) for day in (1, 2)]
    text, _ = compare(paths, str(tmp_path / "out.xlsx"), width=80)
    names = [line.split("  ")[0] for line in text.splitlines() if ".xlsx " in line and " has " not in line]
    assert names[:2] == [shorten("flq_results_digits_bbit_2026080%d.xlsx" % day, 28) for day in (1, 2)]


def test_there_is_a_label_per_setting(run, tmp_path):
    paths = [run("a", [0.5], seed=1), run("b", [0.5], seed=2), run("c", [0.5], mode="fedavg")]
    with pytest.raises(FlqError, match=r"expected 2 labels \(runs that differ only in the seed share one\), got 3"):
        compare(paths, str(tmp_path / "out.xlsx"), labels=["x", "y", "z"])
    compare(paths, str(tmp_path / "out.xlsx"), labels=["ours", "theirs"])
    assert [row["run"] for row in table_of(load_workbook(str(tmp_path / "out.xlsx"))["Compare"])] == [
        "ours",
        "ours",
        "theirs",
    ]
