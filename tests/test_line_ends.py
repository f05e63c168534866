"""Scripts with CRLF line ends: a clone has none, and such a script says how to mend it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from flq.deploy.release import make_release, read_code

PROJECT = Path(__file__).resolve().parent.parent
COMMANDS = ("start_master.sh", "start_worker.sh", "run_local.sh", "run_tests.sh", "deploy_jetson.sh")


@pytest.fixture
def project(tmp_path):
    """Return a folder, with a blank in its path, that holds the scripts."""
    folder = tmp_path / "a project"
    folder.mkdir()
    for name in COMMANDS:
        shutil.copy2(str(PROJECT / name), str(folder / name))
    shutil.copytree(str(PROJECT / "scripts"), str(folder / "scripts"))
    return folder


def to_crlf(path):
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def run(*command, **options):
    return subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
        **options,
    )


def test_a_clone_has_lf_even_if_git_is_configured_for_crlf(project, tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    picture = (PROJECT / "flq" / "training" / "data" / "digits.npz").read_bytes()
    (project / "digits.npz").write_bytes(picture)
    shutil.copy2(str(PROJECT / ".gitattributes"), str(project / ".gitattributes"))
    as_somebody = ["git", "-C", project, "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        assert run(*as_somebody, *words).returncode == 0
    clone = tmp_path / "clone"
    assert run("git", "-c", "core.autocrlf=true", "clone", "-q", project, clone).returncode == 0
    assert [path for path in clone.rglob("*.sh") if b"\r" in path.read_bytes()] == []
    assert (clone / "digits.npz").read_bytes() == picture
    shown = run(clone / "run_local.sh", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize("which", ["all", "the script", "environment.sh"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_with_crlf_is_one_sentence_with_the_fix(project, name, which):
    changed = {
        "all": [project / name, *(project / "scripts").glob("*.sh")],
        "the script": [project / name],
        "environment.sh": [project / "scripts" / "environment.sh"],
    }[which]
    before = sorted(project.rglob("*"))
    for path in changed:
        to_crlf(path)
    refused = run("bash", project / name, "--workers", "1")
    assert (refused.returncode, refused.stdout) == (2, "")
    (said,) = refused.stderr.splitlines()
    assert said.startswith("The scripts have CRLF line ends, which bash cannot read; to fix them: ")
    assert sorted(project.rglob("*")) == before
    assert run("bash", "-c", said.partition("to fix them: ")[2]).returncode == 0
    assert run("bash", project / name, "--help").returncode == 0


def test_boards_get_the_same_release_for_any_line_ends(project):
    before = make_release(str(project))
    to_crlf(project / "start_worker.sh")
    to_crlf(project / "scripts" / "environment.sh")
    assert make_release(str(project)) == before
    assert b"\r" not in read_code(str(project / "start_worker.sh"))
