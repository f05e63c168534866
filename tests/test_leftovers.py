"""The next process removes the temporary files of a killed one, and none of a running one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from flq.drawing.pictures import replace
from flq.leftovers import hold, remove_leftovers

PROJECT = str(Path(__file__).resolve().parent.parent)
HOLDER = "import sys; from flq.leftovers import hold; hold(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def holder(path):
    """Start a process that holds a path when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def end(process):
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def test_files_and_folders_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    (tmp_path / "a.1.part").write_text("dead")
    (tmp_path / "a.2.part").write_text("alive")
    (tmp_path / "a.3.part").mkdir()
    (tmp_path / "a.3.part" / "socket").write_text("dead")
    (tmp_path / "b.1.part").write_text("another's")
    (tmp_path / "a.4.part").symlink_to(tmp_path / "b.1.part")
    process = holder(tmp_path / "a.2.part")
    try:
        remove_leftovers(str(tmp_path / "a.*.part"))
        assert sorted(os.listdir(str(tmp_path))) == ["a.2.part", "a.3.part", "a.4.part", "b.1.part"]
        remove_leftovers(str(tmp_path / "a.*.part"), are_folders=True)
        assert sorted(os.listdir(str(tmp_path))) == ["a.2.part", "a.4.part", "b.1.part"]
    finally:
        end(process)
    remove_leftovers(str(tmp_path / "a.*.part"))
    assert sorted(os.listdir(str(tmp_path))) == ["a.4.part", "b.1.part"]


def test_a_descriptor_that_is_closed_holds_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    os.close(hold(str(tmp_path / "a")))
    remove_leftovers(str(tmp_path / "*"), are_folders=True)
    assert os.listdir(str(tmp_path)) == []


def test_writing_a_figure_removes_leftovers_of_a_killed_process(tmp_path):
    for name in ("loss.png.4242.part", "loss.png.1.part", "other.png.4242.part", "loss.svg.4242.part"):
        (tmp_path / name).write_text("half")
    process = holder(tmp_path / "loss.png.1.part")
    try:
        replace(str(tmp_path / "loss.png"), b"whole")
    finally:
        end(process)
    assert sorted(os.listdir(str(tmp_path))) == [
        "loss.png",
        "loss.png.1.part",
        "loss.svg.4242.part",
        "other.png.4242.part",
    ]


def test_in_folders_of_any_depth_other_kinds_of_files_stay(tmp_path):
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "own.part").mkdir()
    for name in ("a.part", "deep/b.part", "deep/deeper/c.part", "deep/own.part/file"):
        (tmp_path / name).write_text("")
    remove_leftovers(str(tmp_path / "**" / "*.part"))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()] == [
        "deep/own.part/file"
    ]
