"""Shows how a partition distributes the classes among the workers; trains nothing.

    python -m flq.training.distribution --partition non_iid --dir_alpha 0.1 --workers 8 --out spread.png

prints a table with one line per worker and, with ``--out``, draws it. The partition is that of a
run with the same settings. Only the drawing needs Matplotlib.
"""

import argparse
import os
import sys
from typing import Optional, Sequence

import numpy as np

from ..core.settings import DatasetSettings, Settings, SystemSettings
from ..drawing.classes import class_figure
from ..drawing.pictures import picture, replace
from ..drawing.style import lacking
from ..errors import DataError, FlqError, one_line
from ..flags import TINY, Flags, within
from ..output import make_output_safe
from .dataset_flags import add_set, check_data_dir, section_with
from .datasets import Dataset, dataset_names, load_dataset, resolve_dataset
from .partition import PARTITIONS, partition
from .sources.seen import all_warnings

PROGRAM = "python -m flq.training.distribution"
MOST_LETTERS = 20  # of a class's name in the table


def class_counts(settings: Settings) -> np.ndarray:
    """Return the number of training samples of each class at each worker.

    Parameters
    ----------
    settings : Settings
        Uses sections system and dataset.

    Returns
    -------
    ndarray of shape (total_workers, n_classes), int64

    Raises
    ------
    DataError
        If the data set or the partition cannot be used; there is nothing to count with partition local.
    """
    return counts_of(load_dataset(settings), settings)


def counts_of(dataset: Dataset, settings: Settings) -> np.ndarray:
    """Return the class counts of a data set that is loaded already, as :func:`class_counts`."""
    shards = partition(dataset.y_train, settings)
    return np.array([np.bincount(dataset.y_train[shard], minlength=dataset.n_classes) for shard in shards], np.int64)


def table(counts: np.ndarray, class_names: Optional[Sequence[str]] = None) -> str:
    """Return the counts as a text table: worker, samples, and one column per class; the last line is the sum.

    Parameters
    ----------
    counts : ndarray of shape (n_workers, n_classes), int
    class_names : sequence of str, optional
        The heads of the columns; by default "class 0" and so on.
    """
    heads = class_names or ["class %d" % label for label in range(counts.shape[1])]
    names = [str(worker_id) for worker_id in range(len(counts))] + ["all"]
    rows = [["worker", "samples"] + [name[:MOST_LETTERS] for name in heads]]
    for name, row in zip(names, np.vstack([counts, counts.sum(axis=0)])):
        rows.append([name, str(row.sum())] + [str(count) for count in row])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)


def draw(counts: np.ndarray, title: str, path: str, class_names: Optional[Sequence[str]] = None) -> None:
    """Draw one bar per worker, stacked by class, as a PNG file.

    Parameters
    ----------
    counts : ndarray of shape (n_workers, n_classes), int
    title : str
        Drawn literally: ``$`` does not begin mathematics.
    path : str
    class_names : sequence of str, optional
        For the legend.

    Raises
    ------
    DataError
        If there is no Matplotlib, or the file cannot be written.
    """
    try:
        content = picture(class_figure(counts, title, class_names), "png")
    except ImportError:
        raise DataError("--out needs the package matplotlib, 3.7 or newer", hint="pip install matplotlib") from None
    try:
        replace(path, content)
    except OSError as error:
        raise DataError("%s cannot be written: %s" % (path, error.strerror or error)) from None


def parse_flags(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    """Parse the command line; defaults are those of flq_config.json."""
    flags = Flags(prog=PROGRAM, description="Show how a partition distributes the classes among the workers.")
    flags.add_argument(
        "--dataset", default="digits", metavar="NAME", help="%s (default: %%(default)s)" % ", ".join(dataset_names())
    )
    flags.add_argument(
        "--data_dir",
        default=None,
        metavar="FOLDER",
        help="folder with the data set's files (default: FLQ_DATA_DIR for mnist, fashion_mnist and cifar10, "
        "the current folder for files)",
    )
    flags.add_argument("--partition", choices=sorted(PARTITIONS), default="iid", help="(default: %(default)s)")
    flags.add_argument(
        "--dir_alpha",
        type=within(float, 1e-6, 1e6),
        default=0.5,
        help="for non_iid: smaller = more uneven (default: %(default)s)",
    )
    flags.add_argument(
        "--shards_per_worker", type=within(int, 1, 10**6), default=2, help="for shards (default: %(default)s)"
    )
    flags.add_argument(
        "--workers", type=within(int, 1, 4096), default=4, help="number of workers (default: %(default)s)"
    )
    flags.add_argument(
        "--batch",
        type=within(int, 1, 10**6),
        default=32,
        help="samples per minibatch, the minimum of a worker (default: %(default)s)",
    )
    flags.add_argument(
        "--input_shape",
        type=within(int, 1, 10**5),
        nargs=3,
        default=None,
        metavar=("HEIGHT", "WIDTH", "CHANNELS"),
        help="for images:FOLDER, if their sizes differ",
    )
    flags.add_argument(
        "--test_fraction",
        type=within(float, TINY, 1.0 - 2.0**-53),
        default=0.1,
        help="fraction held out if the data set has no test set (default: %(default)s)",
    )
    flags.add_argument("--seed", type=within(int, 0, 2**63 - 1), default=42, help="(default: %(default)s)")
    add_set(flags)
    flags.add_argument("--out", default=None, metavar="FILE.png", help="picture to write")
    args = flags.parse_args(arguments)
    if args.out is not None and not args.out.lower().endswith(".png"):
        flags.error("argument --out: must end in .png, got %s" % args.out)
    return args


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings that the flags give."""
    return Settings(
        SystemSettings(total_workers=args.workers, seed=args.seed),
        DatasetSettings(
            name=args.dataset,
            data_dir=args.data_dir,
            batch_size=args.batch,
            partition=args.partition,
            dir_alpha=args.dir_alpha,
            shards_per_worker=args.shards_per_worker,
            input_shape=args.input_shape and tuple(args.input_shape),
            test_fraction=args.test_fraction,
        ),
    )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the program; return its exit code: 0, or 2 with one sentence on stderr."""
    args = parse_flags(arguments)
    try:
        check_data_dir(args.data_dir)
        settings = settings_of(args)
        given = settings._replace(dataset=section_with(settings.dataset, args.overrides))
        settings = resolve_dataset(given)
        dataset = load_dataset(settings)
        for warning in all_warnings(dataset.seen, given.dataset.scale is not None):
            print("warning: %s" % warning, file=sys.stderr)
        counts = counts_of(dataset, settings)
        print(table(counts, dataset.class_names))
        if args.out is not None:
            draw(counts, _title(settings.dataset, args.workers), args.out, dataset.class_names)
            print("written: %s" % args.out)
            absent = lacking("".join(dataset.class_names or ()))
            if absent:
                print(
                    "note: no font here has %s: the figure shows numbers for such classes; Noto Sans CJK has Chinese "
                    "letters" % one_line(absent[:MOST_LETTERS]),
                    file=sys.stderr,
                )
    except FlqError as error:
        print("%s: error: %s" % (PROGRAM, error), file=sys.stderr)
        return 2
    return 0


def _title(section: DatasetSettings, n_workers: int) -> str:
    details = {
        "non_iid": ", dir_alpha %g" % section.dir_alpha,
        "shards": ", %d shards per worker" % section.shards_per_worker,
    }
    name = os.path.basename(section.name) or section.name
    return "%s, %s%s, %d workers" % (name, section.partition, details.get(section.partition, ""), n_workers)


if __name__ == "__main__":
    make_output_safe()
    sys.exit(main())
