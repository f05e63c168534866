"""What a real pseudo-terminal shows, and that no thread waits for it."""

import io
import os
import subprocess
import sys
import threading

import pytest
from pseudo import WAIT_S, Pseudo, seen

from flq.console import screen
from flq.console.screen import Drawer, Terminal, drawer_of, printable, terminal_of

XTERM = {"TERM": "xterm"}
ROUND = "12:00:00 round=%d/%d accuracy=0.5000 loss=0.5 wire_up=4000 wire_down=6000 seconds=0.58"
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def pseudo():
    with Pseudo() as made:
        yield made


@pytest.fixture
def drawer(pseudo):
    made = Drawer(Terminal(pseudo.slave, "utf-8"))
    yield made
    made.close()


def shown(pseudo, drawer):
    """Return the rows once everything so far is drawn and read."""
    mark = "mark %d" % pseudo.text.count("mark")
    drawer.put(mark)
    drawer.wait_until_shown()
    pseudo.wait_for(mark)
    return [row for row in pseudo.rows if not row.startswith("mark")]


def test_lines_stand_above_the_bar_in_their_order(pseudo, drawer):
    for line in ("first", ROUND % (1, 4), "second", ROUND % (2, 4), "third\nand its second line"):
        drawer.put(line)
    *lines, bar = shown(pseudo, drawer)
    assert lines == ["first", "second", "third", "and its second line"] and bar.startswith("round 2/4 |")


def test_a_complete_bar_stays_and_later_lines_come_below_it(pseudo, drawer):
    for line in (ROUND % (1, 2), ROUND % (2, 2), "results: here.xlsx"):
        drawer.put(line)
    drawer.close()
    pseudo.wait_for("here.xlsx\r\n")
    assert pseudo.rows[0].startswith("round 2/2 |") and pseudo.rows[1:] == ["results: here.xlsx", ""]


@pytest.mark.parametrize(
    "line, is_kept",
    [
        (ROUND % (1, 2), True),
        ("download=a.gz bytes=1/3", True),
        ("hosts=1/3 working=a:facts", False),
        ("start=reading_data", False),
        ("waiting for 3 workers; model mlp", False),
    ],
)
def test_at_the_end_a_bar_stays_and_an_activity_goes(pseudo, drawer, line, is_kept):
    drawer.put(line)
    rows = shown(pseudo, drawer)
    assert rows[-1] != ""
    drawer.close()
    os.write(pseudo.slave, b"$")  # as a shell would
    pseudo.wait_for(r"\$")
    assert pseudo.rows[-1] == "$" and ("|" in "".join(pseudo.rows)) == is_kept


def test_a_terminal_becomes_narrow_and_wide_again(pseudo, drawer):
    for k, n_columns in enumerate((40, 20, 100), start=1):
        pseudo.resize(n_columns)
        drawer.put(ROUND % (k, 9))
        shown(pseudo, drawer)
        (bar,) = seen(pseudo.text.rpartition("\n")[2], n_columns)
        assert bar.startswith("round %d/9 |" % k) and len(bar) < n_columns


@pytest.mark.parametrize(
    "line",
    [
        "\x1b[2Jhidden",
        "a\rb",
        "\x9b31m",
        "\u202eevil",
        "bell\a",
        "back\b",
        "start=\x1b[2J",
        "download=\x1b]0;title\a bytes=1/2",
    ],
)
def test_control_characters_of_a_worker_are_shown_and_not_obeyed(pseudo, drawer, line):
    drawer.put(line)
    shown(pseudo, drawer)  # which accepts nothing but texts, line ends, and the erasing of a line
    assert not set(pseudo.text) & set("\a\b\x9b\u202e") and "\x1b[2J" not in pseudo.text


def test_printable_texts_stay_as_they_are():
    assert printable("50 % 数据 é |█") == "50 % 数据 é |█" and printable("a\tb") == "a       b"


def test_no_colours_are_used(pseudo, drawer):
    for line in (ROUND % (1, 9), "12:00:00 the run cannot go on now", "start=reading_data"):
        drawer.put(line)
        shown(pseudo, drawer)
    assert "\x1b[" in pseudo.text and not [part for part in pseudo.text.split("\x1b[")[1:] if part[0] != "K"]


def test_a_terminal_without_unicode_has_a_bar_of_ascii(pseudo):
    drawer = Drawer(Terminal(pseudo.slave, "ascii"))
    drawer.put(ROUND % (1, 2))
    drawer.put("数")
    drawer.close()
    pseudo.wait_for(r"round 1/2.*\n")
    assert pseudo.text.isascii() if hasattr(str, "isascii") else all(ord(char) < 128 for char in pseudo.text)


@pytest.mark.parametrize("environ", [{}, {"TERM": ""}, {"TERM": "dumb"}])
def test_a_dumb_terminal_has_plain_lines(pseudo, environ):
    with os.fdopen(os.dup(pseudo.slave), "w") as stream:
        assert terminal_of(stream, environ) is None and drawer_of(stream, environ) is None
        assert terminal_of(stream, dict(XTERM, NO_COLOR="1")) is not None


def test_where_there_is_no_terminal_lines_are_plain(tmp_path):
    closed = io.StringIO()
    closed.close()
    with open(str(tmp_path / "file"), "w") as stream:
        for other in (stream, io.StringIO(), closed, None):
            assert terminal_of(other, XTERM) is None


def test_an_environment_without_tqdm_has_plain_lines(pseudo, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.utils", None)
    with os.fdopen(os.dup(pseudo.slave), "w") as stream:
        assert terminal_of(stream, XTERM) is None


def test_a_program_survives_its_terminal():
    with Pseudo() as pseudo:
        drawer = Drawer(Terminal(os.dup(pseudo.slave), "utf-8"))
        drawer.put(ROUND % (1, 9))
        drawer.wait_until_shown()
    for k in range(2, 9):
        drawer.put(ROUND % (k, 9))
    drawer.wait_until_shown()
    drawer.close()


def test_a_blocked_terminal_delays_nothing_and_lost_lines_are_counted(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setattr(screen, "MOST_LINES", 50)
    monkeypatch.setattr(screen, "PATIENCE_S", 0.0)
    drawer = Drawer(Terminal(writing, "utf-8"))
    drawer.put("x" * 1000000)  # more than the pipe takes: the thread stands still in it
    os.read(reading, 1)  # which has begun
    for k in range(70):
        drawer.put("line %d" % k)
    drawer.close(0.0)
    read, thread = [], threading.Thread(target=lambda: read.append(_read_all(reading)))
    thread.start()
    drawer.close(WAIT_S)
    os.close(writing)
    thread.join(WAIT_S)
    os.close(reading)
    lines = read[0].split("\n")[1:]
    assert lines[:50] == ["line %d" % k for k in range(50)]
    assert lines[50:] == ["(20 lines were not shown)", ""]


def _read_all(fd):
    pieces = []
    while True:
        pieces.append(os.read(fd, 1 << 16))
        if not pieces[-1]:
            return b"".join(pieces).decode("utf-8")


def test_a_non_blocking_terminal_gets_everything():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "y" * 1000000
    read, thread = [], threading.Thread(target=lambda: read.append(_read_all(reading)))
    thread.start()
    Terminal(writing, "utf-8").write(text)
    os.close(writing)
    thread.join(WAIT_S)
    os.close(reading)
    assert read == [text]


# A signal's handler that says something while its thread is saying something: 20,000 chances to wait for itself.
NESTED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from flq.console.screen import Drawer, Terminal
drawer = Drawer(Terminal(os.open(os.devnull, os.O_WRONLY), "utf-8"))
signal.signal(signal.SIGALRM, lambda *_: drawer.put("from the handler"))
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
for k in range(20000):
    drawer.put("line")
signal.setitimer(signal.ITIMER_REAL, 0)
drawer.close(None)
"""


def test_a_signal_handler_may_queue_lines():
    subprocess.run([sys.executable, "-c", NESTED, PROJECT], check=True, timeout=WAIT_S)


# ---- python -m flq.console


def copy(tmp_path, data, stdout, environ):
    """Run the program on these bytes, a few at a time; return the exit code and the bytes of the file."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flq.console", str(tmp_path / "copy")],
        cwd=PROJECT,
        env=dict(os.environ, **environ),
        stdin=subprocess.PIPE,
        stdout=stdout,
    )
    for begin in range(0, len(data), 7):
        process.stdin.write(data[begin : begin + 7])
        process.stdin.flush()
    process.stdin.close()
    output = process.stdout.read() if process.stdout else b""
    if process.stdout:
        process.stdout.close()
    return process.wait(WAIT_S), (tmp_path / "copy").read_bytes(), output


DATA = ("12:00:00 data=ready\r\nround=1/2 loss=0.5\n\nnot \xff utf-8 \x1b[31m\nround=2/2 loss=0.4\nno line end").encode(
    "latin-1"
)


@pytest.mark.parametrize("environ", [XTERM, {"TERM": "dumb"}])
def test_copying_into_a_pipe_changes_no_byte(tmp_path, environ):
    assert copy(tmp_path, DATA, subprocess.PIPE, environ) == (0, DATA, DATA)


def test_copying_to_a_terminal_shows_a_bar_and_leaves_the_file_as_it_is(tmp_path, pseudo):
    assert copy(tmp_path, DATA, pseudo.slave, XTERM) == (0, DATA, b"")
    pseudo.wait_for("no line end")
    rows = pseudo.rows
    assert rows[0] == "12:00:00 data=ready" and rows[2] == "not \ufffd utf-8 \\x1b[31m"
    assert rows[3].startswith("round 2/2 |") and rows[4:] == ["no line end", ""]


def test_copying_to_a_dumb_terminal_is_plain(tmp_path, pseudo):
    assert copy(tmp_path, b"round=1/2 loss=0.5\n", pseudo.slave, {"TERM": "dumb"})[:2] == (0, b"round=1/2 loss=0.5\n")
    assert pseudo.wait_for("0.5\r\n") and pseudo.text == "round=1/2 loss=0.5\n"


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_the_file_is_complete_although_the_terminal_disappears(tmp_path, term):
    pseudo = Pseudo()
    process = subprocess.Popen(
        [sys.executable, "-m", "flq.console", str(tmp_path / "copy")],
        cwd=PROJECT,
        env=dict(os.environ, TERM=term),
        stdin=subprocess.PIPE,
        stdout=pseudo.slave,
        stderr=pseudo.slave,
    )
    process.stdin.write(b"round=1/3 loss=0.5\n")
    process.stdin.flush()
    pseudo.wait_for("round")
    pseudo.hang_up()
    process.stdin.write(b"round=2/3 loss=0.4\nround=3/3 loss=0.3\n")
    process.stdin.close()
    assert process.wait(WAIT_S) == 0
    assert (tmp_path / "copy").read_bytes().count(b"\n") == 3


def test_a_reader_of_the_copy_that_ends_first_does_not_end_it(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "flq.console", str(tmp_path / "copy")],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    for _ in range(3):
        process.stdin.write(b"line\n")
        process.stdin.flush()
    process.stdin.close()
    assert process.wait(WAIT_S) == 0 and (tmp_path / "copy").read_bytes() == b"line\n" * 3
    assert process.stderr.read() == b"stdout cannot be written: Broken pipe\n"
    process.stderr.close()


def test_an_incomplete_file_is_exit_code_1(pseudo):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    process = subprocess.Popen(
        [sys.executable, "-m", "flq.console", "/dev/full"],
        cwd=PROJECT,
        env=dict(os.environ, TERM="xterm"),
        stdin=subprocess.PIPE,
        stdout=pseudo.slave,
        stderr=subprocess.PIPE,
    )
    _, errors = process.communicate(b"shown all the same\n", WAIT_S)
    assert process.returncode == 1 and errors == b"/dev/full cannot be written: No space left on device\n"
    assert pseudo.wait_for("shown all the same")


def test_the_screens_of_these_tests_know_the_control_codes():
    assert seen("ab\rc\nlong\r\x1b[Kx", 3) == ["cb", "lon", "x"]
    with pytest.raises(AssertionError):
        seen("\x1b[31m", 80)
