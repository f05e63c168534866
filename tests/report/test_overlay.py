"""Several runs in one figure: each line shows its run, in one style in all panels, with a distinct label."""

import os

import pytest
from openpyxl import load_workbook
from report_rows import a_round

pytest.importorskip("matplotlib")
from flq.errors import FlqError  # noqa: E402
from flq.report.compare import compare  # noqa: E402
from flq.report.compare_table import PAYLOAD, WIRE  # noqa: E402
from flq.report.excel import write_workbook  # noqa: E402
from flq.report.labels import labels_of  # noqa: E402
from flq.report.overlay import overlay  # noqa: E402
from flq.report.reference import CurveRow, write_curves  # noqa: E402
from flq.report.runs import find_runs  # noqa: E402


def ours(path, accuracies, mode="bbit", wire=2400, **settings):
    """Write the workbook of a run; return its path."""
    rounds = [
        a_round(k, accuracy=accuracy, average_accuracy=None, own_accuracy=None, wire_bytes_up=wire - 900)
        for k, accuracy in enumerate(accuracies, start=1)
    ]
    write_workbook(str(path), [("mode", mode)], rounds, [], {"flq_algorithm": dict(mode=mode, **settings)})
    return str(path)


def figure_of(paths, measure=WIRE):
    runs = [run for path in paths for run in find_runs(path, "results")]
    return overlay(runs, labels_of(runs), measure.name, [measure.bytes_of(run.curve) for run in runs])


def points(line):
    return list(zip(*(values.tolist() for values in line.get_data())))


def test_accuracy_by_round_and_by_bytes_and_the_loss_stand_side_by_side(tmp_path):
    figure = figure_of(
        [ours(tmp_path / "a.xlsx", [0.5, None, 0.75]), ours(tmp_path / "b.xlsx", [0.25, 0.5], "laq8", 1200)]
    )
    by_round, by_bytes, loss = figure.axes
    assert [points(line) for line in by_round.get_lines()] == [[(1, 0.5), (3, 0.75)], [(1, 0.25), (2, 0.5)]]
    assert [points(line) for line in by_bytes.get_lines()] == [[(2400, 0.5), (7200, 0.75)], [(1200, 0.25), (2400, 0.5)]]
    assert [points(line) for line in loss.get_lines()] == [[(1, 1.25), (2, 1.25), (3, 1.25)], [(1, 1.25), (2, 1.25)]]
    assert [axes.get_xlabel() for axes in figure.axes] == ["round", "wire so far, both ways (kB)", "round"]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "accuracy, test set (%)",
        "accuracy, test set (%)",
        "loss, test set",
    ]
    looks = [[(line.get_color(), line.get_marker()) for line in axes.get_lines()] for axes in figure.axes]
    assert looks[0] == looks[1] == looks[2] and looks[0][0] != looks[0][1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bbit", "laq8"]


def test_bytes_that_span_decades_are_in_powers_of_ten(tmp_path):
    paths = [ours(tmp_path / "a.xlsx", [0.5, 0.75], wire=10**6), ours(tmp_path / "b.xlsx", [0.25, 0.5], "bin", 2000)]
    axes = figure_of(paths).axes[1]
    assert axes.get_xscale() == "log" and axes.get_xlim() == pytest.approx((1000, 10**7.1))
    assert axes.get_xlabel() == "wire so far, both ways (B)"


def test_a_run_without_accuracy_is_in_the_panel_of_the_loss_with_its_own_look(tmp_path):
    figure = figure_of([ours(tmp_path / "a.xlsx", [None]), ours(tmp_path / "b.xlsx", [0.5], "bin")])
    assert [len(axes.get_lines()) for axes in figure.axes] == [1, 1, 2]
    assert figure.axes[0].get_lines()[0].get_color() == figure.axes[2].get_lines()[1].get_color()
    assert len(figure_of([ours(tmp_path / "a.xlsx", [None])]).axes) == 1


def test_the_references_curves_have_entropy_and_payload(tmp_path):
    write_curves(
        str(tmp_path / "results_fmnist_bin.xlsx"),
        "bin",
        [CurveRow(k, 3.0, 0.1 * k, 2.0 / k, 4, 800 * k, 0, 800 * k) for k in (1, 2)],
    )
    figure = figure_of([str(tmp_path / "results_fmnist_bin.xlsx")], PAYLOAD)
    assert points(figure.axes[1].get_lines()[0]) == [(100, 0.1), (200, 0.2)]
    assert points(figure.axes[2].get_lines()[0]) == [(1, 2.0), (2, 1.0)]
    (run,) = find_runs(str(tmp_path / "results_fmnist_bin.xlsx"), "results")
    assert run.curve.uploads.tolist() == [4, 8]


@pytest.mark.parametrize(
    "two, expected",
    [
        ((("bbit", {}), ("bin", {})), ["bbit", "bin"]),
        ((("bbit", dict(b_up=4, b_down=8)), ("bbit", dict(b_up=2, b_down=None))), ["bbit 4/8 bit", "bbit 2/- bit"]),
        ((("lowrank", dict(bytes_up=300)), ("lowrank", dict(bytes_up=600))), ["lowrank 300/- B", "lowrank 600/- B"]),
        ((("bbit", dict(b_up=4)), ("bbit", dict(b_up=4))), ["0.xlsx", "1.xlsx"]),
        ((("", {}), ("bin", {})), ["0.xlsx", "1.xlsx"]),
    ],
)
def test_runs_have_distinct_labels(tmp_path, two, expected):
    paths = [
        ours(tmp_path / ("%d.xlsx" % index), [0.5], mode, **settings) for index, (mode, settings) in enumerate(two)
    ]
    assert labels_of([find_runs(path, "results")[0] for path in paths]) == expected


def test_the_command_writes_the_figure_beside_the_workbook_with_names_by_hand(tmp_path):
    paths = [ours(tmp_path / "a.xlsx", [0.5]), ours(tmp_path / "b.xlsx", [0.6])]
    out = str(tmp_path / "both.xlsx")
    text, written = compare(paths, out, labels=["ours $x$", "=theirs"])
    assert written == [out, str(tmp_path / "both.png"), str(tmp_path / "both.svg")]
    assert all(os.path.getsize(path) for path in written) and "ours $x$" in text
    with open(written[2], encoding="utf-8") as stream:
        assert "ours $x$" in stream.read()
    assert [row[0] for row in load_workbook(out)["Compare"].iter_rows(min_row=2, values_only=True)] == [
        "ours $x$",
        "=theirs",
    ]
    with pytest.raises(FlqError, match="expected 2 labels, got 1"):
        compare(paths, out, labels=["one"])
