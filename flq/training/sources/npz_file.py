"""Reads ``npz:FILE``: the arrays x_train, y_train and, if there is a test set, x_test, y_test.

Images have shape (n, height, width) or (n, height, width, channels); rows of features, shape
(n, n_features), become samples of shape (n_features, 1, 1), or of ``dataset.input_shape``.
uint8 means pixels up to 255; other numbers are not scaled. Labels are whole numbers from 0.
Without a test set a part is held out, see ``dataset.split_dataset``.
"""

import tokenize
import zipfile
import zlib
from typing import Dict, List, Tuple

import numpy as np

from ...core.settings import DatasetSettings, Settings
from ...errors import DataError
from ...reasons import reason_of
from .dataset import Dataset, Shape, as_labels, as_samples, check_classes, split_dataset
from .idx_files import Arrays

READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    OverflowError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
)  # the last four are raised by numpy for invalid headers


def look(path: str, section: DatasetSettings) -> Tuple[Shape, int]:
    """Return the shape of a sample and the number of classes, without reading the samples.

    Parameters
    ----------
    path : str
    section : DatasetSettings
        Its input_shape and n_classes, if given, take precedence.

    Raises
    ------
    DataError
        If the file is not of this format.
    """
    shape, n_classes = section.input_shape, section.n_classes
    if shape is None:
        declared = _declared_shape(path)
        if len(declared) not in (2, 3, 4):
            raise DataError("x_train in %s must have 2, 3 or 4 axes, got shape %s" % (path, declared))
        shape = declared[1:] + (1,) * (4 - len(declared))  # (d,) -> (d, 1, 1); (h, w) -> (h, w, 1)
    if n_classes is None:
        labels = _read(path, ["y_train"], ["y_test"])
        n_classes = check_classes(max(_largest(labels[name], name, path) for name in labels), None, path)
    return (shape[0], shape[1], shape[2]), n_classes


def load(path: str, settings: Settings) -> Dataset:
    """Read the file.

    Raises
    ------
    DataError
        If it is not of this format, or contradicts dataset.input_shape or n_classes.
    """
    arrays = _read(path, ["x_train", "y_train"], ["x_test", "y_test"])
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise DataError("%s has only one of x_test and y_test" % path, hint="give both, or neither")
    pairs = [
        (
            as_samples(arrays["x_" + part], settings.dataset.input_shape, "x_%s in %s" % (part, path)),
            as_labels(arrays["y_" + part], "y_%s in %s" % (part, path)),
        )
        for part in ("train", "test")
        if "x_" + part in arrays
    ]
    return split_dataset(settings, pairs[0][0], pairs[0][1], pairs[1] if len(pairs) == 2 else None, path)


def labels(path: str, section: DatasetSettings) -> np.ndarray:
    """Return the classes of all samples, including the test set, as int64 of shape (n,).

    Raises
    ------
    DataError
        As :func:`load`.
    """
    arrays = _read(path, ["y_train"], ["y_test"])
    return np.concatenate([as_labels(arrays[name], "%s in %s" % (name, path)) for name in sorted(arrays)])


def read_four(path: str) -> Arrays:
    """Return x_train, y_train, x_test and y_test, unchanged.

    Raises
    ------
    DataError
        If one is missing, or the file is damaged.
    """
    arrays = _read(path, ["x_train", "y_train", "x_test", "y_test"], [])
    return arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"]


def _read(path: str, needed: List[str], optional: List[str]) -> Dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name[: -len(".npy")] for name in archive.namelist() if name.endswith(".npy")]
            missing = [name for name in needed if name not in names]
            if missing:
                raise DataError(
                    "%s has no array %s; it has %s" % (path, " and ".join(missing), ", ".join(sorted(names)) or "none")
                )
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in needed + [name for name in optional if name in names]}
    except READ_ERRORS as error:
        raise _unreadable(path, error) from None
    for name, array in found.items():
        if not isinstance(array, np.ndarray):  # numpy returns the raw bytes of a member without header
            raise DataError("%s in %s is not an array: it has no .npy header" % (name, path))
    return found


def _declared_shape(path: str) -> Tuple[int, ...]:
    """Return the shape of x_train according to its header."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("x_train.npy") as member:
            version = np.lib.format.read_magic(member)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            return tuple(read_header(member)[0])
    except KeyError:
        raise DataError("%s has no array x_train" % path) from None
    except READ_ERRORS as error:
        raise _unreadable(path, error) from None


def _largest(labels: np.ndarray, name: str, path: str) -> int:
    classes = as_labels(labels, "%s in %s" % (name, path))
    return int(classes.max()) if classes.size else 0


def _unreadable(path: str, error: BaseException) -> DataError:
    reason = getattr(error, "strerror", None) or reason_of(error)
    return DataError("%s cannot be read as an .npz file: %s" % (path, reason))
