"""Reads ``images:FOLDER``: one subfolder of images per class.

Classes are numbered in the sorted order of the subfolders' names. Images are rotated as their EXIF
data say, and resized to ``dataset.input_shape``, which must be given unless all have the same
size; 1 channel means gray, 3 (the default) means color. Pixels stay uint8. ``class_folders`` says
what is passed over. There is no test set: a part is held out, see ``dataset.split_dataset``.

A few images that cannot be read are left out and named, the same ones on every machine; more are an
error.

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
from .class_folders import Survey, survey
from .dataset import Dataset, Seen, Shape, Source, split_dataset
from .scaling import WHITE, scale_of_file
from .seen import counted, listed

BILINEAR = 2  # PIL.Image.BILINEAR, which Pillow's type hints lack
MODES = {1: "L", 3: "RGB"}  # channels to Pillow's name
DEFAULT_CHANNELS = 3
MAX_BYTES = 4 * 10**9  # of all images together; more is a mistake in dataset.input_shape
ORIENTATION = 0x0112  # the EXIF tag
LYING = (5, 6, 7, 8)  # its values that swap width and height
WIDE_MODES = ("I", "F")  # first letters of Pillow's names for more than 8 bits per channel
UNREADABLE = 10  # images that may be left out, or a hundredth of all


class Unreadable(DataError):
    """A file is not an image, or is damaged."""


def look(path: str, section: DatasetSettings) -> Source:
    """Return shape, classes and scale; decode pixels only if headers lack the size.

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
    found = survey(path, section)
    return Source(_shape(path, section, found), found.n_classes, found.names, scale_of_file(section, WHITE))


def load(path: str, settings: Settings) -> Dataset:
    """Read and resize all images.

    Raises
    ------
    DataError
        If the folder is not of this format, too many files are not images, the data contradict
        dataset.input_shape or n_classes, or the images do not fit into memory.
    """
    section = settings.dataset
    found = survey(path, section)
    shape = _shape(path, section, found)
    x, y = _room(len(found.files), shape, path), np.empty(len(found.files), np.int64)
    n_read, bad = 0, []
    for file, label in found.files:
        try:
            x[n_read] = _pixels(file, shape)
        except Unreadable as error:
            bad.append((file, label, error))
            continue
        y[n_read] = label
        n_read += 1
    x, y = x[:n_read], y[:n_read]
    seen = Seen(
        "images",
        path,
        shape=shape,
        dtype="uint8",
        class_names=found.names,
        notes=tuple(found.notes),
        warnings=_left_out(path, bad, found),
    )
    return split_dataset(settings._replace(dataset=section._replace(n_classes=found.n_classes)), x, y, None, seen)


def labels(path: str, section: DatasetSettings) -> np.ndarray:
    """Return the classes of the images as int64 of shape (n,), without decoding them.

    Files whose headers cannot be read are left out, as by :func:`load`, which also leaves out images
    that are cut off.

    Raises
    ------
    DataError
        If the folder is not of this format, or too many files are not images.
    """
    found = survey(path, section)
    bad, classes = [], []
    for file, label in found.files:
        try:
            _opened(file).close()
        except Unreadable as error:
            bad.append((file, label, error))
        else:
            classes.append(label)
    _left_out(path, bad, found)
    return np.array(classes, np.int64)


def _left_out(path: str, bad: List[Tuple[str, int, Unreadable]], found: Survey) -> Tuple[str, ...]:
    """Return a sentence on the images that cannot be read; raise DataError if they are too many."""
    if not bad:
        return ()
    file, label, error = bad[0]
    n_files = len(found.files)
    words = "%s of %d in %s cannot be read" % (counted(len(bad), "image"), n_files, path)
    names = listed([os.path.relpath(file, path) for file, _, _ in bad])
    if len(bad) > max(UNREADABLE, n_files // 100) or len(bad) == n_files:
        raise DataError("%s: %s" % (words, names), hint=error.detail)
    for file, label, error in bad:
        n_bad = sum(other == label for _, other, _ in bad)
        if n_bad == sum(other == label for _, other in found.files):
            raise DataError("no image of the folder %s can be read: %s" % (os.path.dirname(file), error.detail))
    return ("%s and %s not used: %s" % (words, "is" if len(bad) == 1 else "are", names),)


def _shape(path: str, section: DatasetSettings, found: Survey) -> Shape:
    """Return the shape that the settings give, or the common shape of the images."""
    if section.input_shape is not None:
        height, width, channels = section.input_shape
        if channels not in MODES:
            raise DataError("dataset.input_shape of images must end in 1 or 3 channels, got %d" % channels)
        if section.channels not in (None, channels):
            raise DataError(
                "dataset.channels is %d, but dataset.input_shape ends in %d" % (section.channels, channels),
                hint="leave dataset.channels null",
            )
        return height, width, channels
    first, size = "", (0, 0)
    bad: Optional[DataError] = None
    for file, _ in found.files:
        try:
            own = _size(file)
        except Unreadable as error:
            bad = bad or error
            continue
        if not first:
            first, size = file, own
        elif own != size:
            raise DataError(
                "%s has %d x %d pixels, %s has %d x %d" % ((file,) + own[::-1] + (first,) + size[::-1]),
                hint="to resize them, give height, width and channels: --set 'dataset.input_shape=[64,64,3]'",
            )
    if not first:
        raise DataError("no image of %s can be read: %s" % (path, bad and bad.detail))
    return size[1], size[0], section.channels or DEFAULT_CHANNELS


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
    """Return Unreadable if it is due to the content of the file, which is the same on every machine."""
    if isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno is not None:
        return DataError("%s cannot be read: %s" % (file, getattr(error, "strerror", None) or "too little memory"))
    return Unreadable("%s cannot be read as an image: %s" % (file, reason_of(error)))
