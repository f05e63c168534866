"""A worker's copy of w: only the frames that lead to the plan's version make it right."""

import numpy as np
import pytest
from master_bench import LAYOUT

from flq.core.codecs import FLOAT32, QUANTIZERS
from flq.core.layout import fingerprint
from flq.protocol.messages import Kind, ModelFrame, Plan
from flq.protocol.shared_copy import UNKNOWN, SharedCopy

START = np.array([1, 2, 3, 4], np.float32)
STEP = np.array([0.5, 0, -1, 2], np.float32)


def copy_of(start=START):
    return SharedCopy(start.copy(), LAYOUT, fingerprint(START))


def frame(kind, version, values):
    return ModelFrame(kind, version, FLOAT32, QUANTIZERS[FLOAT32].encode(values, LAYOUT))


def plan(version, vector):
    return Plan(1, version, fingerprint(vector), 0.0, False, False, 0, 0)


def test_only_the_masters_own_start_has_a_version():
    assert copy_of().version == 0
    assert copy_of(START + 1).version == UNKNOWN


def test_deltas_are_added_in_order():
    copy = copy_of()
    after = START + STEP + STEP
    assert copy.follow([frame(Kind.DELTA, 1, STEP), frame(Kind.DELTA, 2, STEP)], plan(2, after))
    assert copy.version == 2 and copy.vector.tobytes() == after.tobytes()
    assert copy.follow([], plan(2, after))  # the next round may have the same version


@pytest.mark.parametrize("start", [START, START + 1])
def test_a_keyframe_replaces_any_shared_copy(start):
    copy = copy_of(start)
    assert copy.follow([frame(Kind.KEYFRAME, 7, STEP)], plan(7, STEP))
    assert copy.version == 7 and copy.vector.tobytes() == STEP.tobytes()


@pytest.mark.parametrize(
    "frames, expected",
    [
        ([frame(Kind.DELTA, 2, STEP)], plan(2, START + STEP)),  # a gap
        ([frame(Kind.DELTA, 0, STEP)], plan(0, START + STEP)),
        ([frame(Kind.DELTA, 1, STEP)], plan(2, START + STEP)),  # another version
        ([frame(Kind.DELTA, 1, STEP)], plan(1, START)),  # other values
        ([], plan(1, START)),
    ],
)
def test_any_other_copy_needs_a_keyframe(frames, expected):
    copy = copy_of()
    assert not copy.follow(frames, expected) and copy.version == UNKNOWN
    assert not copy.follow([frame(Kind.DELTA, 1, STEP)], plan(1, copy.vector)) and copy.version == UNKNOWN
    assert copy.follow([frame(Kind.KEYFRAME, 3, START)], plan(3, START)) and copy.version == 3
