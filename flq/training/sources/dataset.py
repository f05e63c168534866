"""Dataset, made of arrays from a file; checks their shapes, values and classes.

Example
-------
>>> from flq.core.settings import DatasetSettings
>>> settings = Settings(dataset=DatasetSettings(name="npz:toy.npz", test_fraction=0.25))
>>> x, y = as_samples(np.zeros((8, 5, 5), np.uint8), None, "toy"), as_labels(np.arange(8) % 2, "toy")
>>> toy = split_dataset(settings, x, y, None, "toy")
>>> toy.input_shape, toy.n_classes, len(toy.x_train), len(toy.x_test), toy.white
((5, 5, 1), 2, 6, 2, 255.0)
"""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core import rng
from ...core.settings import Settings
from ...errors import DataError

Shape = Tuple[int, int, int]  # height, width, channels

WHITE = 255.0  # of uint8 images
MAX_CLASSES = 10**6  # more is a mistake in the labels


class Dataset(NamedTuple):
    """Images, or rows of features, with classes.

    Attributes
    ----------
    x_train, x_test : ndarray of shape (n, height, width, channels), uint8 or float32
        As stored: a model gets float32(x) / float32(white). May be read-only.
    y_train, y_test : ndarray of shape (n,), int64
        Classes 0..n_classes-1.
    white : float
        The pixel value that means 1.0: 255 for uint8 images, 16 for the digits, 1 for float32.
    n_classes : int
    name : str
        ``dataset.name``.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    white: float
    n_classes: int
    name: str

    @property
    def input_shape(self) -> Shape:
        """Shape of one image: (height, width, channels)."""
        return self.x_train.shape[1:]


def as_samples(values: np.ndarray, input_shape: Optional[Sequence[int]], where: str) -> np.ndarray:
    """Return the samples as (n, height, width, channels), uint8 or float32, without a copy where possible.

    Parameters
    ----------
    values : ndarray of shape (n, height, width, channels), (n, height, width) or (n, n_features)
        uint8 is kept; other numbers become float32, unscaled. Features become images of
        ``input_shape``, or of shape (n_features, 1, 1) if that is None or does not fit.
    input_shape : sequence of 3 int, or None
        ``dataset.input_shape``.
    where : str
        For errors, such as "x_train in toy.npz".

    Raises
    ------
    DataError
        If there are no samples, they are not finite numbers, or they have another shape.
    """
    if values.ndim == 2:
        fits = input_shape is not None and int(np.prod(input_shape)) == values.shape[1]
        values = values.reshape((len(values),) + (tuple(input_shape) if fits else (values.shape[1], 1, 1)))
    elif values.ndim == 3:
        values = values[..., np.newaxis]
    if values.ndim != 4:
        raise DataError(
            "%s must have shape (n, height, width, channels), (n, height, width) or (n, features), got %s"
            % (where, values.shape)
        )
    if values.size == 0:
        raise DataError("%s has no values, its shape is %s" % (where, values.shape))
    if input_shape is not None and values.shape[1:] != tuple(input_shape):
        raise DataError(
            "%s has samples of shape %s, but dataset.input_shape is %s"
            % (where, list(values.shape[1:]), list(input_shape))
        )
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iufb":
        raise DataError("%s must be numbers, got dtype %s" % (where, values.dtype))
    with np.errstate(over="ignore"):  # values beyond float32 are rejected below
        samples = values.astype(np.float32, copy=False)
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
    is_whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and bool((values == np.floor(values)).all()))
    if values.ndim != 1 or not is_whole:
        raise DataError(
            "%s must be whole numbers of shape (n,), got dtype %s of shape %s" % (where, values.dtype, values.shape),
            hint="number the classes 0, 1, 2, ...; fractions and one-hot rows cannot be read",
        )
    if values.size and not 0 <= values.min() <= values.max() < MAX_CLASSES:
        raise DataError(
            "%s must be classes in 0..%d, got %s..%s" % (where, MAX_CLASSES - 1, values.min(), values.max())
        )
    return values.astype(np.int64)


def split_dataset(
    settings: Settings, x: np.ndarray, y: np.ndarray, test: Optional[Tuple[np.ndarray, np.ndarray]], where: str
) -> Dataset:
    """Return a data set of samples and labels; without a test part, hold out ``dataset.test_fraction``.

    The held-out part is drawn from ``system.seed`` and has at least one sample. The number of
    classes is ``dataset.n_classes`` or, if that is null, one more than the largest label.

    Parameters
    ----------
    settings : Settings
        Uses dataset.name, n_classes, test_fraction, system.seed.
    x, y, test
        As returned by :func:`as_samples` and :func:`as_labels`; ``test`` is such a pair, or None.
    where : str
        The file, for errors.

    Raises
    ------
    DataError
        If numbers or shapes disagree, labels are too large, or there is only one class.
    """
    section = settings.dataset
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
    n_classes = check_classes(max(y_train.max(), y_test.max()), section.n_classes, where)
    white = WHITE if x.dtype == np.uint8 else 1.0
    return Dataset(x_train, y_train, x_test, y_test, white, n_classes, section.name)


def check_classes(largest: int, n_classes: Optional[int], where: str) -> int:
    """Return the number of classes of labels 0..largest.

    Raises
    ------
    DataError
        If there is only one, or a label is not below ``n_classes``.
    """
    if n_classes is None:
        n_classes = int(largest) + 1
        if n_classes < 2:
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
