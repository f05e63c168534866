"""Reads ``csv:FILE``: numbers separated by commas, with the class in one column, by default the last.

``csv_heading`` says what is a heading. ``dataset.label_column`` names another column of the class; if the
heading calls another column the class and the setting is null, the file is refused. Features are not
scaled: bring columns of very different ranges to a common scale before. A row of n_features becomes a
sample of shape (n_features, 1, 1), or of ``dataset.input_shape`` if that has as many values. Classes
are whole numbers from 0, or texts, which are numbered in sorted order. There is no test set in the
file: a part is held out, see ``dataset.split_dataset``.

With partition local classes must be whole numbers, which mean the same in every worker's file.
Texts are rejected, since their numbers would depend on the other texts in the file.
"""

from typing import Optional, Tuple

import numpy as np

from ...core.settings import DatasetSettings, Settings
from ...errors import DataError
from .csv_table import Table, read_table
from .dataset import Dataset, Seen, Source, as_samples, check_classes, split_dataset
from .labels import check_names, classes_of
from .scaling import scale_of_file


def look(path: str, section: DatasetSettings) -> Source:
    """Return shape, classes and scale; those given in ``section`` take precedence.

    Raises
    ------
    DataError
        If the file is not of this format.
    """
    table, classes, names = _read(path, section)
    shape = section.input_shape or (table.features.shape[1], 1, 1)
    n_classes = _n_classes(classes, section, path)
    return Source((shape[0], shape[1], shape[2]), n_classes, names, scale_of_file(section, 1.0))


def load(path: str, settings: Settings) -> Dataset:
    """Read the file.

    Raises
    ------
    DataError
        If it is not of this format, or contradicts dataset.input_shape or n_classes.
    """
    table, classes, names = _read(path, settings.dataset)
    section = settings.dataset._replace(n_classes=_n_classes(classes, settings.dataset, path))
    seen = Seen(
        "csv",
        path,
        shape=table.features.shape[1:],
        dtype="number",
        class_names=names,
        detail="class in %s" % table.label_name,
        columns=tuple(table.columns),
        notes=tuple(table.notes),
        warnings=tuple(table.warnings),
    )
    x = as_samples(table.features, section, path)
    return split_dataset(settings._replace(dataset=section), x, classes, None, seen)


def labels(path: str, section: DatasetSettings) -> np.ndarray:
    """Return the classes of all rows as int64 of shape (n,).

    Raises
    ------
    DataError
        As :func:`look`.
    """
    _, classes, names = _read(path, section)
    _n_classes(classes, section, path)
    return classes


def _read(path: str, section: DatasetSettings) -> Tuple[Table, np.ndarray, Optional[Tuple[str, ...]]]:
    """Return the table, the class of each row, and the names of the classes, if any."""
    table = read_table(path, section.label_column)
    column = table.label_column + 1
    classes, names = classes_of(table.labels, path, lambda i: "line %d, column %d" % (table.lines[i], column))
    if names is not None:
        check_names(names, section, path)
    return table, classes, names


def _n_classes(classes: np.ndarray, section: DatasetSettings, path: str) -> int:
    """Return the number of classes."""
    try:
        return check_classes(int(classes.min()), int(classes.max()), section.n_classes, path)
    except DataError as error:
        if section.n_classes is not None:
            raise
        raise DataError(error.detail, hint="dataset.label_column names the column of the class") from None
