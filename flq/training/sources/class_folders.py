"""Finds the folders of classes, and the images in them, in a folder.

Folders that systems and tools leave behind are not classes. A folder without images is refused: it would be
a class that moves the numbers of the others. ``survey`` looks at names only and opens no file.
"""

import os
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ...core.settings import DatasetSettings
from ...errors import DataError
from .dataset import check_classes
from .labels import MAX_CLASSES
from .seen import counted, listed, one_line

ENDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".bmp",
    ".dib",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
)  # what every Pillow reads
LEFTOVERS = (
    "__macosx",
    "lost+found",
    "@eadir",
    "#recycle",
    "@recycle",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "__pycache__",
    "thumbs.db",
    "desktop.ini",
    "cache",
    "caches",
)  # of systems and tools; so is every name that begins with a dot
DEEPEST = 3  # levels in which images are searched for to say where they lie


class Survey(NamedTuple):
    """The folders of classes.

    Attributes
    ----------
    files : list of (str, int)
        Each image and its class, in sorted order.
    n_classes : int
    names : tuple of str, or None
        Of the classes; None with partition local, where folders are named by numbers.
    notes : list of str
    """

    files: List[Tuple[str, int]]
    n_classes: int
    names: Optional[Tuple[str, ...]]
    notes: List[str]


class Content(NamedTuple):
    """What a folder has: names, sorted, without leftovers."""

    images: List[str]
    others: List[str]
    folders: List[str]


def is_leftover(name: str) -> bool:
    """Return whether a name is that of a system's or tool's own folder or file."""
    return name.startswith(".") or name.lower() in LEFTOVERS


def survey(path: str, section: DatasetSettings) -> Survey:
    """Return the classes and images of a folder.

    Raises
    ------
    DataError
        If it cannot be read, its folders are not classes, or their number is not dataset.n_classes.
    """
    top = content_of(path)
    contents = {name: content_of(os.path.join(path, name)) for name in top.folders}
    is_local = section.partition == "local"
    _refuse_too_deep(path, top, contents)
    if is_local:
        numbers, n_classes = _numbers(path, top.folders, section.n_classes)
    else:
        numbers, n_classes = {name: i for i, name in enumerate(top.folders)}, len(top.folders)
        _check_number(path, top, section.n_classes)
    for name in top.folders:
        if not contents[name].images:
            _check_empty(path, name, contents[name], section)
    files = [
        (os.path.join(path, name, image), numbers[name]) for name in top.folders for image in contents[name].images
    ]
    if not files:
        raise DataError("%s has no images in its folders, that is no files ending in %s" % (path, ", ".join(ENDINGS)))
    names = None if is_local else tuple(map(one_line, top.folders))
    return Survey(files, n_classes, names, _notes(path, top, contents))


def content_of(folder: str) -> Content:
    """Return what a folder has.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _kind_of(entry)) for entry in entries if not is_leftover(entry.name))
    except OSError as error:
        raise _no_folder(folder, error) from None
    images, others, folders = [[name for name, kind in found if kind == wanted] for wanted in ("image", "", "folder")]
    return Content(images, others, folders)


def _kind_of(entry: Any) -> str:
    """Return "folder", "image" or "" for an entry of a folder; opening a pipe would wait for its writer."""
    if entry.is_dir():
        return "folder"
    is_image = entry.name.lower().endswith(ENDINGS)
    return "image" if is_image and (entry.is_file() or not os.path.exists(entry.path)) else ""


def _no_folder(folder: str, error: OSError) -> DataError:
    return DataError("the folder %s cannot be read: %s" % (folder, error.strerror or error))


def _check_number(path: str, top: Content, n_classes: Optional[int]) -> None:
    """Reject another number of folders than of classes."""
    n_folders = len(top.folders)
    if n_folders < 2 and top.images:
        raise DataError(
            "%s has %s %s, expected a folder for each of 2 or more classes"
            % (path, counted(len(top.images), "image"), "beside its folder" if n_folders else "and no folders"),
            hint="put the images of each class into a folder of its own",
        )
    if n_classes is not None and n_folders != n_classes:
        raise DataError(
            "%s has %d folders of classes, but dataset.n_classes is %d" % (path, n_folders, n_classes),
            hint="a class without images needs an empty folder",
        )
    if n_folders < 2:
        raise DataError("%s must have a folder for each of 2 or more classes, got %d" % (path, n_folders))


def _numbers(path: str, folders: List[str], n_classes: Optional[int]) -> Tuple[Dict[str, int], int]:
    """Return the class of each folder, which is named by it, and the number of classes."""
    if not folders:
        raise DataError("%s must have a folder for each of its classes, got none" % path)
    for name in folders:
        if not name.isdecimal() or int(name) >= MAX_CLASSES:
            raise DataError(
                "%s has a folder %r: with dataset.partition local a class's folder must be named by its "
                "number, 0..%s" % (path, name, "n_classes-1" if n_classes is None else n_classes - 1),
                hint="use the same number for a class at every worker",
            )
    numbers: Dict[str, int] = {}
    for name in folders:
        same = next((other for other, number in numbers.items() if number == int(name)), None)
        if same is not None:
            raise DataError(
                "%s has two folders of class %d, %s and %s" % (path, int(name), same, name),
                hint="move the images of a class into one folder",
            )
        numbers[name] = int(name)
    return numbers, check_classes(min(numbers.values()), max(numbers.values()), n_classes, path)


def _check_empty(path: str, name: str, content: Content, section: DatasetSettings) -> None:
    """Reject a folder without images; an empty one may be a class if the settings have the number of classes."""
    folder = os.path.join(path, name)
    for inner in content.folders:
        n_images = _n_images(os.path.join(folder, inner), DEEPEST)
        if n_images:
            raise DataError(
                "the folder %s has no images of its own; %s lie deeper, in %s"
                % (folder, n_images, os.path.join(name, inner)),
                hint="move them up into %s" % folder,
            )
    if content.others:
        raise DataError(
            "the folder %s has no images, but %s" % (folder, _of_unknown_kinds(content.others)),
            hint="convert them to .png or .jpg, or move the folder away if it is not a class",
        )
    if section.n_classes is None and section.partition != "local":
        raise DataError(
            "the folder %s has no images" % folder,
            hint="remove it; or, if it is a class without images, give dataset.n_classes",
        )


def _refuse_too_deep(path: str, top: Content, contents: Dict[str, Content]) -> None:
    """Reject a folder none of whose folders has images, but whose deeper ones have; say which to name."""
    if any(content.images for content in contents.values()):
        return
    places = [
        place
        for place in (_folder_of_classes(os.path.join(path, name), contents[name], DEEPEST) for name in top.folders)
        if place
    ]
    if places:
        place = next((place for place in places if "train" in os.path.basename(place).lower()), places[0])
        raise DataError(
            "%s has no images in its folders; the folders of classes lie deeper, in %s (%s)"
            % (path, place, listed(content_of(place).folders)),
            hint="set dataset.name=images:%s" % place,
        )


def _folder_of_classes(folder: str, content: Content, depth: int) -> str:
    """Return the first folder, this one or a deeper one, with 2 or more folders that have images, or ""."""
    inner = {name: content_of(os.path.join(folder, name)) for name in content.folders}
    if sum(bool(found.images) for found in inner.values()) > 1:
        return folder
    if depth:
        for name in content.folders:
            found = _folder_of_classes(os.path.join(folder, name), inner[name], depth - 1)
            if found:
                return found
    return ""


def _n_images(folder: str, depth: int) -> int:
    content = content_of(folder)
    inner = sum(_n_images(os.path.join(folder, name), depth - 1) for name in content.folders) if depth else 0
    return len(content.images) + inner


def _of_unknown_kinds(names: List[str]) -> str:
    """Return how many files there are, and of what kinds."""
    kinds = listed(_kinds(names))
    return (
        "1 file of an unknown kind (%s)" % kinds
        if len(names) == 1
        else "%d files of unknown kinds (%s)" % (len(names), kinds)
    )


def _kinds(names: List[str]) -> List[str]:
    """Return the endings of files, the most frequent first."""
    endings = Counter(os.path.splitext(name)[1].lower() or "without ending" for name in names)
    return sorted(endings, key=lambda ending: (-endings[ending], ending))


def _notes(path: str, top: Content, contents: Dict[str, Content]) -> List[str]:
    """Return sentences on what was passed over."""
    notes = []
    passed = [
        name for name in sorted(os.listdir(path)) if is_leftover(name) and os.path.isdir(os.path.join(path, name))
    ]
    if passed:
        notes.append("these folders of %s are not classes and are not used: %s" % (path, listed(passed)))
    if top.images:
        notes.append(
            "%s in %s itself, in no folder of a class, %s not used"
            % (counted(len(top.images), "image"), path, "is" if len(top.images) == 1 else "are")
        )
    others = [name for content in contents.values() for name in content.others]
    if others:
        notes.append(
            "%s in the folders of %s %s not used"
            % (_of_unknown_kinds(others), path, "is" if len(others) == 1 else "are")
        )
    for name, content in contents.items():
        for inner in content.folders if content.images else ():
            n_images = _n_images(os.path.join(path, name, inner), DEEPEST)
            if n_images:
                place = os.path.join(path, name, inner)
                notes.append("%s in the deeper folder %s are not used" % (counted(n_images, "image"), place))
    return notes
