"""The small files of /sys and /proc: what can not be read is None, and nothing raises."""

import math
import os
from typing import List, Optional

ROOT = "FLQ_SYSFS_ROOT"  # the environment may name a folder that stands for /
MOST_BYTES = 1 << 17  # of a file; what is read here stands at its beginning


def system_root() -> str:
    """Return the folder in which the programs look for the device's files."""
    return os.environ.get(ROOT, "/")


def below(root: str, path: str) -> str:
    """Return where an absolute path lies if the folder ``root`` stands for /."""
    return os.path.join(root, path.lstrip("/"))


def text_of(path: str) -> Optional[str]:
    """Return what a file says, without the spaces and NUL bytes around it; None if it can not be read.

    A file that is there may still refuse: a sensor that is switched off answers with an error.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read(MOST_BYTES).decode("utf-8", "replace").strip(" \t\r\n\0")
    except OSError:
        return None


def number_of(path: str) -> Optional[float]:
    """Return the number that a file holds, None if it can not be read or holds none that is finite."""
    text = text_of(path)
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def names_in(folder: str) -> List[str]:
    """Return the names in a folder in order, thermal_zone2 before thermal_zone10; none if it can not be read."""
    try:
        return sorted(os.listdir(folder), key=lambda name: (len(name), name))
    except OSError:
        return []
