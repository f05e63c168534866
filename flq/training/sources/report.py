"""The report of a worker's data that travels with its registration, and its checksum.

Example
-------
>>> labels = np.array([0, 1, 1])
>>> "%08x" % checksum_of(labels, labels[:1], (7,), None)
'8b478b91'
"""

import zlib
from typing import Optional, Sequence

import numpy as np

from ...core.data_report import MOST_CLASSES, MOST_OF_A_DTYPE, DataReport, first_names
from ...errors import one_line
from .seen import Seen


def checksum_of(
    y_train: np.ndarray, y_test: np.ndarray, shape: Sequence[int], class_names: Optional[Sequence[str]]
) -> int:
    """Return the CRC32 of labels, sizes and names; it does not depend on numpy, byte order or Python.

    Parameters
    ----------
    y_train, y_test : ndarray of shape (n,), int64
    shape : sequence of int
        Of a sample as it is stored.
    class_names : sequence of str, or None
    """
    head = "%d %d %s" % (len(y_train), len(y_test), " ".join(str(int(axis)) for axis in shape))
    crc = zlib.crc32("\n".join([head] + list(class_names or ())).encode("utf-8", "backslashreplace"))
    for labels in (y_train, y_test):
        crc = zlib.crc32(np.ascontiguousarray(labels, "<i8").tobytes(), crc)
    return crc & 0xFFFFFFFF


def report_of(seen: Seen) -> DataReport:
    """Return the report of a data set, from what a reader found in it."""
    names = None if seen.class_names is None else [one_line(name) for name in seen.class_names]
    return DataReport(
        seen.n_samples - seen.n_test,
        seen.n_test,
        tuple(int(axis) for axis in seen.shape[:4]),
        seen.dtype[:MOST_OF_A_DTYPE],
        seen.lowest,
        seen.highest,
        len(seen.class_counts),
        first_names(names),
        seen.class_counts[:MOST_CLASSES],
        seen.checksum,
        seen.scale,
        seen.auto_scale,
        _columns_of(seen),
    )


def _columns_of(seen: Seen) -> int:
    """Return the CRC32 of the names of the features; 0 if a heading does not name them."""
    if not any("'" in name for name in seen.columns):
        return 0
    return zlib.crc32("\n".join(seen.columns).encode("utf-8", "backslashreplace")) & 0xFFFFFFFF
