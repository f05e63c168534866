"""Reads the binary version of CIFAR-10: six files, or an archive of them.

Each record is one byte for the class and 3 * 32 * 32 bytes for the image: all red values row by
row, then green, then blue. The "python version" is not read, since it is pickled.

Source: https://www.cs.toronto.edu/~kriz/cifar.html, "binary version".
"""

import os
import tarfile
import zlib
from typing import Dict, Optional

import numpy as np

from ...errors import DataError
from .idx_files import Arrays

ARCHIVE = "cifar-10-binary.tar.gz"
TRAINING_FILES = tuple("data_batch_%d.bin" % i for i in range(1, 6))
TEST_FILE = "test_batch.bin"
FILES = TRAINING_FILES + (TEST_FILE,)

CHANNELS, SIDE = 3, 32
RECORD = 1 + CHANNELS * SIDE * SIDE
MAX_FILE_BYTES = 100000 * RECORD  # ten times the actual size


def read_folder(folder: str) -> Optional[Arrays]:
    """Read the six files in a folder, or the archive in it; return None if there is neither.

    Returns
    -------
    tuple of ndarray, uint8
        Images (n, 32, 32, 3) and labels (n,) for training and test.

    Raises
    ------
    DataError
        If some of the files are missing, or one is damaged.
    """
    present = [name for name in FILES if os.path.isfile(os.path.join(folder, name))]
    archive = os.path.join(folder, ARCHIVE)
    if present:
        contents = {name: _file_content(os.path.join(folder, name)) for name in present}
        place = "the folder %s" % folder
    elif os.path.isfile(archive):
        contents = _archive_contents(archive)
        place = archive
    else:
        return None
    missing = [name for name in FILES if name not in contents]
    if missing:
        raise DataError("%s lacks %s" % (place, " and ".join(missing)))
    for name in FILES:
        if not contents[name] or len(contents[name]) % RECORD:
            raise DataError(
                "%s in %s should hold records of %d bytes, it has %d bytes" % (name, place, RECORD, len(contents[name]))
            )
    x_train, y_train = _samples([contents[name] for name in TRAINING_FILES])
    x_test, y_test = _samples([contents[TEST_FILE]])
    return x_train, y_train, x_test, y_test


def _samples(contents: list) -> tuple:
    """Return images (n, 32, 32, 3) and labels (n,) of the records."""
    tables = [np.frombuffer(content, np.uint8).reshape(-1, RECORD) for content in contents]
    labels = np.concatenate([table[:, 0] for table in tables])
    images = np.empty((len(labels), SIDE, SIDE, CHANNELS), np.uint8)
    start = 0
    for table in tables:
        planes = table[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
        images[start : start + len(table)] = planes.transpose(0, 2, 3, 1)
        start += len(table)
    return images, labels


def _file_content(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return _limited(stream.read(MAX_FILE_BYTES + 1), path)
    except OSError as error:
        raise DataError("%s cannot be read: %s" % (path, error.strerror or error)) from None


def _archive_contents(path: str) -> Dict[str, bytes]:
    """Return the files in the archive by name, without unpacking it to disk."""
    contents = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if member.isfile() and name in FILES:
                    stream = archive.extractfile(member)
                    contents[name] = _limited(stream.read(MAX_FILE_BYTES + 1) if stream else b"", path)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError("%s cannot be read: %s" % (path, error)) from None
    return contents


def _limited(content: bytes, path: str) -> bytes:
    if len(content) > MAX_FILE_BYTES:
        raise DataError("%s is larger than the limit of %d bytes" % (path, MAX_FILE_BYTES))
    return content
