"""Reads ``images:FOLDER``: one subfolder of images per class.

Classes are numbered in the sorted order of the subfolders' names. Images are rotated as their EXIF
data say, and resized to ``dataset.input_shape``, which must be given unless all have the same
size; 1 channel means gray, 3 (the default) means color. Pixels stay uint8. Names that begin with
a dot, other files, and deeper folders are ignored. There is no test set: a part is held out, see
``dataset.split_dataset``.

With partition local a class's subfolder must be named by its number, in 0..n_classes-1, so that
classes mean the same at every worker: the numbers of other names would depend on the worker's
other classes. A worker need not have all classes. Pillow is imported in functions only: a cluster
without image folders does not need it.
"""

import os
from typing import Any, List, Optional, Tuple

import numpy as np

from ...core.settings import DatasetSettings, Settings
from ...errors import DataError
from ...reasons import reason_of
from .dataset import MAX_CLASSES, Dataset, Shape, check_classes, split_dataset

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
BILINEAR = 2  # PIL.Image.BILINEAR, which Pillow's type hints lack
MODES = {1: "L", 3: "RGB"}  # channels to Pillow's name
DEFAULT_CHANNELS = 3
MAX_BYTES = 4 * 10**9  # of all images together; more is a mistake in dataset.input_shape
ORIENTATION = 0x0112  # the EXIF tag
LYING = (5, 6, 7, 8)  # its values that swap width and height
WIDE_MODES = ("I", "F")  # first letters of Pillow's names for more than 8 bits per channel


def look(path: str, section: DatasetSettings) -> Tuple[Shape, int]:
    """Return the shape of a sample and the number of classes; decode pixels only if headers lack the size.

    Parameters
    ----------
    path : str
    section : DatasetSettings
        Its input_shape, if given, takes precedence; its n_classes, if given, must agree with the
        subfolders.

    Raises
    ------
    DataError
        If the folder is not of this format.
    """
    folders, n_classes = _class_folders(path, section)
    if section.input_shape is not None:
        height, width, channels = section.input_shape
        if channels not in MODES:
            raise DataError("dataset.input_shape of images must end in 1 or 3 channels, got %d" % channels)
        return (height, width, channels), n_classes
    first, size = "", (0, 0)
    for file, _ in _files(path, folders):
        own = _size(file)
        if not first:
            first, size = file, own
        elif own != size:
            raise DataError(
                "%s has %d x %d pixels, %s has %d x %d" % ((file,) + own[::-1] + (first,) + size[::-1]),
                hint="give dataset.input_shape, [height, width, channels], to resize them",
            )
    return (size[1], size[0], DEFAULT_CHANNELS), n_classes


def load(path: str, settings: Settings) -> Dataset:
    """Read and resize all images.

    Raises
    ------
    DataError
        If the folder is not of this format, a file is not an image, the data contradict
        dataset.input_shape or n_classes, or the images do not fit into memory.
    """
    shape, n_classes = look(path, settings.dataset)
    files = _files(path, _class_folders(path, settings.dataset)[0])
    x = _room(len(files), shape, path)
    for i, (file, _) in enumerate(files):
        x[i] = _pixels(file, shape)
    y = np.array([label for _, label in files], np.int64)
    section = settings.dataset._replace(n_classes=n_classes)
    return split_dataset(settings._replace(dataset=section), x, y, None, path)


def labels(path: str, section: DatasetSettings) -> np.ndarray:
    """Return the classes of all images as int64 of shape (n,), without opening the files.

    Raises
    ------
    DataError
        If the folder is not of this format.
    """
    return np.array([label for _, label in _files(path, _class_folders(path, section)[0])], np.int64)


def _room(n_images: int, shape: Shape, path: str) -> np.ndarray:
    """Return an uninitialized array (n_images, height, width, channels), uint8."""
    height, width, channels = shape
    n_bytes = n_images * height * width * channels
    try:
        if n_bytes > MAX_BYTES:
            raise MemoryError
        return np.empty((n_images,) + shape, np.uint8)
    except MemoryError:
        raise DataError(
            "the %d images of %s need %d bytes with dataset.input_shape %s, more than the limit of %d or the "
            "free memory" % (n_images, path, n_bytes, list(shape), MAX_BYTES),
            hint="give a smaller dataset.input_shape",
        ) from None


def _class_folders(path: str, section: DatasetSettings) -> Tuple[List[Tuple[str, int]], int]:
    """Return (name, class) of each subfolder, sorted by name, and the number of classes."""
    n_classes = section.n_classes
    names = sorted(
        name for name in _entries(path) if not name.startswith(".") and os.path.isdir(os.path.join(path, name))
    )
    if section.partition == "local":
        return _numbered_folders(path, names, n_classes)
    if n_classes is not None and len(names) != n_classes:
        raise DataError(
            "%s has %d folders of classes, but dataset.n_classes is %d" % (path, len(names), n_classes),
            hint="a class without images needs an empty folder",
        )
    if len(names) < 2:
        raise DataError("%s must have a folder for each of 2 or more classes, got %d" % (path, len(names)))
    return [(name, label) for label, name in enumerate(names)], len(names)


def _numbered_folders(path: str, names: List[str], n_classes: Optional[int]) -> Tuple[List[Tuple[str, int]], int]:
    """Return (name, class) of each subfolder, named by its class, and the number of classes."""
    if not names:
        raise DataError("%s must have a folder for each of its classes, got none" % path)
    for name in names:
        if not name.isdecimal() or int(name) >= MAX_CLASSES:
            raise DataError(
                "%s has a folder %r: with dataset.partition local a class's folder must be named by its "
                "number, 0..%s" % (path, name, "n_classes-1" if n_classes is None else n_classes - 1),
                hint="use the same number for a class at every worker",
            )
    folders = [(name, int(name)) for name in names]
    return folders, check_classes(max(label for _, label in folders), n_classes, path)


def _files(path: str, folders: List[Tuple[str, int]]) -> List[Tuple[str, int]]:
    """Return (file, class) of every image, in sorted order."""
    files = [
        (os.path.join(path, folder, name), label)
        for folder, label in folders
        for name in sorted(_entries(os.path.join(path, folder)))
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    ]
    if not files:
        raise DataError("%s has no images in its folders, that is no files ending in %s" % (path, ", ".join(ENDINGS)))
    return files


def _entries(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise DataError("the folder %s cannot be read: %s" % (folder, error.strerror or error)) from None


def _size(file: str) -> Tuple[int, int]:
    """Return (width, height) of the upright image."""
    with _opened(file) as image:
        try:
            if image.getexif().get(ORIENTATION) in LYING:  # for a PNG file Pillow also reads the data after the pixels
                image = _upright(image)
            return image.size
        except Exception as error:  # Pillow may raise anything for damaged files
            raise _damaged(file, error) from None


def _pixels(file: str, shape: Shape) -> np.ndarray:
    """Return one image as (height, width, channels), uint8."""

    height, width, channels = shape
    with _opened(file) as image:
        if image.mode[0] in WIDE_MODES:
            raise DataError(
                "%s has more than 8 bits per channel (mode %s)" % (file, image.mode), hint="convert it to 8 bits"
            )
        try:
            image = _upright(image)
            if "transparency" in image.info:
                image = image.convert("RGBA")  # avoids Pillow's warning about palettes
            image = image.convert(MODES[channels])
            if image.size != (width, height):
                image = image.resize((width, height), BILINEAR)
            return np.asarray(image, np.uint8).reshape(shape)
        except Exception as error:  # as above
            raise _damaged(file, error) from None


def _upright(image: Any) -> Any:
    """Load the image; return it rotated as its EXIF data say."""
    from PIL import ImageOps

    image.load()  # Pillow itself rotates TIFF files, some versions without updating the EXIF data
    return image if image.format == "TIFF" else ImageOps.exif_transpose(image)


def _opened(file: str) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise DataError("images:FOLDER needs the package pillow", hint="pip install pillow") from None
    try:
        return Image.open(file)
    except Exception as error:  # as above
        raise _damaged(file, error) from None


def _damaged(file: str, error: Exception) -> DataError:
    return DataError("%s cannot be read as an image: %s" % (file, reason_of(error)))
