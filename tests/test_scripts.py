"""The shell scripts, each in a copy of the project whose programs are small stand-ins: no TensorFlow, no network."""

import argparse
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from pseudo import WAIT_S, Pseudo

import flq.deploy.command_line
import flq.master.command_line
import flq.worker.command_line
from flq.flags import Flags

PROJECT = Path(__file__).resolve().parent.parent
COMMANDS = ("start_master.sh", "start_worker.sh", "run_local.sh", "run_tests.sh", "deploy_jetson.sh")
SHELL_FILES = sorted(
    str(path.relative_to(PROJECT))
    for path in [*PROJECT.glob("*.sh"), *PROJECT.glob("scripts/**/*.sh"), PROJECT / ".ci" / "run"]
)

# Stands for the Python of the user and of .venv: writes down each call; venv and pip only pretend.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >>"$(dirname "$0")/calls"
case "$1 $2" in
"-m venv") rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; exit 0 ;;
"-m pip") exit "${{FAKE_PIP_STATUS:-0}}" ;;
esac
exec "{python}" "$@"
"""

PRINT_ALL = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ.get("OPENBLAS_CORETYPE"), os.environ["PYTHONUNBUFFERED"])
"""

# Serves until all workers have said that they are done, then "saves"; BEHAVIOUR=crash: fails after the first of them.
FAKE_MASTER = """
import http.server, os, re, signal, sys, threading
arguments = sys.argv[1:]
given = re.search(r"total_workers=([0-9]+)", " ".join(arguments))
n_workers = int(given.group(1)) if given else 2  # of the resumed run
if "--print_config" in arguments:
    if "missing" in arguments:
        sys.exit("there is no run missing in results")
    name, partition, model = (os.environ.get("RUN_HAS") or "digits iid mlp").split()
    run = '{"system": {"total_workers": %d}, "dataset": {"name": "%s", "partition": "%s"}, "model": {"name": "%s"}}'
    print(run % (n_workers, name, partition, model))
    print("configuration 0123 of run 2026_1", file=sys.stderr)
    sys.exit(0)
port = int(arguments[arguments.index("--port") + 1])
folder = os.path.dirname(os.path.abspath(__file__))
done = set()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path != "/healthz":
            done.add(self.path)
    def log_message(self, *arguments):
        pass
def save(*_):
    results_dir = ([re.sub("^report.results_dir=", "", argument) for argument in arguments
                    if argument.startswith("report.results_dir=")] or ["results"])[-1]
    path = os.path.join(folder, results_dir, "flq_results_digits_bbit_1.xlsx")
    open(path, "w").close()
    print("12:00:00 writing flq_results_of_another_name.xlsx", flush=True)
    print("results: " + path, flush=True)
    open(os.path.join(folder, "order"), "a").write("master\\n")
    os._exit(0)
open(os.path.join(folder, "pids"), "a").write("%d\\n" % os.getpid())
open(os.path.join(folder, "notify"), "w").write(os.environ.get("FLQ_NOTIFY", ""))
signal.signal(signal.SIGTERM, save)
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("FLQ master ready", *arguments, flush=True)
import time
for k in (1, 2, 3):
    print("12:00:0%d round=%d/3 accuracy=0.5000 loss=0.5 wire_up=9 wire_down=9" % (k, k), file=sys.stderr, flush=True)
while len(done) < n_workers:
    time.sleep(0.02)
    if done and os.environ["BEHAVIOUR"] == "crash":
        sys.exit("the master cannot continue")
    if done and os.environ["BEHAVIOUR"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
save()
"""

# Says that it is done. BEHAVIOUR=fail: worker 1 fails; endless: it trains for ever; killed: it waits for another
# master.
FAKE_WORKER = """
import os, signal, sys, time, urllib.request
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = os.path.dirname(os.path.abspath(__file__))
name = "worker" + arguments["--worker_id"]
def end(*_):
    open(os.path.join(folder, "order"), "a").write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
open(os.path.join(folder, "pids"), "a").write("%d\\n" % os.getpid())
os.makedirs(arguments["--state_dir"])
open(os.path.join(folder, name + ".state_dir"), "w").write(arguments["--state_dir"])
assert not {"FLQ_NOTIFY", "FLQ_NOTIFY_PROXY"} & set(os.environ), "secrets are none of a worker's business"
print(name, "trains", flush=True)
if os.environ["BEHAVIOUR"] == "fail" and name == "worker1":
    sys.exit("no data for " + name)
while os.environ["BEHAVIOUR"] in ("fail", "endless"):
    time.sleep(0.02)
try:
    urllib.request.urlopen("http://%s:%s/%s" % (arguments["--master_ip"], arguments["--port"], name))
except OSError:
    if os.environ["BEHAVIOUR"] != "killed":
        raise
while os.environ["BEHAVIOUR"] == "killed" and not os.path.exists(os.path.join(folder, "resumed")):
    time.sleep(0.02)
"""


def run(command, **options):
    options.setdefault("timeout", 60)
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **options)


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path):
    """Return a folder with the real scripts and requirement files, without an environment, programs or a run."""
    folder = tmp_path / "a project"  # every path has to be quoted
    folder.mkdir()
    for name in COMMANDS:
        shutil.copy2(str(PROJECT / name), str(folder / name))
    for name in ("scripts", "requirements"):
        shutil.copytree(str(PROJECT / name), str(folder / name))
    (folder / "results").mkdir()
    return folder


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Return the environment of a user without conda, whose Python is a stand-in that records its calls."""
    for name in ("CONDA_DEFAULT_ENV", "OPENBLAS_CORETYPE"):
        monkeypatch.delenv(name, raising=False)
    python = tmp_path / "python of the user"
    write_program(python, FAKE_PYTHON.format(python=sys.executable))
    return dict(os.environ, PYTHON=str(python), TMPDIR=str(tmp_path), BEHAVIOUR="good")


@pytest.fixture
def ready_project(project, environment):
    """Return the project after its first start: .venv is complete, and the programs are stand-ins."""
    made = run_function(project, environment, "ensure_environment local")
    assert made.returncode == 0, made.stderr
    (project / "flq_master.py").write_text(FAKE_MASTER)
    (project / "flq_worker.py").write_text(FAKE_WORKER)
    return project


def run_function(project, environment, call):
    """Run a function of scripts/environment.sh under the settings of the scripts."""
    script = 'set -euo pipefail; project_dir="$1"; source "$1/scripts/environment.sh"; ' + call
    return run(["bash", "-c", script, "bash", str(project)], env=environment)


def calls_of(python):
    calls = python.parent / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


def pip_calls(project):
    return [call for call in calls_of(project / ".venv" / "bin" / "python") if call.startswith("-m pip")]


def assert_nothing_is_left(project, tmp_path):
    """Check that all started processes have ended, and that the workers' state is removed."""
    pids = [int(line) for line in (project / "pids").read_text().split()]
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(tmp_path.glob("flq_run_local.*")) == []


def start_run(project, environment, *arguments):
    """Start run_local.sh; the caller waits for it."""
    return subprocess.Popen(
        [str(project / "run_local.sh")] + list(arguments),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        # A shell cannot catch a signal that was ignored when it started, as SIGINT is in a background job.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)],
    )


# ---- All scripts


def flags_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))


def test_shellcheck_finds_nothing():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    checked = run(["shellcheck", "-x", *SHELL_FILES], cwd=str(PROJECT))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", SHELL_FILES)
def test_bash_can_read_the_script(name):
    checked = run(["bash", "-n", str(PROJECT / name)])
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", [*COMMANDS, ".ci/run"])
def test_script_can_be_started(name):
    assert os.access(str(PROJECT / name), os.X_OK)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_shown_without_an_environment(project, environment, name, flag):
    shown = run([str(project / name), flag], env=environment)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "./" + name in shown.stdout
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(
    "name, parse_flags",
    [
        ("start_master.sh", flq.master.command_line.parse_flags),
        ("start_worker.sh", flq.worker.command_line.parse_flags),
        ("deploy_jetson.sh", flq.deploy.command_line.parse_flags),
    ],
)
def test_help_shows_every_flag_that_is_passed_on_and_no_other(monkeypatch, name, parse_flags):
    parsers = []
    monkeypatch.setattr(Flags, "parse_args", lambda parser, argv: parsers.append(parser) or argparse.Namespace())
    with suppress(AttributeError):  # of the flags that are not there
        parse_flags([])
    flags = [set(action.option_strings) - {"-h", "--help"} for action in parsers[0]._actions]
    shown = flags_in(run([str(PROJECT / name), "--help"]).stdout)
    assert [names for names in flags if names and not names & shown] == []
    assert shown <= set().union(*flags)


@pytest.mark.parametrize("name, at_least", [("run_local.sh", 8), ("run_tests.sh", 2)])
def test_help_shows_every_flag_of_the_script(name, at_least):
    patterns = re.findall(r"""^ *((?:case|--\w+ ?\|?).*)\)$""", (PROJECT / name).read_text(encoding="utf-8"), re.M)
    taken = flags_in("\n".join(patterns))
    assert len(taken) >= at_least and taken <= flags_in(run([str(PROJECT / name), "--help"]).stdout)


# ---- start_master.sh, start_worker.sh


@pytest.mark.parametrize("name", ["start_master.sh", "start_worker.sh"])
def test_start_without_environment_names_the_command(project, environment, name):
    started = run([str(project / name), "--port", "5000"], env=environment)
    assert started.returncode == 2
    assert len(started.stderr.splitlines()) == 1
    assert "run_local.sh" in started.stderr and "conda activate fed" in started.stderr


@pytest.mark.parametrize(
    "script, program", [("start_master.sh", "flq_master.py"), ("start_worker.sh", "flq_worker.py")]
)
def test_start_passes_every_flag_on_and_keeps_the_folder(ready_project, environment, tmp_path, script, program):
    (ready_project / program).write_text(PRINT_ALL)
    flags = ["--config", "mine.json", "--set", "model.name=a b"]
    started = run([str(ready_project / script), *flags], env=environment, cwd=str(tmp_path))
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout == "{} {} None 1\n".format(flags, tmp_path)


def test_start_takes_the_conda_environment_fed_where_it_is_active(project, environment, tmp_path):
    write_program(tmp_path / "conda" / "python", '#!/bin/sh\necho conda "$@"\n')
    environment.update(CONDA_DEFAULT_ENV="fed", PATH="{}:{}".format(tmp_path / "conda", environment["PATH"]))
    started = run([str(project / "start_worker.sh"), "--worker_id", "3"], env=environment)
    assert started.stdout == "conda {} --worker_id 3\n".format(project / "flq_worker.py")


@pytest.mark.parametrize(
    "machine, version_check, expected", [("aarch64", 0, "ARMV8"), ("aarch64", 1, "unset"), ("x86_64", 0, "unset")]
)
def test_openblas_gets_the_cpu_on_a_jetson_with_python_36(
    project, environment, tmp_path, machine, version_check, expected
):
    write_program(tmp_path / "bin" / "uname", "#!/bin/sh\necho {}\n".format(machine))
    write_program(
        project / ".venv" / "bin" / "python",
        '#!/bin/sh\nif [ "$1" = -c ]; then exit {}; fi\necho "${{OPENBLAS_CORETYPE:-unset}}"\n'.format(version_check),
    )
    environment["PATH"] = "{}:{}".format(tmp_path / "bin", environment["PATH"])
    assert run([str(project / "start_worker.sh")], env=environment).stdout == expected + "\n"


# ---- The environment


def test_second_start_calls_no_pip(project, environment):
    first = run_function(project, environment, "ensure_environment local")
    assert first.returncode == 0, first.stderr
    assert len(pip_calls(project)) == 1
    second = run_function(project, environment, "ensure_environment local")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(pip_calls(project)) == 1


def test_test_set_serves_local_runs_but_not_the_other_way_round(project, environment):
    for name in ("local", "test", "local"):
        assert run_function(project, environment, "ensure_environment " + name).returncode == 0
    assert [call.rpartition("/")[2] for call in pip_calls(project)] == ["local.txt", "test.txt"]


def test_changed_requirements_are_installed_into_the_same_folder(project, environment):
    run_function(project, environment, "ensure_environment local")
    with (project / "requirements" / "master.txt").open("a") as requirements:
        requirements.write("another==1.0\n")
    assert run_function(project, environment, "ensure_environment local").returncode == 0
    assert len(pip_calls(project)) == 2


def test_interrupted_install_is_repeated(project, environment):
    cut_short = run_function(project, dict(environment, FAKE_PIP_STATUS="130"), "ensure_environment local")
    assert cut_short.returncode == 1
    (project / ".venv" / "half_a_package").touch()
    again = run_function(project, environment, "ensure_environment local")
    assert again.returncode == 0 and "Making .venv" in again.stdout
    assert not (project / ".venv" / "half_a_package").exists()


def test_interrupted_extension_leaves_no_folder_that_is_trusted(project, environment):
    run_function(project, environment, "ensure_environment local")
    cut_short = run_function(project, dict(environment, FAKE_PIP_STATUS="130"), "ensure_environment test")
    assert cut_short.returncode == 1
    assert "Making .venv" in run_function(project, environment, "ensure_environment local").stdout


def test_failure_of_pip_is_reported_and_tried_again_in_the_same_folder(project, environment):
    failed = run_function(project, dict(environment, FAKE_PIP_STATUS="1"), "ensure_environment local")
    assert failed.returncode == 1 and "pip could not install requirements/local.txt" in failed.stderr
    again = run_function(project, environment, "ensure_environment local")
    assert again.returncode == 0 and "Making .venv" not in again.stdout
    assert len(pip_calls(project)) == 2


def test_folder_made_by_hand_is_kept(project, environment):
    write_program(project / ".venv" / "bin" / "python", FAKE_PYTHON.format(python=sys.executable))
    (project / ".venv" / "by_hand").touch()
    assert run_function(project, environment, "ensure_environment local").returncode == 0
    assert (project / ".venv" / "by_hand").exists()


def test_folder_with_another_python_is_never_deleted(project, environment):
    old = '#!/bin/sh\ncase "$2" in *lowest*) exit 1 ;; *print*) echo 3.6 ;; esac\n'
    write_program(project / ".venv" / "bin" / "python", old)
    refused = run_function(project, environment, "ensure_environment local")
    assert refused.returncode == 2 and "move .venv away" in refused.stderr
    assert (project / ".venv" / "bin" / "python").read_text() == old


@pytest.mark.parametrize("state", ["no python", "half written", "other requirements", "dangling"])
def test_the_target_of_a_link_is_never_emptied_and_never_changed(project, environment, tmp_path, state):
    elsewhere = tmp_path / "elsewhere"
    assert run_function(project, environment, "ensure_environment local").returncode == 0
    (project / ".venv").rename(elsewhere)
    (project / ".venv").symlink_to(elsewhere)
    assert run_function(project, environment, "ensure_environment local").stdout == ""  # it has the requested packages
    (elsewhere / "precious").write_text("kept")
    if state == "no python":
        (elsewhere / "bin" / "python").unlink()
    elif state == "half written":
        (project / ".venv.unfinished").touch()
    elif state == "other requirements":
        with (project / "requirements" / "master.txt").open("a") as requirements:
            requirements.write("another==1.0\n")
    else:
        (project / ".venv").unlink()
        (project / ".venv").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    n_calls = len(pip_calls(project))
    for name in ("run_local.sh", "deploy_jetson.sh"):
        refused = run([str(project / name)], env=environment)
        assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
        assert refused.stderr.startswith(".venv is a link to {}".format(tmp_path))
        assert "remove the link" in refused.stderr
    assert (elsewhere / "precious").read_text() == "kept" and sorted(tmp_path.rglob("*")) == before
    assert len(pip_calls(project)) == n_calls


@pytest.mark.parametrize("name", [b"a:b", b"two\nlines", b"\xe4\xff"])
def test_an_unusable_path_of_an_environment_is_rejected_before_anything_is_created(project, environment, name):
    odd = os.path.join(os.fsencode(str(project.parent)), name)
    os.rename(os.fsencode(str(project)), odd)
    before = sorted(os.listdir(odd))
    script = subprocess.run(
        [os.path.join(odd, b"run_local.sh")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert (script.returncode, script.stdout) == (2, b"")
    assert len(script.stderr.splitlines()) == 1 and (b"line break" in script.stderr)
    assert sorted(os.listdir(odd)) == before


def test_python_without_venv_is_named(project, environment):
    write_program(
        Path(environment["PYTHON"]),
        '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec "{}" "$@"\n'.format(sys.executable),
    )
    refused = run_function(project, environment, "ensure_environment local")
    assert refused.returncode == 2
    assert "python3-venv" in refused.stderr and len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("version_check", ["exit 1", "exit 127"])
def test_unsuitable_python_is_named(project, environment, version_check):
    write_program(Path(environment["PYTHON"]), "#!/bin/sh\n{}\n".format(version_check))
    refused = run_function(project, environment, "ensure_environment local")
    assert refused.returncode == 2
    assert "3.9 to 3.13" in refused.stderr and len(refused.stderr.splitlines()) == 1


# ---- run_local.sh


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--wrokers", "2"], "--wrokers"),
        (["--workers"], "--workers"),
        (["--workers", "0"], "--workers"),
        (["--workers", "two"], "--workers"),
        (["--rounds=-1"], "--rounds"),
        (["--port", "70000"], "--port"),
        (["x"], "x"),
        (["--dataset", "own"], "need flags of their own for own (--data_dir or --model): start ./start_master.sh"),
        (["--set=dataset.partition=local"], "for dataset.partition=local (--data_dir"),
        (["--set", "model.name=my_models:small"], "for model.name=my_models:small (--data_dir or --model)"),
    ],
)
def test_wrong_argument_is_named_in_one_sentence(project, environment, arguments, word):
    refused = run([str(project / "run_local.sh"), *arguments], env=environment)
    assert refused.returncode == 2
    assert word in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert not (project / ".venv").exists()


def test_the_secrets_of_notifications_reach_the_master_alone(ready_project, environment):
    secrets = {"FLQ_NOTIFY": "json://127.0.0.1:9/secret", "FLQ_NOTIFY_PROXY": "socks5h://127.0.0.1:9"}
    done = run([str(ready_project / "run_local.sh"), "--workers", "2"], env=dict(environment, **secrets))
    assert done.returncode == 0, done.stderr
    assert (ready_project / "notify").read_text() == secrets["FLQ_NOTIFY"]


def test_complete_run_leaves_the_excel_file_and_nothing_else(ready_project, environment, tmp_path):
    done = run(
        [
            str(ready_project / "run_local.sh"),
            "--workers",
            "3",
            "--rounds=7",
            "--mode",
            "bbit",
            "--dataset",
            "digits",
            "--set",
            "model.lr=0.5",
        ],
        env=environment,
        cwd=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    excel = ready_project / "results" / "flq_results_digits_bbit_1.xlsx"
    assert done.stdout.splitlines()[-1] == "Results: {}".format(excel)
    ready = next(line for line in done.stdout.splitlines() if line.startswith("FLQ master ready"))
    assert ready.endswith(
        "--set system.total_workers=3 --set system.max_rounds=7 "
        "--set flq_algorithm.mode=bbit --set dataset.name=digits --set model.lr=0.5"
    )
    outputs = sorted(path.read_text() for path in (ready_project / "logs").glob("*_worker*.out"))
    assert outputs == ["worker0 trains\n", "worker1 trains\n", "worker2 trains\n"]
    state_folders = {path.read_text() for path in ready_project.glob("worker*.state_dir")}
    assert len(state_folders) == 3
    assert_nothing_is_left(ready_project, tmp_path)


def test_the_excel_file_is_found_where_the_results_go(ready_project, environment, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    done = run(
        [str(ready_project / "run_local.sh"), "--workers", "1", "--set", "report.results_dir={}".format(elsewhere)],
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Results: {}".format(elsewhere / "flq_results_digits_bbit_1.xlsx")


@pytest.mark.parametrize("redirection", ["", ">/dev/full", ">&-", "| head -n 1", ">&- 2>&-"])
@pytest.mark.parametrize("has_logs", [True, False])
def test_a_run_whose_lines_cannot_be_kept_or_shown_ends_as_it_would(
    ready_project, environment, tmp_path, has_logs, redirection
):
    if not has_logs:
        (ready_project / "logs").write_text("no folder, as little as a full disk")
    done = run(
        ["bash", "-c", 'set -o pipefail; "$0" --workers 2 ' + redirection, str(ready_project / "run_local.sh")],
        env=environment,
    )
    assert done.returncode == 0, done
    assert (ready_project / "results" / "flq_results_digits_bbit_1.xlsx").exists()
    if not redirection:
        assert done.stdout.splitlines()[-1].startswith("Results: ")
    said = [line for line in done.stderr.splitlines() if "round=" not in line]
    assert len(said) <= (redirection == ">/dev/full") + 2 * (not has_logs), done.stderr
    assert_nothing_is_left(ready_project, tmp_path)


def test_four_workers_are_the_default(ready_project, environment):
    done = run([str(ready_project / "run_local.sh")], env=environment)
    assert done.returncode == 0, done.stderr
    assert len(list(ready_project.glob("worker*.state_dir"))) == 4


def test_failed_worker_ends_the_run_and_is_named(ready_project, environment, tmp_path):
    environment["BEHAVIOUR"] = "fail"
    failed = run([str(ready_project / "run_local.sh"), "--workers", "2"], env=environment)
    assert failed.returncode == 1
    assert "Worker 1 failed with exit status 1" in failed.stderr
    assert "no data for worker1" in failed.stderr
    assert "Results so far: " in failed.stderr
    assert (ready_project / "order").read_text().split() == ["master", "worker0"]
    assert_nothing_is_left(ready_project, tmp_path)


def test_failed_master_ends_the_run_and_is_named(ready_project, environment, tmp_path):
    environment["BEHAVIOUR"] = "crash"
    failed = run([str(ready_project / "run_local.sh"), "--workers", "2"], env=environment)
    assert failed.returncode == 1
    assert "The master failed with exit status 1" in failed.stderr
    assert "the master cannot continue" in failed.stderr
    assert_nothing_is_left(ready_project, tmp_path)


def wait_for_line(script, words):
    """Read a script's output until a line contains the words; return that line."""
    for line in script.stdout:
        if words in line:
            return line
    raise AssertionError("%r was not printed; %s" % (words, script.stderr.read()))


def test_workers_wait_for_another_master_where_theirs_was_killed(ready_project, environment, tmp_path):
    environment["BEHAVIOUR"] = "killed"
    script = start_run(ready_project, environment, "--workers", "2")
    wait_for_line(script, "The master was killed (exit status 137). The workers wait for it")
    wait_for_line(script, "./start_master.sh --resume --host 127.0.0.1 --port ")
    (ready_project / "resumed").touch()
    output, _ = script.communicate(timeout=WAIT_S)
    assert script.returncode == 0
    assert output.splitlines()[-1].startswith("The run has ended")
    assert_nothing_is_left(ready_project, tmp_path)


def test_ctrl_c_ends_the_workers_that_wait_for_another_master(ready_project, environment, tmp_path):
    environment["BEHAVIOUR"] = "killed"
    script = start_run(ready_project, environment, "--workers", "2")
    wait_for_line(script, "The master was killed")
    script.send_signal(signal.SIGINT)
    output, _ = script.communicate(timeout=WAIT_S)
    assert script.returncode == 130
    assert output.splitlines()[-1] == "To resume: ./run_local.sh --resume"  # the stand-in has told no name
    assert_nothing_is_left(ready_project, tmp_path)


@pytest.mark.parametrize("flags", [[], ["--workers", "2"], ["2026_1"], ["2026_1", "--rounds", "9"], ["a b"]], ids=repr)
def test_resume_takes_the_workers_and_the_settings_from_the_run(ready_project, environment, flags):
    done = run([str(ready_project / "run_local.sh"), "--resume", *flags], env=environment)
    assert done.returncode == 0, done.stderr
    assert len(list(ready_project.glob("worker*.state_dir"))) == 2
    ready = next(line for line in done.stdout.splitlines() if line.startswith("FLQ master ready"))
    run_name = [flag for flag in flags[:1] if not flag.startswith("--")]
    rounds = ["--set", "system.max_rounds=9"] if "--rounds" in flags else []
    assert ready.endswith(" ".join(["--resume", *run_name, *rounds])) and "total_workers" not in ready


def test_resume_with_another_number_of_workers_says_how_many_the_run_has(ready_project, environment):
    refused = run([str(ready_project / "run_local.sh"), "--resume", "--workers", "4"], env=environment)
    assert (refused.returncode, refused.stdout) == (2, "")
    expected = "Run 2026_1 has 2 workers, got --workers 4: omit the flag, or begin a new run.\n"
    assert refused.stderr == expected
    assert not (ready_project / "pids").exists()


@pytest.mark.parametrize(
    "has, setting",
    [
        ("own iid mlp", "dataset.name=own"),
        ("npz:/data/a.npz local mlp", "dataset.partition=local"),
        ("digits iid net.py:make", "model.name=net.py:make"),
    ],
)
@pytest.mark.parametrize("name", [[], ["my runs/2026_1"]])
def test_resume_of_a_run_whose_workers_need_flags_of_their_own_starts_nothing(
    ready_project, environment, has, setting, name
):
    environment["RUN_HAS"] = has
    refused = run([str(ready_project / "run_local.sh"), "--resume", *name], env=environment)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "Workers need flags of their own for %s (--data_dir or --model): start ./start_master.sh --resume %s and, for "
        "each worker, ./start_worker.sh.\n" % (setting, "my\\ runs/2026_1" if name else "2026_1")
    )
    assert not (ready_project / "pids").exists()


def test_resume_of_a_run_that_is_not_there_is_the_sentence_of_the_master(ready_project, environment):
    refused = run([str(ready_project / "run_local.sh"), "--resume", "missing"], env=environment)
    assert (refused.returncode, refused.stderr) == (2, "there is no run missing in results\n")


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_stopped_run_is_resumed_by_the_command_that_is_printed(ready_project, environment, tmp_path, is_resumed):
    environment["BEHAVIOUR"] = "endless"
    text = (ready_project / "flq_master.py").read_text()
    (ready_project / "flq_master.py").write_text(text.replace('ready", *arguments', 'ready on 127.0.0.1 (run 2026_1)"'))
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    flags = ["--resume", "x y"] if is_resumed else ["--workers", "2", "--set", "report.results_dir=%s" % elsewhere]
    script = start_run(ready_project, environment, *flags)
    wait_for_line(script, "Started 2 workers")
    script.send_signal(signal.SIGINT)
    output, errors = script.communicate(timeout=WAIT_S)
    assert (script.returncode, errors) == (130, "")
    (how,) = [line for line in output.splitlines() if line.startswith("To resume: ./run_local.sh ")]
    assert shlex.split(how)[3:] == ["--resume", "x y" if is_resumed else "%s/2026_1" % elsewhere]


def test_how_to_resume_is_said_once_by_the_master(ready_project, environment):
    environment["BEHAVIOUR"] = "endless"
    text = (ready_project / "flq_master.py").read_text()
    told = 'print("to resume: " + os.environ["FLQ_RESUME_COMMAND"] + " 2026_1", flush=True)\n    print("results: '
    (ready_project / "flq_master.py").write_text(text.replace('print("results: ', told))
    script = start_run(ready_project, environment, "--workers", "2")
    wait_for_line(script, "Started 2 workers")
    script.send_signal(signal.SIGINT)
    output, errors = script.communicate(timeout=WAIT_S)
    assert (script.returncode, errors) == (130, "")
    lines = [line for line in output.splitlines() if "to resume" in line.lower()]
    assert lines == ["to resume: ./run_local.sh --resume 2026_1"]
    assert output.splitlines()[-1].startswith("Results so far: ")


def test_setup_only_makes_the_environment_and_starts_nothing(project, environment):
    for _ in range(2):
        done = run([str(project / "run_local.sh"), "--setup_only"], env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "The environment is ready: .venv"
    assert (project / ".venv" / "flq-stamp").exists()
    assert not (project / "pids").exists() and not (project / "logs").exists()


def test_master_that_never_serves_is_named_before_any_worker_starts(ready_project, environment):
    (ready_project / "flq_master.py").write_text("import sys; sys.exit('total_workers is not a number')")
    failed = run([str(ready_project / "run_local.sh")], env=environment)
    assert failed.returncode == 1
    assert "The master failed" in failed.stderr and "total_workers is not a number" in failed.stderr
    assert list((ready_project / "logs").glob("*_worker*.out")) == []


REFUSING_MASTER = """
import http.server, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        is_asked.set()
is_asked = threading.Event()
arguments = sys.argv[1:]
if "serves" in " ".join(arguments):
    server = http.server.HTTPServer(("127.0.0.1", int(arguments[arguments.index("--port") + 1])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    is_asked.wait()
print("12:00:00 reading data", file=sys.stderr)
print("12:00:01 mode must be one of lowrank, bbit, got this", file=sys.stderr)
sys.exit(2)
"""


@pytest.mark.parametrize("mode", ["this", "serves"])
def test_settings_that_the_master_refuses_are_its_sentence_and_exit_code_2(ready_project, environment, mode):
    (ready_project / "flq_master.py").write_text(REFUSING_MASTER)
    failed = run([str(ready_project / "run_local.sh"), "--mode", mode], env=environment)
    assert failed.returncode == 2
    lines = [line for line in failed.stderr.splitlines() if "GET /healthz" not in line]
    assert lines == ["12:00:01 mode must be one of lowrank, bbit, got this"]
    assert list((ready_project / "logs").glob("*_worker*.out")) == []


def test_what_the_master_refuses_is_printed_once_where_stdout_and_stderr_are_one(ready_project, environment):
    (ready_project / "flq_master.py").write_text(REFUSING_MASTER)
    command = [str(ready_project / "run_local.sh"), "--mode", "this"]
    failed = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=60
    )
    assert failed.returncode == 2 and failed.stdout.count("mode must be one of lowrank, bbit, got this") == 1


def test_run_without_an_excel_file_is_a_failure(ready_project, environment):
    (ready_project / "flq_master.py").write_text(FAKE_MASTER.replace('open(path, "w").close()', "pass"))
    failed = run([str(ready_project / "run_local.sh"), "--workers", "1"], env=environment)
    assert failed.returncode == 1 and "no Excel file" in failed.stderr


@pytest.mark.parametrize("signal_number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_lets_the_master_save_before_the_workers_end(
    ready_project, environment, tmp_path, signal_number, status
):
    environment["BEHAVIOUR"] = "endless"
    script = start_run(ready_project, environment, "--workers", "2")
    deadline = time.monotonic() + WAIT_S
    while len(list(ready_project.glob("worker*.state_dir"))) < 2:
        assert time.monotonic() < deadline and script.poll() is None
        time.sleep(0.02)
    script.send_signal(signal_number)
    output, errors = script.communicate(timeout=WAIT_S)
    assert (script.returncode, errors) == (status, "")
    results, how = output.splitlines()[-2:]
    assert results.startswith("Results so far: ")
    assert how == "To resume: ./run_local.sh --resume"
    order = (ready_project / "order").read_text().split()
    assert order[0] == "master" and sorted(order[1:]) == ["worker0", "worker1"]
    assert_nothing_is_left(ready_project, tmp_path)


def test_port_that_is_taken_is_refused(ready_project, environment):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        refused = run([str(ready_project / "run_local.sh"), "--port", port], env=environment)
    assert refused.returncode == 2
    assert port in refused.stderr and len(refused.stderr.splitlines()) == 1


def test_free_port_is_taken_where_5000_is_in_use(ready_project, environment):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", 5000))
            listener.listen()
        except OSError:
            pass  # another process uses it, which does not matter here
        done = run([str(ready_project / "run_local.sh"), "--workers", "1"], env=environment)
    assert done.returncode == 0, done.stderr
    assert "Port 5000 is taken: this run uses " in done.stdout
    assert "--port 5000" not in done.stdout


# ---- At a terminal


@pytest.fixture
def seen_project(ready_project):
    """Return the ready project with the package that draws a bar."""
    (ready_project / "flq").mkdir()
    for name in ("__init__.py", "launch.py", "output.py"):
        shutil.copy2(str(PROJECT / "flq" / name), str(ready_project / "flq" / name))
    shutil.copytree(str(PROJECT / "flq" / "console"), str(ready_project / "flq" / "console"))
    return ready_project


def master_output(project):
    (path,) = (project / "logs").glob("*_master.out")
    return path.read_text()


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_run_at_a_terminal_shows_a_bar_and_keeps_the_lines(seen_project, environment, tmp_path, term):
    with Pseudo(200) as pseudo:
        script = pseudo.start(
            [str(seen_project / "run_local.sh"), "--workers", "2", "--rounds", "3"], env=dict(environment, TERM=term)
        )
        assert script.wait(WAIT_S) == 0, pseudo.text
        pseudo.wait_for("Results: .*\n")
        rows = pseudo.rows
    output = master_output(seen_project)
    assert output.count("round=") == 3 and "\x1b" not in output
    if term == "dumb":
        assert sum("round=" in row for row in rows) == 3 and "\x1b" not in pseudo.text
    else:
        (bar,) = (row for row in rows if "|" in row)
        assert bar.startswith("round 3/3 |") and not any("round=" in row for row in rows)
    assert sum(row.startswith("Started 2 workers; ") for row in rows) == 1
    assert any(row.startswith("results: ") for row in rows)
    assert_nothing_is_left(seen_project, tmp_path)


def test_ctrl_c_at_the_terminal_reaches_the_script_and_the_master_saves_first(seen_project, environment, tmp_path):
    environment["BEHAVIOUR"] = "endless"
    with Pseudo(200) as pseudo:
        script = pseudo.start(
            [str(seen_project / "run_local.sh"), "--workers", "2"], env=dict(environment, TERM="xterm")
        )
        pseudo.wait_for("Started 2 workers")
        pseudo.type(b"\x03")
        assert script.wait(WAIT_S) == 130, pseudo.text
        pseudo.wait_for("To resume: .*\n")
        rows = [row for row in pseudo.rows if row]
    assert [row.partition(":")[0] for row in rows[-4:]] == ["12", "results", "Results so far", "To resume"], rows
    assert sum(row.endswith("Stopping: the master saves the results first.") for row in rows) == 1
    assert (seen_project / "order").read_text().split()[0] == "master"
    assert_nothing_is_left(seen_project, tmp_path)


def test_a_terminal_that_is_closed_lets_the_master_save(seen_project, environment, tmp_path):
    environment["BEHAVIOUR"] = "endless"
    with Pseudo(200) as pseudo:
        script = pseudo.start(
            [str(seen_project / "run_local.sh"), "--workers", "2"], env=dict(environment, TERM="xterm")
        )
        pseudo.wait_for("Started 2 workers")
        pseudo.hang_up()
        assert script.wait(WAIT_S) == 129
    assert master_output(seen_project).splitlines()[-1].startswith("results: ")
    assert (seen_project / "order").read_text().split()[0] == "master"
    assert_nothing_is_left(seen_project, tmp_path)


SLOW_PIP = FAKE_PYTHON.replace(
    '"-m pip") ',
    '"-m pip") while [ ! -e "$(dirname "$0")/may_continue" ]; do sleep 0.1; done; echo "ERROR: as pip says it" >&2; ',
)


def test_an_installation_at_a_terminal_shows_the_elapsed_time(project, environment):
    write_program(Path(environment["PYTHON"]), SLOW_PIP.format(python=sys.executable))
    call = 'set -euo pipefail; project_dir="$1"; source "$1/scripts/environment.sh"; ensure_environment local'
    with Pseudo() as pseudo:
        script = pseudo.start(["bash", "-c", call, "bash", str(project)], env=dict(environment, TERM="xterm"))
        pseudo.wait_for("0:01\r")
        (project / ".venv" / "bin" / "may_continue").touch()
        assert script.wait(WAIT_S) == 0
        pseudo.wait_for("Installed .*\n")
        rows = pseudo.rows
    assert rows[1].startswith("Installing requirements/local.txt into .venv") and rows[2] == "ERROR: as pip says it"
    assert rows[3].startswith("Installed requirements/local.txt in ") and rows[4:] == [""], rows


def test_an_installation_without_a_terminal_prints_its_duration(project, environment):
    done = run_function(project, environment, "ensure_environment local")
    making, installing, installed = done.stdout.splitlines()
    assert making.startswith("Making .venv") and installing.startswith("Installing requirements/local.txt")
    assert installed.startswith("Installed requirements/local.txt in ") and done.stderr == ""
