"""Writes a Keras model as a file."""

import os
from contextlib import suppress
from typing import Any

from ..errors import DataError

FILE_ENDINGS = (".keras", ".h5")


def save_model(model: Any, path: str) -> None:
    """Write a model as a Keras file, atomically.

    Parameters
    ----------
    model : tf.keras.Model
    path : str
        Ends in ``.keras`` (Keras 3's format from TensorFlow 2.12 on, HDF5 before) or in ``.h5``
        (HDF5, which cannot hold a subclassed model).

    Raises
    ------
    DataError
        If the path has another extension.
    OSError
        If the file cannot be written.
    """
    ending = os.path.splitext(path)[1]
    if ending not in FILE_ENDINGS:
        raise DataError("a Keras file must end in %s, got %r" % (" or ".join(FILE_ENDINGS), os.path.basename(path)))
    partial = path + ".partial" + ending
    try:
        model.save(partial)
        with open(partial, "rb+") as stream:
            os.fsync(stream.fileno())  # before the rename, so that a power failure leaves a complete file
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
