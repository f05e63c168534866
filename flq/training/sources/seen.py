"""What a reader found in a data set, and the sentences that say it.

Example
-------
>>> seen = Seen("csv", "toy.csv", 60, 6, True, (7,), "number", 0.0, 4.5, (20, 20, 20), ("a", "b", "c"))
>>> sentence(seen._replace(detail="class in column 'y' (the last)"))
"toy.csv: 60 rows, 7 features, class in column 'y' (the last), 3 classes: a, b, c; values 0 to 4.5"
>>> class_warnings((0, 5, 5), (0, 1, 1), None, "toy.csv")[0]
'the labels of toy.csv run from 1 to 2: the model has 3 outputs, and class 0 has no samples; subtract 1 from the labels'
"""

import os
import unicodedata
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ...errors import one_line

N_NAMED = 10  # classes whose names stand in a sentence


class Seen(NamedTuple):
    """What a reader found in a data set, training and test samples together.

    Attributes
    ----------
    kind : str
        npz, csv, images, or the name of a data set that FLQ knows.
    path : str
        The file or folder; for a data set that FLQ knows, its name.
    n_samples, n_test : int
        Number of samples, and how many of them are for testing.
    is_held_out : bool
        Whether the samples for testing were held out of the others.
    shape : tuple of int
        Of a sample as it is stored: (7,) is a row of 7 features, (28, 28) an image.
    dtype : str
        As stored, such as "uint8"; "number" in a text file.
    lowest, highest : float
        Of all values, before they are divided by the scale.
    class_counts : tuple of int
        Samples of each class.
    class_names : tuple of str, or None
        The name of each class; None if the file has numbers only.
    detail : str
        Where the classes stand, for the sentence; may be empty.
    columns : tuple of str
        How to name each column of features; empty for images.
    widest : tuple (str, float, float), or None
        The column of features with the largest value, by name, and its lowest and highest value.
    scale : float
        The value that means 1.0.
    auto_scale : float
        The scale that ``dataset.scale`` null chooses.
    checksum : int
        CRC32 of labels, sizes and names (``report.checksum_of``).
    divided : str
        A warning of the chosen scale, not needed if ``dataset.scale`` was given; may be empty.
    notes : tuple of str
        Sentences on what was done, such as "2 images cannot be read and are not used: ...".
    warnings : tuple of str
        Sentences on what may be wrong.
    """

    kind: str
    path: str
    n_samples: int = 0
    n_test: int = 0
    is_held_out: bool = False
    shape: Tuple[int, ...] = ()
    dtype: str = ""
    lowest: float = 0.0
    highest: float = 0.0
    class_counts: Tuple[int, ...] = ()
    class_names: Optional[Tuple[str, ...]] = None
    detail: str = ""
    columns: Tuple[str, ...] = ()
    widest: Optional[Tuple[str, float, float]] = None
    scale: float = 1.0
    auto_scale: float = 1.0
    checksum: int = 0
    divided: str = ""
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def is_rows(self) -> bool:
        """Whether a sample is a row of features, not an image."""
        return len(self.shape) == 1


def on_one_line(seen: Seen) -> Seen:
    """Return what was seen with its texts on one line: names of files may have line ends and control characters."""
    path, divided = [one_line(text, keep_bytes=True) for text in (seen.path, seen.divided)]
    notes, warnings = [
        tuple(one_line(text, keep_bytes=True) for text in texts) for texts in (seen.notes, seen.warnings)
    ]
    return seen._replace(path=path, divided=divided, notes=notes, warnings=warnings)


def sentence(seen: Seen) -> str:
    """Return the one sentence that says what a data set is, for the log."""
    parts = [shape_words(seen)]
    if seen.detail:
        parts.append(seen.detail)
    parts.append(class_words(seen))
    return "%s: %s; %s" % (os.path.basename(seen.path) or seen.path, ", ".join(parts), range_words(seen))


def told(seen: Optional[Seen], is_scale_given: bool) -> List[Tuple[str, bool]]:
    """Return the sentences on a data set for the log, and whether each is a warning; none without a data set.

    Parameters
    ----------
    seen : Seen or None
    is_scale_given : bool
        Whether the scale was given, and so needs no warning.
    """
    if seen is None:
        return []
    sentences = [(sentence(seen), False)]
    sentences += [(note, False) for note in seen.notes]
    return sentences + [(warning, True) for warning in all_warnings(seen, is_scale_given)]


def all_warnings(seen: Optional[Seen], is_scale_given: bool) -> List[str]:
    """Return the warnings of a data set, with that of its scale unless the scale was given."""
    if seen is None:
        return []
    return list(seen.warnings) + ([seen.divided] if seen.divided and not is_scale_given else [])


def shape_words(seen: Seen) -> str:
    """Return number and shape of the samples, such as "60 rows, 7 features"."""
    if seen.is_rows:
        return "%s, %s" % (counted(seen.n_samples, "row"), counted(seen.shape[0], "feature"))
    return "%s of %s" % (counted(seen.n_samples, "image"), " x ".join(map(str, seen.shape)))


def class_words(seen: Seen) -> str:
    """Return the number of classes and the first names, such as "3 classes: a, b, c"."""
    words = counted(len(seen.class_counts), "class", "classes")
    if seen.class_names is None:
        return words
    rest = len(seen.class_names) - N_NAMED
    return "%s: %s%s" % (
        words,
        ", ".join(name[:40] for name in seen.class_names[:N_NAMED]),
        " and %d more" % rest if rest > 0 else "",
    )


def range_words(seen: Seen) -> str:
    """Return type, range and scale of the values, such as "uint8 values 0 to 255, divided by 255"."""
    kind = "" if seen.dtype == "number" else seen.dtype + " "
    divided = "" if seen.scale == 1.0 else ", divided by %s" % plain(seen.scale)
    return "%svalues %s to %s%s" % (kind, plain(seen.lowest), plain(seen.highest), divided)


def class_warnings(
    counts: Sequence[int], n_test: Sequence[int], names: Optional[Sequence[str]], where: str
) -> List[str]:
    """Return sentences on classes without samples, and on those without training samples.

    Parameters
    ----------
    counts : sequence of int
        Samples of each class.
    n_test : sequence of int
        How many of them are for testing.
    names : sequence of str, or None
    where : str
        The file.
    """
    untrained = [label for label, count in enumerate(counts) if count and count == n_test[label]]
    found = _empty_warnings(counts, names, where)
    if untrained:
        found.append(
            "%s has no training samples of the class%s %s, only test samples"
            % (where, "" if len(untrained) == 1 else "es", _named(untrained, names))
        )
    return found


def _named(labels: Sequence[int], names: Optional[Sequence[str]]) -> str:
    return listed([str(label) if names is None else "%s (%d)" % (names[label], label) for label in labels])


def _empty_warnings(counts: Sequence[int], names: Optional[Sequence[str]], where: str) -> List[str]:
    """Return a sentence on classes without samples, or none."""
    empty = [label for label, count in enumerate(counts) if not count]
    if not empty:
        return []
    n_outputs = len(counts)
    if len(empty) == n_outputs - 1:
        return ["all samples of %s are of one class: a model learns nothing from them" % where]
    if names is not None:
        return ["%s has no samples of the class%s %s" % (where, "" if len(empty) == 1 else "es", _named(empty, names))]
    if empty == [0]:
        return [
            "the labels of %s run from 1 to %d: the model has %d outputs, and class 0 has no samples; "
            "subtract 1 from the labels" % (where, n_outputs - 1, n_outputs)
        ]
    return [
        "%s has no samples of the class%s %s: the model has %d outputs, of which %d have samples; number the classes "
        "0 to %d without gaps"
        % (
            where,
            "" if len(empty) == 1 else "es",
            _named(empty, names),
            n_outputs,
            n_outputs - len(empty),
            n_outputs - len(empty) - 1,
        )
    ]


def alike(names: Sequence[str]) -> List[Tuple[str, str, bool]]:
    """Return the pairs of names that differ only in case, blanks or the encoding of letters, and whether in that only.

    A letter with an accent is one character in NFC, as most systems write it, and two in NFD, as old macOS does.
    """
    first, pairs = {}, []  # type: ignore[var-annotated]
    for name in names:
        same = unicodedata.normalize("NFC", name)
        key = "".join(same.split()).casefold()
        if key in first:
            pairs.append((first[key], name, unicodedata.normalize("NFC", first[key]) == same))
        first.setdefault(key, name)
    return pairs


def counted(number: int, word: str, words: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(60, "row"), counted(2, "class", "classes")
    ('1 row', '60 rows', '2 classes')
    """
    return "%d %s" % (number, word if number == 1 else words or word + "s")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (" and %d more" % rest if rest > 0 else "")


def plain(value: float) -> str:
    """Return a number as a person writes it.

    >>> plain(255.0), plain(0.1), plain(1234567.0), plain(-2.0), plain(float("inf"))
    ('255', '0.1', '1234567', '-2', 'inf')
    """
    return "%d" % value if abs(value) < 1e15 and value == int(value) else "%.4g" % value
