"""The worker's doctor: on this machine, on a Nano with faults, and against other servers instead of a master."""

import email.utils
import json
import os
import re
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from stand_in import StandIn, error, response, unused_url

from flq.device.board import find_board
from flq.device.checks import FAIL, OK, WARN
from flq.device.python_checks import Interpreter, this_interpreter
from flq.device.tensorflow_probe import Probe
from flq.worker import doctor
from flq.worker.command_line import parse_flags
from flq.worker.doctor import HealthReply, Surroundings, examine, master_lines, run, skew_line

sys.path.append(str(Path(__file__).resolve().parent.parent / "device"))
from trees import NANO, SWAPS_HEAD, TREES, ZRAM, memory, plant  # noqa: E402

TOKEN = "the-token-of-worker-0"
WORKS = Probe(
    {"numpy": "1.19.5", "tensorflow": "2.7.0", "keras": "2.7.0", "cuda": True, "gpus": 1, "stage": "end"}, "", []
)
ON_NANO = Interpreter((3, 6, 9), "aarch64", "1.19.5", "ARMV8")


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv("FLQ_TOKEN", raising=False)


def arguments(url, *flags):
    args = parse_flags(["--worker_id", "0", "--master_ip", "127.0.0.1", "--port", url.rpartition(":")[2]] + list(flags))
    args.json = False
    return args


def healthy():
    """Return the responses of a master to the doctor's requests."""
    return [response("200 OK", {"ok": True})] * 6


def told_by(answers, token=TOKEN, worker_id=0):
    """Return the doctor's findings on a server with these responses, by name."""
    with StandIn(answers, keeps=True) as stand_in:
        return {line.name: line for line in master_lines(stand_in.url, None, worker_id, token)}, stand_in.requests


KNOWN = error("422 X", "epoch must be an integer, got None")


# ---- The master


def test_a_master_in_good_order_has_no_fault():
    lines, requests = told_by(healthy() + [KNOWN])
    assert [(line.name, line.status) for line in lines.values()] == [
        ("address", OK),
        ("master", OK),
        ("clock skew", OK),
        ("token", OK),
    ]
    assert "median of 5" in lines["master"].text
    assert len(requests) == 7


def test_the_question_about_the_token_is_one_that_the_master_refuses():
    _, requests = told_by(healthy() + [KNOWN])
    head = requests[-1].decode("ascii")
    assert head.startswith("GET /get_global_model?worker=0 HTTP/1.1")  # no epoch: nothing can come of it
    assert "Authorization: Bearer " + TOKEN in head
    assert not any(b"Bearer" in request for request in requests[:-1])


@pytest.mark.parametrize(
    "answer, status, text, fix",
    [
        (error("401 X", "this master does not know the token"), FAIL, "does not know the token", "--token_file"),
        (
            error("403 X", "the token is that of worker1, but the request is of worker 0"),
            FAIL,
            "worker1",
            "--token_file",
        ),
        (error("422 X", "worker must be in 0..3, got 9"), FAIL, "0..3", "another --worker_id"),
        (error("503 X", "the master is starting"), OK, "is starting", ""),
        (error("429 X", "more than 50 requests per second from this client"), WARN, "50 requests", "again"),
        (response("500 Oh no"), FAIL, "Oh no", "--token_file"),
    ],
)
def test_a_rejected_token_is_reported_in_the_masters_words(answer, status, text, fix):
    lines, _ = told_by(healthy() + [answer])
    assert lines["token"].status == status
    assert text in lines["token"].text and fix in lines["token"].fix


@pytest.mark.parametrize(
    "answers",
    [
        [response("200 OK", b"<html>Please log in</html>")],
        [response("200 OK", [1])],
        [response("404 Not Found")],
        [response("200 OK", b"[" * 100000)],
        [response("200 OK", {"ok": "yes"})],
    ],
)
def test_a_server_that_is_not_a_master_is_reported(answers):
    lines, _ = told_by(answers)
    assert lines["master"].status == FAIL and "is not an FLQ master" in lines["master"].text
    assert "--port" in lines["master"].fix and "token" not in lines


def test_a_master_with_https_only_is_reported():
    lines, _ = told_by([error("400 Bad Request", "this master speaks HTTPS only: use https://", "start it with --tls")])
    assert lines["master"].status == FAIL
    assert lines["master"].fix == "this master speaks HTTPS only: use https:// (start it with --tls)"


def test_a_master_whose_health_is_not_everybodys_is_one():
    lines, _ = told_by([error("401 X", "GET /healthz needs the operator's token")] * 6 + [KNOWN])
    assert (lines["master"].status, lines["token"].status) == (OK, OK)


def test_an_interrupted_response_is_reported():
    lines, _ = told_by([b"HTTP/1.1 200 OK\r\nContent-Length: 9"])
    assert lines["master"].status == FAIL and lines["master"].fix


def skew(asked, answered, is_tls=False):
    """Return the finding on a master whose Date is second 10**9, with our times of request and response."""
    dated = namedtuple("Response", "headers")({"Date": email.utils.formatdate(10**9, usegmt=True)})
    return skew_line(HealthReply(dated, {}, 10**9 + asked, 10**9 + answered, 0.0), is_tls)


@pytest.mark.parametrize(
    "asked, answered, status, text",
    [
        (0.2, 0.3, OK, "none"),
        (-8.0, 9.0, OK, "none"),
        (1.9, 2.0, OK, "none"),
        (3.0, 3.1, OK, "2 s ahead of the master"),
        (-3.1, -3.0, OK, "3 s behind the master"),
        (101.0, 101.1, WARN, "100 s ahead of the master"),
        (-100.1, -100.0, WARN, "100 s behind the master"),
    ],
)
def test_differing_clocks_are_reported(asked, answered, status, text):
    line = skew(asked, answered)
    assert (line.status, line.text) == (status, text)
    assert ("timedatectl" in line.fix) == (status != OK)


@pytest.mark.parametrize("behind_s, status", [(30, WARN), (61, FAIL)])
def test_a_skew_that_spoils_certificates_is_a_failure_with_https(behind_s, status):
    assert skew(-behind_s, -behind_s, is_tls=True).status == status
    assert skew(-behind_s, -behind_s, is_tls=False).status == WARN


@pytest.mark.parametrize("header", [("Date: yesterday",), ("Date: Mon, 99 Jan 2020 00:00:00 GMT",)])
def test_an_answer_without_a_date_tells_nothing_of_the_clock(header):
    lines, _ = told_by([response("200 OK", {"ok": True}, header)] * 6 + [KNOWN])
    assert lines["clock skew"].status == OK and "not known" in lines["clock skew"].text


def test_a_proxy_is_named_and_asked(monkeypatch):
    with StandIn(healthy() + [KNOWN], keeps=True) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        lines = {line.name: line for line in master_lines("http://192.0.2.1:5000", None, 0, TOKEN)}
        requests = proxy.requests
    assert lines["address"].text == (
        "through the proxy %s, which the environment variable http_proxy names" % proxy.url.partition("://")[2]
    )
    assert (lines["master"].status, lines["token"].status) == (OK, OK)
    assert requests[0].startswith(b"GET http://192.0.2.1:5000/healthz ")


def test_a_proxy_that_does_not_respond_is_reported_with_a_fix(monkeypatch):
    url = unused_url()
    monkeypatch.setenv("http_proxy", url)
    line = master_lines("http://192.0.2.1:5000", None, 0, TOKEN)[-1]
    assert (line.name, line.status) == ("master", FAIL) and "refused" in line.text
    assert line.fix == (
        "the request went to the proxy %s, which the environment variable http_proxy names: unset it, "
        "or set no_proxy=192.0.2.1" % url.partition("://")[2]
    )


def test_an_invalid_proxy_is_reported(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy:many")
    (line,) = master_lines("http://192.0.2.1:5000", None, 0, TOKEN)
    assert (line.name, line.status) == ("proxy", FAIL) and "http_proxy must be http://host:port" in line.text


@pytest.mark.parametrize(
    "status, fix",
    [
        ("403 Forbidden", "a proxy on the way refuses"),
        ("502 Bad", "is the master"),
        ("407 Proxy", "wants a password"),
        ("418 Teapot", "--master_ip and --port"),
    ],
)
def test_a_response_of_another_server_is_reported_with_a_fix(status, fix):
    with StandIn([response(status, b"<html>")]) as stand_in:
        line = master_lines(stand_in.url, None, 0, TOKEN)[-1]
    assert (line.name, line.status) == ("master", FAIL) and fix in line.fix


# ---- The whole of it


def fault_free(tmp_path, **changes):
    return Surroundings(plant(tmp_path / "root", NANO), ON_NANO, WORKS)._replace(**changes)


def examined(tmp_path, here, url, *flags):
    project = tmp_path / "project"
    project.mkdir(exist_ok=True)
    return examine(arguments(url, *flags), str(project), here)


def with_token(tmp_path, text=TOKEN):
    (tmp_path / "token").write_text(text)
    return "--token_file", str(tmp_path / "token")


def test_a_nano_in_good_order_passes_every_check(tmp_path):
    with StandIn(healthy() + [KNOWN], keeps=True) as stand_in:
        lines = examined(tmp_path, fault_free(tmp_path), stand_in.url, *with_token(tmp_path))
    assert [line for line in lines if line.status != OK and line.name != "disk"] == []
    assert {
        "board",
        "memory",
        "swap",
        "sd card",
        "power mode",
        "power",
        "temperature",
        "clock",
        "disk",
        "folders",
        "python",
        "numpy",
        "packages",
        "tensorflow",
        "gpu",
        "gpu memory",
        "address",
        "master",
        "clock skew",
        "token",
    } == {line.name for line in lines}
    assert "1024 MB" in next(line.text for line in lines if line.name == "gpu memory")
    assert list((tmp_path / "project").iterdir()) == []


def test_three_faults_of_a_nano_are_found_each_with_its_fix(tmp_path):
    planted = dict(
        memory(4059424, 400000),
        **{
            "/var/lib/nvpmodel/status": "pmode:0001 fmode:fanNull\n",
            "/sys/devices/system/cpu/online": "0-1\n",
            "/proc/swaps": SWAPS_HEAD + ZRAM,
        },
    )
    here = fault_free(tmp_path, root=plant(tmp_path / "bad", NANO, planted))
    with StandIn(healthy() + [KNOWN], keeps=True) as stand_in:
        lines = examined(tmp_path, here, stand_in.url, *with_token(tmp_path))
    faults = {line.name: line for line in lines if line.status != OK and line.name != "disk"}
    assert sorted(faults) == ["gpu memory", "memory", "power mode", "swap"]  # the limit does not fit either
    assert "set-default multi-user.target" in faults["memory"].fix
    assert "nvpmodel -m 0" in faults["power mode"].fix
    assert "disable nvzramconfig" in faults["swap"].fix
    assert [name for name, line in faults.items() if line.status == FAIL] == ["memory"]


def test_a_numpy_that_dies_does_not_take_the_doctor_with_it(tmp_path):
    here = fault_free(
        tmp_path,
        interpreter=ON_NANO._replace(openblas=""),
        probe=Probe({"stage": "numpy"}, "Illegal instruction (SIGILL)", []),
    )
    lines = {line.name: line for line in examined(tmp_path, here, unused_url())}
    assert lines["numpy"].status == lines["tensorflow"].status == lines["master"].status == FAIL
    assert "OPENBLAS_CORETYPE=ARMV8" in lines["numpy"].fix and "OPENBLAS_CORETYPE=ARMV8" in lines["tensorflow"].fix


def test_the_doctor_is_read_without_importing_numpy():
    source = Path(doctor.__file__).read_text(encoding="utf-8")
    at_the_top = re.findall(r"(?m)^from \.\.?(\S*) import", source)
    assert set(name.split(".")[0] for name in at_the_top) == {"addresses", "device", "errors"}


def test_without_a_master_the_token_is_looked_for_all_the_same(tmp_path):
    lines = {line.name: line for line in examined(tmp_path, fault_free(tmp_path), unused_url(), *with_token(tmp_path))}
    assert lines["connection"].status == FAIL and "start_master.sh" in lines["connection"].fix
    assert lines["token"].status == OK and "not asked" in lines["token"].text


@pytest.mark.parametrize(
    "content, text",
    [(None, "has none"), ("two words", "must be a name and a token"), ("worker5 " + TOKEN, "no token of worker 0")],
)
def test_a_token_that_is_missing_or_none_is_a_failure(tmp_path, content, text):
    flags = with_token(tmp_path, content) if content is not None else ()
    line = examined(tmp_path, fault_free(tmp_path), unused_url(), *flags)[-1]
    assert (line.name, line.status) == ("token", FAIL)
    assert text in line.text and line.fix and TOKEN not in line.text + line.fix


def test_invalid_settings_are_a_failure(tmp_path):
    (tmp_path / "own.json").write_text('{"jetson_optimization": {"gpu_memory_limit_mb": "much"}}')
    line = examined(tmp_path, fault_free(tmp_path), unused_url(), "--config", str(tmp_path / "own.json"))[-1]
    assert (line.name, line.status) == ("settings", FAIL) and "gpu_memory_limit_mb" in line.text


def test_the_command_lines_gpu_limit_comes_first(tmp_path):
    (tmp_path / "own.json").write_text('{"jetson_optimization": {"gpu_memory_limit_mb": 512}}')
    own = ("--config", str(tmp_path / "own.json"))
    for flags, limit in ((own, "512 MB"), (own + ("--gpu_memory_limit_mb", "2900"), "2900 MB")):
        lines = {line.name: line for line in examined(tmp_path, fault_free(tmp_path), unused_url(), *flags)}
        assert limit in lines["gpu memory"].text


@pytest.mark.parametrize("tree", sorted(TREES))
def test_every_finding_that_is_not_ok_has_a_fix(tmp_path, tree):
    root = plant(tmp_path / "root", TREES[tree])
    broken = Probe({"stage": "start"}, "exit code 1", [])
    for here in (Surroundings(root, ON_NANO, WORKS), Surroundings(root, this_interpreter({}), broken)):
        lines = examined(tmp_path, here, unused_url())
        assert [line for line in lines if line.status != OK and not line.fix] == []
        assert any(line.status == FAIL for line in lines)


def test_the_tree_comes_from_the_environment_and_the_exit_code_counts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FLQ_SYSFS_ROOT", plant(tmp_path / "root", NANO, memory(4059424, 100000)))
    monkeypatch.setattr(doctor, "probe_tensorflow", lambda: WORKS)
    args = arguments(unused_url())
    args.json = True
    code = run(args, str(tmp_path))
    told = json.loads(capsys.readouterr().out)
    assert find_board(os.environ["FLQ_SYSFS_ROOT"]).model in told["lines"][0]["text"]
    failed = [line["name"] for line in told["lines"] if line["status"] == FAIL]
    assert failed == ["memory", "connection", "token"] and code == told["failures"] == 3


@pytest.mark.tf
def test_this_machine_can_be_a_worker(tmp_path, capsys):
    with StandIn(healthy() + [KNOWN], keeps=True) as stand_in:
        code = run(arguments(stand_in.url, *with_token(tmp_path)), str(tmp_path))
    out = capsys.readouterr().out
    assert code == 0, out
    assert re.search(r"(?m)^ok +tensorflow +\d", out) and re.search(r"(?m)^ok +token", out)
