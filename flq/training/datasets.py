"""The data sets, one table line each.

A loader returns the whole data set; which part of it a worker sees is ``partition``'s
business. Shape and number of classes stand in the table, so that the master knows a model's
layout without reading any data.

Example
-------
>>> settings = {"dataset": {"name": "digits", "data_dir": None}}
>>> load_dataset(settings).x_train.shape
(1437, 8, 8, 1)
"""

import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import DataError

Shape = Tuple[int, int, int]  # height, width, channels


class Dataset(NamedTuple):
    """Images with classes.

    Attributes
    ----------
    x_train, x_test : ndarray of shape (n, height, width, channels), float32
        Pixels in [0, 1].
    y_train, y_test : ndarray of shape (n,), int64
        Classes 0..n_classes-1.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    n_classes: int
    name: str

    @property
    def input_shape(self) -> Shape:
        """Shape of one image: (height, width, channels)."""
        return self.x_train.shape[1:]


class Source(NamedTuple):
    """A line of the table: shape and classes, known without reading, and the loader."""

    input_shape: Shape
    n_classes: int
    load: Callable[[Optional[str]], Dataset]


def load_digits(data_dir: Optional[str]) -> Dataset:
    """Read the handwritten digits that come with FLQ; ``data_dir`` is not needed.

    Source: E. Alpaydin and C. Kaynak, UCI, doi:10.24432/C50P49, CC BY 4.0; see
    data/LICENSE-digits.md.
    """
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "digits.npz")
    with np.load(path, allow_pickle=False) as arrays:
        return Dataset(_scaled(arrays["x_train"], 16), arrays["y_train"].astype(np.int64),
                       _scaled(arrays["x_test"], 16), arrays["y_test"].astype(np.int64),
                       n_classes=10, name="digits")


def _scaled(images: np.ndarray, white: int) -> np.ndarray:
    """Map uint8 images (n, h, w) with levels 0..white to float32 (n, h, w, 1) in [0, 1]."""
    return images[..., np.newaxis].astype(np.float32) / np.float32(white)


DATASETS: Dict[str, Source] = {
    "digits": Source((8, 8, 1), 10, load_digits),
}


def dataset_source(settings: Dict[str, Any]) -> Source:
    """Return the table line of ``dataset.name``.

    Raises
    ------
    DataError
        If there is no data set of that name.
    """
    name = settings["dataset"]["name"]
    if name not in DATASETS:
        raise DataError("dataset.name must be one of %s, got %r" % (", ".join(sorted(DATASETS)), name))
    return DATASETS[name]


def load_dataset(settings: Dict[str, Any]) -> Dataset:
    """Load the data set that the settings name.

    Raises
    ------
    DataError
        If there is no data set of that name.
    """
    return dataset_source(settings).load(settings["dataset"]["data_dir"])
