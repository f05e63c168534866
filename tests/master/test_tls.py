"""HTTPS, with certificates made as docs/security.md describes."""

import re
import socket
import ssl
import subprocess
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import requests
from local_master import WAIT_S, LocalMaster, head, read_all, registration, token_of_worker

from flq.engines import simulation
from flq.errors import ConfigError
from flq.master.http import connection
from flq.master.http.tls import TlsAdapter
from flq.protocol import worker_events
from flq.worker.http_client import MasterClient

SECURITY = Path(__file__).resolve().parent.parent.parent / "docs" / "security.md"
RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
REGISTER = worker_events.CallRegister(registration(0))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder in which the commands of docs/security.md have run."""
    folder = tmp_path_factory.mktemp("certificates")
    (commands,) = re.findall(r"```bash\n(.*?)```", SECURITY.read_text(), re.DOTALL)
    subprocess.run(
        ["bash", "-euc", commands.replace("rsa:3072", "rsa:2048")],
        cwd=str(folder),
        check=True,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    assert (folder / "master.key").stat().st_mode & 0o077 == 0
    return folder


@pytest.fixture
def adapter(certificates):
    return TlsAdapter(str(certificates / "master.pem"), str(certificates / "master.key"))


@pytest.fixture
def master(tmp_path, adapter):
    with LocalMaster(str(tmp_path / "master"), *RUN, tls=adapter) as made:
        yield made


@pytest.fixture
def client(master, certificates):
    """Return a function that makes a worker's client; it trusts the authority."""

    def make(worker_id=0, ca=str(certificates / "ca.pem"), url=None):
        return MasterClient(url or master.url, worker_id, lambda: token_of_worker(worker_id), ca)

    return make


@pytest.fixture
def connect(master, certificates):
    """Return a function that connects with TLS and sends bytes."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    with ExitStack() as stack:

        def make(data=b""):
            plain = socket.create_connection(("127.0.0.1", master.port), timeout=WAIT_S)
            sock = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
            sock.sendall(data)
            return sock

        yield make


def test_a_run_over_tls_makes_the_same_model_and_its_bytes_are_counted(master, client, run_workers):
    model = run_workers(master, {worker_id: client(worker_id) for worker_id in range(2)})
    assert np.array_equal(model, simulation.simulate(master.settings).model)
    assert all(row.wire_bytes_up > row.frame_bytes_up > 0 for row in master.run.record.rounds())


def test_a_large_frame_passes_whole(tmp_path, adapter, client, run_workers):
    with LocalMaster(
        str(tmp_path / "large"),
        "model.dim=1000000",
        "mode=fedavg",
        "system.total_workers=1",
        "system.min_workers=1",
        "system.max_rounds=1",
        tls=adapter,
    ) as master:
        model = run_workers(master, {0: client(0, url=master.url)})
        assert np.array_equal(model, simulation.simulate(master.settings).model)


@pytest.mark.parametrize(
    "host, ca",
    [("127.0.0.1", None), ("127.1", "ca.pem"), ("127.0.0.1", "other.pem")],
    ids=["nobody we trust", "another name", "another authority"],
)
def test_a_certificate_that_does_not_fit_is_one_sentence(master, client, certificates, tmp_path, host, ca):
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=other",
            "-keyout",
            "other.key",
            "-out",
            "other.pem",
        ],
        cwd=str(certificates),
        check=True,
        stderr=subprocess.DEVNULL,
    )
    wrong = client(ca=None if ca is None else str(certificates / ca), url="https://%s:%d" % (host, master.port))
    with pytest.raises(ConfigError) as caught:
        wrong.do(REGISTER)
    assert "no safe connection to the master at https://%s:" % host in str(caught.value)
    assert "--ca" in caught.value.hint and "\n" not in str(caught.value) and "object at 0x" not in str(caught.value)


def test_a_wrong_certificate_later_is_tried_again(master, client, certificates):
    known = client()
    assert isinstance(known.do(REGISTER), worker_events.Registered)
    known._session.close()
    known._verify = True  # which does not trust it
    assert isinstance(known.do(REGISTER), worker_events.Unreachable)


def test_certificates_of_the_environment_do_not_replace_the_authority(client, certificates, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "nowhere.pem"))
    assert isinstance(client().do(REGISTER), worker_events.Registered)


def test_plain_http_gets_a_hint_to_use_https(master, certificates):
    event = MasterClient("http://127.0.0.1:%d" % master.port, 0, lambda: token_of_worker(0)).do(REGISTER)
    assert event.status == 400 and "speaks HTTPS only" in event.detail
    assert "--tls" in event.detail and "--ca FILE" in event.detail and "curl" not in event.detail


def test_https_to_a_master_without_it_is_one_sentence(make_master, certificates):
    plain = make_master(*RUN)
    with pytest.raises(ConfigError, match="no safe connection"):
        MasterClient("https://127.0.0.1:%d" % plain.port, 0, ca=str(certificates / "ca.pem")).do(REGISTER)
    assert plain.status()["state"] == "LOBBY"


def test_nothing_older_than_tls_1_2_is_spoken(adapter):
    assert adapter.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_peers_without_a_handshake_delay_no_others(master, client):
    hello = ssl.MemoryBIO()
    half = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    hello = hello.read()
    with ExitStack() as stack:
        for data in [b"", hello[:1], hello[:100], hello, b"\x16\x03\x01"] * 10:  # more than there are threads
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=WAIT_S))
            sock.sendall(data)
        assert isinstance(client().do(REGISTER), worker_events.Registered)


def test_a_crowd_that_does_not_shake_hands_makes_room(tmp_path, adapter, client):
    with LocalMaster(str(tmp_path / "crowded"), "security.max_connections=10", *RUN, tls=adapter) as master:
        with ExitStack() as stack:
            known = client(url=master.url)
            assert isinstance(known.do(REGISTER), worker_events.Registered)
            silent = [
                stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=WAIT_S))
                for _ in range(30)
            ]
            assert isinstance(
                client(1, url=master.url).do(worker_events.CallRegister(registration(1, "b"))), worker_events.Registered
            )
            assert read_all(silent[0]) == b""
            connections = list(known._session.adapters["https://"].poolmanager.pools._container.values())
            assert isinstance(known.do(REGISTER), worker_events.Registered)
            assert [pool.num_connections for pool in connections] == [1]  # it still has the one it began with


def test_a_handshake_that_does_not_end_ends_the_connection(master, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    with socket.create_connection(("127.0.0.1", master.port), timeout=WAIT_S) as sock:
        sock.sendall(b"\x16\x03\x01")
        assert read_all(sock) == b""


def test_garbage_after_the_handshake_ends_the_connection_only(master, connect, client):
    with socket.socket(fileno=connect(b"GET /healthz HTTP/1.1\r\n").detach()) as plain:
        plain.settimeout(WAIT_S)
        plain.sendall(b"nonsense" * 100)
        read_all(plain)
    assert isinstance(client().do(REGISTER), worker_events.Registered)


def test_requests_in_one_record_are_answered_one_by_one(connect):
    request = head("GET", "/healthz")
    sock = connect(request * 3 + request[:20])
    sock.sendall(request[20:-4] + b"\r\nConnection: close\r\n\r\n")
    assert read_all(sock).count(b"HTTP/1.1 200 OK") == 4


def test_a_head_in_many_records_is_one_head(connect):
    sock = connect()
    for byte in head("GET", "/healthz", Connection="close"):
        sock.sendall(bytes([byte]))
    assert read_all(sock).startswith(b"HTTP/1.1 200 OK")


def test_on_the_masters_machine_the_model_needs_no_token(master, certificates):
    answer = requests.get("https://localhost:%d/get_global_model" % master.port, verify=str(certificates / "ca.pem"))
    assert answer.status_code == 200
    answer = requests.get(
        "https://localhost:%d/get_global_model" % master.port,
        verify=str(certificates / "ca.pem"),
        headers={"Origin": "http://localhost:%d" % master.port},
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "certificate, key, words",
    [
        ("nowhere.pem", "master.key", "nowhere.pem cannot be read"),
        ("master.pem", "nowhere.key", "cannot be read"),
        ("master.pem", "ca.key", "cannot be used together: KEY_VALUES_MISMATCH"),
        ("ca.key", "ca.key", "cannot be used"),
        ("master.pem", "locked.key", "cannot be used together"),
    ],
)
def test_an_unusable_certificate_is_one_sentence(certificates, certificate, key, words):
    subprocess.run(
        ["openssl", "rsa", "-aes128", "-passout", "pass:secret", "-in", "master.key", "-out", "locked.key"],
        cwd=str(certificates),
        check=True,
        stderr=subprocess.DEVNULL,
    )
    with pytest.raises(ConfigError) as caught:
        TlsAdapter(str(certificates / certificate), str(certificates / key))
    assert words in str(caught.value) and "\n" not in str(caught.value)
