"""The scale that is chosen for what is seen: the rule as a table."""

import pytest

from flq.core.settings import DatasetSettings
from flq.training.sources.scaling import choose_scale
from flq.training.sources.seen import Seen, all_warnings

PICTURE, ROW = (28, 28), (7,)
DIVIDED, FAR, CLOSE = "dataset.scale sets another divisor", "far outside -1..1", "so close to 0"


@pytest.mark.parametrize(
    "kind, shape, dtype, lowest, highest, scale, said",
    [
        ("npz", PICTURE, "uint8", 0, 255, 255, ""),
        ("npz", PICTURE, "uint8", 0, 17, 255, CLOSE),
        ("npz", PICTURE, "uint8", 0, 26, 255, ""),
        ("npz", PICTURE, "uint8", 0, 16, 16, DIVIDED),
        ("npz", PICTURE, "uint8", 0, 1, 1, DIVIDED),
        ("npz", PICTURE, "uint8", 9, 9, 255, "all values of toy are 9"),
        ("images", PICTURE, "uint8", 0, 255, 255, ""),
        ("images", PICTURE, "uint8", 0, 1, 255, CLOSE),
        ("images", PICTURE, "uint8", 0, 26, 255, ""),
        ("npz", PICTURE, "int64", 0, 255, 255, DIVIDED),
        ("npz", PICTURE, "int64", 0, 16, 16, DIVIDED),
        ("npz", PICTURE, "int64", 0, 1, 1, ""),
        ("npz", PICTURE, "int64", 0, 256, 1023, DIVIDED),
        ("npz", PICTURE, "int8", -128, 127, 1, FAR),
        ("npz", PICTURE, "int8", -1, 1, 1, ""),
        ("npz", PICTURE, "uint16", 0, 1023, 1023, DIVIDED),
        ("npz", PICTURE, "uint16", 0, 4095, 4095, DIVIDED),
        ("npz", PICTURE, "uint16", 0, 4096, 16383, DIVIDED),
        ("npz", PICTURE, "uint16", 2, 16383, 16383, DIVIDED),
        ("npz", PICTURE, "uint16", 0, 16384, 65535, DIVIDED),
        ("npz", PICTURE, "int64", 0, 17, 255, CLOSE),
        ("npz", PICTURE, "uint32", 0, 70000, 70000, DIVIDED),
        ("npz", PICTURE, "float32", 0, 1, 1, ""),
        ("npz", PICTURE, "float32", 0, 1.01, 1, ""),
        ("npz", PICTURE, "float32", 0, 1e-6, 1, CLOSE),
        ("npz", PICTURE, "float32", -0.01, 0.02, 1, CLOSE),
        ("npz", PICTURE, "float32", 0, 2, 1, ""),
        ("npz", PICTURE, "float32", 0, 2.5, 16, DIVIDED),
        ("npz", PICTURE, "float64", 0, 255, 255, DIVIDED),
        ("npz", PICTURE, "float32", 0, 256.5, 255, DIVIDED),
        ("npz", PICTURE, "float32", 0, 267, 255, DIVIDED),
        ("npz", PICTURE, "float32", 0, 268, 1023, DIVIDED),
        ("npz", PICTURE, "float32", 0, 4100, 4095, DIVIDED),
        ("npz", PICTURE, "float32", 0, 80000, 80000, DIVIDED),
        ("npz", PICTURE, "float16", 0, 16, 16, DIVIDED),
        ("npz", PICTURE, "float32", -1, 1, 1, ""),
        ("npz", PICTURE, "float32", -2.1, 2.6, 1, ""),
        ("npz", PICTURE, "float32", -123, 151, 1, FAR),
        ("npz", PICTURE, "bool", 0, 1, 1, ""),
        ("csv", ROW, "number", 0, 255, 1, "standardize"),
        ("csv", ROW, "number", -5, 5, 1, ""),
        ("csv", ROW, "number", 0, 0.001, 1, CLOSE),
        ("npz", ROW, "float32", -31, 5, 1, "standardize"),
        ("npz", ROW, "int64", 0, 9, 1, ""),
        ("npz", ROW, "uint8", 0, 255, 255, DIVIDED),
        ("npz", ROW, "uint8", 0, 9, 1, ""),
    ],
)
def test_the_scale_follows_from_kind_type_and_range(kind, shape, dtype, lowest, highest, scale, said):
    seen = Seen(kind, "toy", shape=shape, dtype=dtype, lowest=lowest, highest=highest)
    choice = choose_scale(seen, DatasetSettings())
    words = [choice.divided] * bool(choice.divided) + choice.warnings
    assert choice.scale == scale and len(words) == bool(said)
    assert all(said in sentence and "toy" in sentence for sentence in words)
    assert (choice.divided != "") == (said == DIVIDED)
    assert choose_scale(seen, DatasetSettings(scale=float(scale))) == choice  # once it is resolved
    seen = seen._replace(warnings=tuple(choice.warnings), divided=choice.divided)
    assert all_warnings(seen, is_scale_given=False) == choice.warnings + [choice.divided] * bool(choice.divided)
    assert all_warnings(seen, is_scale_given=True) == choice.warnings  # the user has chosen the divisor


@pytest.mark.parametrize(
    "lowest, highest, scale, said",
    [
        (0, 255, 100.0, ""),
        (0, 255, 2.0, FAR),
        (-300, 5, 10.0, FAR),
        (0, 1, 0.5, ""),
        (0, 255, 1e9, CLOSE),
        (-1, 1, 100.0, CLOSE),
    ],
)
def test_a_scale_that_is_given_is_used_and_judged(lowest, highest, scale, said):
    seen = Seen("npz", "toy", shape=PICTURE, dtype="float32", lowest=lowest, highest=highest)
    found, divided, words = choose_scale(seen, DatasetSettings(scale=scale))
    assert found == scale and len(words) == bool(said) and all(said in sentence for sentence in words)
    assert divided == ""


def test_a_data_set_that_flq_knows_has_its_scale_and_a_given_one_is_judged():
    seen = Seen("digits", "digits", shape=PICTURE, dtype="uint8", lowest=0, highest=16)
    assert choose_scale(seen, DatasetSettings(), 16.0) == (16.0, "", [])
    scale, divided, words = choose_scale(seen, DatasetSettings(scale=1000.0), 16.0)
    assert (scale, divided) == (1000.0, "") and len(words) == 1 and CLOSE in words[0]


def test_the_worst_column_is_named():
    seen = Seen("csv", "toy", shape=ROW, dtype="number", lowest=-3, highest=900, widest=("column 'income'", 12, 900))
    assert "column 'income' goes from 12 to 900" in choose_scale(seen, DatasetSettings()).warnings[0]
