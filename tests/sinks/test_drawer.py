"""The process that draws: when it draws, that only the newest state counts, and that errors are one sentence."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from factory import settings_with
from report_rows import a_round, a_worker

pytest.importorskip("matplotlib")
from flq.errors import DataError, WireError  # noqa: E402
from flq.sinks import figures  # noqa: E402
from flq.sinks.figures import FigureDrawer, watch  # noqa: E402
from flq.sinks.messages import Began, Ended, Happened, Round, line_of  # noqa: E402

write = FigureDrawer._write
ENDED = Ended("done", False, False, [a_worker()])


def settings_of(every=10, partition="iid", model="quadratic"):
    return settings_with(figure_every=every, partition=partition, name=model)


def a_message(index, **changes):
    return Round(a_round(index, **changes), {0: "uploaded"})


@pytest.fixture
def drawer(tmp_path, monkeypatch):
    """Return a FigureDrawer with a stopped clock; ``drawings`` are the newest rounds drawn, ``said`` its log."""
    made = FigureDrawer(lambda sentence: made.said.append(sentence), lambda: made.now)
    made.now, made.said, made.drawings, made.folder = 0.0, [], [], str(tmp_path / "figures" / "run")

    def write(folder, named, *what):
        made.drawings.append(what[0][-1].round_index if "loss" in named else "classes")
        made.now += 1.0  # the duration of a drawing
        return [], list(made.problems)

    made.problems = []
    monkeypatch.setattr(figures, "write_figures", write)
    return made


def tell(drawer, *messages):
    """Pass all messages at once, like pending lines."""
    watch(io.BytesIO(b"".join(map(line_of, messages))), drawer)


def began(drawer, *rounds, **settings):
    return Began("run", settings_of(**settings), drawer.folder, list(rounds))


def step(drawer, message):
    """Pass one message, and let it draw if that is due."""
    drawer.take(message)
    if drawer.due_s() == 0.0:
        drawer.draw()


def test_it_draws_every_given_number_of_rounds_and_at_the_end(drawer):
    step(drawer, began(drawer, every=3))
    for index in range(1, 9):
        step(drawer, a_message(index))
        drawer.now += 100.0
    assert drawer.drawings == [3, 6] and drawer.due_s() is None
    step(drawer, Happened("lost", "worker 3 is lost", 3, 8, 1.5))
    step(drawer, ENDED)
    assert drawer.drawings == [3, 6, 8]
    step(drawer, ENDED)
    assert drawer.drawings == [3, 6, 8]
    step(drawer, a_message(7))  # an evaluation that comes after the end
    assert drawer.drawings == [3, 6, 8, 8]


def test_it_draws_at_most_a_tenth_of_the_time_but_the_end_at_once(drawer):
    step(drawer, began(drawer, every=1))
    step(drawer, a_message(1))
    step(drawer, a_message(2))
    assert drawer.drawings == [1] and drawer.due_s() == 9.0
    drawer.now += 9.0
    step(drawer, a_message(3))
    assert drawer.drawings == [1, 3]
    step(drawer, a_message(4))
    step(drawer, ENDED)
    assert drawer.drawings == [1, 3, 4]


def test_of_all_pending_states_only_the_newest_is_drawn(drawer):
    tell(drawer, began(drawer, every=1), *map(a_message, range(1, 50)), ENDED)
    assert drawer.drawings[-1] == 49 and len(drawer.drawings) <= 2


def test_earlier_rounds_are_drawn_at_the_start(drawer):
    step(drawer, began(drawer, a_message(1), a_message(2), every=2))
    assert drawer.drawings == [2]


def test_a_run_that_is_cut_off_is_drawn_up_to_its_last_round(drawer):
    tell(drawer, began(drawer), a_message(1), a_message(2))
    assert drawer.drawings == [2]


def test_a_run_without_rounds_is_not_drawn(drawer):
    tell(drawer, began(drawer), ENDED)
    tell(drawer)
    assert drawer.drawings == []


def test_an_invalid_line_ends_the_process(drawer):
    with pytest.raises(WireError, match="a line is not a message"):
        watch(io.BytesIO(b"no\n"), drawer)


@pytest.mark.parametrize("partition, model, n", [("iid", "mlp", 1), ("local", "mlp", 0), ("iid", "quadratic", 0)])
def test_the_classes_are_counted_once_if_the_master_partitions_the_data(drawer, monkeypatch, partition, model, n):
    counted, drawn = [], []
    dataset = SimpleNamespace(class_names=("apple", "lime", "pear"))
    monkeypatch.setattr(figures, "load_dataset", lambda settings: counted.append(settings) or dataset)
    monkeypatch.setattr(figures, "counts_of", lambda loaded, settings: np.ones((2, 3), int))
    monkeypatch.setattr(FigureDrawer, "_write", lambda *given: drawn.append(given[2:]) or write(*given))
    tell(drawer, began(drawer, partition=partition, model=model), a_message(1), ENDED)
    assert len(counted) == n and drawer.drawings[:n] == ["classes"] * n and drawer.drawings[n:] == [1]
    assert [given[1:] for given in drawn[:n]] == [("", dataset.class_names)] * n


@pytest.mark.parametrize(
    "error, sentence",
    [
        (DataError("there is no such file"), "figure classes was not drawn: there is no such file"),
        (MemoryError("all is used"), "figure classes was not drawn: MemoryError: all is used"),
    ],
)
def test_unreadable_data_do_not_affect_other_figures(drawer, monkeypatch, error, sentence):
    def refuse(settings):
        raise error

    monkeypatch.setattr(figures, "load_dataset", refuse)
    tell(drawer, began(drawer, model="mlp"), a_message(1), ENDED)
    assert drawer.drawings == [1] and drawer.said == [sentence]


def test_the_same_problem_is_reported_once(drawer):
    drawer.problems = ["figure loss is not written: No space left on device"]
    step(drawer, began(drawer, every=1))
    for index in (1, 2):
        step(drawer, a_message(index))
        drawer.now += 100.0
    assert drawer.drawings == [1, 2] and drawer.said == drawer.problems


def test_a_folder_that_cannot_be_created_is_reported(drawer, tmp_path):
    (tmp_path / "figures").write_bytes(b"a file")
    tell(drawer, began(drawer), a_message(1), ENDED)
    assert len(drawer.said) == 1 and "cannot be created: Not a directory" in drawer.said[0]


def test_the_program_writes_the_figures(tmp_path):
    folder = tmp_path / "figures" / "run"
    lines = [Began("run", settings_of(), str(folder), []), a_message(1), ENDED]
    done = subprocess.run(
        [sys.executable, "-m", "flq.sinks.figures"],
        input=b"".join(map(line_of, lines)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sorted(os.listdir(str(folder)))[:2] == ["accuracy_by_bytes.png", "accuracy_by_bytes.svg"]
    done = subprocess.run(
        [sys.executable, "-m", "flq.sinks.figures"],
        input=b"no\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=120,
    )
    assert done.returncode == 1 and done.stderr.startswith(b"a line is not a message") and done.stderr.count(b"\n") == 1
