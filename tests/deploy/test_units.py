"""The units: systemd accepts them, and they contain what they must."""

import os
import shutil
import subprocess

import pytest
from machines import NANO, PC, cluster_with

from flq.deploy.facts import Fit
from flq.deploy.hosts import hosts_of
from flq.deploy.units import arguments_of, settings_of, unit_text, unit_word

FIT36 = Fit("jetson-nano", "3.6", "/usr/bin/python3.6", "21.3.1")


def unit_of(facts=PC, manager="system", index=1, fit=None, cluster=None, **worker):
    """Return the unit of the master (index 0) or of a worker."""
    cluster = cluster or cluster_with(dict({"host": "192.0.2.2"}, **worker))
    host = hosts_of(cluster)[index]
    return unit_text(host.programs[0], host, cluster, facts, fit, manager)


def values(text, key):
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(key + "=")]


@pytest.mark.parametrize("manager", ["system", "user"])
@pytest.mark.parametrize("index, name", [(0, "flq-master"), (1, "flq-worker")])
@pytest.mark.parametrize("facts", [PC, NANO], ids=["pc", "nano"])
def test_systemd_finds_nothing_wrong(tmp_path, facts, index, name, manager):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    current = tmp_path / "flq" / "current"
    current.mkdir(parents=True)
    for script in ("start_master.sh", "start_worker.sh"):
        (current / script).write_text("#!/bin/sh\n")
        (current / script).chmod(0o755)
    facts = facts._replace(home=str(tmp_path), project=str(tmp_path / "flq"))
    unit = tmp_path / (name + ".service")
    unit.write_text(unit_of(facts, manager, index, FIT36, data_dir="data", settings={"gpu_memory_limit_mb": 900}))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *["--user"] * (manager == "user"), str(unit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=60,
        env=dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path)),
    )
    assert (checked.returncode, checked.stdout) == (0, "")


def test_a_run_that_has_ended_does_not_start_again_and_a_failure_does():
    master, worker = unit_of(index=0), unit_of()
    for text in master, worker:
        assert values(text, "Restart") == ["on-failure"] and values(text, "SuccessExitStatus") == ["143"]
    assert values(master, "RestartPreventExitStatus") == ["2"]
    assert int(values(master, "RestartSec")[0]) * int(values(master, "StartLimitBurst")[0]) < 3600


def test_a_worker_is_restarted_after_any_failure():
    text = unit_of()
    assert values(text, "RestartPreventExitStatus") == [] and values(text, "StartLimitIntervalSec") == ["0"]
    assert int(values(text, "RestartSec")[0]) >= 60


def test_pauses_grow_where_systemd_knows_how():
    assert values(unit_of(PC._replace(systemd=254)), "RestartMaxDelaySec") == ["300"]
    assert values(unit_of(PC._replace(systemd=253)), "RestartMaxDelaySec") == []


@pytest.mark.parametrize("manager", ["system", "user"])
def test_nothing_hides_the_gpu_from_a_worker(manager):
    text = unit_of(NANO, manager)
    for key in ("PrivateDevices", "DeviceAllow", "DevicePolicy", "ProtectClock", "MemoryDenyWriteExecute"):
        assert values(text, key) == []


def test_a_system_service_may_write_only_its_own_folders():
    text = unit_of()
    assert values(text, "ProtectSystem") == ["strict"] and values(text, "User") == ["ada"]
    assert values(text, "ReadWritePaths") == ["/home/ada/flq/logs /home/ada/flq/results /home/ada/flq/state"]
    for variable in values(text, "Environment"):
        assert variable.partition("=")[2].startswith("/home/ada/flq/state/")


def test_the_memory_limit_is_the_spare_memory_of_the_machine():
    assert values(unit_of(NANO), "MemoryMax") == ["3556M"]
    assert values(unit_of(NANO, memory_max_mb=2000), "MemoryMax") == ["2000M"]
    two = cluster_with({"host": "192.0.2.2"}, {"host": "192.0.2.2"})
    assert values(unit_of(NANO, cluster=two), "MemoryMax") == ["1778M"]


@pytest.mark.parametrize("manager", ["system", "user"])
@pytest.mark.parametrize("index", [0, 1])
def test_a_program_may_open_more_files_than_a_shell_lets_it(manager, index):
    assert values(unit_of(NANO, manager, index), "LimitNOFILE") == ["65536"]


def test_numpy_on_a_nano_gets_its_processor_from_the_environment():
    assert "OPENBLAS_CORETYPE=ARMV8" in values(unit_of(NANO, fit=FIT36), "Environment")
    assert "OPENBLAS_CORETYPE=ARMV8" not in values(unit_of(PC, fit=FIT36), "Environment")


def test_the_watchdog_and_the_notification_are_asked_for():
    assert values(unit_of(), "Type") == ["notify"] and int(values(unit_of(), "WatchdogSec")[0]) >= 60


def test_without_systemd_a_script_starts_the_same_command():
    script = unit_of(NANO, "none", fit=FIT36, data_dir="my/data")
    assert "export OPENBLAS_CORETYPE=ARMV8" in script
    command = script.splitlines()[-1]
    assert command.startswith("exec /home/ada/flq/current/start_worker.sh --stay --worker_id 0 --master_ip 192.0.2.1 ")
    assert command.endswith("--data_dir /home/ada/my/data")


def test_a_worker_has_its_name_from_the_cluster_file_and_never_its_address():
    named, nameless = unit_of(NANO, "none", name="shelf-2"), unit_of(NANO, "none")
    assert " --name shelf-2" in named and "--name" not in nameless


def test_the_master_gets_the_number_of_workers_unless_it_is_set():
    workers = ({"host": "192.0.2.2"}, {"host": "192.0.2.3", "worker_id": 5})
    assert settings_of(cluster_with(*workers)) == ["system.total_workers=6", "system.min_workers=2"]
    said = cluster_with(*workers, master={"address": "192.0.2.1", "set": ["min_workers=1", "model.lr=0.5"]})
    assert settings_of(said) == ["system.total_workers=6", "min_workers=1", "model.lr=0.5"]


def test_with_certificates_all_speak_https():
    cluster = cluster_with(ca="ca.pem", master={"address": "192.0.2.1", "tls_cert": "c.pem", "tls_key": "k.pem"})
    master, worker = hosts_of(cluster)
    assert "/home/ada/flq/settings/master.key" in arguments_of(master.programs[0], cluster, PC)
    words = arguments_of(worker.programs[0], cluster, PC)
    assert words[words.index("--ca") + 1] == "/home/ada/flq/settings/ca.pem"


@pytest.mark.parametrize(
    "address, host, shown",
    [("192.0.2.1", "0.0.0.0", "192.0.2.1"), ("board", "0.0.0.0", "board"), ("[fe80::1%eth0]", "::", '"fe80::1%%eth0"')],
)
def test_a_master_whose_address_is_of_ipv6_listens_there(address, host, shown):
    cluster = cluster_with({"host": "192.0.2.2"}, master={"address": address})
    master, worker = hosts_of(cluster)
    words = arguments_of(master.programs[0], cluster, PC)
    assert words[words.index("--host") + 1] == host
    assert "--master_ip %s --port" % shown in unit_text(worker.programs[0], worker, cluster, PC, None, "user")


@pytest.mark.parametrize(
    "word, written",
    [("plain", "plain"), ("a b", '"a b"'), ("50%", '"50%%"'), ("$HOME", '"$$HOME"'), ('say "x"', '"say \\"x\\""')],
)
def test_words_are_written_as_systemd_reads_them(word, written):
    assert unit_word(word) == written
