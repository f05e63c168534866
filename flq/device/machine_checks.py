"""Checks of the machine: board, memory, swap, power mode, rails, temperature, clock."""

import time
from typing import List, Optional, Tuple

from .board import Board
from .checks import FAIL, OK, WARN, Line
from .files import below, text_of
from .power import WHOLE, Rails
from .sensors import Sensors, meminfo

NEEDED_MB = 700  # TensorFlow alone takes 640 MB on aarch64, without a model
COMFORTABLE_MB = 1500
SMALL_MB = 9000  # of main memory: with less, swap is needed for peaks
HOT_C = 80.0  # a Jetson is throttled a few degrees above this
EARLIEST_YEAR, LATEST_YEAR = 2025, 2100  # plausible years; FLQ did not exist earlier
DOCS = "docs/jetson.md"


def machine_lines(root: str, board: Board) -> List[Line]:
    """Return the findings on the machine; ``root`` replaces /."""
    return [
        board_line(board),
        memory_line(root),
        swap_line(root, board),
        power_line(root, board),
        rails_line(root),
        temperature_line(root),
        clock_line(time.gmtime().tm_year),
    ]


def board_line(board: Board) -> Line:
    """Report the board, and check that NVIDIA's software on it is recent enough."""
    words = [board.model]
    if board.l4t is not None:
        words.append("L4T %s" % board.l4t)
    if board.jetpack is not None:
        words.append("JetPack %s" % board.jetpack)
    if board.compute_capability is not None:
        words.append("compute capability %d.%d" % board.compute_capability)
    text = ", ".join(words)
    if board.kind in ("nano", "jetson") and board.l4t is None:
        return Line(
            WARN,
            "board",
            text + "; /etc/nv_tegra_release is missing, so its L4T is unknown",
            "in a container, mount that file read-only",
        )
    if board.kind == "nano" and tuple(map(int, board.l4t.split("."))) < (32, 7):
        return Line(
            WARN,
            "board",
            text + ": NVIDIA's TensorFlow 2.7 needs JetPack 4.6.1 or newer",
            "write a newer JetPack 4.6 image to the SD card (%s)" % DOCS,
        )
    return Line(OK, "board", text)


def memory_line(root: str) -> Line:
    """Compare the free memory with the needs of TensorFlow."""
    sizes = meminfo(root)
    if "MemAvailable" not in sizes or "MemTotal" not in sizes:
        return Line(OK, "memory", "unknown: /proc/meminfo does not list it")
    free, total = sizes["MemAvailable"] >> 10, sizes["MemTotal"] >> 10
    text = "%d of %d MB are free" % (free, total)
    fix = "end other programs; on a board, boot without the desktop: sudo systemctl set-default multi-user.target"
    if free < NEEDED_MB:
        return Line(FAIL, "memory", "%s; TensorFlow alone needs %d" % (text, NEEDED_MB), fix)
    if free < COMFORTABLE_MB:
        return Line(WARN, "memory", "%s; %d are recommended" % (text, COMFORTABLE_MB), fix)
    return Line(OK, "memory", text)


def gpu_memory_line(root: str, board: Board, limit_mb: Optional[int]) -> Line:
    """Compare the GPU memory limit with the free main memory, which a Jetson's GPU shares."""
    sizes = meminfo(root)
    if limit_mb is None:
        return Line(OK, "gpu memory", "no limit is set")
    text = "the limit is %d MB" % limit_mb
    if board.kind in ("nano", "jetson") and limit_mb > sizes.get("MemAvailable", limit_mb << 10) >> 10:
        free = sizes["MemAvailable"] >> 10
        return Line(
            WARN,
            "gpu memory",
            "%s, but only %d MB are free, and the GPU shares them; TensorFlow would silently get less" % (text, free),
            "free memory, or lower the limit: --gpu_memory_limit_mb %d" % max(free // 2, 1),
        )
    return Line(OK, "gpu memory", text)


def swap_line(root: str, board: Board) -> Line:
    """Report the swap areas; on a Nano, zram takes memory that the GPU needs."""
    swaps = swap_areas(root)
    if swaps is None:
        return Line(OK, "swap", "unknown: /proc/swaps cannot be read")
    zram_mb = sum(kb for path, _, kb in swaps if path.startswith("/dev/zram")) >> 10
    text = "%d MB" % (sum(kb for _, _, kb in swaps) >> 10) if swaps else "none"
    if zram_mb and board.kind == "nano":
        return Line(
            WARN,
            "swap",
            "%d MB of zram, which takes memory that the GPU needs" % zram_mb,
            "create a swap file on a USB disk, then: sudo systemctl disable nvzramconfig, and reboot",
        )
    if not swaps and meminfo(root).get("MemTotal", 0) >> 10 < SMALL_MB:
        return Line(
            WARN,
            "swap",
            "none: a memory peak would end the program",
            "create a swap file; on a board, on a USB disk and not on the SD card (%s)" % DOCS,
        )
    return Line(OK, "swap", text + (" (%d MB of it zram)" % zram_mb if zram_mb else ""))


def swap_areas(root: str) -> Optional[List[Tuple[str, str, int]]]:
    """Return path, type and kB of each swap area; None if unknown."""
    text = text_of(below(root, "/proc/swaps"))
    if text is None:
        return None
    rows = [line.split() for line in text.splitlines()[1:]]
    return [(row[0], row[1], int(row[2])) for row in rows if len(row) >= 3 and row[2].isdigit()]


def power_line(root: str, board: Board) -> Line:
    """Report the power mode of a Jetson, and whether it turns CPUs off."""
    online = _count(text_of(below(root, "/sys/devices/system/cpu/online")))
    present = _count(text_of(below(root, "/sys/devices/system/cpu/present")))
    if online is None or present is None:
        return Line(OK, "power mode", "unknown: the system does not list its CPUs")
    text = "%d of %d CPUs are on" % (online, present)
    if board.kind not in ("nano", "jetson"):
        return Line(OK, "power mode", text)
    status = text_of(below(root, "/var/lib/nvpmodel/status")) or ""  # such as pmode:0001 fmode:cool
    digits = status.partition("pmode:")[2][:4]
    mode = int(digits) if digits.isdigit() else None
    if mode is not None:
        text = "power mode %d, %s" % (mode, text)
    if board.kind == "nano" and (mode == 1 or online < present):
        return Line(
            WARN,
            "power mode",
            text + ": that is the 5 W mode",
            "sudo nvpmodel -m 0 (10 W: the power supply must deliver 4 A through the barrel jack)",
        )
    if online < present:
        return Line(WARN, "power mode", text, "sudo nvpmodel -q shows the mode, sudo nvpmodel -m N changes it")
    return Line(OK, "power mode", text)


def rails_line(root: str) -> Line:
    """Report the power of the rails; without a rail for the whole board, energy is not measured."""
    powers = Rails(root).powers_w()
    rails = ", ".join("%s %.2f W" % item for item in powers.items())
    if not any(name in powers for name in WHOLE):
        return Line(OK, "power", (rails or "no sensor") + ": energy is not measured")
    return Line(OK, "power", rails)


def temperature_line(root: str) -> Line:
    """Report the hottest zone, and whether CPU or GPU are throttled."""
    sensors = Sensors(root)
    temperatures, throttled = sensors.temperatures(), sensors.throttled()
    zone = max(temperatures, key=lambda name: temperatures[name], default=None)
    text = "no sensor" if zone is None else "%s is at %.1f degrees C" % (zone, temperatures[zone])
    if throttled:
        return Line(
            WARN,
            "temperature",
            text + "; CPU or GPU are throttled now",
            "add a fan or a larger heat sink; on a Raspberry Pi, use a power supply with a stable voltage",
        )
    if zone is not None and temperatures[zone] >= HOT_C:
        return Line(WARN, "temperature", text + "; throttling is near", "add a fan or a larger heat sink")
    return Line(OK, "temperature", text)


def clock_line(year: int) -> Line:
    """Report whether the clock is plausible; most boards have no clock battery."""
    if EARLIEST_YEAR <= year <= LATEST_YEAR:
        return Line(OK, "clock", "the year is %d" % year)
    return Line(
        FAIL,
        "clock",
        "the clock is at the year %d, so certificates appear invalid" % year,
        "sudo timedatectl set-ntp true, or without internet: sudo date -s 'YYYY-MM-DD HH:MM'",
    )


def _count(text: Optional[str]) -> Optional[int]:
    """Return the number of entries in a list such as 0-1,3."""
    try:
        ends = [[int(end) for end in part.split("-")] for part in (text or "").split(",")]
    except ValueError:
        return None
    return sum(part[-1] - part[0] + 1 for part in ends)
