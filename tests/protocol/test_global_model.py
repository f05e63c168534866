"""One model of a run, without a machine: its mirrors, its part of a plan, its step, its snapshot."""

import itertools
import re

import numpy as np
import pytest
from master_bench import LAYOUT, settings_with, vector

from flq.core.codecs import QUANTIZERS
from flq.core.layout import fingerprint
from flq.core.settings import rules_from_settings
from flq.errors import BadValues
from flq.protocol import global_model
from flq.protocol.global_model import GlobalModel
from flq.protocol.messages import Answer, Kind
from flq.protocol.wire import link_of

LINK = link_of("run", LAYOUT)
ONES = vector(1, 1, 1, 1)


def a_model(start=(0, 0, 0, 0), **changes):
    return GlobalModel(vector(*start), LINK, rules_from_settings(settings_with(**changes)))


def upload(model, worker_id, values=ONES, crc=None, bits=4):
    """Pass an upload of these values to a model, by default with the correct fingerprint of the mirror."""
    payload = QUANTIZERS[bits].encode(np.asarray(values, np.float32), LAYOUT)
    if crc is None:
        mirror = model.mirror_of(worker_id)
        crc = fingerprint((0 if mirror is None else mirror) + vector(*values))
    answer = Answer(Kind.UPLOAD, worker_id, 1, 1, 1, 0.5, 1.0, 8 * payload.size, crc, codec_id=bits, payload=payload)
    return model.receive(answer, 1)


def with_mirrors():
    return a_model(mode="bbit", memory="mirror")


MIRRORS = {
    "none": lambda model: None,
    "none, restarting": lambda model: model.begin_epoch(0),
    "held": lambda model: upload(model, 0),
    "held, restarting": lambda model: (upload(model, 0), model.begin_epoch(0)),
}
EVENTS = {
    "upload": lambda model: upload(model, 0),
    "begin_epoch": lambda model: model.begin_epoch(0),
    "forget": lambda model: model.forget(0),
}


def table():
    """Return the table of the module's docstring: (mirror, event) -> mirror."""
    rows = [re.split(r"  +", line) for line in global_model.__doc__.split("\n") if line[:4] in ("mirr", "none", "held")]
    header = rows[0][1:]
    return {(row[0], event): after for row in rows[1:] for event, after in zip(header, row[1:])}


def state_of(model):
    return ("held" if 0 in model.mirrors else "none") + (", restarting" if 0 in model.restarting else "")


def test_mirrors_follow_the_table():
    assert set(table()) == set(itertools.product(MIRRORS, EVENTS))
    for (before, event), after in table().items():
        model = with_mirrors()
        MIRRORS[before](model)
        assert state_of(model) == before
        EVENTS[event](model)
        assert state_of(model) == after, (before, event)


def test_a_mirror_adds_up_until_a_new_epoch_starts_it_from_zero():
    model = with_mirrors()
    for expected in (1, 2):
        assert upload(model, 0)
        assert model.mirrors[0].tolist() == [expected] * 4
    model.begin_epoch(0)
    assert model.mirror_of(0) is None and model.mirrors[0].tolist() == [2] * 4  # which counts until the next upload
    assert upload(model, 0)
    assert model.mirror_of(0).tolist() == [1] * 4


def test_a_mirror_that_differs_stays_as_it_was():
    model = with_mirrors()
    assert not upload(model, 0, crc=1)
    assert model.mirrors == {} and upload(model, 0)


def test_a_mirror_that_would_not_be_finite_is_refused():
    model = with_mirrors()
    upload(model, 0, (3e38, 0, 0, 0))
    with pytest.raises(BadValues, match="mirror of worker 0"):
        upload(model, 0, (3e38, 0, 0, 0), crc=1)
    assert model.mirrors[0][0] == np.float32(3e38)


def test_without_mirrors_uploads_leave_nothing_behind():
    model = a_model(mode="bbit", memory="none")
    assert upload(model, 0, crc=0) and model.mirrors == {} and not model.forget(0)


def test_a_step_moves_the_model_and_makes_a_frame_for_those_behind():
    model = a_model(start=(9, 9, 9, 9))
    payload = QUANTIZERS[32].encode(ONES, LAYOUT)
    step = model.close_round(1, {0: 10, 1: 20}, {1: payload})
    assert step.problem == "" and model.state.model.tolist() == [8] * 4
    plan = model.plan(0, 0, (), 2)
    assert (plan.version, plan.crc, len(plan.frames)) == (1, fingerprint(vector(8, 8, 8, 8)), 1)
    assert plan.payload_bits == 8 * step.delta.size
    assert model.plan(0, 1, (), 2).frames == [] == model.plan(0, None, (), 2).frames


def test_a_round_without_uploads_leaves_the_model():
    model = a_model(start=(9, 9, 9, 9))
    assert model.close_round(1, {0: 10}, {}) == (None, "") and model.state.version == 0


def test_a_step_that_overflows_leaves_the_model_unchanged_with_a_reason():
    model = a_model(start=(9, 9, 9, 9), server_lr=10.0)
    payload = QUANTIZERS[32].encode(vector(3e38, 3e38, 0, 0), LAYOUT)
    step = model.close_round(1, {0: 1}, {0: payload})
    assert step.delta is None and "finite" in step.problem and model.state.model.tolist() == [9] * 4


def test_a_delta_that_is_known_is_taken_as_it_is():
    once, again = (a_model(mode="bbit", memory="none") for _ in range(2))
    uploads = {0: QUANTIZERS[4].encode(vector(1, 2, 3, 4), LAYOUT)}
    delta = once.close_round(1, {0: 1}, uploads).delta
    known = delta.copy()
    assert again.close_round(1, {0: 1}, uploads, known).delta is known
    assert again.state.shared.tobytes() == once.state.shared.tobytes()


def test_a_payload_longer_than_the_plan_admits_is_refused():
    model = a_model(mode="lowrank", b_up=None, bytes_up=64)
    longest = model.plan(0, None, (), 1).bytes_up
    answer = Answer(Kind.UPLOAD, 0, 1, 1, 1, 0.5, 1.0, payload=np.zeros(longest + 1, np.uint8))
    with pytest.raises(BadValues, match="expected at most the %d of the plan" % longest):
        model.receive(answer, 1)


def test_a_model_resumes_from_its_capture():
    model = a_model(mode="bbit", memory="mirror", server_optimizer="adam", ema=0.5)
    deltas = []
    for k in (1, 2):
        upload(model, 0, (k, 0, 0, 0))
        upload(model, 1, (0, k, 0, 0))
        deltas.append((k, model.close_round(k, {0: 1, 1: 1}, {0: None, 1: None}).delta))
    model.begin_epoch(1)
    meta, arrays = model.capture()
    again = a_model(start=(5, 5, 5, 5), mode="bbit", memory="mirror", server_optimizer="adam", ema=0.5)
    again.resume(meta, [dict(model.capture_worker(m), worker_id=m) for m in (0, 1)], arrays, deltas)
    assert again.restarting == {1} and again.start_crc == model.start_crc
    assert again.plan(0, 0, (), 2) == model.plan(0, 0, (), 2)
    for either in (model, again):
        upload(either, 1)
        either.close_round(3, {0: 1, 1: 1}, {1: None})
    assert again.capture()[0] == model.capture()[0]
    assert {name: a.tobytes() for name, a in again.capture()[1].items()} == {
        name: a.tobytes() for name, a in model.capture()[1].items()
    }
