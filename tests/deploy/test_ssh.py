"""Connections: the ssh commands, secrets, and error messages. ssh is a stand-in here."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from machines import hosts_with
from waits import wait_until

from flq.deploy import command_line
from flq.deploy.fleet import Fleet
from flq.deploy.ssh import Connection, DeployError, Result, ssh_command

PROJECT = Path(__file__).resolve().parent.parent.parent

# Runs the last argument, the remote command, in a shell of this machine; asked to open a connection, it does nothing.
FAKE_SSH = """#!/bin/bash
echo "$*" >>"{folder}/calls"
case "$*" in *"-O exit"*) exit 0 ;; *refused*) echo "eve@refused: Permission denied (publickey)." >&2; exit 255 ;; esac
exec bash -c "${{@: -1}}"
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Put the stand-in into PATH; return a function that returns its calls."""
    folder = tmp_path / "ssh"
    folder.mkdir()
    (folder / "ssh").write_text(FAKE_SSH.format(folder=folder))
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))
    written = folder / "calls"
    return lambda: written.read_text().splitlines() if written.exists() else []


def connect(tmp_path, script, address="board", **keys):
    """Return a connection to a host that runs the given script, and its log."""
    said = []
    host = hosts_with(dict({"host": address}, **keys))[1]
    return Connection(host, script.encode(), str(tmp_path), said.append, lambda step: None), said


def test_the_script_gets_its_arguments_and_its_input(tmp_path, calls):
    connection, _ = connect(tmp_path, 'printf "%s|" "$@"; cat; exit\n')
    answer = connection.run("put", "a b", "$HOME;'x'", payload=b"what\nfollows\n\0")
    assert answer.output == "put|a b|$HOME;'x'|what\nfollows\n\0"


def test_one_login_serves_all_steps(tmp_path, calls):
    connection, _ = connect(tmp_path, "true; exit\n")
    connection.run("one")
    connection.run("two")
    connection.close()
    opened = [call for call in calls() if "ControlMaster=yes" in call]
    assert len(calls()) == 4 and len(opened) == 1 and "-O exit" in calls()[-1]
    assert all("BatchMode=yes" in call for call in calls()[:3])  # ssh never asks for a password


def test_secrets_stay_out_of_the_log(tmp_path, calls):
    connection, said = connect(tmp_path, 'if [ "$1" = ask ]; then echo a-token; else cat >/dev/null; fi; exit\n')
    assert connection.run("ask", is_secret=True).output == "a-token\n"
    connection.run("put", payload=b"another-token")
    assert len(said) == 6 and "token" not in "".join(said)


@pytest.mark.parametrize(
    "script, words",
    [
        ("echo first >&2; echo the card is full >&2; exit 3\n", "the card is full"),
        ("echo ERROR: no such wheel >&2; echo pip could not >&2; exit 1\n", "pip could not ERROR: no such wheel"),
        ("exit 4\n", "ended with status 4"),
    ],
)
def test_a_failed_step_reports_the_reason(tmp_path, calls, script, words):
    connection, said = connect(tmp_path, script)
    with pytest.raises(DeployError, match=words):
        connection.run("put")
    assert "(exit status " in "".join(said)


def test_a_step_that_fails_before_reading_all_input_reports_the_reason(tmp_path, calls):
    connection, _ = connect(tmp_path, "exec <&-; sleep 0.3; echo the card is full >&2; exit 3\n")
    with pytest.raises(DeployError, match="the card is full"):
        connection.run("release", payload=bytes(1 << 22))


def test_a_host_that_rejects_the_key_is_reported_with_a_fix(tmp_path, calls):
    connection, _ = connect(tmp_path, "exit\n", address="refused")
    with pytest.raises(DeployError, match=r"Permission denied \(publickey\).*ssh-copy-id"):
        connection.run("facts")


def test_a_step_that_hangs_is_ended(tmp_path, calls):
    connection, _ = connect(tmp_path, "sleep 60; exit\n")
    began = time.monotonic()
    with pytest.raises(DeployError, match="took more than 1 s"):
        connection.run("facts", timeout_s=1.0)
    assert time.monotonic() - began < 30


def test_a_payload_that_cannot_be_read_ends_the_step(tmp_path, calls):
    connection, _ = connect(tmp_path, "cat >%s/got; echo done >%s/end; exit\n" % (tmp_path, tmp_path))

    def break_off(stream):
        stream.write(b"half")
        raise FileNotFoundError(2, "a wheel is gone")

    with pytest.raises(FileNotFoundError):
        connection.run("wheelhouse", payload=break_off)
    assert not (tmp_path / "end").exists()


def test_a_text_of_which_a_part_is_missing_is_not_written(tmp_path, calls, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    connection, _ = connect(tmp_path, (PROJECT / "scripts" / "board.sh").read_text(), address="local")
    assert connection.send("put", "p", "settings/a", "600", text="äöü\n".encode()).lines == ["changed"]
    assert connection.send("put", "p", "settings/a", "600", text="äöü\n".encode()).lines == ["unchanged"]
    with pytest.raises(DeployError, match="received 4 of 10 bytes of text"):
        connection.run("put", "p", "settings/a", "600", "10", payload=b"half")
    assert (tmp_path / "p" / "settings" / "a").read_text() == "äöü\n"


def test_output_may_go_to_a_file(tmp_path, calls):
    connection, said = connect(tmp_path, "printf '\\000\\377'; exit\n")
    with open(str(tmp_path / "out"), "w+b") as stream:
        assert connection.run("pack", output=stream).output == ""
        assert stream.read() == b"\0\xff"


def test_all_settings_of_a_host_reach_ssh(tmp_path):
    host = hosts_with(
        {
            "host": "10.0.0.2",
            "user": "ada",
            "ssh_port": 2200,
            "ssh_key": "~/key",
            "ssh_config": "c",
            "jump_host": "eve@gate:2222",
        }
    )[1]
    words = ssh_command(host)
    assert words[words.index("-p") + 1] == "2200" and words[words.index("-l") + 1] == "ada"
    assert words[words.index("-i") + 1] == os.path.expanduser("~/key") and words[words.index("-F") + 1] == "c"
    proxy = shlex.split(next(word for word in words if word.startswith("ProxyCommand=")).partition("=")[2])
    assert proxy[proxy.index("-i") + 1] == os.path.expanduser("~/key") and "BatchMode=yes" in proxy
    assert proxy[-5:] == ["-p", "2222", "-l", "eve", "gate"] and "[%h]:%p" in proxy


def test_a_local_host_needs_no_ssh(tmp_path, calls):
    connection, _ = connect(tmp_path, "echo $1; exit\n", address="local")
    assert connection.run("facts").output == "facts\n"
    assert calls() == []


@pytest.mark.parametrize("command", sorted(command_line.COMMANDS))
def test_a_dry_run_prints_commands_and_starts_nothing(tmp_path, calls, capsys, command, monkeypatch):
    def refuse(*words, **options):
        raise AssertionError("a process is started: %s" % (words,))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.chdir(tmp_path)
    code = command_line.main(
        [command, "--dry-run", "--follow", "no", "--master_ip", "192.0.2.1", "--worker_ips", "192.0.2.2 192.0.2.3"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and calls() == []
    assert {line.split()[0] for line in lines} == {"[192.0.2.1]", "[192.0.2.2]", "[192.0.2.3]"}
    assert all(line.split()[1] == "ssh" for line in lines)
    assert list(tmp_path.iterdir()) == [tmp_path / "ssh"]


def test_a_dry_run_shows_each_step_of_a_deployment(capsys):
    command_line.main(["--dry-run", "--master_ip", "192.0.2.1", "--worker_ips", "192.0.2.2"])
    output = capsys.readouterr().out
    steps = [
        line.split("bash -s -- ")[1].split()[0].strip("'")
        for line in output.splitlines()
        if line.startswith("[192.0.2.2]") and "bash -s" in line
    ]
    assert steps == ["facts", "states", "release", "environment", "switch", "put", "unit", "retire", "start"]
    assert "settings/worker0.token 600 1' < scripts/board.sh + a file" in output


def fleet_of(tmp_path, n_hosts, script='echo "$*"; exit\n'):
    """Return a fleet with a stand-in for scripts/board.sh that prints its arguments."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "board.sh").write_text(script)
    hosts = hosts_with(*({"host": "board%d" % number} for number in range(n_hosts - 1)), {"host": "refused"})[1:]
    return Fleet(hosts, str(tmp_path), 8, False)


def test_a_host_that_fails_leaves_the_others_alone(tmp_path, calls, capsys):
    with fleet_of(tmp_path, 4) as fleet:
        found = fleet.each(lambda connection, host: connection.run("facts").output, lambda host, text: text.strip())
        again = fleet.each(lambda connection, host: connection.run("again").output)
    assert sorted(found) == sorted(again) == ["board0", "board1", "board2"] and fleet.exit_code == 1
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line.split()[:2] for line in lines] == [
        ["board0", "ok"],
        ["board1", "ok"],
        ["board2", "ok"],
        ["refused", "FAILED"],
    ]
    log = lines[-1].rpartition("log: ")[2]
    assert "Permission denied" in Path(log).read_text() and "deploy_refused_" in log


def test_logs_that_cannot_be_written_are_reported_once_and_no_failure(tmp_path, calls, capsys):
    (tmp_path / "logs").write_text("no folder, as little as a full disk")
    with fleet_of(tmp_path, 4) as fleet:
        found = fleet.each(lambda connection, host: connection.run("facts \udce4").output)
    assert len(found) == 3 and fleet.exit_code == 1  # of the host that refuses
    said = [line for line in capsys.readouterr().out.splitlines() if "FAILED" not in line]
    assert len(said) == 1 and said[0].endswith(" cannot be written: File exists; the deployment continues")


def test_an_exit_code_is_at_most_99_hosts(tmp_path, calls):
    with fleet_of(tmp_path, 2) as fleet:
        fleet.failures.update((str(number), "why") for number in range(300))
        assert fleet.exit_code == 99


def test_ctrl_c_ends_running_steps(tmp_path, calls):
    def work(connection, host):
        if host.name == "board0":
            threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        connection.run("facts")

    with fleet_of(tmp_path, 3, "sleep 60; exit\n") as fleet:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            fleet.each(work, hosts=fleet.hosts[:2])
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_running_steps_and_leaves_no_temporary_folder(tmp_path, calls, number):
    (tmp_path / "ssh" / "ssh").write_text("#!/bin/sh\necho $$ >%s/pid; exec sleep 60\n" % tmp_path)
    (tmp_path / "flq-ssh-dead").mkdir()  # of one that was killed
    deployment = subprocess.Popen(
        [sys.executable, "-m", "flq.deploy", "check", "--master_ip", "192.0.2.1", "--worker_ips", "192.0.2.2"],
        cwd=str(PROJECT),
        env=dict(os.environ, TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(
            number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler
        ),
    )
    try:
        wait_until((tmp_path / "pid").exists)
        assert not (tmp_path / "flq-ssh-dead").exists() and list(tmp_path.glob("flq-ssh-*"))
        deployment.send_signal(number)
        deployment.communicate(timeout=60)
    finally:
        deployment.kill()
        deployment.communicate()
    assert deployment.returncode == 128 + number
    assert list(tmp_path.glob("flq-ssh-*")) == []


@pytest.mark.parametrize(
    "flags, words",
    [
        (["fly"], "invalid choice"),
        (["check", "host"], "unknown argument host"),
        (["--jobs", "0"], "must be in 1..256"),
        ([], "MASTER_IP"),
        (["--cluster", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--master_ip", "a", "--worker_ips", "b", "--wheelhouse", "nowhere"], "--wheelhouse must be a folder"),
    ],
)
def test_a_mistake_does_not_look_like_failed_hosts(flags, words):
    done = subprocess.run(
        [sys.executable, "-m", "flq.deploy", *flags],
        cwd=str(PROJECT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
    )
    assert done.returncode == 100 and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_secrets_are_in_no_error():
    secret = Result('{"operator": "SECRET"} and more: {"broken', "")
    assert secret.values() == {"operator": "SECRET"}
    with pytest.raises(DeployError) as caught:
        Result('{"operator": "SECRET', "").values()
    assert "SECRET" not in str(caught.value)
