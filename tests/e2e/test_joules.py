"""A worker on a board with a power sensor, beside one without: what the master shows and records."""

import os
import sys

import pytest
from cluster import ask, end_well, stop

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "device"))
from trees import NANO, PC, plant  # noqa: E402

RUN = (
    "dataset.name=digits",
    "model.name=quadratic",
    "model.lr=0.01",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=1000000",
    "telemetry_s=0.2",
)


@pytest.fixture
def shown(cluster, tmp_path, monkeypatch):
    """Return the status once the board has reported energy, and the master after the end."""
    master = cluster.master(*RUN)
    workers = []
    for worker_id, tree in enumerate((NANO, PC)):
        monkeypatch.setenv("FLQ_SYSFS_ROOT", plant(tmp_path / ("root%d" % worker_id), tree))
        workers.append(cluster.worker(worker_id, master.port))
    master.wait_for(r"round=2/")
    status = {}
    for _ in range(600):  # each asks for the status of a master that makes rounds all the while
        status = ask(master, "/status")["worker_status"]
        if all(row["device"] for row in status.values()) and status["0"]["device"].get("energy_j", 0) > 1.0:
            break
        master.wait_for(r"round=\d+/", after=master.n_lines)
    stop(master)
    end_well(master, workers)
    return status, master


def test_watts_and_degrees_are_in_the_status_and_joules_in_the_workbook(shown):
    status, master = shown
    board, machine = status["0"]["device"], status["1"]["device"]
    assert board["power_w"] == board["rails_w"]["POM_5V_IN"] > 1.0
    assert board["gpu"] == 0.45 and board["temperature_c"] <= board["peak_c"] < 97.0 and board["throttled"] is False
    assert board["energy_j"] > 1.0 and board["samples"] > 0
    assert not {"power_w", "rails_w", "energy_j", "gpu"} & set(machine)
    one, other = master.table("Workers")
    assert one["energy (J)"] >= board["energy_j"]
    assert one["energy per round (J)"] == pytest.approx(one["energy (J)"] / one["rounds answered"])
    assert one["highest temperature (°C)"] == board["peak_c"]
    assert other["energy (J)"] is None and other["energy per round (J)"] is None
