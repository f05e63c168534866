"""Energy, peak temperature and current readings, with a simulated clock."""

import json
import threading
import time

import pytest
from trees import INA_4, NANO, ORIN_NANO, PC, PI4, TREES, cpu_times, plant, zones

from flq.device.report import checked
from flq.device.telemetry import Telemetry


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def at_power(tmp_path, milliwatts):
    plant(tmp_path, {INA_4 + "in_power0_input": milliwatts if milliwatts is None else "%d\n" % milliwatts})


@pytest.fixture
def clock():
    return Clock()


def test_energy_is_the_area_under_the_power(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    for second, milliwatts in enumerate((2000, 4000, 4000, 1000)):
        at_power(tmp_path, milliwatts)
        telemetry.take(100.0 + second)
    clock.now = 103.0
    assert telemetry.report()["energy_j"] == 3 + 4 + 2.5


def test_a_gap_adds_no_energy_and_is_reported(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    at_power(tmp_path, 3000)
    for now in (100.0, 102.0, 104.5, 105.5):
        telemetry.take(now)
    clock.now = 105.5
    report = telemetry.report()
    assert (report["energy_j"], report["uncovered_s"]) == (9.0, 2.5)


def test_without_gaps_none_are_reported(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    telemetry.take(99.0)
    assert "uncovered_s" not in telemetry.report()


def test_a_rail_that_fails_for_a_moment_is_bridged(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    for now, milliwatts in ((100.0, 2000), (101.0, None), (102.0, 2000)):
        at_power(tmp_path, milliwatts)
        telemetry.take(now)
    clock.now = 102.0
    assert telemetry.report()["energy_j"] == 4.0


def test_power_that_is_unreadable_now_is_omitted(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    telemetry.take(100.0)
    at_power(tmp_path, None)
    clock.now = 101.0
    report = telemetry.report()
    assert "power_w" not in report and report["energy_j"] == 0.0


def test_looks_out_of_order_count_no_time_twice(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    at_power(tmp_path, 1000)
    for now in (100.0, 101.0, 100.5, 101.0, 102.0):
        telemetry.take(now)
    clock.now = 102.0
    assert telemetry.report()["energy_j"] == 2.0


def test_the_peak_is_kept_when_it_cools_down(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO, zones(("AO-therm", 71200))), clock)
    telemetry.take(100.0)
    plant(tmp_path, zones(("AO-therm", 40000)))
    report = telemetry.report()
    assert (report["temperature_c"], report["peak_c"]) == (40.0, 71.2)


def test_temperatures_are_looked_at_once_a_second(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    telemetry.take(100.0)
    plant(tmp_path, zones(("AO-therm", 90000)))
    telemetry.take(100.9)
    plant(tmp_path, zones(("AO-therm", 50000)))
    telemetry.take(101.0)
    assert telemetry.report()["peak_c"] == 50.0


def test_the_report_of_a_nano_has_everything(tmp_path, clock):
    telemetry = Telemetry(plant(tmp_path, NANO), clock, "shelf 2,\ttop\u202e")
    plant(tmp_path, cpu_times(1300, 9700))
    assert telemetry.report(samples=12000, problem="out of memory\ntwice") == {
        "name": "shelf 2, top",
        "life": telemetry.life,
        "cpu": 0.3,
        "gpu": 0.45,
        "ram_mb": 1806,
        "ram_total_mb": 3964,
        "temperature_c": 41.0,
        "peak_c": 41.0,
        "throttled": False,
        "power_w": 3.19,
        "rails_w": {"POM_5V_IN": 3.19, "POM_5V_GPU": 0.45, "POM_5V_CPU": 0.61},
        "energy_j": 0.0,
        "samples": 12000,
        "problem": "out of memory twice",
    }


@pytest.mark.parametrize(
    "tree, absent",
    [
        (NANO, {"name", "uncovered_s", "samples", "problem"}),
        (ORIN_NANO, {"name", "uncovered_s", "samples", "problem"}),
        (PI4, {"gpu", "power_w", "rails_w", "energy_j"}),
        (PC, {"gpu", "power_w", "rails_w", "energy_j"}),
        (
            {},
            {
                "cpu",
                "gpu",
                "ram_mb",
                "ram_total_mb",
                "temperature_c",
                "peak_c",
                "throttled",
                "power_w",
                "rails_w",
                "energy_j",
            },
        ),
    ],
    ids=["nano", "orin", "pi", "pc", "nothing"],
)
def test_values_without_a_sensor_are_omitted_and_never_zero(tmp_path, tree, absent):
    assert not absent & set(Telemetry(plant(tmp_path, tree)).report())


@pytest.mark.parametrize("tree", sorted(TREES))
def test_every_report_is_one_that_the_master_takes(tmp_path, tree):
    telemetry = Telemetry(plant(tmp_path, TREES[tree]))
    text = json.dumps(telemetry.report(samples=1, problem="x" * 500), separators=(",", ":"))
    assert checked(json.loads(text))["samples"] == 1
    assert len(text) < 600


def test_a_report_of_this_machine_is_one_that_the_master_takes():
    report = Telemetry().report()
    assert checked(json.loads(json.dumps(report))) == report


def test_each_process_has_another_life():
    assert len({Telemetry().life for _ in range(20)}) == 20


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "telemetry"]


def test_a_machine_without_a_power_rail_gets_no_thread(tmp_path):
    telemetry = Telemetry(plant(tmp_path, PC))
    telemetry.start()
    assert threads() == []
    telemetry.close()


def test_the_thread_looks_by_itself_until_it_is_closed(tmp_path):
    looked = threading.Event()
    telemetry = Telemetry(plant(tmp_path, NANO))
    telemetry.take = lambda now: looked.set()
    telemetry.start()
    telemetry.start()
    assert len(threads()) == 1
    assert looked.wait(20)
    telemetry.close()
    assert threads() == []
    telemetry.close()


def test_the_thread_measures_energy_on_its_own(tmp_path):
    times, enough = [], threading.Event()

    def clock():
        times.append(time.monotonic())
        if len(times) == 3:
            enough.set()
        return times[-1]

    telemetry = Telemetry(plant(tmp_path, NANO), clock)
    telemetry.start()
    assert enough.wait(20)
    telemetry.close()
    report = telemetry.report()
    covered_s = times[-1] - times[0] - report.get("uncovered_s", 0.0)
    assert report["energy_j"] == pytest.approx(3.187 * covered_s, abs=0.5) and covered_s > 0
