"""``images:FOLDER``: a folder for each class, with images in it.

Classes are numbered in the sorted order of the folders' names. Images are resized to
``dataset.input_shape``, which must be given unless all have the same size; 1 channel means
grey, 3 (the default) means colour. Pixels stay uint8. Names that begin with a dot, files of
other kinds, and what lies deeper, are passed over. There is no test set: a part is held back,
see ``dataset.split_dataset``.

With partition local each worker's folder must have a folder for every class, empty or not, so
that they are numbered alike everywhere. Pillow is imported in functions only: a cluster
without image folders does not need it.
"""

import os
from typing import Any, Dict, List, Tuple

import numpy as np

from ...errors import DataError
from .dataset import Dataset, Shape, split_dataset

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MODES = {1: "L", 3: "RGB"}  # channels to Pillow's name
DEFAULT_CHANNELS = 3
WIDE_MODES = ("I", "F")     # first letters of Pillow's names for more than 8 bits per channel


def look(path: str, section: Dict[str, Any]) -> Tuple[Shape, int]:
    """Return the shape of a sample and the number of classes; pixels are not read.

    Parameters
    ----------
    path : str
    section : dict
        The section dataset; its input_shape comes first where it is given, and the number of
        folders must be its n_classes where that is given.

    Raises
    ------
    DataError
        If the folder is not as this module says.
    """
    folders = _class_folders(path, section["n_classes"])
    if section["input_shape"] is not None:
        height, width, channels = section["input_shape"]
        if channels not in MODES:
            raise DataError("dataset.input_shape of images must end in 1 or 3 channels, got %d" % channels)
        return (height, width, channels), len(folders)
    first, size = "", (0, 0)
    for file, _ in _files(path, folders):
        own = _size(file)
        if not first:
            first, size = file, own
        elif own != size:
            raise DataError("%s has %d x %d pixels, %s has %d x %d"
                            % ((file,) + own[::-1] + (first,) + size[::-1]),
                            hint="give dataset.input_shape, [height, width, channels], to resize them")
    return (size[1], size[0], DEFAULT_CHANNELS), len(folders)


def load(path: str, settings: Dict[str, Any]) -> Dataset:
    """Read and resize all images.

    Raises
    ------
    DataError
        If the folder is not as this module says, a file is no image, or something does not
        agree with dataset.input_shape and n_classes.
    """
    shape, n_classes = look(path, settings["dataset"])
    files = _files(path, _class_folders(path, n_classes))
    x = np.empty((len(files),) + shape, np.uint8)
    for i, (file, _) in enumerate(files):
        x[i] = _pixels(file, shape)
    y = np.array([label for _, label in files], np.int64)
    section = dict(settings["dataset"], n_classes=n_classes)
    return split_dataset(dict(settings, dataset=section), x, y, None, path)


def _class_folders(path: str, n_classes: Any) -> List[str]:
    """Return the names of the classes' folders, sorted."""
    names = sorted(name for name in _entries(path)
                   if not name.startswith(".") and os.path.isdir(os.path.join(path, name)))
    if n_classes is not None and len(names) != n_classes:
        raise DataError("%s has %d folders of classes, but dataset.n_classes is %d" % (path, len(names), n_classes),
                        hint="a class without images needs an empty folder")
    if len(names) < 2:
        raise DataError("%s must have a folder for each of 2 or more classes, got %d" % (path, len(names)))
    return names


def _files(path: str, folders: List[str]) -> List[Tuple[str, int]]:
    """Return (file, class) of every image, in sorted order."""
    files = [(os.path.join(path, folder, name), label) for label, folder in enumerate(folders)
             for name in sorted(_entries(os.path.join(path, folder)))
             if name.lower().endswith(ENDINGS) and not name.startswith(".")]
    if not files:
        raise DataError("%s has no images in its folders, that is no files ending in %s" % (path, ", ".join(ENDINGS)))
    return files


def _entries(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise DataError("the folder %s can not be read: %s" % (folder, error.strerror or error)) from None


def _size(file: str) -> Tuple[int, int]:
    """Return (width, height) as the file's header says."""
    with _opened(file) as image:
        return image.size


def _pixels(file: str, shape: Shape) -> np.ndarray:
    """Return one image as (height, width, channels), uint8."""
    from PIL import Image

    height, width, channels = shape
    with _opened(file) as image:
        if image.mode[0] in WIDE_MODES:
            raise DataError("%s has more than 8 bits per channel (mode %s)" % (file, image.mode),
                            hint="convert it to 8 bits")
        try:
            if "transparency" in image.info:
                image = image.convert("RGBA")  # Pillow warns of palettes otherwise
            image = image.convert(MODES[channels])
            if image.size != (width, height):
                image = image.resize((width, height), Image.BILINEAR)
            return np.asarray(image, np.uint8).reshape(shape)
        except Exception as error:  # Pillow raises what it likes for damaged files
            raise _damaged(file, error) from None


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
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DataError("%s can not be read as an image: %s" % (file, reason))
