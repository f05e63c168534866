"""The data sets, one table row each.

A loader returns the whole data set; ``partition`` divides it among the workers. The table has
shape and number of classes, so that the master knows a model's layout without reading data. For
the user's own files the master determines them once, in ``resolve_dataset``, and sends them to
the workers with the settings.

A relative path of the user's own files is relative to ``dataset.data_dir`` or, if that is null,
to the current folder, on master and workers; FLQ_DATA_DIR is not used for them, see
``sources.published``.

Example
-------
>>> settings = Settings(dataset=DatasetSettings(name="digits"))
>>> load_dataset(settings).x_train.shape
(1437, 8, 8, 1)
>>> resolve_dataset(settings).dataset.n_classes
10
"""

import os
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..core.settings import DatasetSettings, Settings
from ..errors import DataError
from .sources import csv_file, image_folder, npz_file, own_data
from .sources.dataset import Dataset, Seen, Shape, Source, completed
from .sources.own_data import OWN
from .sources.published import PUBLISHED, load_published

__all__ = [
    "DATASETS",
    "FILES",
    "Dataset",
    "Shape",
    "Source",
    "dataset_source",
    "describe_files",
    "load_dataset",
    "require_own_files",
    "resolve_dataset",
    "values_of_files",
]

DIGITS_WHITE = 16.0


class Named(NamedTuple):
    """A row of DATASETS: shape and number of classes, the loader, and the classes' names, if they have any."""

    input_shape: Shape
    n_classes: int
    load: Callable[[Settings], Dataset]
    class_names: Optional[Tuple[str, ...]] = None


class FileKind(NamedTuple):
    """A row of FILES: what a path names, and functions that find shape, classes and scale, load, and read labels.

    The first parameter of each function is the path.
    """

    what: str  # FILE or FOLDER
    look: Callable[[str, DatasetSettings], Source]
    load: Callable[[str, Settings], Dataset]
    labels: Callable[[str, DatasetSettings], np.ndarray]


def load_digits(settings: Settings) -> Dataset:
    """Read the handwritten digits that come with FLQ; no folder is needed.

    Source: E. Alpaydin and C. Kaynak, UCI, doi:10.24432/C50P49, CC BY 4.0; see
    data/LICENSE-digits.md.
    """
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "digits.npz")
    x_train, y_train, x_test, y_test = npz_file.read_four(path)
    return Dataset(
        x_train[..., np.newaxis],
        y_train.astype(np.int64),
        x_test[..., np.newaxis],
        y_test.astype(np.int64),
        scale=DIGITS_WHITE,
        n_classes=10,
        name="digits",
    )


DATASETS: Dict[str, Named] = {
    "digits": Named((8, 8, 1), 10, load_digits),
    **{name: Named(row.input_shape, row.n_classes, load_published, row.class_names) for name, row in PUBLISHED.items()},
}

FILES: Dict[str, FileKind] = {  # npz:FILE and so on
    "npz": FileKind("FILE", npz_file.look, npz_file.load, npz_file.labels),
    "images": FileKind("FOLDER", image_folder.look, image_folder.load, image_folder.labels),
    "csv": FileKind("FILE", csv_file.look, csv_file.load, csv_file.labels),
}

ALIASES = {"fmnist": "fashion_mnist"}

# Settings that concern other kinds of data. With the name own, boards may have data of several kinds.
UNUSED = {"npz": ("label_column",), "images": ("channels_first", "label_column"), "csv": ("channels_first",)}
MEANT_FOR = {"channels_first": "images in npz files", "label_column": "csv files"}


def dataset_names() -> List[str]:
    """Return the names of all data sets and the forms of names of files."""
    return list(DATASETS) + list(ALIASES) + ["%s:%s" % (prefix, kind.what) for prefix, kind in FILES.items()]


def resolve_dataset(settings: Settings) -> Settings:
    """Return the settings with full name, input_shape, n_classes and scale of the data set.

    Parameters
    ----------
    settings : Settings
        Uses dataset.name, data_dir, input_shape, n_classes, scale and what the readers of files use.
        Files are read only if a key is null.

    Returns
    -------
    Settings
        With dataset.input_shape (3 int) and n_classes; for the user's own files also scale, unless
        partition is local. Resolved settings are unchanged.

    Raises
    ------
    DataError
        If there is no data set of that name, a key contradicts it, or its file cannot be
        used.
    """
    section = settings.dataset._replace(name=_full_name(settings.dataset))
    _check_used(section)
    if section.name in DATASETS:
        line = DATASETS[section.name]
        source = Source(line.input_shape, line.n_classes, line.class_names, section.scale)
        _check_keys(section, source)
    else:
        source = _source_of_file(section)
        if source.scale is None and section.partition != "local":
            source = source._replace(scale=_scale_of_file(section))
    return settings._replace(
        dataset=section._replace(input_shape=tuple(source.input_shape), n_classes=source.n_classes, scale=source.scale)
    )


def require_own_files(settings: Settings) -> None:
    """Reject partition local for a data set that needs no files: every worker would have the same samples.

    Raises
    ------
    DataError
        If dataset.partition is local and dataset.name is a row of DATASETS without files.
    """
    name = settings.dataset.name
    if settings.dataset.partition == "local" and name in DATASETS and name not in PUBLISHED:
        raise DataError(
            "with dataset.partition local each worker needs its own files, but %s is the same at every worker" % name,
            hint="name files, for instance npz:FILE, or use partition iid, non_iid or shards",
        )


def dataset_source(settings: Settings) -> Source:
    """Return shape and classes of ``dataset.name``; read files only if the settings are not resolved.

    Names of classes in a file are known only if it is read; those of the data themselves are
    ``Dataset.class_names``.

    Raises
    ------
    DataError
        As :func:`resolve_dataset`.
    """
    name = _full_name(settings.dataset)
    if name in DATASETS:
        row = DATASETS[name]
        return Source(row.input_shape, row.n_classes, row.class_names, settings.dataset.scale)
    return _source_of_file(settings.dataset)


def load_dataset(settings: Settings) -> Dataset:
    """Load the data set that the settings name.

    Parameters
    ----------
    settings : Settings
        Uses section dataset except batch_size and the parameters of the partition, and system.seed
        if a test part has to be held out. With dataset.scale null the scale is chosen by the data.

    Raises
    ------
    DataError
        If there is no data set of that name, it cannot be found or read, it contradicts
        dataset.input_shape or n_classes, or as :func:`require_own_files`.
    """
    section = settings.dataset._replace(name=_full_name(settings.dataset))
    _check_used(section)
    if section.name in DATASETS:
        require_own_files(settings)
        dataset = DATASETS[section.name].load(settings._replace(dataset=section))
        return _with_seen(dataset, section, DATASETS[section.name])
    kind, path = _file_of(section)
    with own_data.naming_the_master(section.name):
        return kind.load(path, settings._replace(dataset=section))


def describe_files(section: DatasetSettings) -> Tuple[np.ndarray, Optional[Shape]]:
    """Return class counts and sample shape of a worker's own files, without decoding images.

    Parameters
    ----------
    section : DatasetSettings
        Its name is that of a file, or ``own``.

    Returns
    -------
    counts : ndarray of shape (n_classes,), int64
        n_classes is that of the section, or one more than the largest class.
    input_shape : tuple of 3 int, or None
        None for images of different sizes, which need dataset.input_shape.

    Raises
    ------
    DataError
        If there are no such files, or they cannot be used.
    """
    name = _full_name(section)
    if name in DATASETS:
        raise DataError(
            "%s is partitioned among the workers, expected a worker's own files" % name,
            hint="python -m flq.training.distribution shows the partition",
        )
    kind, path = _file_of(section)
    counts = np.bincount(kind.labels(path, section), minlength=section.n_classes or 0)
    try:
        return counts, kind.look(path, section).input_shape
    except DataError:
        if kind is not FILES["images"]:
            raise
        return counts, None


def values_of_files(section: DatasetSettings, n_classes: int) -> Optional[Seen]:
    """Return what is seen in a worker's own arrays or table; None for images, which would have to be decoded.

    Parameters
    ----------
    section : DatasetSettings
        As for :func:`describe_files`.
    n_classes : int
        Their number of classes.

    Raises
    ------
    DataError
        As :func:`load_dataset`.
    """
    section = section._replace(name=_full_name(section), n_classes=n_classes)
    kind, path = _file_of(section)
    return None if kind is FILES["images"] else kind.load(path, Settings(dataset=section)).seen


def _full_name(section: DatasetSettings) -> str:
    """Return the full name of the data set; raise DataError if it is unknown."""
    name = ALIASES.get(section.name, section.name)
    prefix, colon, path = name.partition(":")
    if name not in DATASETS and name != OWN and (prefix not in FILES or not path):
        raise DataError("dataset.name must be one of %s, own, got %r" % (", ".join(dataset_names()), section.name))
    return name


def _source_of_file(section: DatasetSettings) -> Source:
    """Return shape and classes from the keys or, if one is null, from the file."""
    if section.name == OWN:
        own_data.require_all_known(section)
    if section.input_shape is not None and section.n_classes is not None:
        height, width, channels = section.input_shape
        return Source((height, width, channels), section.n_classes, None, section.scale)
    try:
        kind, path = _file_of(section)
    except DataError as error:
        if section.partition != "local":
            raise
        raise DataError(
            "with dataset.partition local, dataset.input_shape and n_classes must be given if the master "
            "has no such file: %s" % error.detail,
            hint=error.hint,
        ) from None
    return kind.look(path, section)


def _scale_of_file(section: DatasetSettings) -> Optional[float]:
    """Return the scale of a file whose shape and classes are given; None if it is not here."""
    try:
        kind, path = _file_of(section)
    except DataError:
        return None
    return kind.look(path, section).scale


def _with_seen(dataset: Dataset, section: DatasetSettings, row: Named) -> Dataset:
    """Return a data set of the table with its scale, unless another one is given, and what there is to see in it."""
    x, y = (dataset.x_train, dataset.x_test), (dataset.y_train, dataset.y_test)
    seen = Seen(
        dataset.name, dataset.name, shape=dataset.input_shape, dtype=x[0].dtype.name, class_names=row.class_names
    )
    seen = completed(seen, x, y, dataset.n_classes, section, dataset.scale)
    return dataset._replace(scale=seen.scale, seen=seen)


def _file_of(section: DatasetSettings) -> Tuple[FileKind, str]:
    """Return kind and path of the file that a name like npz:FILE names."""
    if section.name == OWN:
        if not section.data_dir:
            raise DataError(
                "dataset.name is own, but this worker has no data_dir",
                hint="--data_dir names the folder with this worker's own data",
            )
        found, path = own_data.find(os.path.expanduser(section.data_dir))
        return FILES[found], path
    prefix, _, path = section.name.partition(":")
    path = os.path.join(os.path.expanduser(section.data_dir or ""), os.path.expanduser(path))
    if not os.path.exists(path):
        raise DataError(
            "dataset.name is %s, but there is no %s" % (section.name, os.path.abspath(path)),
            hint="a relative path is relative to dataset.data_dir or, without one, to the current folder",
        )
    if FILES[prefix].what == "FILE" and not os.path.isdir(path) and not os.path.isfile(path):
        raise DataError("%s is no file" % path)  # reading a pipe would wait for its writer
    return FILES[prefix], path


def _check_used(section: DatasetSettings) -> None:
    """Reject settings that have no effect on the data."""
    if section.name == OWN:
        return
    kind = section.name.partition(":")[0]
    defaults = DatasetSettings()
    for key in UNUSED.get(kind, ("channels_first", "label_column")):
        if getattr(section, key) != getattr(defaults, key):
            raise DataError(
                "dataset.%s has no effect on %s: it is for %s" % (key, section.name, MEANT_FOR[key]),
                hint="leave it out",
            )


def _check_keys(section: DatasetSettings, source: Source) -> None:
    """Reject keys that contradict the table of data sets."""
    shape = section.input_shape and list(section.input_shape)
    for key, given, value in (
        ("input_shape", shape, list(source.input_shape)),
        ("channels", section.channels, source.input_shape[2]),
        ("n_classes", section.n_classes, source.n_classes),
    ):
        if given is not None and given != value:
            raise DataError(
                "dataset.%s is %s, but %s has %s" % (key, given, section.name, value),
                hint="leave it null for this data set",
            )
