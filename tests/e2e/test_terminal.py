"""Master and worker as a user at a terminal sees them."""

import os
import re
import sys
from pathlib import Path

import pytest
from cluster import end_well
from pseudo import WAIT_S, Pseudo

SETTINGS = (
    "model.name=quadratic",
    "model.lr=0.05",
    "system.max_rounds=5",
    "system.total_workers=2",
    "system.min_workers=2",
)
PLAIN_ROUND = re.compile(r"^\d\d:\d\d:\d\d round=\d/5 accuracy=\S+ test_loss=\S+ loss=\S+ uploaded=\d", re.M)


@pytest.fixture
def pseudo():
    with Pseudo(200) as made:  # no path is wrapped
        yield made


def environment(**variables):
    return dict(os.environ, PYTHONUNBUFFERED="1", no_proxy="127.0.0.1", **dict({"TERM": "xterm"}, **variables))


def start_master(cluster, pseudo, *flags, outlives=False, term="xterm", **streams):
    """Start a master at a terminal; return its process and its port."""
    argv = [sys.executable, "flq_master.py", "--host", "127.0.0.1", "--port", "0"]
    for setting in SETTINGS:
        argv += ["--set", setting]
    argv += flags
    process = pseudo.start(argv, outlives, cwd=cluster.folder, env=environment(TERM=term), **streams)
    return process, int(pseudo.wait_for(r"FLQ master ready on http://127.0.0.1:(\d+) ").group(1))


def log_of(cluster, program):
    """Return the text of a program's log."""
    (path,) = Path(cluster.folder, "logs").glob(program + "_*.log")
    return path.read_text()


def assert_plain(text, n_rounds=5):
    """Check that there is a line for each round, and no control codes."""
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert text.count(" round=") == n_rounds and "|" not in text


def test_a_master_shows_its_rounds_in_a_bar_and_its_log_has_the_lines(cluster, pseudo):
    master, port = start_master(cluster, pseudo)
    pseudo.wait_for("waiting for workers: 0 of 2 joined")
    workers = cluster.workers([0, 1], port)
    assert master.wait(WAIT_S) == 0, pseudo.text
    end_well(workers[0], workers[1:])
    pseudo.wait_for("results: .*\n")
    rows = pseudo.rows
    bars = [row for row in rows if "|" in row]
    assert len(bars) == 1 and re.match(r"round 5/5 \|█+\| loss [\d.]+ \d+\.\d\d MB$", bars[0]), rows
    joined = [row for row in rows if re.match(r"\d\d:\d\d:\d\d worker \d joined ", row)]
    assert len(joined) == 2 and rows.index(joined[-1]) < rows.index(bars[0])
    assert not any("round=" in row or "start=" in row for row in rows)
    (path,) = (row[len("results: ") :] for row in rows if row.startswith("results: "))
    assert os.path.exists(path)
    log = log_of(cluster, "master")
    assert_plain(log)
    assert re.search(r"data=ready dataset=digits seconds=\d", log) and "evaluator=ready" in log


def test_a_dumb_terminal_has_plain_lines(cluster, pseudo):
    master, port = start_master(cluster, pseudo, term="dumb")
    workers = cluster.workers([0, 1], port)
    assert master.wait(WAIT_S) == 0, pseudo.text
    end_well(workers[0], workers[1:])
    pseudo.wait_for("results: .*\n")
    assert_plain(pseudo.text)
    assert len(PLAIN_ROUND.findall(pseudo.text)) == 5


@pytest.mark.parametrize("flags, elsewhere", [(["--verbose"], ""), ([], "stdout"), ([], "stderr")])
def test_verbose_and_redirected_output_is_plain_at_a_terminal_too(cluster, pseudo, tmp_path, flags, elsewhere):
    with open(str(tmp_path / "file"), "w") as stream:
        argv = [sys.executable, "flq_master.py", "--host", "127.0.0.1", "--port", "0", "--set", SETTINGS[0], *flags]
        master = pseudo.start(argv, cwd=cluster.folder, env=environment(), **{elsewhere: stream} if elsewhere else {})
    pseudo.wait_for("waiting for workers: 0 of 4 joined" if elsewhere == "stdout" else "FLQ master ready .*\n")
    pseudo.type(b"\x03")
    assert master.wait(WAIT_S) == 130
    own_lines, text = ["FLQ", "to", "results:"], (tmp_path / "file").read_text()
    if elsewhere == "stdout":
        assert [line.partition(" ")[0] for line in text.splitlines()] == own_lines
    else:
        pseudo.wait_for("results: .*\n")
        assert_plain(text + pseudo.text.replace("^C", ""), 0)
    if elsewhere == "stderr":
        assert [row.partition(" ")[0] for row in pseudo.rows] == ["FLQ", "^Cto", "results:", ""]


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_master_and_worker_survive_their_terminal(cluster, term):
    at_master, at_worker = Pseudo(), Pseudo()
    master, port = start_master(cluster, at_master, outlives=True, term=term)
    worker = at_worker.start(
        [sys.executable, "flq_worker.py", "--worker_id", "0", "--master_ip", "127.0.0.1", "--port", str(port)],
        outlives=True,
        cwd=cluster.folder,
        env=environment(TERM=term),
    )
    at_master.wait_for("worker 0 joined")
    for pseudo in (at_master, at_worker):
        pseudo.hang_up()
    other = cluster.worker(1, port)
    assert (master.wait(WAIT_S), worker.wait(WAIT_S), other.wait()) == (0, 0, 0)
    log = log_of(cluster, "master")
    assert_plain(log)
    assert "results saved: " in log
    assert log_of(cluster, "worker0").count(" applied ") == 5


def test_ctrl_c_at_the_bar_shows_how_to_resume_and_the_progress(cluster, pseudo):
    master, port = start_master(cluster, pseudo, "--set", "system.max_rounds=100000")
    workers = cluster.workers([0, 1], port)
    pseudo.wait_for(r"round \d+/100000 \|")
    pseudo.type(b"\x03")
    assert master.wait(WAIT_S) == 130
    pseudo.wait_for("results: .*\n")
    rows = pseudo.rows
    assert any(row.startswith("to resume: ./start_master.sh --resume ") for row in rows)
    assert re.match(r"round \d+/100000 \|.*MB$", rows[-2]) and rows[-1] == "", rows[-4:]
    for worker in workers:
        worker.close()


def test_a_worker_shows_its_rounds_in_a_bar_and_its_log_has_the_lines(cluster):
    with Pseudo(40) as pseudo:
        master = cluster.master(*SETTINGS)
        worker = pseudo.start(
            [
                sys.executable,
                "flq_worker.py",
                "--worker_id",
                "0",
                "--master_ip",
                "127.0.0.1",
                "--port",
                str(master.port),
            ],
            cwd=cluster.folder,
            env=environment(),
        )
        pseudo.wait_for("waiting for the first round 0:0")
        other = cluster.worker(1, master.port)
        assert worker.wait(WAIT_S) == 0, pseudo.text
        pseudo.wait_for("the run has ended")
        bars = [row for row in pseudo.rows if "|" in row]
        assert len(bars) == 1 and re.match(r"round 5/5 \|█+\| loss ", bars[0]) and len(bars[0]) < 40, pseudo.rows
    end_well(master, [other])
    log = log_of(cluster, "worker0")
    assert log.count(" applied ") == 5 and "start=waiting_for_the_first_round rounds=5" in log
    assert [char for char in log if not char.isprintable() and char != "\n"] == []


def test_a_worker_waits_for_its_master_on_the_bottom_line(cluster):
    with Pseudo() as pseudo:
        worker = pseudo.start(
            [sys.executable, "flq_worker.py", "--worker_id", "0", "--master_ip", "127.0.0.1", "--port", "1"],
            cwd=cluster.folder,
            env=environment(),
        )
        pseudo.wait_for(r"trying again in .*\n")
        pseudo.wait_for(r"connecting \(master http://127.0.0.1:1\) \d:\d\d")
        pseudo.type(b"\x03")
        assert worker.wait(WAIT_S) == 130
        pseudo.wait_for("ended by signal 2\r\n")
        assert "connecting" not in "".join(pseudo.rows)
