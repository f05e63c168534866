"""The figure for a phone is a small picture of the known values."""

import io

import pytest
from PIL import Image
from report_rows import a_round

from flq.sinks.notify.picture import ACCURACY, LOSS, TRAINING, draw


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.convert("RGB")


def n_pixels_like(image, color):
    """Return the number of pixels of approximately that colour."""
    wanted = tuple(int(color[k : k + 2], 16) for k in (1, 3, 5))
    return sum(
        count
        for count, pixel in image.getcolors(image.width * image.height)
        if all(abs(one - other) < 12 for one, other in zip(pixel, wanted))
    )


def test_it_is_800_by_500_and_has_three_curves():
    rounds = [a_round(k, accuracy=1 - 1 / k, test_loss=2 / k, training_loss=1 / k) for k in range(1, 30)]
    image = opened(draw(rounds, "run_7"))
    assert image.size == (800, 500)
    for color in (ACCURACY, LOSS, TRAINING):
        assert n_pixels_like(image, color) > 500, color


@pytest.mark.parametrize(
    "known", [{"accuracy": 0.5}, {"own_accuracy": 0.5}, {"test_loss": 1.0}, {"own_loss": 1.0}, {"training_loss": 1.0}]
)
def test_unknown_values_are_omitted(known):
    nothing = dict.fromkeys(("accuracy", "test_loss", "training_loss", "own_accuracy", "own_loss"))
    rounds = [a_round(k, **dict(nothing, **known)) for k in (1, 2)]
    assert opened(draw(rounds, "run")).size == (800, 500)
    assert draw(rounds[:1], "run") is None
    assert draw([a_round(k, **nothing) for k in range(1, 9)], "run") is None


def test_a_long_run_is_no_larger_and_keeps_its_last_round():
    rounds = [a_round(k, accuracy=0.5 + k / 40000) for k in range(1, 10001)]
    assert len(draw(rounds, "run")) < 100000
    shown = draw(rounds, "run")
    assert draw(rounds[:-1], "run") != shown


def test_a_title_is_no_formula():
    rounds = [a_round(1), a_round(2)]
    assert opened(draw(rounds, r"$\frac{1}{$ \\ %s <b> $x_1$")).size == (800, 500)
