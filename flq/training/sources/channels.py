"""Brings images in arrays to a common layout: channels last, and 1 or 3 of them.

Example
-------
>>> to_channels(np.array([[[[255, 0, 0]]]], np.uint8), 1, "toy").ravel()
array([76], dtype=uint8)
"""

from typing import Optional, Sequence, Tuple

import numpy as np

from ...core.settings import DatasetSettings
from ...errors import DataError

FIRST = (1, 3, 4)  # numbers of channels that an array has first
MOST_LAST = 4  # channels of an image: gray, gray and alpha, color, color and alpha
RED, GREEN, BLUE = 19595, 38470, 7471  # ITU-R 601 luma in 1/65536, as in Pillow
PART = 1024  # images that are converted at a time


def channels_last(shape: Sequence[int], section: DatasetSettings, where: str) -> Tuple[int, ...]:
    """Return the shape of the samples with channels last.

    Parameters
    ----------
    shape : sequence of int
        Of the array.
    section : DatasetSettings
        Uses channels_first and input_shape.
    where : str
        For errors, such as "x_train in toy.npz".

    Raises
    ------
    DataError
        If the channels of an array of 4 axes stand where the settings do not say.
    """
    shape = tuple(shape)
    if len(shape) != 4:
        return shape
    _, first, width, last = shape
    looks_first = (first in FIRST or first < min(width, last)) and last > MOST_LAST or first < width == last
    if section.channels_first:
        if shape[1] > MOST_LAST >= shape[3]:
            raise DataError(
                "dataset.channels_first is true, but %s has shape %s, whose last axis looks like the channels"
                % (where, shape),
                hint="set dataset.channels_first to false",
            )
        return (shape[0],) + shape[2:] + (shape[1],)
    if looks_first and section.input_shape is None:  # which would say what the axes are
        raise DataError(
            "%s has shape %s, whose second axis looks like the channels; FLQ expects (n, height, width, channels)"
            % (where, shape),
            hint="set dataset.channels_first=true; or, if the last axis has the channels, dataset.input_shape=%s"
            % str(list(shape[1:])).replace(" ", ""),
        )
    return shape


def channel_notes(shape: Sequence[int], path: str) -> Tuple[str, ...]:
    """Return a note on a sample of shape (height, width, channels) with more channels than a picture has."""
    if len(shape) != 3 or shape[2] <= MOST_LAST:
        return ()
    return ("the images of %s have %d x %d pixels and %d channels" % (path, shape[0], shape[1], shape[2]),)


def shape_with_channels(shape: Tuple[int, ...], section: DatasetSettings, where: str) -> Tuple[int, ...]:
    """Return the shape of an image (height, width, channels) after its conversion to ``dataset.channels``.

    Raises
    ------
    DataError
        If its channels cannot be converted.
    """
    wanted = section.channels
    if wanted is None or shape[2] == wanted:
        return shape
    if not 1 <= shape[2] <= MOST_LAST:
        raise DataError(
            "%s has images of %d channels, which cannot be converted to dataset.channels %d"
            % (where, shape[2], wanted),
            hint="1 to %d channels can be converted" % MOST_LAST,
        )
    return shape[:2] + (wanted,)


def to_channels(x: np.ndarray, n_channels: Optional[int], where: str) -> np.ndarray:
    """Return images with 1 or 3 channels: gray is repeated, color becomes luma, alpha is left out.

    Luma is that of ITU-R 601. Whole numbers are rounded, as in Pillow's mode L.

    Parameters
    ----------
    x : ndarray of shape (n, height, width, channels)
    n_channels : 1, 3 or None
        None leaves the images as they are.
    """
    if n_channels is None or x.shape[3] == n_channels:
        return x
    x = x[..., : x.shape[3] - 1] if x.shape[3] in (2, 4) else x  # without alpha
    if x.shape[3] == n_channels:
        return x
    if n_channels == 3:
        return np.repeat(x, 3, axis=3)
    luma = np.empty(x.shape[:3] + (1,), x.dtype if x.dtype.kind in "ui" else np.float32)
    for start in range(0, len(x), PART):
        luma[start : start + PART, ..., 0] = _luma(x[start : start + PART])
    return luma


def _luma(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind in "ui":
        x = x.astype(np.int64)
        return (x[..., 0] * RED + x[..., 1] * GREEN + x[..., 2] * BLUE + 0x8000) >> 16
    x = x.astype(np.float32)
    return (
        x[..., 0] * np.float32(RED / 65536.0)
        + x[..., 1] * np.float32(GREEN / 65536.0)
        + x[..., 2] * np.float32(BLUE / 65536.0)
    )
