"""Finds or downloads the published data sets.

They are searched for in this order: ``dataset.data_dir`` or, if that is null, the folder in the
environment variable FLQ_DATA_DIR; Keras' cache; FLQ's cache; the network, into FLQ's cache. In
each folder, a subfolder with the data set's name is searched; in the user's own also the folder
itself. With partition local only the user's own folder is searched: other files are not the
worker's own. FLQ_DATA_DIR is used for no other data set.
"""

import os
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from ...core.settings import Settings
from ...errors import DataError
from . import cifar_files, idx_files, npz_file
from .dataset import Dataset, Seen, Shape, as_labels, as_samples, split_dataset
from .download import DownloadFailed, File, download_missing
from .scaling import WHITE

DATA_DIR_VARIABLE = "FLQ_DATA_DIR"


class Published(NamedTuple):
    """A data set: shape and number of classes, its reader, the files on its mirrors, and the classes' names."""

    input_shape: Shape
    n_classes: int
    folders: Tuple[str, ...]  # usual names of its subfolder
    npz: Optional[str]  # name of its file in Keras' cache
    read_folder: Callable[[str], Optional[idx_files.Arrays]]
    mirrors: Tuple[str, ...]
    files: Tuple[File, ...]
    class_names: Optional[Tuple[str, ...]] = None


class Found(NamedTuple):
    """The place of a data set, and the arrays read there."""

    place: str
    arrays: idx_files.Arrays


# MNIST's checksums are those of the authors' compressed files. CIFAR-10's page gives only an MD5
# (c32a1d4ab5d03f1284b67883e8d87530); TensorFlow Datasets and others use this SHA-256.
PUBLISHED: Dict[str, Published] = {
    "mnist": Published(
        (28, 28, 1),
        10,
        ("mnist",),
        "mnist.npz",
        idx_files.read_folder,
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        (
            File(
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            File(
                "train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            File(
                "t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            File("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
    "fashion_mnist": Published(
        (28, 28, 1),
        10,
        ("fashion-mnist", "fashion_mnist"),
        None,
        idx_files.read_folder,
        (
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        (
            File(
                "train-images-idx3-ubyte.gz",
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            File(
                "train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            File(
                "t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            File("t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": Published(
        (32, 32, 3),
        10,
        ("cifar10", "cifar-10-batches-bin", os.path.join("cifar10", "cifar-10-batches-bin")),
        None,
        cifar_files.read_folder,
        ("https://www.cs.toronto.edu/~kriz/",),
        (File(cifar_files.ARCHIVE, 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
}


def load_published(settings: Settings) -> Dataset:
    """Find or download the data set that ``dataset.name`` names, and read it.

    Raises
    ------
    DataError
        If it is neither found nor downloaded, or its files are damaged.
    """
    section = settings.dataset
    published = PUBLISHED[section.name]
    own = section.data_dir or os.environ.get(DATA_DIR_VARIABLE)
    is_local = section.partition == "local"
    found = _search(os.path.expanduser(own), section.name, itself=True) if own else None
    if found is None and is_local:
        raise DataError(
            "with dataset.partition local a worker needs its own files of %s, but there are none in %s"
            % (section.name, own or "any folder: neither dataset.data_dir nor %s is set" % DATA_DIR_VARIABLE),
            hint="start the worker with --data_dir",
        )
    if found is None:
        found = _search(keras_cache(), section.name, itself=False) or _cached_or_downloaded(section.name, own)
    return _checked(settings, published, found)


def keras_cache() -> str:
    """Return the folder of Keras' cache of data sets."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return os.path.join(os.path.expanduser(home), "datasets")


def flq_cache() -> str:
    """Return the folder of FLQ's downloads."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return os.path.join(os.path.expanduser(caches), "flq")


def _search(root: str, name: str, itself: bool) -> Optional[Found]:
    """Read a data set in the folder ``root``; return None if it is not there."""
    published = PUBLISHED[name]
    folders: List[str] = [os.path.join(root, folder) for folder in published.folders]
    others = {folder for other in PUBLISHED if other != name for folder in PUBLISHED[other].folders}
    if itself and os.path.basename(os.path.abspath(root)) not in others:  # MNIST's files are named like Fashion-MNIST's
        folders.append(root)
    for folder in folders:
        arrays = published.read_folder(folder)
        if arrays is not None:
            return Found(folder, arrays)
    npz = os.path.join(root, published.npz or "")
    return Found(npz, npz_file.read_four(npz)) if os.path.isfile(npz) else None


def _cached_or_downloaded(name: str, own: Optional[str]) -> Found:
    published, folder = PUBLISHED[name], os.path.join(flq_cache(), name)
    names = ", ".join(file.name for file in published.files)
    try:
        download_missing(published.files, published.mirrors, folder)
    except DownloadFailed as failure:
        raise DataError(
            "%s is not on this machine%s and cannot be downloaded: %s"
            % (name, ", not in %s," % own if own else "", failure),
            hint="put %s from %s into %s, or name their folder as dataset.data_dir"
            % (names, published.mirrors[0], folder),
        ) from None
    arrays = published.read_folder(folder)
    if arrays is None:
        raise DataError("the files in %s disappeared while they were read" % folder, hint="start again")
    return Found(folder, arrays)


def _checked(settings: Settings, published: Published, found: Found) -> Dataset:
    """Return the data set, checked against the table: files of another data set may have the same names."""
    where = "%s in %s" % (settings.dataset.name, found.place)
    known = settings.dataset._replace(
        n_classes=published.n_classes,
        input_shape=published.input_shape,
        channels_first=False,
        channels=None,
        scale=WHITE,
    )
    x_train, y_train, x_test, y_test = found.arrays
    train, test = [
        (as_samples(x, known, where), as_labels(y, where)) for x, y in ((x_train, y_train), (x_test, y_test))
    ]
    seen = Seen(settings.dataset.name, where, shape=train[0].shape[1:], dtype=train[0].dtype.name)
    return split_dataset(settings._replace(dataset=known), train[0], train[1], test, seen)
