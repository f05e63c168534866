"""docs/data.md is right: its example and its commands print what it shows, and its errors are those that FLQ prints."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import documents
import numpy as np
import pytest

from flq.config_file import load_config
from flq.data import main
from flq.training.datasets import load_dataset
from flq.training.sources.dataset import sentence

pytest.importorskip("PIL")
PROJECT = Path(__file__).resolve().parent.parent
PAGE = documents.text_of("docs/data.md")
PYTHON = ".venv/bin/python "
(EXAMPLE,) = re.findall(r"^Save this as `make_data.py`.*?```python\n(.*?)```$", PAGE, re.MULTILINE | re.DOTALL)
CHECKS = re.findall(r"^    (\S+ -m flq\.data check [^\n]*)\n(?:\n```text\n(.*?)^```$)?", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make the example's data in a folder, and go there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "make_data.py").write_text(EXAMPLE)
    subprocess.run([sys.executable, "make_data.py"], check=True, timeout=60)
    return tmp_path


def said_by(capsys, command):
    """Run a check of the page; return exit code, stdout and stderr."""
    words = shlex.split(command)
    assert words[1:3] == ["-m", "flq.data"]
    code = main(words[3:])
    return (code, *capsys.readouterr())


@pytest.mark.parametrize("command, shown", CHECKS, ids=[command.partition("check ")[2] for command, _ in CHECKS])
def test_a_check_prints_what_the_page_shows(folder, capsys, command, shown):
    code, said, errors = said_by(capsys, command)
    assert (code, errors) == (0, "")
    assert not shown or said == shown
    said = said.replace("worker: --data_dir ", "--set dataset.data_dir=").replace("master: ", "")
    flags = said.rpartition("held out for testing:")[2]
    overrides = [word for word in shlex.split(flags) if word != "--set"]
    dataset = load_dataset(load_config(None, overrides))  # as a master would get them
    lines = [line for line in PAGE.splitlines() if line.startswith("%s: 90 rows" % dataset.seen.path)]
    assert dataset.seen.kind != "csv" or lines == [sentence(dataset.seen)]


def test_the_last_lines_of_a_check_of_local_data_are_those_of_the_page(folder, capsys):
    (command,) = [command for command, _ in CHECKS if "partition=local" in command]
    lines = said_by(capsys, command)[1].splitlines()[-2:]
    assert "```text\n%s\n```" % "\n".join(lines) in PAGE


def test_there_are_checks_with_and_without_output():
    assert [bool(shown) for _, shown in CHECKS] == [True, True, True, False]
    assert PYTHON + "make_data.py" in PAGE


def test_the_command_of_the_run_is_the_last_line_of_the_check(folder, capsys):
    (command,) = re.findall(r"^    \./run_local\.sh (.*)$", PAGE, re.MULTILINE)
    assert said_by(capsys, CHECKS[0][0])[1].splitlines()[-1].strip() == command


def png():
    return Path("pictures/lime/00.png").read_bytes()


def files(**contents):
    """Return a function that writes files into the folder data."""

    def write():
        for name, content in contents.items():
            path = Path("data") / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content() if callable(content) else content.encode("latin-1"))

    return write


def arrays(**contents):
    """Return a function that writes an npz file into the folder data."""

    def write():
        Path("data").mkdir()
        np.savez("data/a.npz", **contents)

    return write


def larger():
    """Return an image of another size."""
    from PIL import Image

    Image.new("RGB", (7, 9)).save("larger.png")
    return Path("larger.png").read_bytes()


Y = np.arange(600) % 2
BAD = [
    files(a_dot_csv="0.1,,0\n0.1,0.2,1\n"),
    files(a_dot_csv="kind,a,b\n" + "apple,0.1,1\nlime,0.2,2\n" * 5),
    files(a_dot_csv="2019,2020,2021,kind\n0.1,0.2,0.3,fig\n"),
    files(a_dot_csv="2019,2020,kind\n0.1,0.2,0\n"),
    files(a_dot_csv="0.1,0.2,0\n0.1,0.2,NA\n"),
    files(a_dot_csv="0.1,0.2,0\n0.1,0.2,cat\n"),
    files(a_dot_csv="label,p0,p1\n0,1,2\n"),
    files(a_dot_csv="p0,target,species\n1,0,cat\n"),
    files(a_dot_csv="0.1;0.2;0\n0.1;0.2;1\n"),
    files(a_dot_csv="h\xf6he,b,y\n1,2,0\n"),
    arrays(images=np.zeros((600, 28, 28), np.uint8), labels=Y),
    arrays(x_train=np.zeros((600, 3, 8, 8), np.uint8), y_train=Y),
    arrays(x_train=np.zeros((600, 8, 8), np.uint8), y_train=np.eye(2)[Y]),
    files(train__a__0_dot_png=png, train__b__0_dot_png=png),
    files(a__0_dot_png=png, **{"b__%d_dot_heic" % i: "x" for i in range(6)}),
    files(a__0_dot_png=png, b__0_dot_png=larger),
    files(a__0_dot_png=png, **{"b__%d_dot_png" % i: "x" for i in range(11)}),
    files(a_dot_csv="1,2,0\n1,3,0\n"),
]
MESSAGES = re.findall(r"^\| `(.*?)` \|", PAGE.partition("## Errors")[2], re.MULTILINE)


@pytest.mark.parametrize("message, make", list(zip(MESSAGES, BAD)), ids=MESSAGES)
def test_an_error_of_the_page_is_printed(folder, capsys, message, make):
    make()
    assert main(["check", "data"]) == 2
    errors = capsys.readouterr().err.replace("in data", "in pictures")
    assert message in errors


def test_every_error_of_the_page_is_tried():
    assert len(MESSAGES) == len(BAD)
