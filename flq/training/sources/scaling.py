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

from typing import List, NamedTuple, Optional

from ...core.data_report import LARGEST_SCALE
from ...core.settings import DatasetSettings
from .seen import Seen, plain

WHITE = 255.0  # of uint8 images
LEVELS = (1.0, 16.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # usual highest values of images
DIM = 16.0  # uint8 images that are never brighter have 17 levels of gray
OVERSHOOT = 2.0  # images of fractions may exceed 1 when they were resized
RINGING = 1.05  # so may fractional images on other levels
FAR = 20.0  # beyond it, a model's input is too large to train with usual learning rates
FAR_FEATURE = 30.0
CLOSE = 0.1  # below it, it is too small


class Choice(NamedTuple):
    """A scale, a warning of the chosen divisor ("" = none; not needed if it was given), and other warnings."""

    scale: float
    divided: str
    warnings: List[str]


def choose_scale(seen: Seen, section: DatasetSettings, known: Optional[float] = None) -> Choice:
    """Return the scale of a data set, and sentences on what looks wrong with it.

    Parameters
    ----------
    seen : Seen
        Uses kind, path, shape, dtype, lowest, highest, widest.
    section : DatasetSettings
        Its scale, if not null, is returned. With partition local the images of one worker do not
        decide: uint8 has scale 255.
    known : float or None
        The scale of a data set that FLQ knows.
    """
    is_local = section.partition == "local"
    if known is not None:
        choice = Choice(known, "", [])
    else:
        choice = (_of_rows if seen.is_rows else _of_images)(seen, is_local)
    if section.scale in (None, choice.scale):
        return choice
    return Choice(section.scale, "", _odd(seen, section.scale))


def scale_of_file(section: DatasetSettings, scale: float) -> Optional[float]:
    """Return the scale that the master sends: the given one, or else ``scale``; None with partition local."""
    return section.scale if section.scale is not None or section.partition == "local" else scale


def _of_rows(seen: Seen, is_local: bool) -> Choice:
    if _is_bytes(seen) and (seen.highest > DIM or is_local):
        return _choice(seen, WHITE, is_usual=False)
    return Choice(1.0, "", _far_features(seen) or _odd(seen, 1.0, FAR_FEATURE))


def _of_images(seen: Seen, is_local: bool) -> Choice:
    lowest, highest = seen.lowest, seen.highest
    if lowest == highest and seen.kind != "images":
        scale = WHITE if _is_bytes(seen) else 1.0
        return Choice(scale, "", ["all values of %s are %s" % (seen.path, plain(highest))])
    if seen.kind == "images":
        return _choice(seen, WHITE)
    if _is_bytes(seen) and (highest > DIM or is_local):
        return _choice(seen, WHITE, is_usual=highest > DIM)
    is_float = seen.dtype.startswith("float")
    if lowest < 0 or is_float and highest <= OVERSHOOT:
        return _choice(seen, 1.0)
    fits = (level for level in LEVELS if highest <= level * (RINGING if is_float else 1.0))
    scale = next(fits, min(highest, LARGEST_SCALE))
    return _choice(seen, scale, is_usual=scale == 1.0 and not _is_bytes(seen))


def _choice(seen: Seen, scale: float, is_usual: bool = True) -> Choice:
    """Return a scale with one warning at most."""
    odd = _odd(seen, scale)
    return Choice(scale, "" if is_usual or odd else _divided(seen, scale), odd)


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


def _odd(seen: Seen, scale: float, far: float = FAR) -> List[str]:
    """Return a warning if the scale makes values too large or too small to train on."""
    highest = max(abs(seen.lowest), abs(seen.highest)) / scale
    if CLOSE <= highest <= far or seen.lowest == seen.highest:
        return []
    return [
        "%s has values %s to %s, which dataset.scale %s makes %s to %s: a model trains badly on values %s; set "
        "dataset.scale to the value that means 1"
        % (
            seen.path,
            plain(seen.lowest),
            plain(seen.highest),
            plain(scale),
            plain(seen.lowest / scale),
            plain(seen.highest / scale),
            "so close to 0" if highest < CLOSE else "far outside -1..1",
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
