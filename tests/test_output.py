"""Output that cannot be written changes neither the exit code nor the work of a program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SAFE = "from flq.output import make_output_safe; make_output_safe(); import os, sys, logging\n"
LOG = SAFE + "from flq.logfile import set_up_logging; logger = logging.getLogger('flq')\n"


def run(code, redirection="", **variables):
    """Run Python code in a shell that redirects its output."""
    return subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -c "$1" ' + redirection, sys.executable, code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(PROJECT),
        timeout=60,
        env=dict(os.environ, **variables),
    )


@pytest.mark.parametrize(
    "redirection, said",
    [
        (">/dev/full", [b"stdout cannot be written: No space left on device"]),
        ("2>/dev/full", []),
        (">&-", []),
        ("2>&-", []),
        ("<&- >&- 2>&-", []),
        ("| head -c 1", []),
        ("2> >(exit)", []),
    ],
)
def test_no_output_that_is_lost_changes_the_exit_code(redirection, said):
    done = run(
        SAFE + "for line in range(20000): print('line', line); print('line', line, file=sys.stderr)\nsys.exit(7)",
        redirection,
    )
    assert done.returncode == 7
    assert [line for line in done.stderr.splitlines() if not line.startswith(b"line ")] == said


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "2>&-", ">&- 2>/dev/full"])
def test_lost_output_does_not_change_the_exit_code(redirection):
    assert run(SAFE + "print('a line'); print('another', file=sys.stderr)", redirection).returncode == 0


def test_the_numbers_of_closed_streams_are_given_to_no_other_file(tmp_path):
    code = SAFE + "stream = open(sys.argv[1], 'wb'); print('lost'); os.system('echo lost; echo lost >&2')"
    path = tmp_path / "kept"
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, code, str(path)], cwd=str(PROJECT), timeout=60
    )
    assert (done.returncode, path.read_bytes()) == (0, b"")


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_an_unprintable_name_is_escaped_or_shown_as_by_the_system(tmp_path, variables):
    code = LOG + (
        "name = os.fsdecode(b'\\xe4') + '\\u4e2d'\nset_up_logging(sys.argv[1] + '/logs/x.log', False)\n"
        "logger.info('log %s', name); print('out', name); print('err', name, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=str(PROJECT),
        timeout=60,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, **variables),
    )
    assert done.returncode == 0
    assert done.stdout in (b"out \xe4\\u4e2d\n", b"out \xe4\xe4\xb8\xad\n")  # a path that is printed is that path
    log, err = done.stderr.splitlines()
    assert b" log \\udce4" in log and err.startswith(b"err \\udce4")
    assert b"\\udce4\xe4\xb8\xad" in (tmp_path / "logs" / "x.log").read_bytes()


def test_a_full_log_is_reported_once_and_the_terminal_has_every_line(tmp_path):
    code = LOG + (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "set_up_logging(sys.argv[1] + '/logs/x.log', False)\n"
        "for line in range(100): logger.info('line=%d', line)\nsys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=str(PROJECT),
        timeout=60,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 7
    said = [line for line in done.stderr.splitlines() if "line=" not in line]
    assert len(said) == 1 and said[0].endswith(
        " the log %s/logs/x.log cannot be written: File too large; its lines go to the terminal only" % tmp_path
    )
    assert [line.split("=")[1] for line in done.stderr.splitlines() if "line=" in line] == list(map(str, range(100)))
    assert (tmp_path / "logs" / "x.log").stat().st_size == 500


def test_a_log_whose_folder_is_gone_is_reported_once(tmp_path):
    code = LOG + (
        "import shutil\nfrom flq import logfile\nlogfile.MAX_BYTES = 1000\n"
        "set_up_logging(sys.argv[1] + '/logs/x.log', False)\nshutil.rmtree(sys.argv[1] + '/logs')\n"
        "for line in range(100): logger.info('line=%d', line)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=str(PROJECT),
        timeout=60,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    said = [line for line in done.stderr.splitlines() if "line=" not in line]
    assert done.returncode == 0 and len(said) == 1 and "No such file or directory" in said[0]


def test_a_log_that_cannot_be_opened_is_reported_and_the_program_continues(tmp_path):
    (tmp_path / "logs").write_text("no folder")
    code = LOG + "set_up_logging(sys.argv[1] + '/logs/x.log', False); logger.info('line=1')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=str(PROJECT),
        timeout=60,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    said, line = done.stderr.splitlines()
    assert done.returncode == 0 and line.endswith(" line=1")
    assert "/logs/x.log cannot be written: File exists; its lines go to the terminal only" in said


@pytest.mark.parametrize(
    "command",
    [
        ["flq_master.py", "--print_config"],
        ["flq_master.py", "--help"],
        ["-m", "flq.training.distribution", "--dataset", "digits", "--workers", "2"],
    ],
)
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "| head -c 1", "2>&-"])
def test_the_programs_keep_their_exit_code(command, redirection):
    words = " ".join('"%s"' % word for word in [sys.executable, *command])
    done = subprocess.run(
        ["bash", "-c", "set -o pipefail; %s %s" % (words, redirection)],
        cwd=str(PROJECT),
        timeout=60,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert done.returncode == 0 and len(done.stderr.splitlines()) <= 2
    assert b"Exception" not in done.stderr and b"Traceback" not in done.stderr
