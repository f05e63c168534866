"""Deployments on this machine alone: real steps, and stand-ins for master and workers."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from journalled import begin, end
from workplace import Done, Workplace

# Serves /status: a worker is connected when it has left its file in state/.
FAKE_MASTER = """
import glob, http.server, json, os, re, ssl, sys
text = " ".join(sys.argv[1:])
if "model.lr=oops" in text:
    sys.exit("model.lr must be a number, got oops")
if "--print_config" in text:
    print('{"dataset": {"name": "npz:mine.npz"}}')
    sys.exit(0)
if "model.name=crash" in text:
    sys.exit("the master cannot continue: no memory")
folder = os.path.dirname(os.path.abspath(__file__))
wanted = sys.argv[sys.argv.index("--start_once") + 1]
if "model.name=once" in text:
    if not os.path.exists(wanted):
        sys.exit(0)  # nothing to do
    os.remove(wanted)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        joined = [re.search("[0-9]+$", name).group() for name in glob.glob(folder + "/state/joined*")]
        body = json.dumps({"run_id": "r", "state": "OPEN", "current_round": 1, "max_rounds": 2, "accuracy": None,
                           "connected_workers": len(joined), "problem": None, "worker_status": {
                               name: {"connected": True, "round": 1, "loss": 0.5} for name in joined}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler)
if "--tls_cert" in sys.argv:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(sys.argv[sys.argv.index(name) + 1] for name in ("--tls_cert", "--tls_key")))
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
FAKE_WORKER = """
import os, signal, sys
worker_id = sys.argv[sys.argv.index("--worker_id") + 1]
folder = os.path.dirname(os.path.abspath(__file__))
if "--manifest" in sys.argv:
    assert sys.argv[sys.argv.index("--dataset") + 1] == "npz:mine.npz"
    print('{"worker_id": %s, "data": "d", "n_samples": 5, "classes": [2, 3], "input_shape": [8, 8, 1]}' % worker_id)
    sys.exit(0)
if "--model" in sys.argv:
    sys.exit("no such model")
open(folder + "/state/joined" + worker_id, "w").close()
signal.pause()
"""
UNUSED = ("engines", "worker")
CLUSTER = """
systemd: none
python: {python}
environment: {python}
{keys}
master: {{address: 127.0.0.1, port: {port}, host: local, set: [{setting}]{more}}}
workers:
"""


class Local:
    """A workplace, and a cluster of this machine.

    ``write`` defines its workers, and ``deploy`` runs a subcommand on it.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.place = Workplace(folder)
        self.installed = self.place.home / "flq"
        self._file, self._port = folder / "cluster.yaml", port
        (self.place.project / "flq_master.py").write_text(FAKE_MASTER)
        (self.place.project / "flq_worker.py").write_text(FAKE_WORKER)
        for name in UNUSED:  # the programs are stand-ins, and unsent files need not be compiled
            shutil.rmtree(str(self.place.project / "flq" / name))
        self.write()

    def write(self, *workers: str, setting: str = "model.lr=0.1", keys: str = "", more: str = "") -> None:
        """Write the cluster file: one worker, or these entries."""
        python = self.place.project / ".venv" / "bin" / "python"
        text = CLUSTER.format(python=python, port=self._port, setting=setting, keys=keys, more=more)
        self._file.write_text(text + "".join("  - {host: local%s}\n" % entry for entry in workers or ("",)))

    def deploy(self, *arguments: str) -> Done:
        """Run deploy_jetson.sh on the cluster."""
        return self.place.deploy_jetson(*arguments, "--cluster", str(self._file), "--wait_s", "20")

    def pid(self, unit: str) -> int:
        """Return the process id of a program, from its file."""
        return int((self.installed / "deployed" / (unit + ".pid")).read_text().split()[0])

    def kill(self, unit: str, number: int) -> None:
        """Send a signal to all processes of a program, and wait for their end."""
        pid = self.pid(unit)
        os.killpg(pid, number)
        deadline = time.monotonic() + 20
        while is_alive(pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def change_code(self, text: str) -> None:
        """Change the code, which makes another release."""
        (self.place.project / "flq" / "__init__.py").write_text(text)

    def end(self) -> None:
        """Remove the deployment, and end every program."""
        if (self.installed / "deployed").exists():
            self.deploy("uninstall")


def is_alive(pid: int) -> bool:
    try:
        with open("/proc/%d/stat" % pid) as stream:
            return ") Z " not in stream.read()
    except OSError:
        return False


@pytest.fixture
def local(tmp_path):
    """Return a cluster of one worker here; its programs are ended afterwards."""
    made = Local(tmp_path, 20000 + os.getpid() % 10000)
    yield made
    made.end()


def test_deploy_starts_the_programs_and_uninstall_ends_them(local):
    done = local.deploy()
    assert done.code == 0, done
    assert re.search(r"^run r OPEN round=1/2 connected=1/1", done.output, re.M)
    pids = [local.pid("flq-master"), local.pid("flq-worker")]
    assert all(map(is_alive, pids))
    removed = local.deploy("uninstall")
    assert removed.code == 0 and "removed flq-master" in removed.output
    assert not any(map(is_alive, pids))
    assert sorted(path.name for path in local.installed.iterdir()) == ["logs", "state"]


def test_new_code_restarts_the_programs_and_three_releases_are_kept(local):
    local.deploy()
    before = local.pid("flq-worker")
    for number in range(3):
        local.change_code("NUMBER = %d\n" % number)
        done = local.deploy()
        assert done.code == 0 and "flq-worker restarted" in done.output, done
    assert local.pid("flq-worker") != before and not is_alive(before)
    releases = [path.name for path in (local.installed / "releases").iterdir()]
    assert len(releases) == 3
    assert os.readlink(str(local.installed / "current")) in ["releases/" + name for name in releases]
    assert "NUMBER = 2" in (local.installed / "current" / "flq" / "__init__.py").read_text()


def test_results_and_state_outlive_releases_and_deployments(local):
    local.deploy()
    (local.installed / "current" / "state" / "mine").write_text("kept")
    (local.installed / "current" / "results" / "sheet.xlsx").write_text("kept")
    local.change_code("")
    local.deploy()
    assert (local.installed / "current" / "results" / "sheet.xlsx").read_text() == "kept"
    local.deploy("uninstall")
    assert (local.installed / "state" / "mine").read_text() == "kept"
    assert (local.installed / "results" / "sheet.xlsx").read_text() == "kept"


def test_the_first_deployment_asks_for_a_run_and_later_ones_do_not(local):
    wanted = local.installed / "state" / "run_wanted"
    local.deploy()
    assert wanted.exists()
    wanted.unlink()
    local.change_code("")
    assert "flq-master restarted" in local.deploy().output
    assert not wanted.exists()
    local.deploy("stop")
    local.deploy("deploy")
    assert not wanted.exists()
    local.deploy("stop")
    assert "flq-master started" in local.deploy("start").output
    assert wanted.exists()


def test_a_master_that_has_ended_is_not_started_again(local):
    local.deploy()
    local.kill("flq-master", signal.SIGTERM)
    done = local.deploy()
    assert done.code == 0 and "unchanged; flq-master has ended" in done.output
    assert "run: the master does not answer" in done.output  # this one has left no run


def test_new_code_after_the_end_of_a_run_begins_no_other(local):
    local.write(setting="model.name=once")
    local.deploy()
    local.kill("flq-master", signal.SIGTERM)
    local.change_code("")
    done = local.deploy()
    assert done.code == 0 and "flq-worker restarted" in done.output
    assert "run: the master does not answer" in done.output  # this one has left no run
    assert "connected=1/1" not in done.output
    assert local.deploy("start").code == 0 and is_alive(local.pid("flq-master"))


@pytest.mark.parametrize("unit", ["flq-master", "flq-worker"])
def test_a_program_that_was_killed_is_started_by_the_next_deployment(local, unit):
    local.deploy()
    local.kill(unit, signal.SIGKILL)
    assert "failed" in local.deploy("status").output
    done = local.deploy()
    assert done.code == 0 and unit + " started" in done.output and "connected=1/1" in done.output


def test_stop_and_start_keep_the_deployment(local):
    local.deploy()
    assert "flq-worker stopped" in local.deploy("stop").output
    assert "flq-worker did not run" in local.deploy("stop").output
    assert "flq-worker started" in local.deploy("start").output
    pid = local.pid("flq-worker")
    done = local.deploy()
    assert "unchanged" in done.output and local.pid("flq-worker") == pid


def test_a_worker_that_left_the_cluster_file_is_removed(local):
    local.write("", "")
    assert local.deploy().code == 0
    pid = local.pid("flq-worker-1")
    local.write("")
    done = local.deploy()
    assert done.code == 0
    assert "removed flq-worker-0" in done.output and "removed flq-worker-1" in done.output
    assert "flq-worker started" in done.output and not is_alive(pid)


def test_a_pid_that_is_another_process_by_now_is_never_killed(local):
    local.deploy()
    local.deploy("stop")
    other = subprocess.Popen(["sleep", "60"])
    try:
        (local.installed / "deployed" / "flq-worker.pid").write_text("%d 1\n" % other.pid)
        local.deploy("stop")
        local.deploy("uninstall")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_settings_that_the_master_rejects_are_named_and_running_programs_continue(local):
    local.deploy()
    pid = local.pid("flq-master")
    local.write(setting="model.lr=oops")
    done = local.deploy()
    assert done.code == 1
    assert "model.lr must be a number, got oops" in done.line_of("local")
    assert local.pid("flq-master") == pid and is_alive(pid)


def test_a_master_that_does_not_start_is_named_with_its_error(local):
    local.write(setting="model.name=crash")
    done = local.deploy()
    assert done.code == 1
    assert "flq-master has ended: the master cannot continue: no memory" in done.output


def test_a_worker_that_does_not_start_is_named_with_its_error(local):
    local.write("", ', model: "package.module:function"')
    done = local.deploy()
    assert done.code == 1
    assert "flq-worker-1 has ended: no such model" in done.output


def test_status_lists_the_programs(local):
    local.deploy()
    rows = [line.split() for line in local.deploy("status").output.splitlines()]
    assert ["local", "worker0", "active", "yes", "1"] == rows[-1][:5]
    local.deploy("stop")
    stopped = local.deploy("status")
    assert "the master does not answer" in stopped.output and "inactive" in stopped.output


def test_status_and_stop_after_an_interruption_show_how_to_resume(local):
    local.deploy()
    run_id = os.path.basename(begin(str(local.installed / "results")))
    said = "run %s is not finished; ./deploy_jetson.sh start resumes it" % run_id
    assert said not in local.deploy("status").output  # the master answers
    assert local.deploy("stop").output.splitlines()[-1].startswith(said)
    assert said in local.deploy("status").output


def test_after_the_end_of_a_run_all_commands_report_it_with_the_results(local):
    local.deploy()
    run_dir = begin(str(local.installed / "results"))
    end(run_dir, "3 rounds are done")
    run_id = os.path.basename(run_dir)
    workbook = local.installed / "results" / ("flq_results_quadratic_bbit_%s.xlsx" % run_id.rpartition("_")[0])
    workbook.touch()
    local.kill("flq-master", signal.SIGTERM)
    said = (
        "run %s has ended: 3 rounds are done; results: %s; ./deploy_jetson.sh collect fetches its files, start "
        "starts the next run" % (run_id, workbook)
    )
    for words in (["status"], ["deploy"], ["stop"], ["status"]):
        done = local.deploy(*words)
        assert done.code == 0 and said in done.output.splitlines(), done


def test_manifest_shows_class_counts(local):
    local.write("", "")
    local.deploy()
    rows = [line.split() for line in local.deploy("manifest").output.splitlines()]
    assert rows[0] == "worker samples shape class 0 class 1".split()
    assert rows[1:] == [["0", "5", "8x8x1", "2", "3"], ["1", "5", "8x8x1", "2", "3"]]


def test_help_needs_no_environment_and_no_cluster(local):
    shutil.rmtree(str(local.place.project / ".venv"))
    shown = local.place.deploy_jetson("--help")
    assert (shown.code, shown.errors) == (0, "") and "./deploy_jetson.sh logs [HOST]" in shown.output
    assert not (local.place.project / ".venv").exists()


def test_start_without_a_deployment_is_one_sentence_with_a_hint(local):
    done = local.deploy("start")
    assert done.code == 1 and "./deploy_jetson.sh deploy" in done.output


def test_certificates_reach_the_programs_that_need_them(local, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=master",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(tmp_path / "key.pem"),
            "-out",
            str(tmp_path / "cert.pem"),
        ],
        check=True,
        timeout=60,
        stderr=subprocess.DEVNULL,
    )
    local.write(
        keys="ca: %s/cert.pem" % tmp_path, more=", tls_cert: {0}/cert.pem, tls_key: {0}/key.pem".format(tmp_path)
    )
    done = local.deploy()
    assert done.code == 0 and "connected=1/1" in done.output, done
    key = local.installed / "settings" / "master.key"
    assert key.read_text() == (tmp_path / "key.pem").read_text() and key.stat().st_mode & 0o777 == 0o600
    assert "--ca %s/settings/ca.pem" % local.installed in (local.installed / "settings" / "flq-worker.sh").read_text()
    assert key.read_text().splitlines()[1] not in "".join(local.place.logs().values())


def test_a_folder_with_other_things_is_left_alone(local):
    mine = local.installed / "env" / "bin"
    mine.mkdir(parents=True)
    done = local.deploy()
    assert done.code == 1 and "contains other things (env): choose another project_dir" in done.line_of("local")
    assert local.deploy("uninstall").code == 0
    assert mine.is_dir() and [path.name for path in local.installed.iterdir()] == ["env"]
