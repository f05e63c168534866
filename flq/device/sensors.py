"""Reads load, memory and temperature from /proc and /sys; values without a sensor are None or absent."""

import re
from typing import Dict, List, Optional, Tuple

from .files import below, names_in, number_of, text_of

GPU_LOADS = ("/sys/devices/gpu.0/load", "/sys/devices/platform/gpu.0/load")  # JetPack 4 and 5; 6 and later
PI_THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"
PI_NOW = 0b1110  # frequency capped, throttled, soft temperature limit; bits from 16 on describe the past
HOTTEST_C = 150.0  # a sensor above this is broken
MOST_NAMES, LONGEST_NAME = 16, 32


class Sensors:
    """The sensors of one machine.

    Parameters
    ----------
    root : str
        The folder that replaces /.
    """

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._cpu_times = self._read_cpu_times()

    def cpu_share(self) -> Optional[float]:
        """Return the load of all CPUs since the last call, or since the start: 0..1.

        Source: /proc/stat, proc(5): idle and iowait do not count as load; user time includes guest time.
        """
        before, self._cpu_times = self._cpu_times, self._read_cpu_times()
        if before is None or self._cpu_times is None:
            return None
        total, idle = (now - past for now, past in zip(self._cpu_times, before))
        return min(1.0, max(0.0, 1.0 - idle / total)) if total > 0 else None

    def gpu_share(self) -> Optional[float]:
        """Return the current load of a Jetson's GPU, 0..1; the file contains per mille."""
        for path in GPU_LOADS:
            load = number_of(below(self._root, path))
            if load is not None and 0 <= load <= 1000:
                return load / 1000.0
        return None

    def ram_mb(self) -> Optional[Tuple[int, int]]:
        """Return used and total main memory in MB (of 2^20 bytes)."""
        sizes = meminfo(self._root)
        if "MemTotal" not in sizes or "MemAvailable" not in sizes:
            return None
        return (sizes["MemTotal"] - sizes["MemAvailable"]) >> 10, sizes["MemTotal"] >> 10

    def temperatures(self) -> Dict[str, float]:
        """Return the temperature of each zone (CPU, GPU, AO, ...) in degrees Celsius.

        The zone PMIC is omitted, because it always reports 100 degrees. A sensor that is off reports a negative value.
        Source: jetson_stats, jtop/core/temperature.py.
        """
        found = {}  # type: Dict[str, float]
        for zone in self._thermal("thermal_zone"):
            name = text_of(zone + "/type")
            value = number_of(zone + "/temp")
            if not is_name(name) or name.upper().startswith("PMIC") or value is None:
                continue
            if 0 <= value <= HOTTEST_C * 1000 and len(found) < MOST_NAMES:
                found[_free_name(re.sub(r"[-_](therm|thermal|Die)$", "", name), found)] = value / 1000.0
        return found

    def throttled(self) -> Optional[bool]:
        """Return whether CPU or GPU are throttled now because of heat or power; None if unknown.

        On a Raspberry Pi, the firmware reports it. Elsewhere, those cooling devices of the kernel are read that slow a
        processor down: ``cpu-balanced`` and similar ones in the kernel of JetPack 4 (arch/arm/mach-tegra),
        ``cpu-throttle-alert`` and similar ones from JetPack 5 on, and those of cpufreq and devfreq. Fans are ignored,
        and so are the voltage caps of the Nano, which change with any temperature.

        Source: Raspberry Pi documentation of vcgencmd get_throttled (the file holds the same number,
        hexadecimal without 0x); Linux, Documentation/driver-api/thermal/sysfs-api.rst.
        """
        text = text_of(below(self._root, PI_THROTTLED))
        if text is not None and re.match("[0-9a-fA-F]{1,8}$", text):
            return bool(int(text, 16) & PI_NOW)
        states = {}  # type: Dict[str, float]
        for device in self._thermal("cooling_device"):
            kind, state = text_of(device + "/type"), number_of(device + "/cur_state")
            if kind and state is not None:
                states[kind] = max(state, states.get(kind, state))
        for pattern in (r".*-throttle-alert$", r".*-balanced$", r"(thermal-)?(cpufreq|devfreq)-|Processor$"):
            of_board = [state for kind, state in states.items() if re.match(pattern, kind)]
            if of_board:  # the board's own devices take precedence
                return any(state > 0 for state in of_board)
        return None

    def _thermal(self, kind: str) -> List[str]:
        """Return the folders of the thermal zones or of the cooling devices."""
        for folder in ("/sys/class/thermal", "/sys/devices/virtual/thermal"):
            path = below(self._root, folder)
            found = [path + "/" + name for name in names_in(path) if re.match(kind + "[0-9]+$", name)]
            if found:
                return found
        return []

    def _read_cpu_times(self) -> Optional[Tuple[int, int]]:
        """Return the total and the idle ticks of all CPUs so far."""
        words = (text_of(below(self._root, "/proc/stat")) or "").split("\n")[0].split()
        ticks = [int(word) for word in words[1:9] if word.isdigit()]
        return (sum(ticks), sum(ticks[3:5])) if words[:1] == ["cpu"] and len(ticks) >= 5 else None


def meminfo(root: str) -> Dict[str, int]:
    """Return the sizes in /proc/meminfo, in kB."""
    lines = (text_of(below(root, "/proc/meminfo")) or "").splitlines()
    found = (re.match(r"([A-Za-z]+):\s+([0-9]{1,15}) kB", line) for line in lines)
    return {match.group(1): int(match.group(2)) for match in found if match}


def is_name(text: Optional[str]) -> bool:
    """Return whether the name of a zone or rail is valid: short and printable ASCII."""
    return bool(text) and len(text) <= LONGEST_NAME and all(" " <= letter <= "~" for letter in text)


def _free_name(name: str, taken: Dict[str, float]) -> str:
    """Return the name, with a number appended if it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = "%s%d" % (name, number)
    return free
