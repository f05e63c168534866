"""Problems of a machine are found in its tree of files, and reported with a fix."""

import pytest
from trees import NANO, ORIN_NANO, PC, PI4, SWAPS_HEAD, TREES, ZRAM, cooling, memory, plant, zones

from flq.device.board import find_board
from flq.device.checks import FAIL, OK, WARN
from flq.device.machine_checks import clock_line, gpu_memory_line, machine_lines


def findings(tmp_path, tree, changes):
    """Return the findings on a tree, by name."""
    root = plant(tmp_path, tree, changes)
    return {line.name: line for line in machine_lines(root, find_board(root))}


@pytest.mark.parametrize("tree", sorted(TREES))
def test_a_machine_in_good_order_gives_no_warning(tmp_path, tree):
    root = plant(tmp_path, TREES[tree])
    assert [line for line in machine_lines(root, find_board(root)) if line.status != OK] == []


@pytest.mark.parametrize(
    "tree, changes, name, status, text, fix",
    [
        (
            NANO,
            {"/etc/nv_tegra_release": "# R32 (release), REVISION: 6.1, GCID: 1"},
            "board",
            WARN,
            "4.6.1 or newer",
            "SD card",
        ),
        (NANO, {"/etc/nv_tegra_release": None}, "board", WARN, "nv_tegra_release is missing", "container"),
        (NANO, memory(4059424, 600000), "memory", FAIL, "585 of 3964 MB", "multi-user.target"),
        (NANO, memory(4059424, 1200000), "memory", WARN, "1171 of 3964 MB", "multi-user.target"),
        (NANO, {"/proc/swaps": SWAPS_HEAD + ZRAM}, "swap", WARN, "1978 MB of zram", "disable nvzramconfig"),
        (PI4, {"/proc/swaps": SWAPS_HEAD}, "swap", WARN, "none", "swap file"),
        (
            NANO,
            {"/var/lib/nvpmodel/status": "pmode:0001 fmode:fanNull\n", "/sys/devices/system/cpu/online": "0-1\n"},
            "power mode",
            WARN,
            "power mode 1, 2 of 4 CPUs",
            "nvpmodel -m 0",
        ),
        (
            NANO,
            {"/var/lib/nvpmodel/status": None, "/sys/devices/system/cpu/online": "0,3\n"},
            "power mode",
            WARN,
            "2 of 4 CPUs",
            "nvpmodel -m 0",
        ),
        (
            ORIN_NANO,
            {"/sys/devices/system/cpu/online": "0-3\n"},
            "power mode",
            WARN,
            "power mode 2, 4 of 6 CPUs",
            "nvpmodel -q",
        ),
        (NANO, zones(("AO-therm", 91000)), "temperature", WARN, "AO is at 91.0", "fan"),
        (NANO, cooling(("cpu-balanced", 2)), "temperature", WARN, "throttled now", "fan"),
        (
            PI4,
            {"/sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n"},
            "temperature",
            WARN,
            "throttled now",
            "power supply",
        ),
    ],
)
def test_problems_are_reported_with_a_fix(tmp_path, tree, changes, name, status, text, fix):
    found = findings(tmp_path, tree, changes)
    assert found[name].status == status
    assert text in found[name].text and fix in found[name].fix
    assert [line.name for line in found.values() if line.status != OK] == [name]


@pytest.mark.parametrize("year, status", [(1970, FAIL), (2024, FAIL), (2025, OK), (2031, OK), (2106, FAIL)])
def test_an_implausible_clock_fails(year, status):
    line = clock_line(year)
    assert line.status == status and str(year) in line.text
    assert ("timedatectl" in line.fix) == (status == FAIL)


@pytest.mark.parametrize(
    "tree, text",
    [(NANO, "POM_5V_IN 3.19 W, POM_5V_GPU 0.45 W, POM_5V_CPU 0.61 W"), (PC, "no sensor: energy is not measured")],
)
def test_the_rails_are_reported(tmp_path, tree, text):
    assert findings(tmp_path, tree, {})["power"].text == text


def test_zram_is_no_fault_where_the_memory_is_large(tmp_path):
    assert findings(tmp_path, ORIN_NANO, {})["swap"].text == "622 MB (622 MB of it zram)"


def test_a_large_pc_needs_no_swap(tmp_path):
    assert findings(tmp_path, PC, {"/proc/swaps": SWAPS_HEAD})["swap"].status == OK


def test_a_machine_that_tells_nothing_is_not_at_fault(tmp_path):
    root = str(tmp_path)
    assert {line.status for line in machine_lines(root, find_board(root))} == {OK}


@pytest.mark.parametrize(
    "tree, limit_mb, status",
    [(NANO, 1024, OK), (NANO, 2158, OK), (NANO, 2159, WARN), (NANO, None, OK), (PC, 10**6, OK)],
)
def test_a_gpu_limit_beyond_the_free_memory_is_reported_if_memory_is_shared(tmp_path, tree, limit_mb, status):
    root = plant(tmp_path, tree)
    line = gpu_memory_line(root, find_board(root), limit_mb)
    assert line.status == status
    assert ("--gpu_memory_limit_mb 1079" in line.fix) == (status == WARN)
