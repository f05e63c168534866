"""The figures of a run show the known values of its rows, and nothing else."""

import os

import numpy as np
import pytest
from report_rows import NAN, a_round

pytest.importorskip("matplotlib")
from flq.core.statuses import STATUSES  # noqa: E402
from flq.drawing import statuses  # noqa: E402
from flq.drawing.pictures import picture  # noqa: E402
from flq.drawing.style import PALETTE, colour, new_figure, styled  # noqa: E402
from flq.report.axes import Axis  # noqa: E402
from flq.report.figures import FIGURES, FILES, write_figures  # noqa: E402
from flq.report.lines import Curve, draw_lines  # noqa: E402
from flq.report.participation import (  # noqa: E402
    LARGEST_ROW,
    MOST_ROUNDS,
    MOST_WORKERS,
    N_COLUMNS,
    N_ROWS,
    grid_of,
    participation,
    shares_of,
)
from flq.report.times import MOST_BARS, parts, times  # noqa: E402

BARE = dict.fromkeys(
    (
        "accuracy",
        "test_loss",
        "shared_accuracy",
        "training_loss",
        "average_accuracy",
        "own_accuracy",
        "own_loss",
        "energy_so_far_j",
    )
)


def rows_of(n_rounds, **changes):
    """Return rounds of 2,400 bytes; lists have a value for each."""
    return [
        a_round(
            k,
            **dict(
                BARE, **{field: value[k - 1] if isinstance(value, list) else value for field, value in changes.items()}
            ),
        )
        for k in range(1, n_rounds + 1)
    ]


def drawn(name, rows, roll_calls=()):
    """Return the axes of a figure, and its lines by their names."""
    figure = FIGURES[name](rows, roll_calls)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    return axes, {line.get_label(): line for line in axes.get_lines()}


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def points(line):
    return list(zip(*(values.tolist() for values in line.get_data())))


def test_accuracies_by_round_and_by_bytes_have_the_same_points_over_other_axes():
    rows = rows_of(3, accuracy=[0.5, None, 0.75], shared_accuracy=[NAN, 0.25, 0.5])
    axes, lines = drawn("accuracy_by_round", rows)
    assert {name: points(line) for name, line in lines.items()} == {
        "master's model, test set": [(1, 0.5), (3, 0.75)],
        "shared copy, test set": [(2, 0.25), (3, 0.5)],
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "accuracy (%)")
    assert ticks(axes.xaxis) == ["0", "1", "2", "3"]
    assert ticks(axes.yaxis)[0] == "20" and ticks(axes.yaxis)[-1] == "80"
    axes, lines = drawn("accuracy_by_bytes", rows)
    assert points(lines["master's model, test set"]) == [(2400, 0.5), (7200, 0.75)]
    assert axes.get_xlabel() == "on the wire so far, both ways (kB)"
    assert ticks(axes.xaxis)[:2] == ["0", "2"]


def test_lines_stay_within_later_bounds():
    figure = FIGURES["accuracy_by_round"](rows_of(3, accuracy=[0.1, 0.8, 0.9]), [])
    figure.axes[0].set_ylim(0.7, 1.0)
    figure.draw_without_rendering()  # a line beyond the axes would leave them no room, which is a warning
    assert figure.axes[0].get_position().height > 0.5


def test_the_loss_is_in_powers_of_ten_where_it_takes_them():
    axes, lines = drawn("loss", rows_of(3, test_loss=[2.0, 1.5, 1.0], training_loss=[None, 1.0, 0.5]))
    assert points(lines["workers' training"]) == [(2, 1.0), (3, 0.5)] and axes.get_yscale() == "linear"
    axes, _ = drawn("loss", rows_of(2, test_loss=[2.0, 0.001]))
    assert axes.get_yscale() == "log" and axes.get_ylim() == pytest.approx((0.001, 10 * 10000**0.025))


def test_accuracy_is_held_against_the_joules_of_boards_that_tell():
    axes, lines = drawn("energy", rows_of(3, accuracy=[0.25, 0.5, 0.75], energy_so_far_j=[None, 1500.0, 3000.0]))
    assert points(lines["master's model, test set"]) == [(1500, 0.5), (3000, 0.75)]
    assert axes.get_xlabel() == "energy of the boards so far (kJ)"
    assert FIGURES["energy"](rows_of(2, accuracy=0.5), []) is None


def test_unknown_values_are_not_drawn():
    rows = rows_of(2)
    assert [name for name, draw in FIGURES.items() if draw(rows, [{}, {}]) is not None] == ["time"]
    assert [name for name, draw in FIGURES.items() if draw([], []) is not None] == []


def test_no_two_lines_look_alike_without_colours_either():
    _, axes = styled(new_figure)()
    curves = [Curve("run %d" % style, [1, 2], [0.1, 0.2], style) for style in range(28)]
    lines = draw_lines(axes, curves, Axis("x", "0"), Axis("y", "0"))
    assert len({(str(line._unscaled_dash_pattern), line.get_marker()) for line in lines}) == 28
    assert {line.get_color() for line in lines} == {colour(style) for style in range(len(PALETTE))}


def test_a_long_line_has_few_marks_and_a_point_alone_is_seen():
    _, lines = drawn("accuracy_by_round", rows_of(500, accuracy=list(np.linspace(0.1, 0.9, 500))))
    (line,) = lines.values()
    assert 5 <= len(line.get_markevery()) <= 8 and line.get_marker() != "None"
    _, lines = drawn("accuracy_by_round", rows_of(3, accuracy=[None, 0.5, None]))
    (line,) = lines.values()
    assert points(line) == [(2, 0.5)] and line.get_markevery() == [0]


def image_of(figure):
    (image,) = figure.axes[0].get_images()
    return np.asarray(image.get_array())


def rgb(status):
    return list(statuses.rgb(statuses.COLOURS[status].light))


def test_the_raster_has_a_cell_for_each_worker_and_round():
    rows = rows_of(2) + [a_round(4)]  # round 3 is not known
    roll_calls = [{0: "uploaded", 2: "skipped"}, {0: "refused", 2: "late"}, {0: "lost", 2: "uploaded"}]
    figure = participation(rows, roll_calls)
    white = [255, 255, 255]
    assert image_of(figure).tolist() == [
        [rgb("uploaded"), rgb("refused"), white, rgb("lost")],
        [white] * 4,
        [rgb("skipped"), rgb("late"), white, rgb("uploaded")],
    ]
    axes = figure.axes[0]
    assert axes.get_images()[0].get_extent() == [0.5, 4.5, 2.5, -0.5]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "worker")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "uploaded (2)",
        "skipped (1)",
        "refused (1)",
        "late (1)",
        "lost (1)",
    ]
    marks = {line.get_marker(): points(line) for line in axes.get_lines()}
    assert marks == {"_": [(2.0, 0)], "|": [(2.0, 2)], "x": [(4.0, 0)]}


def test_a_long_run_has_several_rounds_in_a_column_and_hides_nothing_rare():
    n_rounds = 1200
    roll_calls = [
        {0: "uploaded", 1: "uploaded" if k % 4 == 0 else "skipped", 2: "late" if k == 25 else "uploaded"}
        for k in range(n_rounds)
    ]
    roll_calls[-20:] = [{0: "uploaded", 1: "lost"}] * 20
    figure = participation(rows_of(n_rounds), roll_calls)
    n_parts = 20  # of each worker's bar, from above
    image = image_of(figure).reshape(3, n_parts, n_rounds // 20, 3).tolist()

    def bar(worker, column):
        return [part[column] for part in image[worker]]

    assert bar(0, 0) == bar(0, -1) == [rgb("uploaded")] * 20
    assert bar(1, 0) == [rgb("skipped")] * 15 + [rgb("uploaded")] * 5
    assert bar(2, 0) == [rgb("uploaded")] * 20
    assert bar(2, 1) == [rgb("late")] + [rgb("uploaded")] * 19
    assert bar(1, -1) == [rgb("lost")] * 20 and bar(2, -1) == [[255, 255, 255]] * 20
    assert figure.axes[0].get_xlabel() == "round (20 in a column)"
    assert figure.axes[0].get_xlim() == (0.5, n_rounds + 0.5)


def test_many_workers_share_rows_and_the_figure_fits_a_page():
    calls = [dict.fromkeys(range(990), "uploaded")] * 7 + [dict.fromkeys(range(990), "lost")]
    figure = participation(rows_of(8), calls)
    image = image_of(figure)
    assert image.shape == (20 * round(100 * LARGEST_ROW), 8, 3)  # 50 in a row, the last has 40
    assert (image[:, :7] == rgb("uploaded")).all() and (image[:, 7] == rgb("lost")).all()
    axes = figure.axes[0]
    assert axes.get_ylabel() == "worker (50 in a row)" and axes.get_ylim() == (989.5, -0.5)
    assert list(axes.get_yticks()) == list(range(0, 990, 100))


@pytest.mark.parametrize("n_workers", [1, 5, 20, 99, 100, 101, 300, 1000, 4096])
@pytest.mark.parametrize("n_rounds", [1, 100, MOST_ROUNDS, MOST_ROUNDS + 1, 2000, 99999])
def test_cells_are_of_round_numbers_and_few_enough(n_workers, n_rounds):
    grid = grid_of(n_workers, n_rounds)
    assert {int(str(n).rstrip("0")) for n in grid} <= {1, 2, 5}
    assert grid.rounds == 1 if n_rounds <= MOST_ROUNDS else n_rounds <= grid.rounds * N_COLUMNS
    assert grid.workers == 1 if n_workers <= MOST_WORKERS else n_workers <= grid.workers * N_ROWS


@pytest.mark.parametrize("n_workers, n_rounds", [(5, 10), (20, 100), (100, 300), (1000, 2000)])
def test_rows_are_high_enough_and_the_figure_fits_a_page(n_workers, n_rounds):
    figure = participation(rows_of(n_rounds), [dict.fromkeys(range(n_workers), "uploaded")] * n_rounds)
    width, height = figure.get_size_inches()
    assert width <= 7.0 and height <= 8.5
    ticks = figure.axes[0].get_yticks()
    assert (ticks[1] - ticks[0]) * (height - 1) / n_workers > 0.17  # a label of 7 points is 0.1 inches high


def test_a_bar_has_a_part_for_all_that_occurred_and_is_as_long_as_its_outcomes():
    generator = np.random.default_rng(5)
    counts = generator.multinomial(200, [0.55, 0.28, 0.005, 0.01, 0.005, 0.15], size=(40, 30))[:, :, :5]
    parts = shares_of(counts, np.full((40, 30), 200), 20)
    assert parts.min() >= 0 and (parts[:, :, 2:][counts[:, :, 2:] > 0] >= 1).all()
    assert np.abs(parts.sum(axis=2) - counts.sum(axis=2) / 10).max() <= 0.5
    assert len(STATUSES) == parts.shape[2]


@pytest.mark.parametrize(
    "training, waiting, whole, expected",
    [
        (1.5, 0.25, 2.0, (1.5, 0.25, 0.25)),
        (1.5, 1.75, 2.0, (1.5, 0.5, 0.0)),
        (3.0, 1.0, 2.0, (2.0, 0.0, 0.0)),
        (0.0, 0.0, 0.0, (0.0, 0.0, 0.0)),
    ],
)
def test_the_parts_of_a_rounds_time_add_up_to_it(training, waiting, whole, expected):
    assert parts(a_round(training_s=training, waiting_s=waiting, round_s=whole)) == expected


def test_time_is_stacked_by_round_or_by_the_mean_of_some():
    axes = times(rows_of(2, training_s=[1.0, 2.0], waiting_s=0.5, round_s=3.0), []).axes[0]
    assert [[(bar.get_y(), bar.get_height()) for bar in layer] for layer in axes.containers] == [
        [(0, 1.0), (0, 2.0)],
        [(1.0, 0.5), (2.0, 0.5)],
        [(1.5, 1.5), (2.5, 0.5)],
    ]
    assert axes.get_ylabel() == "time per round (s)" and axes.get_xlabel() == "round"
    n_rounds = 4 * MOST_BARS
    axes = times(rows_of(n_rounds, training_s=[float(k % 4) for k in range(n_rounds)], round_s=4.0), []).axes[0]
    assert [bar.get_height() for bar in axes.containers[0]] == [1.5] * MOST_BARS
    assert axes.get_xlabel() == "round (means of 4)"


def test_an_outlier_bar_is_clipped_and_labelled_with_its_height():
    axes = times(rows_of(5, training_s=[38.0, 1.0, 1.5, 1.0, 2.0], round_s=[40.0, 1.5, 2.0, 1.5, 2.5]), []).axes[0]
    assert axes.get_ylim() == (0, 2.5)
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("40 s", (1.0, 2.5))]
    axes = times(rows_of(2, training_s=1.0, round_s=[4.0, 2.0]), []).axes[0]
    assert axes.get_ylim()[1] >= 4.0 and not axes.texts
    assert times(rows_of(2, training_s=0.0, waiting_s=0.0, round_s=0.0), []) is not None


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_rows_make_the_same_bytes(name):
    rows = rows_of(3, accuracy=[0.5, 0.6, 0.7], test_loss=[3.0, 2.0, 1.0], energy_so_far_j=[1.0, 2.0, 3.0])
    roll_calls = [{0: "uploaded"}] * 3
    assert picture(FIGURES[name](rows, roll_calls), "svg") == picture(FIGURES[name](rows, roll_calls), "svg")


def test_one_that_fails_keeps_no_other_from_being_written(tmp_path):
    def fails(*_):
        raise ValueError("of the test")

    written, problems = write_figures(str(tmp_path), dict(bad=fails, time=times, none=lambda *_: None), rows_of(2), [])
    assert problems == ["figure bad was not drawn: ValueError: of the test"]
    assert [os.path.basename(path) for path in written] == sorted(os.listdir(str(tmp_path))) == ["time.png", "time.svg"]
    assert set(os.listdir(str(tmp_path))) <= set(FILES)
    _, problems = write_figures(str(tmp_path / "nowhere"), {"time": times}, rows_of(2), [])
    assert problems == ["figure time was not written: No such file or directory"]
