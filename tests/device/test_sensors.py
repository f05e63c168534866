"""Load, memory, temperatures and throttling, on four machines and on broken ones."""

import os

import pytest
from trees import NANO, ORIN_NANO, PC, PI4, TREES, cooling, cpu_times, plant, zones

from flq.device.sensors import Sensors


def test_cpu_share_is_that_between_two_looks(tmp_path):
    sensors = Sensors(plant(tmp_path, NANO))
    plant(tmp_path, cpu_times(1030, 9010))
    assert sensors.cpu_share() == 0.75
    plant(tmp_path, cpu_times(1030, 9020))
    assert sensors.cpu_share() == 0.0


def test_cpu_share_is_unknown_while_no_tick_has_passed(tmp_path):
    assert Sensors(plant(tmp_path, NANO)).cpu_share() is None


def test_waiting_for_the_disk_is_idle(tmp_path):
    sensors = Sensors(plant(tmp_path, {"/proc/stat": "cpu 0 0 0 0 0 0 0 0 0 0\n"}))
    plant(tmp_path, {"/proc/stat": "cpu 10 0 10 0 80 0 0 0 0 0\n"})
    assert sensors.cpu_share() == pytest.approx(0.2)


@pytest.mark.parametrize("tree, share", [("nano", 0.45), ("orin", 0.998), ("pi", None), ("pc", None)])
def test_gpu_share_is_per_mille_in_either_place(tmp_path, tree, share):
    assert Sensors(plant(tmp_path, TREES[tree])).gpu_share() == share


def test_memory_in_use_is_the_unavailable_memory(tmp_path):
    assert Sensors(plant(tmp_path, NANO)).ram_mb() == ((4059424 - 2210000) // 1024, 3964)


def test_zones_have_short_names_and_the_constant_one_is_left_out(tmp_path):
    assert Sensors(plant(tmp_path, NANO)).temperatures() == {
        "AO": 41.0,
        "CPU": 36.5,
        "GPU": 34.0,
        "PLL": 34.5,
        "thermal-fan-est": 35.25,
    }


def test_a_sensor_that_is_off_is_left_out(tmp_path):
    assert sorted(Sensors(plant(tmp_path, ORIN_NANO)).temperatures()) == ["cpu", "gpu", "soc0", "tj"]


def test_zones_with_the_same_name_are_numbered(tmp_path):
    tree = zones(("acpitz", 20000), ("acpitz", 30000), ("acpitz", 40000))
    assert Sensors(plant(tmp_path, tree)).temperatures() == {"acpitz": 20.0, "acpitz2": 30.0, "acpitz3": 40.0}


def test_zones_are_found_where_there_is_no_class_folder(tmp_path):
    folder = "/sys/devices/virtual/thermal/thermal_zone0/"
    root = plant(tmp_path, {folder + "type": "CPU-therm\n", folder + "temp": "50000\n"})
    assert Sensors(root).temperatures() == {"CPU": 50.0}


def test_zones_with_unprintable_names_or_beyond_sixteen_are_left_out(tmp_path):
    tree = zones(*[("a\x1b[2J", 20000), ("b" * 33, 20000)] + [("z%d" % n, 20000) for n in range(40)])
    assert list(Sensors(plant(tmp_path, tree)).temperatures()) == ["z%d" % n for n in range(16)]


@pytest.mark.parametrize("tree, throttled", [("nano", False), ("orin", False), ("pi", False), ("pc", False)])
def test_a_machine_at_ease_is_not_throttled(tmp_path, tree, throttled):
    # The Nano's fan and voltage cap, the Orin's frequency cap and the Pi's past do not count.
    assert Sensors(plant(tmp_path, TREES[tree])).throttled() is throttled


@pytest.mark.parametrize(
    "tree, changes",
    [
        (NANO, cooling(("pwm-fan", 0), ("cpu-balanced", 1))),
        (ORIN_NANO, cooling(("gpu-throttle-alert", 1))),
        (PC, cooling(("Processor", 0), ("Processor", 3))),
        (PC, cooling(("thermal-cpufreq-0", 2))),
        (PI4, {"/sys/devices/platform/soc/soc:firmware/get_throttled": "50004\n"}),
    ],
    ids=["nano", "orin", "pc", "cpufreq", "pi"],
)
def test_throttling_is_seen(tmp_path, tree, changes):
    kept = {path: text for path, text in tree.items() if "cooling_device" not in path}
    assert Sensors(plant(tmp_path, kept, changes)).throttled() is True


def test_low_voltage_alone_is_no_throttling(tmp_path):
    changes = {"/sys/devices/platform/soc/soc:firmware/get_throttled": "1\n"}
    assert Sensors(plant(tmp_path, PI4, changes)).throttled() is False


def test_a_machine_without_sensors_has_no_values(tmp_path):
    sensors = Sensors(str(tmp_path))
    assert (sensors.cpu_share(), sensors.gpu_share(), sensors.ram_mb(), sensors.throttled()) == (None,) * 4
    assert sensors.temperatures() == {}


@pytest.mark.parametrize("text", ["", "\n", "many\n", "nan\n", "inf\n", "-1\n", "1e+400", "\xff\xfe", "5 ma\n"])
@pytest.mark.parametrize("tree", sorted(TREES))
def test_garbage_in_every_file_is_as_good_as_no_sensor(tmp_path, tree, text):
    sensors = Sensors(plant(tmp_path, {path: text for path in TREES[tree]}))
    assert (sensors.cpu_share(), sensors.gpu_share(), sensors.ram_mb()) == (None, None, None)
    assert sensors.temperatures() == {}
    assert sensors.throttled() is None


def test_folders_in_place_of_files_are_no_sensors(tmp_path):
    for path in NANO:
        os.makedirs(str(tmp_path / path.lstrip("/")))
    sensors = Sensors(str(tmp_path))
    assert (sensors.cpu_share(), sensors.gpu_share(), sensors.ram_mb(), sensors.throttled()) == (None,) * 4


def test_the_sensors_of_this_machine_are_plausible():
    sensors = Sensors()
    used, total = sensors.ram_mb()
    assert 0 < used < total
    share = sensors.cpu_share()
    assert share is None or 0 <= share <= 1
    assert all(0 <= value <= 150 for value in sensors.temperatures().values())
