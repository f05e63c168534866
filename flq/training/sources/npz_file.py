"""Reads ``npz:FILE``: the arrays x_train, y_train and, if there is a test set, x_test, y_test.

Images have shape (n, height, width) or (n, height, width, channels), with ``dataset.channels_first``
(n, channels, height, width); rows of features, shape (n, n_features), become samples of shape
(n_features, 1, 1), or of ``dataset.input_shape``. ``scaling`` says by what values are divided.
Labels are whole numbers from 0, or texts, which are numbered in sorted order (not with partition
local). Without a test set a part is held out, see ``dataset.split_dataset``.
"""

import tokenize
import zipfile
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core.settings import DatasetSettings, Settings
from ...errors import DataError
from ...reasons import reason_of
from .channels import channel_notes
from .dataset import Dataset, Seen, Source, as_labels, as_samples, check_classes, shape_of_samples, split_dataset
from .idx_files import Arrays
from .labels import check_names, classes_of
from .scaling import choose_scale
from .seen import listed

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

USED = ("x_train", "y_train", "x_test", "y_test")


class Header(NamedTuple):
    """What an array's header declares; empty if it has none that can be read."""

    shape: Tuple[int, ...]
    dtype: Any


def look(path: str, section: DatasetSettings) -> Source:
    """Return shape, classes and scale; read the samples only if their range decides the scale.

    Parameters
    ----------
    path : str
    section : DatasetSettings
        Its input_shape, n_classes and scale, if given, take precedence.

    Raises
    ------
    DataError
        If the file is not of this format.
    """
    headers = _headers(path, ["x_train"])
    header, where = headers["x_train"], "x_train in %s" % path
    if header is None:
        raise DataError("%s is not an array: it has no .npy header" % where)
    shape = shape_of_samples(header.shape, section, where)
    if section.n_classes is None or header is None:
        found, names = _labels(_read(path, ["y_train"], ["y_test"]), section, path)
        limits = [int(value) for part in found if part.size for value in (part.min(), part.max())] or [0]
        n_classes = check_classes(min(limits), max(limits), None, path)
    else:
        n_classes, names = section.n_classes, None
    return Source(shape, n_classes, names, _scale(path, section, header))


def load(path: str, settings: Settings) -> Dataset:
    """Read the file.

    Raises
    ------
    DataError
        If it is not of this format, or contradicts dataset.input_shape or n_classes.
    """
    section = settings.dataset
    arrays = _read(path, ["x_train", "y_train"], ["x_test", "y_test"])
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise DataError("%s has only one of x_test and y_test" % path, hint="give both, or neither")
    x_train = arrays["x_train"]
    x = [
        as_samples(arrays[name], section, "%s in %s" % (name, path)) for name in ("x_train", "x_test") if name in arrays
    ]
    y, names = _labels(arrays, section, path)
    others = [_described(item) for item in sorted(_headers(path, []).items()) if item[0] not in USED]
    seen = Seen(
        "npz",
        path,
        shape=x_train.shape[1:] if x_train.ndim == 2 else _stored(x_train, section),
        dtype=x_train.dtype.name,
        class_names=names,
        notes=("%s also has %s, which FLQ does not use" % (path, listed(others)),) if others else (),
    )
    seen = seen._replace(notes=seen.notes + channel_notes(seen.shape, path))
    return split_dataset(settings, x[0], y[0], (x[1], y[1]) if len(x) == 2 else None, seen)


def labels(path: str, section: DatasetSettings) -> np.ndarray:
    """Return the classes of all samples, including the test set, as int64 of shape (n,).

    Raises
    ------
    DataError
        As :func:`load`.
    """
    return np.concatenate(_labels(_read(path, ["y_train"], ["y_test"]), section, path)[0])


def read_four(path: str) -> Arrays:
    """Return x_train, y_train, x_test and y_test, unchanged.

    Raises
    ------
    DataError
        If one is missing, or the file is damaged.
    """
    arrays = _read(path, list(USED), [])
    return arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"]


def _stored(x: np.ndarray, section: DatasetSettings) -> Tuple[int, ...]:
    """Return the shape of an image as it is stored, with channels last."""
    return x.shape[2:] + (x.shape[1],) if x.ndim == 4 and section.channels_first else x.shape[1:]


def _scale(path: str, section: DatasetSettings, header: Header) -> Optional[float]:
    """Return the scale that :func:`load` will choose; None with partition local."""
    if section.scale is not None or section.partition == "local":
        return section.scale
    dtype = np.dtype(header.dtype)
    if dtype.kind == "b" or len(header.shape) == 2 and dtype != np.uint8:
        return 1.0
    x = _read(path, ["x_train"], ["x_test"])
    parts = [as_samples(x[name], section, "%s in %s" % (name, path)) for name in sorted(x)]
    seen = Seen(
        "npz",
        path,
        shape=tuple(header.shape[1:]),
        dtype=dtype.name,
        lowest=min(float(part.min()) for part in parts),
        highest=max(float(part.max()) for part in parts),
    )
    return choose_scale(seen, section).scale


def _labels(
    arrays: Dict[str, np.ndarray], section: DatasetSettings, path: str
) -> Tuple[List[np.ndarray], Optional[Tuple[str, ...]]]:
    """Return the classes of y_train and, if there is one, y_test, and the names of the classes, if any."""
    names = [name for name in ("y_train", "y_test") if name in arrays]
    parts = [arrays[name] for name in names]
    if not any(part.dtype.kind in "US" for part in parts):
        return [as_labels(part, "%s in %s" % (name, path)) for name, part in zip(names, parts)], None
    places: List[str] = []
    texts: List[str] = []
    for name, part in zip(names, parts):
        if part.ndim != 1 and part.shape[1:] != (1,) or part.dtype.kind not in "US":
            raise DataError(
                "%s in %s must be texts of shape (n,)%s, got dtype %s of shape %s"
                % (name, path, " as the other labels are" if len(parts) > 1 else "", part.dtype, part.shape)
            )
        places += ["%s[%d]" % (name, i) for i in range(len(part))]
        texts += [_text(label, places[len(texts) + i], path).strip() for i, label in enumerate(part.ravel().tolist())]
    classes, class_names = classes_of(texts, path, places.__getitem__)
    if class_names is not None:
        check_names(class_names, section, path)
    return np.split(classes, np.cumsum([len(part) for part in parts])[:-1]), class_names


def _text(label: Any, place: str, path: str) -> str:
    try:
        return label.decode("utf-8") if isinstance(label, bytes) else str(label)
    except UnicodeDecodeError:
        raise DataError(
            "%s in %s is no text in UTF-8: %.60r" % (place, path, label),
            hint="save texts: y = np.char.decode(y, 'latin-1'), or the encoding that they have",
        ) from None


def _read(path: str, needed: List[str], optional: List[str]) -> Dict[str, np.ndarray]:
    headers = _headers(path, needed)
    names = needed + [name for name in optional if name in headers]
    for name in names:
        header = headers[name]
        if header is not None and header.dtype == np.dtype(object):
            raise DataError(
                "%s cannot be read as an .npz file: Object arrays are not read, and %s is one" % (path, name),
                hint="save numbers or texts: %s.astype(%s)" % (name, "str" if name[0] == "y" else "'float32'"),
            )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in names}
    except READ_ERRORS as error:
        raise _unreadable(path, error) from None
    for name, array in found.items():
        if not isinstance(array, np.ndarray):  # numpy returns the raw bytes of a member without header
            raise DataError("%s in %s is not an array: it has no .npy header" % (name, path))
    return found


def _headers(path: str, needed: List[str]) -> Dict[str, Optional[Header]]:
    """Return the header of each array by name, None if it cannot be read; raise DataError if a name is missing."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            headers = {name[: -len(".npy")]: _header(archive, name) for name in members}
    except READ_ERRORS as error:
        raise _unreadable(path, error) from None
    missing = [name for name in needed if name not in headers]
    if missing:
        there = [_described(item) for item in sorted(headers.items())]
        words = " and ".join(missing)
        raise DataError(
            "%s has no array %s; it has %s" % (path, words, listed(there, 12) or "none"),
            hint="save %s under the name%s %s: np.savez(FILE, x_train=..., y_train=...)"
            % ("it" if len(missing) == 1 else "them", "s" if len(missing) > 1 else "", words),
        )
    return headers


def _header(archive: zipfile.ZipFile, member: str) -> Optional[Header]:
    try:
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(stream)
            return Header(tuple(shape), dtype)
    except READ_ERRORS:
        return None


def _described(item: Tuple[str, Optional[Header]]) -> str:
    """Return an array in words, such as "images (600, 28, 28) uint8"."""
    name, header = item
    return name if header is None else "%s %s %s" % (name, header.shape, header.dtype)


def _unreadable(path: str, error: BaseException) -> DataError:
    reason = getattr(error, "strerror", None) or reason_of(error)
    return DataError("%s cannot be read as an .npz file: %s" % (path, reason))
