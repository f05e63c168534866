"""A Keras model as a file of Keras."""

import os
from contextlib import suppress
from typing import Any

from ..errors import DataError

FILE_ENDINGS = (".keras", ".h5")


def save_model(model: Any, path: str) -> None:
    """Write a model as a Keras file; the old file stays until the new one is whole.

    Parameters
    ----------
    model : tf.keras.Model
    path : str
        Ends in ``.keras`` (a file in Keras 3's format needs TensorFlow 2.12 or newer, before
        it is HDF5 as well) or in ``.h5`` (HDF5; not for a user's model made of classes).

    Raises
    ------
    DataError
        If the path ends otherwise.
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
            os.fsync(stream.fileno())  # the bytes before the name: a power cut leaves a whole file
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
