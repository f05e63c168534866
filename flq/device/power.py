"""Reads the electric power of each rail from the INA3221 chips of a Jetson."""

import os
import re
from typing import Dict, List, NamedTuple, Optional

from .files import below, names_in, number_of, text_of
from .sensors import MOST_NAMES, is_name

DRIVERS = "/sys/bus/i2c/drivers"
WHOLE = ("POM_5V_IN", "VDD_IN")  # the module's input, which feeds the other rails
NOT_CONNECTED = re.compile(r"(^|[^A-Za-z])NC([^A-Za-z]|$)")
SHUNT_SUM = "7"  # the hwmon channel that is a sum, not a rail


class Rail(NamedTuple):
    """One rail: a file with its power in mW, or two with mV and mA."""

    name: str
    files: List[str]

    def power_w(self) -> Optional[float]:
        """Return the present power in W; None if it cannot be read."""
        values = [number_of(path) for path in self.files]
        if any(value is None or value < 0 for value in values):
            return None
        return values[0] / 1e3 if len(values) == 1 else values[0] * values[1] / 1e6


class Rails:
    """The rails of one machine, found once at the start.

    Parameters
    ----------
    root : str
        The folder that replaces /.

    Notes
    -----
    JetPack 4 has .../ina3221x/6-0040/iio:device0 with rail_name_N and in_powerN_input (mW);
    JetPack 5 and later .../ina3221/1-0040/hwmon/hwmonX with inN_label, inN_input (mV) and
    currN_input (mA). The numbers of the rails differ between boards, so rails are identified by name.
    Source: jetson_stats, jtop/core/power.py.
    """

    def __init__(self, root: str = "/") -> None:
        found = {}  # type: Dict[str, Rail]
        drivers = below(root, DRIVERS)
        for driver in names_in(drivers):
            if not driver.startswith("ina3221"):
                continue
            for chip in names_in(os.path.join(drivers, driver)):
                for rail in _rails_of(os.path.join(drivers, driver, chip)):
                    if is_name(rail.name) and not NOT_CONNECTED.search(rail.name) and len(found) < MOST_NAMES:
                        found.setdefault(rail.name, rail)
        self._rails = list(found.values())
        self._whole = next((found[name] for name in WHOLE if name in found), None)

    @property
    def measures_whole(self) -> bool:
        """Whether there is a rail for the whole board."""
        return self._whole is not None

    def total_w(self) -> Optional[float]:
        """Return the power of the whole board in W, from its own rail, because rails overlap."""
        return self._whole.power_w() if self._whole is not None else None

    def powers_w(self) -> Dict[str, float]:
        """Return the power of each readable rail in W, by name."""
        powers = [(rail.name, rail.power_w()) for rail in self._rails]
        return {name: power for name, power in powers if power is not None}


def _rails_of(chip: str) -> List[Rail]:
    """Return the rails of one chip, for either driver."""
    rails = []
    for device in names_in(chip):
        folder = os.path.join(chip, device)
        if device.startswith("iio:device"):
            for name in names_in(folder):
                number = name[len("rail_name_") :]
                if name.startswith("rail_name_") and number.isdigit():
                    rails.append(
                        Rail(
                            text_of(os.path.join(folder, name)) or "",
                            [os.path.join(folder, "in_power%s_input" % number)],
                        )
                    )
        elif device == "hwmon":
            for monitor in names_in(folder):
                rails += _hwmon_rails(os.path.join(folder, monitor))
    return rails


def _hwmon_rails(folder: str) -> List[Rail]:
    rails = []
    for name in names_in(folder):
        found = re.match("in([0-9]+)_label$", name)
        if found and found.group(1) != SHUNT_SUM:
            files = [os.path.join(folder, form % found.group(1)) for form in ("in%s_input", "curr%s_input")]
            rails.append(Rail(text_of(os.path.join(folder, name)) or "", files))
    return rails
