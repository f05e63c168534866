"""Files sent to the boards, and files fetched from them."""

import io
import os
import tarfile

import pytest

from flq.deploy.framing import ReplyFrame
from flq.deploy.release import files_of, make_release
from flq.deploy.ssh import DeployError
from flq.deploy.tables import manifest_table, table
from flq.deploy.transfer import Lines, unpack


@pytest.fixture
def project(tmp_path):
    """Return a small project."""
    folder = tmp_path / "project"
    for path, text in (
        ("flq/__init__.py", ""),
        ("flq/core/layout.py", "x = 1\n"),
        ("scripts/board.sh", "exit\n"),
        ("requirements/worker.txt", "a==1\n"),
        ("flq_worker.py", "pass\n"),
        ("start_worker.sh", ""),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "start_worker.sh").chmod(0o755)
    return folder


def test_equal_files_give_equal_bytes_for_any_owner(project, tmp_path):
    first = make_release(str(project))
    os.utime(str(project / "flq_worker.py"), (1, 1))
    (project / "flq" / "__pycache__").mkdir()
    (project / "flq" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    (project / "state").mkdir()
    (project / "state" / "tokens").write_text("secret")
    assert make_release(str(project)) == first
    (project / "flq_worker.py").write_text("pass  # changed\n")
    assert make_release(str(project)).name != first.name


def test_a_script_that_may_be_run_may_be_run_there(project):
    archive = tarfile.open(fileobj=io.BytesIO(make_release(str(project)).archive))
    with archive:
        modes = {member.name: member.mode for member in archive}
    assert modes["start_worker.sh"] == 0o755 and modes["flq_worker.py"] == 0o644


def test_no_token_result_or_log_is_among_the_files():
    paths = files_of(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    assert {"flq_worker.py", "start_master.sh", "scripts/environment.sh", "flq/training/data/digits.npz"} <= set(paths)
    assert not [path for path in paths if path.split("/")[0] in ("state", "results", "logs", "tests", ".venv")]


def archive_of(*members):
    """Return an archive with these members: (name, bytes), or a TarInfo."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mtime = len(member[1]), 1000
                archive.addfile(info, io.BytesIO(member[1]))
    content.seek(0)
    return content


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_files_arrive_with_their_time(tmp_path):
    n_files = unpack(archive_of(("results/run/a.xlsx", b"new"), ("logs/b.log", b"line\n")), str(tmp_path))
    assert n_files == 2 and (tmp_path / "results" / "run" / "a.xlsx").read_bytes() == b"new"
    assert os.stat(str(tmp_path / "logs" / "b.log")).st_mtime == 1000


@pytest.mark.parametrize("name", ["../x", "/etc/x", "results/../../x", "state/tokens", "results//x", "results/./x"])
def test_a_board_cannot_write_elsewhere(tmp_path, name):
    folder = tmp_path / "collected"
    folder.mkdir()
    with pytest.raises(DeployError, match="unexpected file"):
        unpack(archive_of((name, b"x")), str(folder))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_links_do_not_come_through(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "collected"
    folder.mkdir()
    assert unpack(archive_of(link("results/a", str(outside)), ("logs/b", b"x")), str(folder)) == 1
    assert not (folder / "results").exists()
    (folder / "results").mkdir()
    os.symlink(str(outside), str(folder / "results" / "run"))
    with pytest.raises(DeployError, match="is a symbolic link"):
        unpack(archive_of(("results/run/x", b"x")), str(folder))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("n_bytes", [1, 600, 1200])
def test_an_archive_that_breaks_off_is_no_success(tmp_path, n_bytes):
    whole = archive_of(("results/a", b"x" * 1000)).getvalue()
    with pytest.raises(DeployError, match="incomplete archive"):
        unpack(io.BytesIO(whole[:n_bytes]), str(tmp_path))


def test_lines_are_handed_on_with_their_prefix():
    taken, frame = [], ReplyFrame()
    with Lines("board: ", taken.append, frame) as lines:
        os.write(lines.stream.fileno(), frame.begin + b"one\ntw")
        os.write(lines.stream.fileno(), b"o\n\xff\n" + frame.end)
    assert taken == ["board: one", "board: two", "board: \ufffd"]


def test_lines_of_a_login_script_are_not_handed_on():
    taken, frame = [], ReplyFrame()
    with Lines("", taken.append, frame) as lines:
        os.write(lines.stream.fileno(), b"Welcome\n\n> " + frame.begin + b"one\n\ntwo" + frame.end + b"bye\nbye\n")
    assert taken == ["one", "", "two"]


def test_columns_are_as_wide_as_they_need():
    assert table([["a", "b"], ["long", "c"]]) == "a     b\nlong  c"


def test_the_table_of_manifests_has_ranges_if_any_worker_tells_its_own():
    first = {"worker_id": 0, "n_samples": 5, "classes": [2, 3], "input_shape": [8, 8, 1]}
    assert "values" not in manifest_table([first])
    values = {"dtype": "uint8", "lowest": 0.0, "highest": 255.0, "scale": 255.0}
    lines = manifest_table([first, dict(first, worker_id=1, values=values)]).splitlines()
    assert lines[0].split() == "worker samples shape values scale class 0 class 1".split()
    assert [line.split() for line in lines[1:]] == [
        ["0", "5", "8x8x1", "-", "-", "2", "3"],
        ["1", "5", "8x8x1", "0..255", "255", "2", "3"],
    ]
