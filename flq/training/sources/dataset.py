"""Dataset, made of arrays from a file; checks their shapes, values and classes.

Example
-------
>>> from flq.core.settings import DatasetSettings
>>> settings = Settings(dataset=DatasetSettings(name="npz:toy.npz", test_fraction=0.25))
>>> x, y = as_samples(np.arange(200, dtype=np.uint8).reshape(8, 5, 5), settings.dataset, "toy"), np.arange(8) % 2
>>> toy = split_dataset(settings, x, y, None, Seen("npz", "toy", shape=(5, 5), dtype="uint8"))
>>> toy.input_shape, toy.n_classes, len(toy.x_train), len(toy.x_test), toy.scale
((5, 5, 1), 2, 6, 2, 255.0)
>>> sentence(toy.seen)
'toy: 8 images of 5 x 5, 2 classes; uint8 values 0 to 199, divided by 255'
"""

from typing import NamedTuple, Optional, Tuple

import numpy as np

from ...core import rng
from ...core.settings import DatasetSettings, Settings
from ...errors import DataError
from .channels import channels_last, shape_with_channels, to_channels
from .labels import MAX_CLASSES, name_warnings
from .report import checksum_of
from .scaling import choose_scale
from .seen import Seen, class_warnings, counted, listed, on_one_line, plain, sentence

UNLIKE = 8.0  # ratio of the largest values of training and test samples from which it is no chance
NOT_ROUNDING = 0.05  # part of the largest value from which negative values are no ringing of a filter

__all__ = ["Dataset", "Seen", "Shape", "Source", "as_labels", "as_samples", "sentence", "split_dataset"]

Shape = Tuple[int, int, int]  # height, width, channels


class Source(NamedTuple):
    """What a model needs to know of a data set.

    Attributes
    ----------
    input_shape : tuple of 3 int
    n_classes : int
    class_names : tuple of str, or None
        None if the classes have numbers only, or only settings were read.
    scale : float, or None
        The value that means 1.0; None if it was not determined.
    """

    input_shape: Shape
    n_classes: int
    class_names: Optional[Tuple[str, ...]] = None
    scale: Optional[float] = None


class Dataset(NamedTuple):
    """Images, or rows of features, with classes.

    Attributes
    ----------
    x_train, x_test : ndarray of shape (n, height, width, channels), uint8 or float32
        As stored: a model gets float32(x) / float32(scale). May be read-only.
    y_train, y_test : ndarray of shape (n,), int64
        Classes 0..n_classes-1.
    scale : float
        The value that means 1.0: 255 for most images, 16 for the digits, 1 for features.
    n_classes : int
    name : str
        ``dataset.name``.
    seen : Seen, or None
        What the reader found. None is filled in by ``datasets.load_dataset``.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    scale: float
    n_classes: int
    name: str
    seen: Optional[Seen] = None

    @property
    def input_shape(self) -> Shape:
        """Shape of one image: (height, width, channels)."""
        return self.x_train.shape[1:]

    @property
    def class_names(self) -> Optional[Tuple[str, ...]]:
        """Names of the classes, in order; None if they have numbers only."""
        return None if self.seen is None else self.seen.class_names


def shape_of_samples(shape: Tuple[int, ...], section: DatasetSettings, where: str) -> Shape:
    """Return the shape of the samples that :func:`as_samples` makes of an array of a shape.

    Raises
    ------
    DataError
        As :func:`as_samples`.
    """
    if len(shape) not in (2, 3, 4):
        raise DataError(
            "%s must have shape (n, height, width, channels), (n, height, width) or (n, features), got %s"
            % (where, shape)
        )
    if 0 in shape:
        raise DataError("%s has no values, its shape is %s" % (where, shape))
    if len(shape) != 4 and section.channels_first and section.name.startswith("npz:"):
        raise DataError(
            "dataset.channels_first is true, but %s has no channels, its shape is %s" % (where, shape),
            hint="leave it out",
        )
    given = section.input_shape
    if len(shape) == 2:
        fits = given is not None and int(np.prod(given)) == shape[1]
        if section.channels is not None and not (fits and given[2] == section.channels):
            raise DataError(
                "dataset.channels converts images, but %s has rows of features" % where,
                hint="set dataset.channels to null",
            )
        found = tuple(given) if fits else (shape[1], 1, 1)
    else:
        stored = channels_last(shape, section, where)[1:]
        found = shape_with_channels(stored if len(stored) == 3 else stored + (1,), section, where)
    if given is not None and found != tuple(given):
        is_first = len(shape) == 4 and tuple(given) == shape[2:] + (shape[1],)
        hint = "set dataset.channels_first=true" if is_first else ""
        if found[:2] == tuple(given[:2]) and given[2] in (1, 3):
            hint = "to mix gray and color images, set dataset.channels=%d" % given[2]
        raise DataError(
            "%s has samples of shape %s, but dataset.input_shape is %s" % (where, list(found), list(given)), hint=hint
        )
    return found[0], found[1], found[2]


def as_samples(values: np.ndarray, section: DatasetSettings, where: str) -> np.ndarray:
    """Return the samples as (n, height, width, channels), uint8 or float32, without a copy where possible.

    Parameters
    ----------
    values : ndarray of shape (n, height, width, channels), (n, height, width) or (n, n_features)
        uint8 is kept; other numbers become float32, unscaled. Features become images of
        ``input_shape``, or of shape (n_features, 1, 1) if that is None or does not fit.
    section : DatasetSettings
        Uses input_shape, channels_first and channels.
    where : str
        For errors, such as "x_train in toy.npz".

    Raises
    ------
    DataError
        If there are no samples, they are not finite numbers, or they have another shape.
    """
    shape = shape_of_samples(values.shape, section, where)
    if values.dtype.kind not in "iufb":
        raise DataError("%s must be numbers, got dtype %s" % (where, values.dtype))
    if values.ndim == 4 and section.channels_first:
        values = values.transpose(0, 2, 3, 1)
    if values.ndim == 2:
        values = values.reshape((len(values),) + shape)
    else:
        values = to_channels(values if values.ndim == 4 else values[..., np.newaxis], section.channels, where)
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    with np.errstate(over="ignore"):  # values beyond float32 are rejected below
        samples = np.ascontiguousarray(values, np.float32)
    bad = np.flatnonzero(~np.isfinite(samples).reshape(len(samples), -1).all(axis=1))
    if bad.size:
        raise DataError("%s must be finite numbers within float32, sample %d is not" % (where, bad[0]))
    return samples


def as_labels(values: np.ndarray, where: str) -> np.ndarray:
    """Return labels, whole numbers >= 0 of shape (n,) or (n, 1), as int64 of shape (n,).

    Raises
    ------
    DataError
        If they are anything else.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise DataError(
            "%s must be whole numbers of shape (n,), got dtype %s of shape %s" % (where, values.dtype, values.shape),
            hint=_other_labels(values),
        )
    fractions = np.flatnonzero(~(values == np.floor(values))) if values.dtype.kind == "f" else values[:0]
    if fractions.size:
        raise DataError(
            "%s must be whole numbers, got %s in place %d" % (where, values[fractions[0]], fractions[0]),
            hint="number the classes 0, 1, 2, ...",
        )
    if values.size and not 0 <= values.min() <= values.max() < MAX_CLASSES:
        raise DataError(
            "%s must be classes in 0..%d, got %s..%s" % (where, MAX_CLASSES - 1, values.min(), values.max()),
            hint="number the classes 0, 1, 2, ...",
        )
    return values.astype(np.int64)


def _other_labels(values: np.ndarray) -> str:
    """Return what to do about labels that are not of shape (n,)."""
    if values.ndim != 2:
        return "number the classes 0, 1, 2, ..."
    return "save them as y.ravel()" if len(values) == 1 else "save one-hot rows as numbers: y.argmax(axis=1)"


def split_dataset(
    settings: Settings, x: np.ndarray, y: np.ndarray, test: Optional[Tuple[np.ndarray, np.ndarray]], seen: Seen
) -> Dataset:
    """Return a data set of samples and labels; without a test part, hold out ``dataset.test_fraction``.

    The held-out part is drawn from ``system.seed`` and has at least one sample. The number of
    classes is ``dataset.n_classes`` or, if that is null, one more than the largest label.

    Parameters
    ----------
    settings : Settings
        Uses dataset.name, n_classes, test_fraction, scale, partition, system.seed.
    x, y, test
        As returned by :func:`as_samples` and :func:`as_labels`; ``test`` is such a pair, or None.
    seen : Seen
        What the reader found; counts, range and scale are filled in here.

    Raises
    ------
    DataError
        If numbers or shapes disagree, labels are too large, or there is only one class.
    """
    section, where = settings.dataset, seen.path
    _check_pair(x, y, where, "")
    if test is None:
        train_part, test_part = held_back(len(x), section.test_fraction, settings.system.seed, where)
        x_train, y_train, x_test, y_test = x[train_part], y[train_part], x[test_part], y[test_part]
    else:
        (x_train, y_train), (x_test, y_test) = (x, y), test
        _check_pair(x_test, y_test, where, "test ")
        if x_test.shape[1:] != x.shape[1:] or x_test.dtype != x.dtype:
            raise DataError(
                "%s: test samples are %s of shape %s, training samples %s of shape %s"
                % (where, x_test.dtype, list(x_test.shape[1:]), x.dtype, list(x.shape[1:]))
            )
    lowest, largest = min(y_train.min(), y_test.min()), max(y_train.max(), y_test.max())
    n_classes = check_classes(lowest, largest, section.n_classes, where)
    if test is not None:
        seen = seen._replace(warnings=seen.warnings + _odd_test(x_train, x_test, where))
    seen = completed(seen._replace(is_held_out=test is None), (x_train, x_test), (y_train, y_test), n_classes, section)
    return Dataset(x_train, y_train, x_test, y_test, seen.scale, n_classes, section.name, seen)


def completed(
    seen: Seen,
    x: Tuple[np.ndarray, np.ndarray],
    y: Tuple[np.ndarray, np.ndarray],
    n_classes: int,
    section: DatasetSettings,
    known_scale: Optional[float] = None,
) -> Seen:
    """Return what a reader found with counts, range, scale, checksum and warnings.

    Parameters
    ----------
    seen : Seen
    x, y : tuple of 2 ndarray
        Samples and classes, of training and test.
    n_classes : int
    section : DatasetSettings
        Uses scale and partition.
    known_scale : float or None
        As ``known`` of :func:`choose_scale`.
    """
    names, where = seen.class_names, seen.path
    n_train, n_test = [np.bincount(part, minlength=n_classes) for part in y]
    parts = [part for part in x if part.size]
    seen = seen._replace(
        n_samples=len(y[0]) + len(y[1]),
        n_test=len(y[1]),
        lowest=min(float(part.min()) for part in parts),
        highest=max(float(part.max()) for part in parts),
        class_counts=tuple((n_train + n_test).tolist()),
    )
    if seen.is_rows:
        seen = _with_columns(seen, *x)
    if not seen.is_held_out and section.test_fraction != DatasetSettings().test_fraction:
        seen = seen._replace(notes=seen.notes + ("dataset.test_fraction has no effect: %s has a test set" % where,))
    choice = choose_scale(seen, section, known_scale)
    odd = name_warnings(names, where)
    if section.partition != "local":
        odd += class_warnings(seen.class_counts, n_test.tolist(), names, where)
    seen = seen._replace(
        scale=choice.scale,
        auto_scale=choose_scale(seen, section._replace(scale=None), known_scale).scale,
        checksum=checksum_of(y[0], y[1], seen.shape, names),
        divided=choice.divided,
        warnings=seen.warnings + tuple(odd + choice.warnings),
    )
    return on_one_line(seen)


def _odd_test(x_train: np.ndarray, x_test: np.ndarray, where: str) -> Tuple[str, ...]:
    """Return a warning if the ranges of training and test samples suggest that one of them was scaled."""
    ranges = [(float(x.min()), float(x.max())) for x in (x_train, x_test)]
    tops = sorted(max(-lowest, highest) for lowest, highest in ranges)
    has_negative = [-lowest > NOT_ROUNDING * tops[0] for lowest, _ in ranges]
    if tops[1] <= UNLIKE * tops[0] and has_negative[0] == has_negative[1]:
        return ()
    words = tuple(plain(limit) for limits in ranges for limit in limits)
    return (
        "%s: training values go from %s to %s, test values from %s to %s: are both scaled alike?" % ((where,) + words),
    )


def _with_columns(seen: Seen, x_train: np.ndarray, x_test: np.ndarray) -> Seen:
    """Return what was seen with the widest column, and a note on the constant ones."""
    parts = [x.reshape(len(x), -1) for x in (x_train, x_test)]
    lowest = np.minimum(parts[0].min(axis=0), parts[1].min(axis=0))
    highest = np.maximum(parts[0].max(axis=0), parts[1].max(axis=0))
    names = seen.columns or ["column %d" % (i + 1) for i in range(len(lowest))]
    widest = int(np.argmax(np.maximum(np.abs(lowest.astype(np.float64)), np.abs(highest.astype(np.float64)))))
    seen = seen._replace(widest=(names[widest], float(lowest[widest]), float(highest[widest])))
    constant = np.flatnonzero(lowest == highest)
    if not constant.size:
        return seen
    words = "%s of %s %s constant: %s" % (
        counted(constant.size, "column"),
        seen.path,
        "is" if constant.size == 1 else "are",
        listed([names[i] for i in constant]),
    )
    return seen._replace(notes=seen.notes + (words,))


def check_classes(lowest: int, largest: int, n_classes: Optional[int], where: str) -> int:
    """Return the number of classes of labels in lowest..largest.

    Raises
    ------
    DataError
        If there is only one, or a label is not below ``n_classes``.
    """
    if n_classes is None:
        n_classes = int(largest) + 1
        if lowest == largest:
            raise DataError("%s has one class only, expected 2 or more" % where)
    elif largest >= n_classes:
        raise DataError("%s has a label %d, but dataset.n_classes is %d" % (where, largest, n_classes))
    return n_classes


def held_back(n_samples: int, test_fraction: float, seed: int, where: str) -> Tuple[np.ndarray, np.ndarray]:
    """Draw the samples for training and those for the test; return their sorted positions, int64."""
    if n_samples < 2:
        raise DataError("%s has one sample only, expected one for training and one for the test" % where)
    order = rng.permutation(n_samples, rng.stream(seed, rng.HELD_BACK))
    n_test = min(max(1, int(n_samples * test_fraction)), n_samples - 1)
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def _check_pair(x: np.ndarray, y: np.ndarray, where: str, part: str) -> None:
    if len(x) != len(y):
        raise DataError("%s has %d %ssamples, but %d labels for them" % (where, len(x), part, len(y)))
