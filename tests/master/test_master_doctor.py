"""The master's doctor, and the worker's against a real master."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from local_master import TOKENS, LocalMaster, write_tokens

from flq.device.checks import FAIL, OK, WARN
from flq.device.python_checks import this_interpreter
from flq.device.tensorflow_probe import Probe
from flq.master import doctor
from flq.master.command_line import parse_flags
from flq.master.doctor import examine, notifications_line, port_line, run, tokens_line
from flq.master.http.tls import TlsAdapter
from flq.sinks.trackers import TRACKERS
from flq.worker import command_line as worker_command_line
from flq.worker import doctor as worker_doctor
from flq.worker.doctor import master_lines

TESTS = Path(__file__).resolve().parent.parent
sys.path.append(str(TESTS / "device"))
from trees import NANO, PC, SWAPS_HEAD, ZRAM, memory, plant  # noqa: E402

WORKS = Probe(
    {"numpy": "2.4.6", "tensorflow": "2.21.0", "keras": "3.15.1", "cuda": False, "gpus": 0, "stage": "end"}, "", []
)
MISSING = Probe({"numpy": "2.4.6", "stage": "tensorflow", "error": "x", "missing": "tensorflow"}, "exit code 0", [])
TWO = ("system.total_workers=2", "system.min_workers=2")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")] + ["FLQ_TOKEN", "FLQ_NOTIFY"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder in which the commands of docs/security.md have run."""
    folder = tmp_path_factory.mktemp("certificates")
    (commands,) = re.findall(r"```bash\n(.*?)```", (TESTS.parent / "docs" / "security.md").read_text(), re.DOTALL)
    subprocess.run(
        ["bash", "-euc", commands.replace("rsa:3072", "rsa:2048")],
        cwd=str(folder),
        check=True,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    return folder


@pytest.fixture
def project(tmp_path):
    """A folder with the configuration of a small run."""
    (tmp_path / "flq_config.json").write_text(json.dumps({"model": {"name": "quadratic"}, "flq_algorithm": {}}))
    return tmp_path


def arguments(*flags):
    args = parse_flags(["--host", "127.0.0.1", "--port", "0"] + list(flags))
    args.json = False
    return args


def examined(project, *flags, tree=PC, changes=(), probe=WORKS):
    root = plant(project / "root", tree, dict(changes))
    found = examine(arguments(*flags), str(project), root, this_interpreter({}), probe)
    return {line.name: line for line in found}


def faults(lines):
    return {name: line for name, line in lines.items() if line.status != OK and name != "disk"}


# ---- The master's


def test_a_machine_in_good_order_passes_every_check(project):
    lines = examined(project)
    assert faults(lines) == {}
    assert {
        "board",
        "memory",
        "swap",
        "power mode",
        "power",
        "temperature",
        "clock",
        "python",
        "numpy",
        "packages",
        "tensorflow",
        "gpu",
        "disk",
        "folders",
        "configuration",
        "port",
        "tokens",
        "tls",
        "notifications",
    } == set(lines)
    assert sorted(os.listdir(str(project))) == ["flq_config.json", "root"]


def test_it_shows_the_services_without_the_secrets(tmp_path):
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "notify"
    assert notifications_line({}, str(tmp_path)).text == "none: neither FLQ_NOTIFY nor %s has an address" % path
    path.write_text("tgram://123456789:AAs3cret/-100\njson://s3cret.lan\nproxy = socks5h://u:s3cret@p:1\n")
    path.chmod(0o640)
    line = notifications_line({}, str(tmp_path))
    assert (line.status, line.fix) == (WARN, "chmod 600 %s" % path) and "others can read" in line.text
    path.chmod(0o600)
    line = notifications_line({}, str(tmp_path))
    assert line.status == OK and line.text.startswith("to 2 addresses, through a proxy; ")
    assert notifications_line({"FLQ_NOTIFY": "json://s3cret"}, str(tmp_path)).text.startswith("to 1 address; ")
    assert "s3cret" not in repr(line)


def test_a_tracker_that_is_not_installed_is_a_configuration_that_will_not_do(project, monkeypatch):
    row = TRACKERS["swanlab"]._replace(package="no_such_package")
    monkeypatch.setitem(TRACKERS, "swanlab", row)
    (project / "flq_config.json").write_text(json.dumps({"model": "quadratic", "trackers": "jsonl"}))
    assert faults(examined(project)) == {}
    (project / "flq_config.json").write_text(json.dumps({"model": "quadratic", "trackers": "swanlab"}))
    (line,) = faults(examined(project)).values()
    assert (line.status, line.name) == (FAIL, "configuration") and "no_such_package is not installed" in line.text


def test_three_faults_of_a_board_are_found_each_with_its_fix(project):
    planted = dict(
        memory(4059424, 900000), **{"/proc/swaps": SWAPS_HEAD + ZRAM, "/var/lib/nvpmodel/status": "pmode:0001\n"}
    )
    found = faults(examined(project, tree=NANO, changes=planted))
    assert sorted(found) == ["memory", "power mode", "swap"]
    assert "multi-user.target" in found["memory"].fix and "nvpmodel -m 0" in found["power mode"].fix
    assert "nvzramconfig" in found["swap"].fix


def test_a_master_without_tensorflow_is_warned_of(project):
    line = examined(project, probe=MISSING)["tensorflow"]
    assert line.status == WARN and line.fix == "pip install -r requirements/worker.txt"


def test_a_numpy_that_does_not_work_ends_the_examination_but_not_the_doctor(project):
    lines = examined(project, probe=Probe({"stage": "numpy"}, "Illegal instruction (SIGILL)", []))
    assert lines["configuration"].status == FAIL and "port" not in lines


@pytest.mark.parametrize(
    "flags, text",
    [
        (("--config", "/no/such/file"), "no/such/file"),
        (("--set", "model.lr=-1"), "lr must be"),
        (("--set", "model.name=resnet99"), "resnet99"),
    ],
)
def test_a_configuration_that_would_be_refused_is_a_failure(project, flags, text):
    line = examined(project, *flags)["configuration"]
    assert line.status == FAIL and text in line.text and line.fix


def test_a_file_in_the_results_folders_place_is_found(project):
    (project / "results").write_text("")
    line = examined(project)["folders"]
    assert line.status == FAIL and str(project / "results") in line.text


def test_a_port_that_another_program_has_is_a_failure():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(4)
        port = taken.getsockname()[1]

        def hang_up():
            for _ in range(2):  # it is asked by HTTP, then by HTTPS
                taken.accept()[0].close()

        answering = threading.Thread(target=hang_up, daemon=True)
        answering.start()
        line = port_line("127.0.0.1", port)
        answering.join(20)
    assert line.status == FAIL and "in use" in line.text and "ss -ltnp" in line.fix


def test_a_port_that_is_free_is_well():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert port_line("127.0.0.1", port) == doctor.Line(OK, "port", "127.0.0.1 port %d is free" % port)


def test_an_address_of_another_machine_is_a_failure():
    line = port_line("192.0.2.1", 5000)
    assert line.status == FAIL and "--host" in line.fix


def test_tokens_are_made_later_or_counted(tmp_path):
    assert tokens_line("", str(tmp_path)).status == OK
    write_tokens(str(tmp_path))
    line = tokens_line("", str(tmp_path))
    assert line.status == OK and line.text.startswith("%d in " % len(TOKENS))


def test_tokens_that_others_can_read_are_a_warning(tmp_path):
    write_tokens(str(tmp_path))
    path = str(tmp_path / "state" / "tokens")
    os.chmod(path, 0o644)
    line = tokens_line(path, str(tmp_path))
    assert line.status == WARN and line.fix == "chmod 600 " + path


def test_tokens_that_are_none_are_a_failure(tmp_path):
    (tmp_path / "tokens").write_text("something else entirely\n")
    line = tokens_line(str(tmp_path / "tokens"), str(tmp_path))
    assert line.status == FAIL and line.fix and "something" not in line.text


def test_certificate_and_key_must_go_together(project, certificates):
    master, other = str(certificates / "master.pem"), str(certificates / "ca.key")
    assert examined(project, "--tls_cert", master, "--tls_key", str(certificates / "master.key"))["tls"].status == OK
    line = examined(project, "--tls_cert", master, "--tls_key", other)["tls"]
    assert line.status == FAIL and "cannot be used together" in line.text and line.fix


def test_plain_http_on_the_network_is_a_warning(project):
    args = arguments()
    args.host = "0.0.0.0"
    lines = examine(args, str(project), plant(project / "root", PC), this_interpreter({}), WORKS)
    assert [line.name for line in lines if line.status == WARN and line.name != "disk"] == ["tls"]


def test_json_can_be_read_and_the_exit_code_counts(project, monkeypatch, capsys):
    monkeypatch.setenv("FLQ_SYSFS_ROOT", plant(project / "root", PC, memory(4000000, 1000)))
    monkeypatch.setattr(doctor, "probe_tensorflow", lambda: WORKS)
    args = arguments("--config", "/no/such/file")
    args.json = True
    code = run(args, str(project))
    told = json.loads(capsys.readouterr().out)
    assert [line["name"] for line in told["lines"] if line["status"] == FAIL] == ["memory", "configuration"]
    assert code == told["failures"] == 2


@pytest.mark.tf
def test_this_machine_can_be_a_master(project, capsys):
    code = run(arguments(), str(project))
    out = capsys.readouterr().out
    assert code == 0, out
    assert re.search(r"(?m)^ok +tensorflow +\d", out) and re.search(r"(?m)^ok +configuration", out)


# ---- The worker's, against a real master


def worker_arguments(master, *flags):
    args = worker_command_line.parse_flags(
        ["--worker_id", "0", "--master_ip", "127.0.0.1", "--port", str(master.port)] + list(flags)
    )
    args.json = True
    return args


def by_name(lines):
    return {line.name: line for line in lines}


def test_a_port_at_which_a_master_answers_is_a_warning(make_master):
    line = port_line("127.0.0.1", make_master().port)
    assert line.status == WARN and "an FLQ master already answers" in line.text


def test_the_master_takes_the_token_and_nothing_of_the_run_changes(make_master):
    master = make_master(*TWO)
    before = master.status()
    lines = by_name(master_lines(master.url, None, 0, TOKENS["worker0"]))
    after = master.status()
    assert [(line.name, line.status) for line in lines.values()] == [
        ("address", OK),
        ("master", OK),
        ("clock skew", OK),
        ("token", OK),
    ]
    unchanged = ("state", "current_round", "connected_workers", "worker_status", "disk_bytes")
    assert {key: before[key] for key in unchanged} == {key: after[key] for key in unchanged}


@pytest.mark.parametrize(
    "worker_id, token, text",
    [
        (0, "x" * 40, "does not know the token"),
        (0, TOKENS["operator"], "for workers"),
        (0, TOKENS["worker1"], "the token is that of worker1"),
        (7, TOKENS["worker7"], "takes no worker 7"),
    ],
)
def test_a_token_of_another_worker_is_a_failure(make_master, worker_id, token, text):
    line = by_name(master_lines(make_master(*TWO).url, None, worker_id, token))["token"]
    assert line.status == FAIL and text in line.text and line.fix


def test_a_master_that_is_closed_to_the_public_is_known_all_the_same(make_master):
    lines = by_name(master_lines(make_master("security.open_status=false").url, None, 0, TOKENS["worker0"]))
    assert (lines["master"].status, lines["token"].status) == (OK, OK)


def test_a_certificate_is_trusted_by_its_authority_only(tmp_path, certificates):
    tls = TlsAdapter(str(certificates / "master.pem"), str(certificates / "master.key"))
    with LocalMaster(str(tmp_path / "master"), tls=tls) as master:
        good = by_name(master_lines(master.url, str(certificates / "ca.pem"), 0, TOKENS["worker0"]))
        bad = by_name(master_lines(master.url, None, 0, TOKENS["worker0"]))
        plain = by_name(master_lines(master.url.replace("https", "http"), None, 0, TOKENS["worker0"]))
        port = port_line("127.0.0.1", master.port)
    assert [line.status for line in good.values()] == [OK] * 5 and "until 20" in good["certificate"].text
    assert bad["certificate"].status == FAIL and "--ca" in bad["certificate"].fix and "master" not in bad
    assert plain["master"].status == FAIL and "HTTPS only" in plain["master"].fix
    assert port.status == WARN


def test_https_to_a_master_with_plain_http_is_reported(make_master, certificates):
    url = make_master().url.replace("http", "https")
    line = by_name(master_lines(url, str(certificates / "ca.pem"), 0, TOKENS["worker0"]))["certificate"]
    assert line.status == FAIL and "plain HTTP" in line.fix


def test_a_worker_on_this_machine_is_examined_to_the_end(make_master, tmp_path, monkeypatch, capsys):
    master = make_master()
    (tmp_path / "token").write_text(TOKENS["worker0"])
    monkeypatch.setenv("FLQ_SYSFS_ROOT", plant(tmp_path / "root", PC))
    monkeypatch.setattr(worker_doctor, "probe_tensorflow", lambda: WORKS)
    code = worker_doctor.run(worker_arguments(master, "--token_file", str(tmp_path / "token")), str(tmp_path))
    told = json.loads(capsys.readouterr().out)
    assert code == told["failures"] == 0, told
    assert [line["status"] for line in told["lines"] if line["name"] in ("master", "token")] == [OK, OK]
