"""Whole runs with odd paths and disks: run_local.sh with the real programs, in a copy of the project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flq.deploy.release import files_of

PROJECT = Path(__file__).resolve().parent.parent.parent
STAMP = (
    'set -eu; project_dir="$1"; . "$1/scripts/environment.sh"; printf "%s %s local\\n" "$(requirements_checksum)" '
    '"$(python_version "$1/.venv/bin/python")" >"$1/.venv/flq-stamp"'
)
RUN = [
    "--workers",
    "2",
    "--rounds",
    "3",
    "--set",
    "model.name=quadratic",
    "--set",
    "model.lr=0.05",
    "--mode",
    "bbit",
    "--set",
    "report.figure_every=1",
]
LIMIT_S = 240
MOST_LINES = 5  # of stderr; the master's own lines come by stdout


def project_in(folder):
    """Copy the project into a folder, given as bytes; its .venv is a link to an environment elsewhere."""
    for path in map(os.fsencode, [*files_of(str(PROJECT)), "run_local.sh"]):
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(os.path.join(os.fsencode(str(PROJECT)), path), target)
    python = Path(os.fsdecode(folder)).parent / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nexec "%s" "$@"\n' % sys.executable)
    python.chmod(0o755)
    os.symlink(os.fsencode(str(python.parent.parent)), os.path.join(folder, b".venv"))
    subprocess.run([b"bash", b"-c", STAMP, b"bash", folder], check=True, timeout=60)
    return folder


def run_in(folder, *before, **variables):
    """Run run_local.sh from elsewhere."""
    environment = dict(os.environ, TMPDIR=os.path.dirname(folder), **variables)
    environment.pop("CONDA_DEFAULT_ENV", None)
    return subprocess.run(
        [*before, os.path.join(folder, b"run_local.sh"), *RUN],
        cwd=os.path.dirname(folder),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
    )


def leftovers_in(folder):
    return [
        name
        for _, folders, names in os.walk(folder)
        for name in folders + names
        if name.endswith(b".part") or b".partial" in name or name.startswith((b"flq_run_local", b".export-"))
    ]


@pytest.mark.parametrize("name", [b"a:b", b"\xe4\xff", "中文 é".encode(), b"- 'q' \"d\" $x `y` %s;&|<*?[z]\\"])
def test_a_run_works_in_any_path_on_a_terminal_that_cannot_show_it(tmp_path, name):
    folder = project_in(os.path.join(os.fsencode(str(tmp_path)), name))
    done = run_in(folder, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert done.returncode == 0, done
    workbook = done.stdout.splitlines()[-1].partition(b"Results: ")[2]
    assert os.path.dirname(workbook) == os.path.join(folder, b"results") and os.path.exists(workbook)
    assert [name for _, _, names in os.walk(os.path.join(folder, b"results", b"figures")) for name in names]
    assert b"Traceback" not in done.stdout + done.stderr and b"Logging error" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= MOST_LINES, done.stderr
    assert leftovers_in(os.fsencode(str(tmp_path))) == []


def test_a_full_disk_under_the_logs_changes_nothing(tmp_path):
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a file system of some kilobytes needs root")
    folder = project_in(os.fsencode(str(tmp_path / "project")))
    os.makedirs(os.path.join(folder, b"logs"))
    mount = (
        'logs="$(dirname "$1")/logs"; mount -t tmpfs -o size=8k none "$logs"; '
        'head -c 100000 /dev/zero >"$logs/filler" 2>/dev/null || true; exec "$@"'
    )
    done = run_in(folder, "unshare", "--mount", "--propagation", "private", "sh", "-ec", mount, "sh")
    assert done.returncode == 0, done
    assert os.path.exists(done.stdout.splitlines()[-1].partition(b"Results: ")[2])
    assert done.stdout.count(b" cannot be written: No space left on device; its lines go to the terminal only") == 1
    assert len(done.stderr.splitlines()) <= MOST_LINES, done.stderr
