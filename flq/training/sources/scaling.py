"""Chooses the scale of a data set: the value that means 1.0, by which a model's input is divided.

Example
-------
>>> from flq.core.settings import DatasetSettings
>>> pixels = Seen("npz", "toy.npz", shape=(28, 28), dtype="uint8", lowest=0.0, highest=255.0)
>>> choose_scale(pixels, DatasetSettings())
Choice(scale=255.0, divided='', warnings=[])
>>> choose_scale(pixels._replace(dtype="int64"), DatasetSettings()).divided
'toy.npz has int64 values 0 to 255: they are divided by 255; dataset.scale sets another divisor'
"""

from typing import List, NamedTuple

from ...core.settings import DatasetSettings
from .seen import Seen, plain

WHITE = 255.0  # of uint8 images
LEVELS = (1.0, 16.0, 255.0, 1023.0, 4095.0, 65535.0)  # usual highest values of images
DIM = 16.0  # uint8 images that are never brighter have 17 levels of gray
OVERSHOOT = 2.0  # images of fractions may exceed 1 a little when they were resized
FAR = 20.0  # beyond it, a model's input is too large to train with usual learning rates
FAR_FEATURE = 30.0


class Choice(NamedTuple):
    """A scale, a warning of the chosen divisor ("" = none; not needed if it was given), and other warnings."""

    scale: float
    divided: str
    warnings: List[str]


def choose_scale(seen: Seen, section: DatasetSettings) -> Choice:
    """Return the scale of a data set, and sentences on what looks wrong with it.

    Parameters
    ----------
    seen : Seen
        Uses kind, path, shape, dtype, lowest, highest, widest.
    section : DatasetSettings
        Its scale, if not null, is returned. With partition local the images of one worker do not
        decide: uint8 has scale 255.
    """
    is_local = section.partition == "local"
    choice = (_of_rows if seen.is_rows else _of_images)(seen, is_local)
    if section.scale in (None, choice.scale):
        return choice
    return Choice(section.scale, "", _far(seen, section.scale))


def _of_rows(seen: Seen, is_local: bool) -> Choice:
    if _is_bytes(seen) and (seen.highest > DIM or is_local):
        return Choice(WHITE, _divided(seen, WHITE), [])
    return Choice(1.0, "", _far_features(seen))


def _of_images(seen: Seen, is_local: bool) -> Choice:
    lowest, highest = seen.lowest, seen.highest
    if seen.kind == "images":
        return Choice(WHITE, "", [])
    if lowest == highest:
        scale = WHITE if _is_bytes(seen) else 1.0
        return Choice(scale, "", ["all values of %s are %s" % (seen.path, plain(highest))])
    if _is_bytes(seen) and (highest > DIM or is_local):
        return Choice(WHITE, _divided(seen, WHITE) if highest <= DIM else "", [])
    if lowest < 0:
        return Choice(1.0, "", _far(seen, 1.0))
    if seen.dtype.startswith("float") and highest <= OVERSHOOT:
        return Choice(1.0, "", [])
    scale = next((level for level in LEVELS if highest <= level), highest)
    return Choice(scale, "" if scale == 1.0 and not _is_bytes(seen) else _divided(seen, scale), [])


def _is_bytes(seen: Seen) -> bool:
    return seen.dtype == "uint8"


def _divided(seen: Seen, scale: float) -> str:
    done = "they are not divided" if scale == 1.0 else "they are divided by %s" % plain(scale)
    return "%s has %s values %s to %s: %s; dataset.scale sets another divisor" % (
        seen.path,
        seen.dtype,
        plain(seen.lowest),
        plain(seen.highest),
        done,
    )


def _far(seen: Seen, scale: float) -> List[str]:
    if max(abs(seen.lowest), abs(seen.highest)) / scale <= FAR:
        return []
    return [
        "%s has values %s to %s, which dataset.scale %s makes %s to %s: a model trains badly on values far outside "
        "-1..1; set dataset.scale to the value that means 1"
        % (
            seen.path,
            plain(seen.lowest),
            plain(seen.highest),
            plain(scale),
            plain(seen.lowest / scale),
            plain(seen.highest / scale),
        )
    ]


def _far_features(seen: Seen) -> List[str]:
    if max(abs(seen.lowest), abs(seen.highest)) <= FAR_FEATURE:
        return []
    name, lowest, highest = seen.widest or ("some column", seen.lowest, seen.highest)
    return [
        "%s has features far outside -1..1: %s goes from %s to %s; standardize each column (subtract its mean, divide "
        "by its standard deviation), or set dataset.scale to divide all columns by one value"
        % (seen.path, name, plain(lowest), plain(highest))
    ]
