"""The cluster file: valid ones are read, and invalid ones give one sentence."""

import socket

import pytest
from machines import cluster_with, hosts_with

from flq.deploy.cluster import cluster_of, load_cluster
from flq.deploy.command_line import cluster_from, parse_flags
from flq.deploy.hosts import hosts_of
from flq.deploy.ssh import ssh_command
from flq.errors import ConfigError

MASTER = "master: {address: 192.0.2.1}\n"


def load(tmp_path, text):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    return load_cluster(str(path))


def test_the_example_is_a_cluster_file():
    cluster = load_cluster("cluster.example.yaml")
    assert len(hosts_of(cluster)) >= 3


def test_the_top_level_speaks_for_all_and_an_entry_for_itself():
    cluster = cluster_with({"host": "192.0.2.2"}, {"host": "192.0.2.3", "user": "eve"}, user="ada", jump_host="gate")
    assert [worker.user for worker in cluster.workers] == ["ada", "eve"]
    assert (cluster.master.user, cluster.workers[1].jump_host) == ("ada", "gate")


def test_a_worker_without_an_id_has_that_of_its_place():
    cluster = cluster_with({"host": "192.0.2.2"}, {"host": "192.0.2.3", "worker_id": 7}, {"host": "192.0.2.4"})
    assert [worker.worker_id for worker in cluster.workers] == [0, 7, 2]


@pytest.mark.parametrize(
    "text, words",
    [
        ("mastre: {address: a}\n", "the nearest is master"),
        ("master: {adress: a}\n", "the nearest is address"),
        (MASTER + "workers: [{host: a, ssh_prot: 1}]\n", "workers.0.ssh_prot; the nearest is ssh_port"),
        (MASTER + "workers: [{host: a, settings: {gpu_memory_limit: 1}}]\n", "the nearest is gpu_memory_limit_mb"),
        (MASTER, "workers is missing"),
        (MASTER + "workers: []\n", "workers is invalid"),
        (MASTER + "workers: [{host: a, ssh_port: ssh}]\n", "workers.0.ssh_port is invalid"),
        (MASTER + "workers: [{host: a}, {host: b, worker_id: 0}]\n", "two workers have the worker_id 0"),
        (MASTER + "workers: [{host: a}]\nca: ca.pem\n", "ca requires a master with tls_cert"),
        ("master: {address: a, tls_cert: c}\nworkers: [{host: a}]\n", "must be set together"),
        (MASTER + MASTER, "duplicate key master"),
        ("master: [", "is not YAML"),
        ("- a\n", "must contain keys"),
    ],
)
def test_errors_are_named(tmp_path, text, words):
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    assert words in str(raised.value) and "cluster.yaml" in str(raised.value)


@pytest.mark.parametrize(
    "key, value",
    [
        ("host", "-oProxyCommand=touch x"),
        ("host", "a b"),
        ("host", "a;b"),
        ("user", "-l"),
        ("jump_host", "$(id)"),
        ("project_dir", "a b"),
        ("project_dir", "-rf"),
        ("data_dir", "a'b"),
        ("python", "python3 -c"),
        ("model", "-x"),
    ],
)
def test_nothing_in_the_file_can_be_taken_for_a_flag_or_a_command(key, value):
    with pytest.raises(ConfigError, match="plain name or path"):
        cluster_with(dict({"host": "192.0.2.2"}, **{key: value}))


def test_workers_of_one_machine_share_its_installation_and_have_units_of_their_own():
    hosts = hosts_with({"host": "192.0.2.2"}, {"host": "192.0.2.2"}, {"host": "192.0.2.3"})
    assert [(host.name, host.units) for host in hosts] == [
        ("192.0.2.1", ["flq-master"]),
        ("192.0.2.2", ["flq-worker-0", "flq-worker-1"]),
        ("192.0.2.3", ["flq-worker"]),
    ]


def test_a_worker_may_run_beside_the_master():
    hosts = hosts_with({"host": "192.0.2.1"}, {"host": "192.0.2.2"})
    assert hosts[0].units == ["flq-master", "flq-worker"] and hosts[0].master is not None


def test_machines_behind_one_address_differ_by_port():
    hosts = hosts_with({"host": "gate", "ssh_port": 2201}, {"host": "gate", "ssh_port": 2202})
    assert [host.name for host in hosts[1:]] == ["gate-2201", "gate-2202"]


def test_two_entries_of_one_machine_must_agree_on_its_folder():
    with pytest.raises(ConfigError, match="differ in project_dir"):
        hosts_with({"host": "192.0.2.2", "project_dir": "a"}, {"host": "192.0.2.2", "project_dir": "b"})


def test_a_master_with_an_address_of_this_machine_is_local():
    assert cluster_with().master.host is None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
    assert hosts_with(master={"address": "127.0.0.1"})[0].is_local
    assert not hosts_with()[0].is_local


def test_the_variables_of_the_script_make_the_same_cluster():
    flags = parse_flags(
        [
            "check",
            "--master_ip",
            "192.0.2.1",
            "--worker_ips",
            " 192.0.2.2  192.0.2.3",
            "--username",
            "ada",
            "--project_dir",
            "apps/flq",
            "--ssh_key",
            "~/.ssh/boards",
        ]
    )
    same = cluster_with(
        {"host": "192.0.2.2"}, {"host": "192.0.2.3"}, user="ada", project_dir="apps/flq", ssh_key="~/.ssh/boards"
    )
    assert cluster_from(flags) == same


def test_without_machines_the_error_names_the_place_for_them():
    with pytest.raises(ConfigError, match="MASTER_IP and WORKER_IPS"):
        cluster_from(parse_flags(["--master_ip", "192.0.2.1"]))


def test_no_systemd_holds_for_all_machines():
    flags = parse_flags(["--no-systemd", "--master_ip", "192.0.2.1", "--worker_ips", "192.0.2.2"])
    assert {host.access.systemd for host in hosts_of(cluster_from(flags))} == {"none"}


@pytest.mark.parametrize("written", ["fe80::1%eth0", "[fe80::1%eth0]"])
def test_an_ipv6_address_may_have_brackets_and_a_zone(written):
    cluster = cluster_from(parse_flags(["deploy", "--master_ip", written, "--worker_ips", "[::1] " + written]))
    assert cluster.master.address == "fe80::1%eth0"
    assert [worker.host for worker in cluster.workers] == ["::1", "fe80::1%eth0"]


@pytest.mark.parametrize("address", ["10.0.0.1:5000", "[10.0.0.1]", "::1::", "me@10.0.0.1", "fe80::1%"])
def test_an_invalid_address_is_named(address):
    with pytest.raises(ConfigError, match="master.address must be a name or an IP address, without http:// and port"):
        cluster_of({"master": {"address": address}, "workers": [{"host": "b"}]}, "x.yaml")


@pytest.mark.parametrize(
    "jump, command",
    [
        ("gate", "gate"),
        ("ada@gate:2222", "-p 2222 -l ada gate"),
        ("::1", "::1"),
        ("[::1]:22", "-p 22 ::1"),
        ("ada@[fe80::1%eth0]", "-l ada fe80::1%%eth0"),
    ],
)
def test_a_jump_host_may_have_a_user_and_a_port(jump, command):
    host = hosts_of(cluster_with({"host": "192.0.2.2", "jump_host": jump}))[-1]
    (said,) = [word for word in ssh_command(host) if word.startswith("ProxyCommand=")]
    assert said.endswith(" '[%h]:%p' " + command)
