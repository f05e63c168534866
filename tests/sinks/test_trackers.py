"""Each tracker records the measurements of a run once, also after a resume."""

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys

import pytest
from factory import settings_with
from report_rows import a_round
from waits import WAIT_S

from flq.config_file import load_config
from flq.core.settings import public, to_json
from flq.errors import ConfigError
from flq.report.rows import RoundRow
from flq.sinks.messages import Began, Ended, Round, line_of
from flq.sinks.trackers import TRACKERS, check_installed
from flq.sinks.trackers.__main__ import CURVES, track, values_of

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SETTINGS = settings_with()
ENDED = Ended("done", False, False, [])


def rounds(first, last):
    return [
        Round(a_round(k, accuracy=k / 10, test_loss=None if k == 3 else 1 / k), {0: "uploaded"})
        for k in range(first, last + 1)
    ]


FIRST = [Began("run_7", SETTINGS, "", []), *rounds(1, 4)]  # then the master is killed
SECOND = [
    Began("run_7", SETTINGS, "", rounds(1, 4)),
    rounds(3, 3)[0]._replace(  # round 3 is tested after all
        row=a_round(3, accuracy=0.3, test_loss=1 / 3)
    ),
    *rounds(4, 6),
    ENDED,
]
LOSSES = {k: 1 / k for k in range(1, 7)}
ACCURACIES = {k: k / 10 for k in range(1, 7)}


class Ear:
    """A tracker that records its calls."""

    def __init__(self):
        self.told = []

    def begin(self, run_id, settings):
        self.told.append(("begin", run_id))

    def round(self, round_index, values):
        self.told.append((round_index, dict(values)))

    def end(self):
        self.told.append("end")


@pytest.fixture(params=sorted(TRACKERS))
def tracker(request):
    """Return the name of each tracker whose package is installed."""
    package = TRACKERS[request.param].package
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip("%s is not installed" % package)
    return request.param


def run(name, folder, *streams, by=()):
    """Track some streams, each in a process like the master's."""
    for messages in streams:
        done = subprocess.run(
            [*by, sys.executable, "-m", "flq.sinks.trackers", name, str(folder)],
            cwd=str(folder),
            input=b"".join(map(line_of, messages)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=PROJECT, HOME=str(folder)),
            timeout=4 * WAIT_S,
        )
        assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode()


def read_jsonl(folder):
    """Return the values of each round in a file; the last line counts."""
    lines = [json.loads(line) for line in (folder / "run_7.jsonl").read_text().splitlines()]
    assert lines[0] == {"run_id": "run_7", "settings": public(to_json(SETTINGS))}
    found = {}
    for line in lines[1:]:
        found.setdefault(line.pop("round"), {}).update(line)
    return found


def read_tensorboard(folder):
    """Return the values that TensorBoard would show, from the records of all files, oldest first."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found = {}
    for path in sorted((folder / "run_7").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.session_log.status == SessionLog.START:  # earlier records from that round on are void
                found = {k: values for k, values in found.items() if k < event.step}
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    of_round = found.setdefault(event.step, {})
                    assert value.tag not in of_round, "a point that is shown twice"
                    of_round[value.tag] = value.simple_value
    return found


READ_SWANLAB = """
import json, sys
from swanlab.proto.swanlab.record.v1.record_pb2 import Record
from swanlab.sdk.internal.core_python.store import DataStoreReader
reader = DataStoreReader()
reader.open(sys.argv[1])
records = [Record.FromString(data) for data in iter(reader.scan, None)]
reader.close()
scalars = [record.scalar for record in records if record.HasField("scalar")]
print(json.dumps([[scalar.step, scalar.key, scalar.value.number] for scalar in scalars]))
"""


def read_swanlab(folder):
    """Return the values in the newest folder, by SwanLab's own reader."""
    (path,) = sorted(folder.glob("run-*-run_7"))[-1].glob("*.swanlab")
    done = subprocess.run(
        [sys.executable, "-c", READ_SWANLAB, str(path)],
        stdout=subprocess.PIPE,
        check=True,
        env=dict(os.environ, HOME=str(folder)),
    )
    found = {}
    for step, key, number in json.loads(done.stdout):
        of_round = found.setdefault(step, {})
        assert key not in of_round, "a point that is shown twice"
        of_round[key] = number
    return found


READERS = {"jsonl": read_jsonl, "tensorboard": read_tensorboard, "swanlab": read_swanlab}


def test_a_tracker_gets_new_values_once():
    ear = Ear()
    track(ear, SECOND)
    assert ear.told[0] == ("begin", "run_7") and ear.told[-1] == "end"
    told = ear.told[1:-1]
    assert [k for k, _ in told] == [1, 2, 3, 4, 3, 5, 6]
    assert told[4] == (3, {"test/loss": 1 / 3})


def test_curves_are_fields_of_a_round_and_have_names_of_their_own():
    assert set(CURVES) <= set(RoundRow._fields) and len(set(CURVES.values())) == len(CURVES)
    assert values_of(a_round(1, accuracy=None))["roll-call/uploaded"] == 3.0
    assert "test/accuracy" not in values_of(a_round(1, accuracy=None))


def test_every_tracker_has_a_reader_here_and_is_in_the_settings():
    assert set(READERS) == set(TRACKERS), "READERS needs a function for each tracker, which reads back what it wrote"
    assert load_config(None, ["trackers=" + ", ".join(TRACKERS)]).report.trackers == tuple(TRACKERS)
    with pytest.raises(ConfigError, match="a list of any of jsonl, tensorboard, swanlab"):
        load_config(None, ["report.trackers=wandb"])


def test_each_round_is_shown_once_after_a_resume(tracker, tmp_path):
    run(tracker, tmp_path, FIRST, SECOND)
    found = READERS[tracker](tmp_path)
    assert {k: pytest.approx(values["test/loss"]) for k, values in found.items()} == LOSSES
    assert {k: pytest.approx(values["test/accuracy"]) for k, values in found.items()} == ACCURACIES
    assert all(values["wire/bytes_up"] == 1500.0 for values in found.values())


def test_nothing_leaves_the_machine(tracker, tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    run(tracker, tmp_path, SECOND, by=("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)))
    assert [line for line in trace.read_text().splitlines() if "AF_INET" in line] == []


def test_a_missing_package_is_one_sentence_before_the_start(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_installed(["jsonl"])
    with pytest.raises(ConfigError) as caught:
        check_installed(["jsonl", "swanlab"])
    assert str(caught.value) == (
        "report.trackers contains swanlab, but the package swanlab is not installed "
        "(pip install .[swanlab], or remove it from report.trackers)"
    )


def test_the_table_imports_none_of_the_packages():
    code = "import sys, flq.sinks.trackers; sys.exit(bool({'tensorboardX', 'swanlab'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
