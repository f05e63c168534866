"""Reads ``csv:FILE``: numbers separated by commas, with the class in the last column.

The first line is a header if one of its columns before the last is not a number. Features are not
scaled: bring columns of very different ranges to a common scale before. A row of n_features
becomes a sample of shape (n_features, 1, 1), or of ``dataset.input_shape`` if that has as many
values. Classes are whole numbers from 0, or texts, which are numbered in sorted order. There is
no test set in the file: a part is held out, see ``dataset.split_dataset``.

With partition local classes must be whole numbers, which mean the same in every worker's file.
Texts are rejected, since their numbers would depend on the other texts in the file.
"""

import csv
from array import array
from typing import Dict, Iterator, List, Optional, Tuple

import numpy as np

from ...core.settings import DatasetSettings, Settings
from ...errors import DataError
from .dataset import MAX_CLASSES, Dataset, Shape, as_samples, check_classes, split_dataset


def look(path: str, section: DatasetSettings) -> Tuple[Shape, int]:
    """Return the shape of a sample and the number of classes; those given in ``section`` take precedence.

    Raises
    ------
    DataError
        If the file is not of this format.
    """
    labels, n_features = [], 0
    for _, row in _rows(path):
        n_features = len(row) - 1
        labels.append(row[-1].strip())
    classes = _classes(labels, path)
    shape = section.input_shape or (n_features, 1, 1)
    return (shape[0], shape[1], shape[2]), _n_classes(classes, section, path)


def load(path: str, settings: Settings) -> Dataset:
    """Read the file.

    Raises
    ------
    DataError
        If it is not of this format, or contradicts dataset.input_shape or n_classes.
    """
    values, labels = array("f"), []
    for number, row in _rows(path):
        try:
            values.extend(map(float, row[:-1]))
        except ValueError:
            column = next(i for i, cell in enumerate(row, start=1) if _number(cell) is None)
            raise DataError(
                "%s, line %d, column %d must be a number, got %r" % (path, number, column, row[column - 1][:40])
            ) from None
        labels.append(row[-1].strip())
    classes = _classes(labels, path)
    section = settings.dataset._replace(n_classes=_n_classes(classes, settings.dataset, path))
    features = np.frombuffer(values, np.float32).reshape(len(labels), -1)
    x = as_samples(features, section.input_shape, path)
    y = np.array([classes[label] for label in labels], np.int64)
    return split_dataset(settings._replace(dataset=section), x, y, None, path)


def labels(path: str, section: DatasetSettings) -> np.ndarray:
    """Return the classes of all rows as int64 of shape (n,).

    Raises
    ------
    DataError
        As :func:`look`.
    """
    texts = [row[-1].strip() for _, row in _rows(path)]
    classes = _classes(texts, path)
    _n_classes(classes, section, path)
    return np.array([classes[text] for text in texts], np.int64)


def _rows(path: str) -> Iterator[Tuple[int, List[str]]]:
    """Yield (line number, columns) of each row, without header and empty lines; check that all have the same width."""
    n_columns = None
    n_rows = 0
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            for row in reader:
                if not row:
                    continue
                if n_columns is None:
                    n_columns = len(row)
                    if n_columns < 2:
                        raise DataError(
                            "%s must have columns separated by commas, a class in the last, got %r"
                            % (path, row[0][:40])
                        )
                    if any(_number(cell) is None for cell in row[:-1]):
                        continue  # the header
                if len(row) != n_columns:
                    raise DataError(
                        "%s, line %d has %d columns, the first line has %d"
                        % (path, reader.line_num, len(row), n_columns)
                    )
                n_rows += 1
                yield reader.line_num, row
    except OSError as error:
        raise DataError("%s cannot be read: %s" % (path, error.strerror or error)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("%s is not a CSV file: %s" % (path, error)) from None
    if not n_rows:
        raise DataError("%s has no rows" % path)


def _classes(labels: List[str], path: str) -> Dict[str, int]:
    """Map each label to its class: the label itself if all are whole numbers, otherwise its place in sorted order."""
    different = sorted(set(labels))
    if "" in different:
        raise DataError("%s has a row without a class in its last column" % path)
    numbers = [_number(label) for label in different]
    if any(number is None for number in numbers):
        return {label: i for i, label in enumerate(different)}
    for label, number in zip(different, numbers):
        if number != number or number not in range(MAX_CLASSES):
            raise DataError(
                "%s: the last column must be classes, whole numbers in 0..%d or texts, got %s"
                % (path, MAX_CLASSES - 1, label[:40])
            )
    return {label: int(number) for label, number in zip(different, numbers) if number is not None}


def _n_classes(classes: Dict[str, int], section: DatasetSettings, path: str) -> int:
    """Return the number of classes; reject texts as classes if workers could number them differently."""
    given = section.n_classes
    text = next((label for label in classes if _number(label) is None), None)
    if text is not None and section.partition == "local":
        raise DataError(
            "%s has texts as classes, such as %r: with dataset.partition local other workers may number "
            "them differently" % (path, text[:40]),
            hint="use whole numbers as classes, the same at every worker",
        )
    if text is not None and given is not None and len(classes) != given:
        raise DataError(
            "%s has %d different texts as classes, but dataset.n_classes is %d" % (path, len(classes), given),
            hint="number the classes 0, 1, 2, ... in the file",
        )
    return check_classes(max(classes.values()), given, path)


def _number(text: str) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None
