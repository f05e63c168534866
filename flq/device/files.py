"""Reads small files of /sys and /proc; returns None instead of raising."""

import math
import os
from typing import List, Optional

ROOT = "FLQ_SYSFS_ROOT"  # environment variable: a folder that replaces /, for tests
MOST_BYTES = 1 << 17  # read from the beginning of a file


def system_root() -> str:
    """Return the folder that replaces / for the device's files."""
    return os.environ.get(ROOT, "/")


def below(root: str, path: str) -> str:
    """Return an absolute path, with ``root`` in place of /."""
    return os.path.join(root, path.lstrip("/"))


def text_of(path: str) -> Optional[str]:
    """Return the text of a file, without surrounding spaces and NUL bytes; None if it cannot be read.

    Even an existing file may be unreadable: a sensor that is switched off returns an error.
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
    """Return the names in a folder in numeric order (zone2 before zone10); empty if it cannot be read."""
    try:
        return sorted(os.listdir(folder), key=lambda name: (len(name), name))
    except OSError:
        return []
