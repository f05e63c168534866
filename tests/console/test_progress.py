"""Lines that report progress become one line at the bottom; any text is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.utils import disp_len

from flq.console.progress import Progress
from flq.console.screen import printable

ROUND = (
    "round=%d/%d accuracy=%.4f test_loss=0.2 loss=%.4f uploaded=4 skipped=0 refused=0 late=0 lost=0 "
    "wire_up=4000 wire_down=6000 seconds=0.58"
)


def after(*lines):
    """Return the progress after these lines, one a second."""
    progress = Progress()
    for second, line in enumerate(lines):
        progress.take(line, float(second))
    return progress


def bottom(*lines, n_columns=80, later_s=0.0, is_ascii=True):
    """Return the bottom line after these lines, ``later`` seconds after the last."""
    return after(*lines).bottom(n_columns, len(lines) - 1 + later_s, is_ascii)


def test_rounds_are_a_bar_with_their_results_and_the_time_left():
    lines = ["12:00:0%d %s" % (k, ROUND % (k, 10, 0.5 + k / 100, 1 / k)) for k in (1, 2, 3)]
    assert bottom(*lines) == "round 3/10 |######              | accuracy 0.5300 loss 0.3333 0.03 MB 0:07 left"
    assert bottom(*lines, later_s=3.0).endswith("0:04 left")
    assert "left" not in bottom(*lines, later_s=30.0)  # it was too little


def test_a_bar_is_of_blocks_where_the_terminal_has_them():
    assert "█" in bottom(ROUND % (1, 2, 0.5, 0.5), is_ascii=False)


def test_the_first_of_several_rounds_has_no_time_left():
    assert "left" not in bottom(ROUND % (1, 10, 0.5, 0.5))


def test_unmeasured_values_are_omitted():
    assert "accuracy" not in bottom("round=1/2 accuracy=- test_loss=- loss=0.5 wire_up=1 wire_down=2")


def test_bytes_of_a_resumed_run_are_those_of_the_rounds_seen():
    assert "+0.01 MB" in bottom(ROUND % (7, 9, 0.5, 0.5)) and " 0.01 MB" in bottom(ROUND % (1, 9, 0.5, 0.5))


@pytest.mark.parametrize(
    "n_columns, words",
    [
        (80, "accuracy 0.5000 loss 0.5000 0.02 MB 0:08 left"),
        (60, "accuracy 0.5000 0.02 MB 0:08 left"),
        (50, "accuracy 0.5000 0:08 left"),
        (40, "accuracy 0.5000"),
        (30, ""),
    ],
)
def test_a_narrow_terminal_has_the_most_important_and_never_a_full_line(n_columns, words):
    line = bottom(ROUND % (1, 10, 0.5, 0.5), ROUND % (2, 10, 0.5, 0.5), n_columns=n_columns)
    assert line.startswith("round 2/10 |#") and line.endswith(words) and len(line) < n_columns
    assert line.partition("| ")[2] == words


def test_a_start_shows_the_activity_and_the_elapsed_time():
    assert bottom("worker 3: start=reading_data dataset=digits model=mlp", later_s=75.0) == (
        "reading data (dataset digits, model mlp) 1:15"
    )


def test_workers_are_counted_once_each():
    lines = [
        "12:00:00 waiting for 3 workers; model mlp with 9 parameters",
        "worker 1 joined with 5 samples (epoch 1)",
        "12:00:01 worker 2 is back with 5 samples (epoch 1)",
        "worker 1 joined with 5 samples (epoch 2)",
    ]
    assert bottom(*lines) == "waiting for workers: 2 of 3 joined 0:03"
    assert bottom(*lines, "worker 0 joined with 1 samples") == "all workers joined: the first round is running 0:04"
    assert bottom("waiting for 1 worker; model mlp with 9 parameters") == "waiting for workers: 0 of 1 joined 0:00"
    assert bottom("worker 1 joined with 5 samples (epoch 1)") == ""


def test_a_worker_takes_the_number_of_rounds_from_its_start():
    assert bottom("worker 0: round=1 applied loss=0.5") == ""
    line = bottom("worker 0: start=waiting_for_the_first_round rounds=4", "worker 0: round=1 applied loss=0.5")
    assert line.startswith("round 1/4 |") and line.endswith("| loss 0.5")


def test_a_download_is_a_bar_and_the_start_continues_after_it():
    start = "start=reading_data dataset=mnist"
    progress = after(start, "download=train.gz bytes=0/4000000", "download=train.gz bytes=1000000/4000000")
    line = progress.bottom(80, 2.0, True)
    assert line.startswith("train.gz |#") and line.endswith("| 1.00 MB of 4.00 MB 0:03 left")
    progress.take("download=train.gz bytes=4000000/4000000", 5.0)
    assert progress.is_complete and progress.is_worth_keeping
    progress.clear_bar()
    assert progress.bottom(80, 9.0, True) == "reading data (dataset mnist) 0:09"


def test_a_download_that_is_given_up_has_no_bar():
    assert bottom("download=train.gz bytes=1/4", "download=train.gz failed=1") == ""


def test_hosts_show_working_hosts_as_far_as_there_is_room():
    line = "hosts=1/3 working=jetson1:environment,jetson2:release"
    assert bottom(line).endswith("| 0:00 jetson1:environment jetson2:release")
    assert bottom(line, n_columns=40, later_s=70.0).endswith("| 1:10 jetson1:env")
    assert not after(line).is_worth_keeping


def test_rounds_that_restart_are_a_new_bar():
    lines = [ROUND % (k, 9, 0.5, 0.5) for k in (1, 2, 3, 1)]
    assert "0.01 MB" in bottom(*lines) and "left" not in bottom(*lines)


@pytest.mark.parametrize(
    "line",
    [
        "run 20260101_000000_abcd, configuration 12",
        "",
        "the round=3/4",
        "rounds=3/4",
        "round=x/4",
        "round=3/0",
        "round=-3/4",
        "round=3/4/5",
        "download=x",
        "hosts=",
        "round=" + "9" * 5000 + "/4",
        "round=\u0663/4",
    ],
)
def test_other_lines_are_shown_themselves(line):
    progress = Progress()
    assert not progress.take(line, 0.0) and progress.bottom(80, 0.0, True) == ""


WORDS = [
    "round=",
    "start=",
    "download=",
    "hosts=",
    "bytes=",
    "rounds=",
    "working=",
    "wire_up=",
    "loss=",
    "accuracy=",
    "waiting for 9 workers;",
    "worker 3 joined ",
    "worker 3: ",
    "12:00:00 ",
    "/",
    "0",
    "1",
    "9" * 15,
    " ",
    "{",
    "-",
    "nan",
    "\u202e",
    "\u4e2d",
    "\n",
    "%s",
]


@given(
    st.lists(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=8).map("".join), max_size=6),
    st.integers(1, 130),
    st.booleans(),
)
def test_no_text_raises(lines, n_columns, is_ascii):
    progress = Progress()
    for second, line in enumerate(lines):
        progress.take(printable(line), float(second))
        text = progress.bottom(n_columns, second + 0.5, is_ascii)
        assert text.isprintable() and disp_len(text) <= max(1, n_columns - 1)
        if progress.is_complete:
            progress.clear_bar()
