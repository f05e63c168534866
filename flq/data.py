"""Shows what FLQ sees in a file or folder, and what it would do with it; trains nothing.

    python -m flq.data check images --set dataset.input_shape=[64,64,3]

PATH is a file, a folder, or a name as in ``dataset.name``, such as npz:FILE. The program needs no
package that a worker does not have.
"""

import argparse
import json
import os
import sys
from typing import Any, Dict, List, Optional, Sequence

from .core.settings import DatasetSettings, Settings
from .errors import DataError, FlqError
from .flags import Flags
from .output import make_output_safe
from .training.dataset_flags import add_set, section_with
from .training.datasets import ALIASES, DATASETS, FILES, Dataset, load_dataset, resolve_dataset
from .training.partition import LOCAL
from .training.sources import own_data
from .training.sources.seen import all_warnings, class_words, listed, plain, range_words, shape_words

PROGRAM = "python -m flq.data"
MOST_CLASSES = 20  # lines of the table
MOST_LETTERS = 40  # of a name in the table


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the program; return its exit code: 0, or 2 with one sentence on stderr."""
    args = parse_flags(arguments)
    try:
        lines = check(args.path, section_with(DatasetSettings(), args.overrides))
    except FlqError as error:
        print("%s: error: %s" % (PROGRAM, error), file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def parse_flags(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    """Parse the command line."""
    flags = Flags(prog=PROGRAM, description="Show what FLQ sees in your data, and what it would do with them.")
    commands = flags.add_subparsers(metavar="check", dest="command")
    commands.required = True
    found = commands.add_parser("check", help="read a file or folder and describe it")
    found.add_argument("path", metavar="PATH", help="a file, a folder, or a name such as csv:FILE")
    add_set(found)
    return flags.parse_args(arguments)


def name_of(path: str, data_dir: Optional[str] = None) -> str:
    """Return the name by which the settings call a path: csv:FILE, npz:FILE, images:FOLDER.

    A relative path is relative to ``data_dir``, as in a run.

    Raises
    ------
    DataError
        If there is nothing at the path, or it is of no kind that FLQ reads, or it has several data sets.
    """
    if path in DATASETS or path in ALIASES or path.partition(":")[0] in FILES:
        return path
    inner = os.path.expanduser(path)
    full = os.path.join(os.path.expanduser(data_dir or ""), inner)
    if os.path.isfile(full):
        kind = own_data.kind_of(full)
        if not kind:
            raise own_data.no_data_set(path)
        return "%s:%s" % (kind, inner)
    if not os.path.isdir(full):
        problem = "%s is neither a file nor a folder" if os.path.exists(full) else "there is no %s"
        raise DataError(problem % os.path.abspath(full))
    found = own_data.data_sets_in(full) or [("images", full)]
    names = ["%s:%s" % (kind, os.path.normpath(inner + where[len(full) :])) for kind, where in found]
    if len(names) > 1:
        raise DataError("%s holds more than one data set" % path, hint="name one: %s" % listed(names))
    return names[0]


def check(path: str, section: DatasetSettings) -> List[str]:
    """Return the lines that say what FLQ sees at a path, and what it would do.

    Raises
    ------
    DataError
        If it cannot be used.
    """
    section = section._replace(name=name_of(path, section.data_dir))
    settings = Settings(dataset=section)
    dataset = load_dataset(resolve_dataset(settings))
    return _what(dataset) + _classes(dataset) + _remarks(dataset, section) + _use(dataset, section)


def _what(dataset: Dataset) -> List[str]:
    seen = dataset.seen
    shape = " x ".join(map(str, dataset.input_shape))
    lines = [
        ("data", "%s (%s)" % (seen.path, seen.kind) if seen.kind != seen.path else seen.path),
        ("samples", shape_words(seen)),
        ("values", range_words(seen._replace(scale=1.0)).replace("values ", "")),
        ("scale", _scale_words(seen.scale)),
        ("input shape", "%s (height, width, channels)" % shape),
    ]
    lines += [("class column", seen.detail[len("class in ") :])] if seen.detail else []
    return ["%-13s %s" % line for line in lines + [("classes", class_words(seen._replace(class_names=None)))]]


def _scale_words(scale: float) -> str:
    return "1, the values stay as they are" if scale == 1.0 else "%s, values are divided by it" % plain(scale)


def _classes(dataset: Dataset) -> List[str]:
    """Return the table of classes."""
    counts, names = dataset.seen.class_counts, dataset.seen.class_names
    rows = [
        (str(label), "" if names is None else names[label][:MOST_LETTERS], str(count))
        for label, count in enumerate(counts[:MOST_CLASSES])
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        "  %s  %s%s" % (label.rjust(widths[0]), name.ljust(widths[1]) + "  " if names else "", count.rjust(widths[2]))
        for label, name, count in rows
    ]
    rest = len(counts) - MOST_CLASSES
    return lines + (["  ... and %d more" % rest] if rest > 0 else [])


def _remarks(dataset: Dataset, section: DatasetSettings) -> List[str]:
    seen = dataset.seen
    return ["note: %s" % words for words in seen.notes] + [
        "warning: %s" % words for words in all_warnings(seen, section.scale is not None)
    ]


def _use(dataset: Dataset, section: DatasetSettings) -> List[str]:
    """Return what FLQ would do with the data, and the settings to give."""
    n_test = dataset.seen.n_test
    held = "a test set of %d samples" % n_test
    if dataset.seen.is_held_out:
        held = "%d of %d samples held out for testing" % (n_test, dataset.seen.n_samples)
    first = ["", "FLQ would train on %d samples, with %s:" % (len(dataset.y_train), held)]
    defaults = DatasetSettings(name=section.name)
    changed = {key: value for key, value in section._asdict().items() if value != getattr(defaults, key)}
    kind, _, path = section.name.partition(":")
    if section.partition != LOCAL or kind not in FILES:
        return first + ["  " + _flags({"name": section.name, **changed})]
    known = {"input_shape": list(dataset.input_shape), "n_classes": dataset.n_classes}
    folder = os.path.join(os.path.expanduser(changed.pop("data_dir", "")), os.path.expanduser(path))
    return first + [
        "  master: " + _flags({"name": own_data.OWN, "partition": LOCAL, **known, **changed}),
        "  worker: --data_dir " + _written(folder),
    ]


def _flags(settings: Dict[str, Any]) -> str:
    """Return the flags that set keys of section dataset."""
    return " ".join("--set dataset.%s=%s" % (key, _written(value)) for key, value in settings.items())


def _written(value) -> str:
    """Return a value as a shell takes it; without control characters, which a terminal would obey."""
    text = value if isinstance(value, str) else json.dumps(value).replace(" ", "")
    if not text.isprintable():
        return "$'%s'" % "".join(
            letter if letter.isprintable() and letter not in "'\\" else _in_hex(letter) for letter in text
        )
    return text if not set(text) & set(" '\"\\$`&|;<>()*?[]#~!{}") else "'%s'" % text.replace("'", "'\\''")


def _in_hex(letter: str) -> str:
    return "".join("\\x%02x" % byte for byte in os.fsencode(letter))


if __name__ == "__main__":
    make_output_safe()
    sys.exit(main())
