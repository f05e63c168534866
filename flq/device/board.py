"""Detects the type of board and the version of NVIDIA's software on it."""

import platform
import re
from typing import NamedTuple, Optional, Tuple

from .files import below, text_of

# L4T -> JetPack; of other versions, only the major number is known.
# Source: jetson_stats, jtop/core/jetson_variables.py.
JETPACKS = {
    "32.4.3": "4.4",
    "32.4.4": "4.4.1",
    "32.5.0": "4.5",
    "32.5.1": "4.5.1",
    "32.5.2": "4.5.1",
    "32.6.1": "4.6",
    "32.7.1": "4.6.1",
    "32.7.2": "4.6.2",
    "32.7.3": "4.6.3",
    "32.7.4": "4.6.4",
    "32.7.5": "4.6.5",
    "32.7.6": "4.6.6",
    "34.1.0": "5.0",
    "34.1.1": "5.0.1",
    "35.1.0": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5.0": "5.1.3",
    "35.6.0": "5.1.4",
    "36.2.0": "6.0",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "39.2.0": "7.2",
}
GPU_MEMORY_MB_OF_A_NANO = 1024  # default limit; CPU and GPU share 4 GB
MAJORS = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}
# SoC or words of the model -> compute capability of the GPU. Source: the same file.
CAPABILITIES = (
    ("tegra210|jetson nano|jetson tx1", (5, 3)),
    ("tegra186|jetson tx2", (6, 2)),
    ("tegra194|xavier", (7, 2)),
    ("tegra234|orin", (8, 7)),
)


class Board(NamedTuple):
    """The type of a machine.

    Attributes
    ----------
    kind : str
        nano: the original Jetson Nano; jetson: any other Jetson; pi: a Raspberry Pi; pc: anything else.
    model : str
        Readable name.
    l4t, jetpack : str or None
        Versions of NVIDIA's software, such as 32.7.1 and 4.6.1; of an unknown JetPack, the major number.
    compute_capability : tuple of two int or None
        Of a Jetson's GPU.
    """

    kind: str
    model: str
    l4t: Optional[str] = None
    jetpack: Optional[str] = None
    compute_capability: Optional[Tuple[int, int]] = None


def find_board(root: str = "/") -> Board:
    """Return the board of this machine; ``root`` replaces /."""
    places = [below(root, path) for path in ("/proc/device-tree/model", "/sys/firmware/devicetree/base/model")]
    model = text_of(places[0]) or text_of(places[1])
    l4t = _l4t(text_of(below(root, "/etc/nv_tegra_release")) or "")
    if model is None and l4t is None:
        return Board("pc", _pc_model(root))
    words = "%s %s" % ((model or "").lower(), text_of(below(root, "/proc/device-tree/compatible")) or "")
    if l4t is None and "jetson" not in words:
        return Board("pi" if "raspberry pi" in words else "pc", model or "")
    capability = next((pair for pattern, pair in CAPABILITIES if re.search(pattern, words)), None)
    jetpack = None if l4t is None else JETPACKS.get(l4t, MAJORS.get(l4t.split(".")[0]))
    return Board("nano" if "jetson nano" in words else "jetson", model or "a Jetson", l4t, jetpack, capability)


def _l4t(release: str) -> Optional[str]:
    """Return 32.7.1 from the line ``# R32 (release), REVISION: 7.1, GCID: ...``."""
    found = re.search(r"R([0-9]{1,3}) \(release\), REVISION: ([0-9]{1,3}(?:\.[0-9]{1,3})*)", release)
    return "%s.%s" % found.groups() if found else None


def _pc_model(root: str) -> str:
    """Return a PC's model name from its firmware, or its architecture."""
    names = [text_of(below(root, "/sys/class/dmi/id/" + name)) for name in ("sys_vendor", "product_name")]
    return " ".join(name for name in names if name) or platform.machine()
