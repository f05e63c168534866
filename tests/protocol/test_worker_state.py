"""The state of a worker, encoded for its disk and decoded."""

import copy
import json

import numpy as np
import pytest
from master_bench import frozen, vector
from test_resumed_worker import kept

from flq.core.codecs.lossless import ZSTD, Coded
from flq.core.held_back import HeldBack
from flq.core.worker_step import WorkerState
from flq.errors import BadValues
from flq.protocol.messages import Answer, Kind
from flq.protocol.worker_state import PendingUpload, fits, from_state, to_state

MEMORIES = ["none", "residual", "mirror", "flq"]


def on_disk(pending):
    """Return the JSON values as read from a disk, and the arrays."""
    meta, arrays = to_state(pending)
    return json.loads(json.dumps(meta)), {name: array.copy() for name, array in arrays.items()}


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("needs_offer", [False, True])
def test_a_saved_state_is_restored_bit_for_bit(memory, needs_offer):
    pending, _ = kept(needs_offer, memory=memory, b_up=4)
    again = from_state(*on_disk(pending))
    assert frozen(again) == frozen(pending)
    assert again.needs_offer is needs_offer and again.answer.kind is Kind.UPLOAD


@pytest.mark.parametrize("needs_offer", [False, True])
def test_a_coded_payload_is_restored_as_sent(needs_offer):
    pending, _ = kept(needs_offer, b_up=4)
    coded = Coded(ZSTD, pending.answer.payload[:5].copy())
    pending = pending._replace(answer=pending.answer._replace(payload=None, coded=coded, cost_bits=40))
    again = from_state(*on_disk(pending))
    assert again.answer.coded.coding == ZSTD and again.answer.payload is None
    assert frozen(again) == frozen(pending)


@pytest.mark.parametrize("number", [0, 3, "zlib", [1]])
def test_an_unknown_coding_is_rejected(number):
    meta, arrays = on_disk(kept(b_up=4)[0])
    meta["answer"]["coded"] = number
    with pytest.raises(BadValues, match="coding"):
        from_state(meta, arrays)


@pytest.mark.parametrize("held_back", [None, HeldBack(0.25, 0.5, 7)])
@pytest.mark.parametrize("loss", [0.1, float("nan")])
def test_a_skip_and_held_out_results_are_restored(held_back, loss):
    answer = Answer(Kind.SKIP, 3, 2, 9, 8, loss, 1e-30, training_s=0.1, waiting_s=1e9, held_back=held_back)
    state = WorkerState(vector(1e-45, -0.0, 3e38), None, 7, False)
    pending = PendingUpload("run", False, answer, state, state)
    assert frozen(from_state(*on_disk(pending))) == frozen(pending)


def paths(value, path=()):
    """Yield the path to every value within JSON values."""
    for key, item in value.items():
        yield path + (key,)
        if isinstance(item, dict):
            for deeper in paths(item, path + (key,)):
                yield deeper


META, ARRAYS = on_disk(kept(memory="flq", b_up=4)[0])


@pytest.mark.parametrize("path", sorted(set(paths(META)) - {("answer", "payload")}), ids=".".join)
def test_an_incomplete_state_is_rejected(path):
    meta = copy.deepcopy(META)
    within = meta
    for key in path[:-1]:
        within = within[key]
    del within[path[-1]]
    with pytest.raises(BadValues):
        from_state(meta, ARRAYS)


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"version": 3},
        {"version": None},
        {"version": "1"},
        dict(META, version=99),
        dict(META, answer=None),
        dict(META, answer=[]),
        dict(META, if_not=5),
        dict(META, answer=dict(META["answer"], kind=77)),
        dict(META, answer=dict(META["answer"], dance=1)),
        dict(META, answer=dict(META["answer"], held_back=[1, 2, 3, 4])),
        dict(META, answer=dict(META["answer"], held_back=5)),
    ],
)
def test_a_damaged_state_is_refused(meta):
    with pytest.raises(BadValues):
        from_state(meta, ARRAYS)


def test_an_upload_without_its_payload_and_a_skip_with_one_are_refused():
    with pytest.raises(BadValues):
        from_state(META, {name: array for name, array in ARRAYS.items() if name != "payload"})
    with pytest.raises(BadValues):
        from_state(dict(META, answer=dict(META["answer"], kind=int(Kind.SKIP))), ARRAYS)


@pytest.mark.parametrize("name", ["if_applied_residual", "if_not_mirror"])
@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((2, 2), np.float32), np.float32(1), np.zeros(4, np.int32)])
def test_a_memory_of_another_kind_is_refused(name, array):
    with pytest.raises(BadValues, match="not a vector of float32"):
        from_state(META, dict(ARRAYS, **{name: np.asarray(array)}))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("asked", MEMORIES)
def test_a_saved_state_fits_the_same_memories_of_the_same_size(memory, asked):
    pending, _ = kept(memory=memory, b_up=4)
    zeros = np.zeros(4, np.float32)
    first = WorkerState(zeros if asked in ("residual", "flq") else None, zeros if asked in ("mirror", "flq") else None)
    assert fits(pending, 4, first) is (memory == asked)
    assert fits(pending, 5, first) is (memory == asked == "none")
