"""Device reports of workers: in /status, in the workbook, over restarts, and rejected ones."""

import json

import pytest
from local_master import HttpWorker

from flq.master.records.devices import DeviceCounts, Devices
from flq.protocol.events import Heartbeat
from flq.run_end import Stage

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
REPORT = {
    "life": "0123abcd",
    "cpu": 0.25,
    "temperature_c": 41.5,
    "peak_c": 50.0,
    "energy_j": 100.0,
    "samples": 1000,
    "rails_w": {"POM_5V_IN": 2.5},
}


def report(**changes):
    return dict(REPORT, **changes)


def test_energy_and_samples_count_from_the_first_report_of_a_process_on():
    devices = Devices()
    assert devices.counts(3) == DeviceCounts() and devices.status(3) is None
    devices.take(3, report())
    assert devices.counts(3) == DeviceCounts(0.0, 0, 41.5)  # the higher temperature was before the run
    devices.take(3, report(energy_j=130.0, samples=1600, peak_c=61.0))
    assert devices.counts(3) == DeviceCounts(30.0, 600, 61.0)


def test_the_processes_of_a_worker_add_up():
    devices = Devices()
    for energy_j in (100.0, 130.0):
        devices.take(0, report(energy_j=energy_j))
    for energy_j, samples in ((2.0, 0), (7.0, 64)):
        devices.take(0, report(life="99999999", energy_j=energy_j, samples=samples, peak_c=40.0))
    assert devices.counts(0) == DeviceCounts(35.0, 64, 41.5)


def test_a_device_without_a_sensor_has_no_energy_rather_than_none():
    devices = Devices()
    devices.take(0, {"life": "0123abcd", "cpu": 0.5})
    devices.take(0, {"life": "9123abcd", "cpu": 0.5})
    assert devices.counts(0) == DeviceCounts(None, None, None)


def test_a_sensor_that_comes_later_counts_from_then_on():
    devices = Devices()
    devices.take(0, {"life": "0123abcd"})
    for energy_j in (40.0, 45.0):
        devices.take(0, {"life": "0123abcd", "energy_j": energy_j})
    assert devices.counts(0).energy_j == 5.0


def test_another_process_of_the_master_continues_the_sums():
    devices, other, now = Devices(), Devices(lambda: 5.0), report(energy_j=150.0)
    devices.take(1, report())
    devices.take(1, now)
    other.resume(json.loads(json.dumps(devices.to_json())))
    assert other.counts(1) == devices.counts(1)
    assert other.status(1)["age_s"] is None  # which is not known any more
    other.take(1, report(energy_j=170.0))
    assert other.counts(1).energy_j == 70.0 and other.status(1)["age_s"] == 0.0


def joined(master):
    """Let two workers join; return them, before they train."""
    workers = [HttpWorker(master, worker_id, waits=False) for worker_id in range(2)]
    for _ in range(3):
        for worker in workers:
            worker.step()
    return workers


def beat(master, worker, device):
    body = json.dumps({"worker_id": worker.worker_id, "epoch": worker.machine.epoch, "device": device})
    return master.send("POST", "/heartbeat", body)


def test_the_status_shows_the_last_report_and_the_sums_of_the_run(make_master):
    master = make_master(*RUN)
    first, second = joined(master)
    assert beat(master, first, report())[0] == 200
    assert beat(master, first, report(energy_j=104.0, samples=1500, throttled=True))[0] == 200
    master.run.loop.ask(lambda ticket: Heartbeat(ticket, 0, first.machine.epoch))  # the status is made after an event
    shown = master.status()["worker_status"]["0"]["device"]
    assert shown.pop("age_s") < 20.0
    assert shown == {
        "cpu": 0.25,
        "temperature_c": 41.5,
        "peak_c": 41.5,
        "energy_j": 4.0,
        "samples": 500,
        "throttled": True,
        "rails_w": {"POM_5V_IN": 2.5},
    }
    assert master.status()["worker_status"]["1"]["device"] is None


@pytest.mark.parametrize(
    "device",
    [
        [],
        {},
        report(cpu=2.0),
        report(life="x"),
        report(energy_j=-1),
        report(energy_j="many"),
        report(nonsense=1),
        report(rails_w={"x" * 99: 1.0}),
        report(samples=1.5),
        report(throttled=1),
        report(problem="a\nb"),
    ],
    ids=repr,
)
def test_an_invalid_report_is_rejected_and_not_kept(make_master, device):
    master = make_master(*RUN)
    first, _ = joined(master)
    code, _, body = beat(master, first, device)
    assert code == 422 and "device report" in json.loads(body)["detail"]
    assert master.run.counts.devices.status(0) is None


def test_a_report_outside_of_a_training_renews_no_lease_and_a_bad_one_within_does(make_master):
    master = make_master(*RUN, "system.lease_s=200")
    first, _ = joined(master)
    member = master.machine.members[0]
    until = member.lease_until
    body = {"worker_id": 0, "epoch": 1, "device": report(), "renews": False}
    assert master.send("POST", "/heartbeat", json.dumps(body))[0] == 200
    assert member.lease_until == until and master.run.counts.devices.status(0)["cpu"] == 0.25
    assert beat(master, first, report(cpu=9.0))[0] == 422
    assert member.lease_until > until
    assert master.send("POST", "/heartbeat", json.dumps(dict(body, renews=1)))[0] == 422


def test_a_report_of_an_absent_worker_is_not_kept(make_master):
    master = make_master(*RUN)
    first, _ = joined(master)
    code, _, _ = master.send("POST", "/heartbeat", json.dumps({"worker_id": 0, "epoch": 9, "device": report()}))
    assert code == 409 and master.run.counts.devices.status(0) is None


def test_the_workbook_has_the_energy_of_those_that_tell_it_and_empty_cells_for_the_others(make_master):
    master = make_master(*RUN)
    workers = joined(master)
    beat(master, workers[0], report())
    beat(master, workers[0], report(energy_j=160.0, samples=3000))
    while any([worker.step() for worker in workers]):
        pass
    assert master.run.ending.wait(Stage.SAVED, 20.0)
    one, other = master.table("Workers")
    assert (one["energy (J)"], one["energy per round (J)"], one["energy per 1,000 samples (J)"]) == (60.0, 20.0, 30.0)
    assert one["highest temperature (°C)"] == 41.5
    assert other["energy (J)"] is other["energy per round (J)"] is other["highest temperature (°C)"] is None
    assert master.summary()["energy of 1 of 2 workers (J)"] == 60.0


def test_without_reports_the_workbook_has_no_energy(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    assert not any("energy" in str(title) or "temperature" in str(title) for title in master.sheets()["Workers"][0])
    assert not any("energy" in label for label in master.summary())
