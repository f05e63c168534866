"""Readers of the small files of /sys and /proc; they return None instead of raising."""

import math
import os
from typing import List, Optional

ROOT = "FLQ_SYSFS_ROOT"  # the environment may name a folder that stands for /
MOST_BYTES = 1 << 17  # of a file; what is read here stands at its beginning


def system_root() -> str:
    """Return the folder that stands for / when the device's files are read."""
    return os.environ.get(ROOT, "/")


def below(root: str, path: str) -> str:
    """Return an absolute path below the folder ``root``, which stands for /."""
    return os.path.join(root, path.lstrip("/"))


def text_of(path: str) -> Optional[str]:
    """Return what a file says, without the spaces and NUL bytes around it; None if it cannot be read.

    A file that is there may still refuse: a sensor that is switched off answers with an error.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read(MOST_BYTES).decode("utf-8", "replace").strip(" \t\r\n\0")
    except OSError:
        return None


def number_of(path: str) -> Optional[float]:
    """Return the number in a file; None if it cannot be read or is not finite."""
    text = text_of(path)
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def names_in(folder: str) -> List[str]:
    """Return the names in a folder in numeric order (zone2 before zone10); none if it cannot be read."""
    try:
        return sorted(os.listdir(folder), key=lambda name: (len(name), name))
    except OSError:
        return []
