"""Finds the data set ``own`` in a worker's own data folder, so that boards may have data of different formats.

``dataset.data_dir`` is an .npz file, a .csv file, or a folder with one of these or with one subfolder of images per
class.
"""

import os
from contextlib import contextmanager
from typing import Iterator, List, Tuple

from ...core.settings import DatasetSettings
from ...errors import DataError
from .class_folders import content_of, is_leftover
from .seen import listed

OWN = "own"
LABEL_COLUMN = "dataset.label_column"
EXPECTED = "expected an .npz file, a .csv file, or folders of images, one per class"


def find(data_dir: str) -> Tuple[str, str]:
    """Return the kind of the data there, npz, csv or images, and its path.

    Raises
    ------
    DataError
        If there is no data set, or more than one.
    """
    if os.path.isfile(data_dir):
        kind = kind_of(data_dir)
        if kind:
            return kind, data_dir
        raise no_data_set(data_dir)
    try:
        names = sorted(name for name in os.listdir(data_dir) if not is_leftover(name))
    except OSError as error:
        raise DataError(
            "this worker's data_dir %s cannot be read: %s" % (data_dir, error.strerror or error),
            hint="--data_dir names the folder with this worker's own data",
        ) from None
    found = data_sets_in(data_dir)
    if len(found) > 1:
        raise DataError(
            "%s holds more than one data set: %s"
            % (
                data_dir,
                listed(["images in folders" if path == data_dir else os.path.basename(path) for _, path in found]),
            ),
            hint="--data_dir may also name one of the files",
        )
    if found:
        return found[0]
    if any(os.path.isdir(os.path.join(data_dir, name)) for name in names):
        return "images", data_dir
    raise DataError("%s holds no data set, %s" % (data_dir, EXPECTED))


@contextmanager
def naming_the_master(name: str) -> Iterator[None]:
    """Return a context whose errors say where dataset.label_column is set, if they name it and the data are ``own``."""
    try:
        yield
    except DataError as error:
        if name != OWN or LABEL_COLUMN not in error.hint:
            raise
        raise DataError(error.detail, "%s; %s is set at the master" % (error.hint, LABEL_COLUMN)) from None


def data_sets_in(folder: str) -> List[Tuple[str, str]]:
    """Return kind and path of each data set in a folder: its files, and the folder itself if it has images in folders.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    top = content_of(folder)
    paths = [os.path.join(folder, name) for name in top.others]
    found = [(kind_of(path), path) for path in paths if kind_of(path) and os.path.isfile(path)]
    classes = [content_of(os.path.join(folder, name)) for name in top.folders]
    return found + ([("images", folder)] if any(content.images for content in classes) else [])


def no_data_set(path: str) -> DataError:
    """Return the error of a file that is of no kind that FLQ reads."""
    is_array = os.path.splitext(path)[1].lower() == ".npy"
    hint = "np.savez(FILE, x_train=..., y_train=...) saves arrays as .npz" if is_array else "save a table as .csv"
    return DataError("%s is not a data set, %s" % (path, EXPECTED), hint=hint)


def require_all_known(section: DatasetSettings) -> None:
    """Reject settings that do not fix the shape and classes that all boards' data must have.

    Raises
    ------
    DataError
        If the partition is not local, or input_shape or n_classes is null.
    """
    if section.partition != "local":
        raise DataError(
            "dataset.name own needs dataset.partition local, got %s" % section.partition,
            hint="each worker then trains on the data in its own data_dir",
        )
    if section.input_shape is None or section.n_classes is None:
        raise DataError(
            "dataset.name own needs dataset.input_shape and n_classes: the master has no file to read them from",
            hint="the manifest of a worker shows both: ./start_worker.sh --manifest --data_dir FOLDER",
        )


def kind_of(name: str) -> str:
    """Return the kind of a file by its ending, npz or csv, or "" for others."""
    return {".npz": "npz", ".csv": "csv"}.get(os.path.splitext(name)[1].lower(), "")
