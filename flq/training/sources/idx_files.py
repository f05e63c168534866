"""Reads the four files of MNIST and Fashion-MNIST, in IDX format, plain or gzipped.

IDX: two zero bytes, a type (8 = unsigned byte), the number of axes, their lengths as
big-endian uint32, the values. Source: http://yann.lecun.com/exdb/mnist/, "file formats".
"""

import gzip
import os
import struct
import zlib
from typing import Optional, Tuple

import numpy as np

from ...errors import DataError

Arrays = Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x_train, y_train, x_test, y_test

IMAGE_AXES, LABEL_AXES = 3, 1
FILES = (
    ("train-images-idx3-ubyte", IMAGE_AXES),
    ("train-labels-idx1-ubyte", LABEL_AXES),
    ("t10k-images-idx3-ubyte", IMAGE_AXES),
    ("t10k-labels-idx1-ubyte", LABEL_AXES),
)
UNSIGNED_BYTE = 8
MAX_VALUES = 1 << 32


def read_folder(folder: str) -> Optional[Arrays]:
    """Read the four files of a folder; return None if it has none of them.

    Returns
    -------
    tuple of ndarray, uint8
        Images (n, height, width) and labels (n,) for training and test; read-only.

    Raises
    ------
    DataError
        If some of them are missing, or one is damaged.
    """
    paths = [_plain_or_gzipped(os.path.join(folder, name)) for name, _ in FILES]
    missing = [name for (name, _), path in zip(FILES, paths) if path is None]
    if len(missing) == len(FILES):
        return None
    if missing:
        raise DataError("the folder %s lacks %s, plain or with .gz" % (folder, " and ".join(missing)))
    x_train, y_train, x_test, y_test = [read_idx(str(path), n_axes) for path, (_, n_axes) in zip(paths, FILES)]
    return x_train, y_train, x_test, y_test


def read_idx(path: str, n_axes: int) -> np.ndarray:
    """Read one file of unsigned bytes, gzipped if its name ends in .gz.

    Raises
    ------
    DataError
        If it is not such a file, or its length is wrong.
    """
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as stream:
            header = stream.read(4 + 4 * n_axes)
            if len(header) < 4 + 4 * n_axes or header[:4] != bytes((0, 0, UNSIGNED_BYTE, n_axes)):
                raise DataError("%s is not an IDX file of unsigned bytes with %d axes" % (path, n_axes))
            shape = struct.unpack(">%dI" % n_axes, header[4:])
            n_values = 1
            for length in shape:
                n_values *= length
            if n_values > MAX_VALUES:
                raise DataError("%s declares %d values, at most %d are allowed" % (path, n_values, MAX_VALUES))
            values = stream.read(n_values + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("%s cannot be read: %s" % (path, getattr(error, "strerror", None) or error)) from None
    if len(values) != n_values:
        raise DataError(
            "%s should hold %d values, it holds %s"
            % (path, n_values, "more" if len(values) > n_values else str(len(values)))
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def _plain_or_gzipped(path: str) -> Optional[str]:
    return next((candidate for candidate in (path, path + ".gz") if os.path.isfile(candidate)), None)
