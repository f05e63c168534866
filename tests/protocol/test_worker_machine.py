"""The worker's machine, driven with scripted replies of a master."""

import json
import random

import factory
import numpy as np
import pytest
from master_bench import LAYOUT, settings_with, vector

from flq.core.codecs import LAQ8, QUANTIZERS, plus
from flq.core.codecs.lossless import known
from flq.core.held_back import HeldBack
from flq.core.layout import fingerprint
from flq.core.rng import ROUNDING, start_values, stream
from flq.core.settings import for_workers
from flq.protocol.messages import Kind, ModelFrame, Outcome, Plan, Verdict
from flq.protocol.wire import VERSION, decode, encode, link_of
from flq.protocol.worker_events import (
    Build,
    Built,
    CallAnswer,
    CallPoll,
    CallRegister,
    Exit,
    NothingNew,
    Pause,
    Paused,
    Polled,
    Problem,
    Registered,
    Save,
    Saved,
    Train,
    Trained,
    Unable,
    Unreachable,
    VerdictReceived,
)
from flq.protocol.worker_machine import BETWEEN_RUNS_S, WorkerMachine
from flq.protocol.worker_state import from_state, to_state

LINK = link_of("run", LAYOUT)
START = start_values(LAYOUT, 42)
ZERO = [0.0, 0.0, 0.0, 0.0]
UPDATE = (4, 1, -3, 2)  # at two bits, scales per tensor: 4 0 -4 | 2
SENT = [4, 0, -4, 2]
LEFT = [0, 1, 1, 0]


def joined_bytes(buffers):
    return b"".join(bytes(buffer) for buffer in buffers)


class Worker:
    """A worker's machine and its next action.

    Attributes
    ----------
    action
        The machine's next action.
    memory : list or None
        Its residual or mirror.
    """

    def __init__(self, jitter=1, give_up_s=100.0, pending=None, stays=False, **changes):
        self.machine = WorkerMachine(2, "one", random.Random(jitter), give_up_s, pending, stays=stays)
        changes.setdefault("mode", "bbit")
        self.settings = settings_with(**dict(dict(b_up=2), **changes))
        self.now = 0.0
        self.action = self.machine.start(self.now)

    def tell(self, event, after=0.0):
        self.now += after
        self.action = self.machine.handle(event, self.now)
        return self.action

    def body(self, epoch=0, **changes):
        """Return the master's reply to a registration, as decoded from JSON."""
        body = {
            "wire": VERSION,
            "run_id": "run",
            "ended": False,
            "resumed": False,
            "epoch": epoch,
            "lease_s": 300.0,
            "start_crc": fingerprint(START),
            "layout": LAYOUT.to_json(),
            "settings": for_workers(self.settings),
            "codings": [],
            "joined": "n_samples" in getattr(self.action, "body", {}),
            "n_sessions": epoch,
            "warning": None,
        }
        return json.loads(json.dumps(dict(body, **changes)))

    def join(self, epoch=1, **changes):
        self.tell(Registered(self.body(**changes)))
        if isinstance(self.action, Build):
            self.tell(Built(30, LAYOUT))
        return self.tell(Registered(self.body(epoch, **changes)))

    def plan(
        self,
        round_index=1,
        frames=(),
        version=0,
        shared=START,
        threshold=0.0,
        needs_offer=False,
        ended=False,
        after=0.0,
    ):
        plan = Plan(round_index, version, fingerprint(shared), threshold, needs_offer, ended, len(frames))
        stream = b"".join(joined_bytes(encode(message, LINK)) for message in (plan,) + tuple(frames))
        return self.tell(Polled(stream), after)

    def trained(self, values=UPDATE, loss=0.5):
        return self.was_trained(Trained(vector(*values), loss, 1.5))

    def was_trained(self, event):
        keep = self.tell(event)
        assert isinstance(keep, Save)
        self.pending = keep.pending
        return self.tell(Saved())

    def verdict(self, outcome, round_index=1, after=0.0):
        return self.tell(VerdictReceived(joined_bytes(encode(Verdict(outcome, round_index, 1), LINK))), after)

    def answering(self, values=UPDATE, loss=0.5, **plan):
        """Continue until the answer of a round; return it."""
        self.plan(**plan)
        self.trained(values, loss)
        return self.answer

    @property
    def frame(self):
        assert isinstance(self.action, CallAnswer)
        return joined_bytes(self.action.frame)

    @property
    def answer(self):
        return decode(self.frame, LINK, object)

    @property
    def state(self):
        return self.machine.state.value

    @property
    def memory(self):
        residual, mirror = self.machine.memory[:2]
        memory = mirror if residual is None else residual
        return None if memory is None else memory.tolist()

    @property
    def clock(self):
        return self.machine.memory.clock

    def pause(self):
        """Return the requested pause, and let that time pass."""
        assert isinstance(self.action, Pause)
        seconds = self.action.seconds
        self.tell(Paused(), after=seconds)
        return seconds


def joined(**changes):
    worker = Worker(**changes)
    worker.join()
    assert worker.state == "WAITING"
    return worker


# -- joining ---------------------------------------------------------------------------------


def test_a_worker_asks_for_the_settings_builds_and_joins():
    worker = Worker()
    assert worker.action == CallRegister({"wire": VERSION, "worker_id": 2, "instance": "one"})
    assert worker.tell(Registered(worker.body())) == Build(worker.settings)
    assert worker.tell(Built(30, LAYOUT)) == CallRegister(
        {
            "wire": VERSION,
            "worker_id": 2,
            "instance": "one",
            "n_samples": 30,
            "layout_crc": LAYOUT.crc,
            "known_epoch": worker.body()["epoch"],
            "known_sessions": worker.body()["n_sessions"],
            "codings": list(known()),
        }
    )
    assert worker.state == "JOINING"
    assert worker.tell(Registered(worker.body(epoch=7))) == CallPoll(epoch=7, have=0, answered=0)
    assert worker.state == "WAITING"
    assert worker.machine.lease_s == 300.0
    assert (worker.memory, worker.clock) == (ZERO, 0)


def test_the_start_is_drawn_from_the_seed():
    worker = joined()
    action = worker.plan()
    assert isinstance(action, Train) and action.round_index == 1
    assert action.shared.tolist() == START.tolist()


def test_a_start_that_differs_from_the_masters_asks_for_a_keyframe():
    worker = Worker()
    assert worker.join(start_crc=1).have == -1
    assert any("keyframe" in note for note in worker.machine.notes)


def test_a_run_that_has_ended_is_left_with_exit_code_0():
    worker = Worker()
    action = worker.tell(Registered(worker.body(ended=True)))
    assert isinstance(action, Exit) and action.code == 0
    assert worker.state == "DONE"


@pytest.mark.parametrize("version, named", [(VERSION - 1, "5"), (VERSION + 1, "7"), (None, "4 or an older one")])
def test_a_master_of_another_wire_version_is_left_with_exit_code_2(version, named):
    worker = Worker()
    body = worker.body(wire=version)
    del body["resumed"]  # nothing of such a reply is read
    action = worker.tell(Registered(body))
    assert action == Exit(
        2, "the master has wire version %s, expected 6 (install the same version of FLQ on master and workers)" % named
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_believed_the_second_time(status):
    worker = Worker()
    failing(worker, Problem(status, "who is that"), 1)  # the request may have been damaged on its way
    assert worker.tell(Problem(status, "who is that")) == Exit(2, "who is that")


def test_an_answer_between_two_refusals_makes_them_two_first_ones():
    worker = joined()
    for _ in range(3):
        failing(worker, Problem(401, "who is that"), 1)
        worker.tell(NothingNew(0.0))
    assert worker.state == "WAITING"


def test_an_id_that_is_taken_ends_the_worker_at_once():
    worker = Worker()
    assert worker.tell(Problem(409, "worker 2 is alive elsewhere")) == Exit(2, "worker 2 is alive elsewhere")


def test_a_master_that_is_not_ready_is_asked_again():
    worker = Worker()
    first = worker.action
    worker.tell(Problem(503, "not yet", retry_after_s=7.0))
    assert worker.pause() >= 7.0
    assert worker.action == first


# -- the round -------------------------------------------------------------------------------


def test_an_upload_contains_worker_payload_and_times():
    worker = joined()
    answer = worker.answering(after=3.0)
    assert worker.action.path == "/upload_update" and worker.state == "ANSWERING"
    assert answer._replace(payload=None) == (
        Kind.UPLOAD,
        2,
        1,
        1,
        1,
        0.5,
        16.0 + 1 + 9 + 4,
        8 * (8 + 1 + 1),
        0,
        1.5,
        3.0,
        2,
        None,
        None,
        None,
        0,
        False,
    )
    assert answer.payload.tobytes() == QUANTIZERS[2].encode(vector(*UPDATE), LAYOUT).tobytes()


@pytest.mark.parametrize(
    "memory, applied, not_applied", [("residual", LEFT, list(UPDATE)), ("mirror", SENT, ZERO), ("none", None, None)]
)
def test_memories_follow_the_verdict(memory, applied, not_applied):
    worker = joined(memory=memory)
    worker.answering()
    before = worker.memory
    assert before == (None if memory == "none" else ZERO)
    assert worker.verdict(Outcome.APPLIED) == CallPoll(1, 0, 1)
    assert (worker.memory, worker.clock) == (applied, 0)
    for outcome in (Outcome.REFUSED, Outcome.LATE):
        worker = joined(memory=memory)
        worker.answering()
        assert worker.verdict(outcome) == CallPoll(1, 0, 1)
        assert (worker.memory, worker.clock) == (not_applied, 1)


def test_a_skip_keeps_the_update_in_the_residual():
    worker = joined(thr_scale=1.0)
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    answer = worker.answering(round_index=2, threshold=1e9)
    assert worker.action.path == "/offer"
    assert (answer.kind, answer.seq, answer.cost_bits, answer.payload) == (Kind.SKIP, 2, 0, None)
    assert answer.energy == 16.0 + 4 + 4 + 4  # of u + e = 4 2 -2 2
    worker.verdict(Outcome.NOTED, 2)
    assert (worker.memory, worker.clock) == ([4, 2, -2, 2], 1)


def test_a_mirror_upload_carries_the_crc_of_the_mirror_that_follows():
    worker = joined(memory="mirror", thr_scale=0.0)
    assert worker.answering().state_crc == fingerprint(vector(*SENT))
    worker.verdict(Outcome.APPLIED)
    answer = worker.answering((5, 1, -3, 2), round_index=2)
    coded = QUANTIZERS[2].encode(vector(1, 1, 1, 0), LAYOUT)  # of u - g
    assert answer.payload.tobytes() == coded.tobytes()
    assert answer.state_crc == fingerprint(plus(vector(*SENT), 2, coded, LAYOUT))


def test_flq_moves_both_memories_and_carries_the_crc_of_the_mirror():
    worker = joined(memory="flq", b_up=4)
    before = worker.machine.memory
    answer = worker.answering()
    worker.verdict(Outcome.APPLIED)
    after = worker.machine.memory
    assert answer.state_crc == fingerprint(after.mirror)
    assert (after.mirror + after.residual).tolist() == list(UPDATE)
    assert not before.mirror.any() and not before.residual.any()


def test_stochastic_rounding_is_drawn_for_the_round_and_the_worker():
    worker = joined(mode="laq8")
    payload = QUANTIZERS[LAQ8].encode(vector(*UPDATE), LAYOUT, stream(42, ROUNDING, 1, 2))
    answer = worker.answering()
    assert (answer.codec_id, answer.payload.tolist()) == (LAQ8, payload.tolist())


@pytest.mark.parametrize(
    "loss, sent", [(0.5, HeldBack(0.5, 0.25, 7)), (float("nan"), None), (float("inf"), None), (1e39, None)]
)
def test_results_on_held_out_data_are_sent_with_the_answer(loss, sent):
    worker = joined()
    worker.plan()
    worker.was_trained(Trained(vector(*UPDATE), 0.5, 1.5, HeldBack(loss, 0.25, 7)))
    assert worker.answer.held_back == sent


def test_with_a_budget_the_offer_comes_first_and_the_upload_when_granted():
    worker = joined()
    offer = worker.answering(needs_offer=True)
    assert worker.action.path == "/offer"
    assert (offer.kind, offer.energy, offer.cost_bits, offer.payload) == (Kind.OFFER, 30.0, 80, None)
    worker.verdict(Outcome.GRANTED)
    assert worker.action.path == "/upload_update"
    upload = worker.answer
    assert (upload.kind, upload.seq, upload.cost_bits) == (Kind.UPLOAD, offer.seq, 80)
    assert worker.memory == ZERO
    worker.verdict(Outcome.APPLIED)
    assert worker.memory == LEFT


def test_after_wait_the_same_offer_is_sent_again():
    worker = joined()
    worker.answering(needs_offer=True)
    frame = worker.frame
    for _ in range(3):
        worker.verdict(Outcome.WAIT)
        assert 0 < worker.pause() <= 0.5
        assert worker.frame == frame
    worker.verdict(Outcome.REFUSED)
    assert worker.memory == list(UPDATE)


def test_with_a_budget_a_skip_needs_no_grant():
    worker = joined(thr_scale=1.0)
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    assert worker.answering(round_index=2, threshold=1e9, needs_offer=True).kind is Kind.SKIP


def test_answers_are_numbered_and_waiting_time_begins_when_an_answer_is_sent():
    worker = joined()
    worker.answering(after=1.0)
    worker.verdict(Outcome.APPLIED, after=2.0)
    answer = worker.answering(round_index=2, after=5.0)
    assert (answer.seq, answer.round_index, answer.waiting_s) == (2, 2, 7.0)


def test_a_poll_without_news_is_repeated_at_once_or_after_the_masters_delay():
    worker = joined()
    poll = worker.action
    assert worker.tell(NothingNew(0.0)) == poll
    assert worker.tell(NothingNew(2.0)) == Pause(2.0)
    assert worker.tell(Paused(), after=2.0) == poll


# -- the shared copy -------------------------------------------------------------------------


def delta(version, values, bits=4):
    payload = QUANTIZERS[bits].encode(vector(*values), LAYOUT)
    return ModelFrame(Kind.DELTA, version, bits, payload)


def test_the_shared_copy_follows_the_delta_frames():
    worker = joined()
    frames = [delta(1, (1, 2, 3, 4)), delta(2, (-1, 0, 0, 1))]
    shared = START
    for frame in frames:
        shared = plus(shared, 4, frame.payload, LAYOUT)
    action = worker.plan(frames=frames, version=2, shared=shared)
    assert isinstance(action, Train) and action.shared.tolist() == shared.tolist()
    worker.trained()
    assert worker.verdict(Outcome.APPLIED).have == 2


def test_a_keyframe_is_taken_over_bit_for_bit():
    worker = Worker()
    worker.join(start_crc=1)
    there = vector(-0.0, 0.0, 1e-45, 3e38)
    keyframe = ModelFrame(Kind.KEYFRAME, 0, 32, QUANTIZERS[32].encode(there, LAYOUT))
    action = worker.plan(frames=[keyframe], shared=there)
    assert isinstance(action, Train) and action.shared.tobytes() == there.tobytes()


@pytest.mark.parametrize(
    "frames, version",
    [
        ([delta(1, (1, 0, 0, 0))], 1),  # another CRC
        ([delta(2, (1, 0, 0, 0))], 2),  # a gap
        ([], 1),  # a version that no frame leads to
        ([], 0),
    ],
)
def test_a_worker_with_a_differing_shared_copy_polls_for_a_keyframe_and_continues(frames, version):
    worker = joined()
    there = vector(5, 6, 7, 8)
    assert worker.plan(frames=frames, version=version, shared=there) == CallPoll(1, -1, 0)
    keyframe = ModelFrame(Kind.KEYFRAME, 9, 32, QUANTIZERS[32].encode(there, LAYOUT))
    action = worker.plan(frames=[keyframe], version=9, shared=there)
    assert isinstance(action, Train) and action.shared.tolist() == [5, 6, 7, 8]


def test_deltas_do_not_lead_on_from_a_shared_copy_that_is_not_known():
    worker = Worker()
    worker.join(start_crc=1)
    assert isinstance(worker.plan(frames=[delta(0, (1, 0, 0, 0))], version=0), (CallPoll, Pause))
    assert worker.state == "WAITING"


def test_a_keyframe_that_does_not_match_its_plan_is_asked_for_again_after_a_pause():
    worker = joined()
    keyframe = ModelFrame(Kind.KEYFRAME, 0, 32, QUANTIZERS[32].encode(vector(5, 6, 7, 8), LAYOUT))
    worker.plan(shared=vector(1, 1, 1, 1))
    worker.plan(frames=[keyframe], shared=vector(1, 1, 1, 1))
    worker.pause()
    assert worker.action == CallPoll(1, -1, 0)


# -- trouble ---------------------------------------------------------------------------------


def failing(worker, event, n_times):
    """Let the same call fail a number of times; return the pauses, during which it must not change."""
    pending, pauses = worker.action, []
    for _ in range(n_times):
        worker.tell(event)
        pauses.append(worker.pause())
        assert worker.action is pending
    return pauses


def test_pauses_double_up_to_30_seconds_and_are_jittered():
    pauses = failing(joined(give_up_s=1e9), Unreachable("no answer"), 9)
    for pause, longest in zip(pauses, [0.5, 1, 2, 4, 8, 16, 30, 30, 30]):
        assert longest / 2 <= pause <= longest
    others = failing(joined(jitter=2, give_up_s=1e9), Unreachable("no answer"), 9)
    assert all(pause != other for pause, other in zip(pauses, others))


def test_pauses_are_reset_after_a_reply():
    worker = joined(give_up_s=1e9)
    failing(worker, Unreachable("no answer"), 5)
    worker.tell(NothingNew(0.0))
    assert failing(worker, Unreachable("no answer"), 1)[0] <= 0.5


def test_retry_after_is_honoured():
    worker = joined()
    for status in (429, 503):
        assert failing(worker, Problem(status, "busy", retry_after_s=20.0), 1)[0] >= 20.0
    assert failing(worker, Problem(500, "oops"), 1)[0] < 20.0


def test_a_worker_gives_up_when_the_master_is_away_too_long():
    worker = joined_for(100.0)
    while not isinstance(worker.tell(Unreachable("no answer")), Exit):
        assert worker.now <= 100.0
        worker.pause()
    assert 100.0 < worker.now <= 130.0
    assert worker.action.code == 1 and "no answer" in worker.action.sentence


def test_a_master_that_answers_with_errors_is_not_away():
    worker = joined(give_up_s=100.0)
    for _ in range(20):
        worker.tell(Problem(503, "busy"), after=30.0)
        worker.pause()
    assert isinstance(worker.action, CallPoll)


def joined_for(give_up_s):
    worker = Worker()
    worker.settings = factory.settings_with(worker.settings, give_up_s=give_up_s)  # the master's word counts
    worker.join()
    return worker


def test_answers_of_no_use_make_the_pauses_grow_and_the_worker_give_up_as_well():
    worker = joined_for(60.0)
    pauses = failing(worker, Polled(b"nonsense"), 5)
    for pause, longest in zip(pauses, [0.5, 1, 2, 4, 8]):
        assert longest / 2 <= pause <= longest
    while not isinstance(worker.tell(Polled(b"nonsense")), Exit):
        assert worker.now <= 60.0
        worker.pause()
    assert worker.action.code == 1 and "cannot be read" in worker.action.sentence


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 405, 407, 409, 413, 500, 502, 503, 504, 511])
def test_another_server_that_responds_is_not_the_master(status):
    worker = joined_for(60.0)
    while not isinstance(worker.tell(Problem(status, "a stranger", by_master=False)), Exit):
        assert worker.now <= 60.0
        worker.pause()
        assert isinstance(worker.action, CallPoll)
    assert worker.action.code == 1 and "a stranger" in worker.action.sentence


def test_a_request_that_timed_out_on_the_way_is_sent_again():
    worker = joined()
    for status in (408, 425):
        failing(worker, Problem(status, "too slow"), 1)
    assert isinstance(worker.action, CallPoll)


def test_after_a_failure_the_same_bytes_are_sent_again():
    worker = joined()
    worker.answering()
    frame = worker.frame
    for event in (Unreachable("reset"), Problem(503, "busy"), Unreachable("reset"), Problem(400, "corrupted")):
        worker.tell(event)
        assert worker.memory == ZERO  # nothing is known yet
        worker.pause()
        assert worker.frame == frame
    worker.verdict(Outcome.APPLIED)
    assert worker.memory == LEFT


@pytest.mark.parametrize("again", [Problem(409, "register again"), Outcome.RESYNC])
def test_resync_and_409_register_again_with_fresh_memory(again):
    worker = joined(memory="mirror")
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    worker.answering(round_index=2)
    action = worker.verdict(again) if again is Outcome.RESYNC else worker.tell(again)
    assert action == CallRegister({"wire": VERSION, "worker_id": 2, "instance": "one"})
    assert worker.state == "JOINING"
    worker.tell(Registered(worker.body(epoch=1)))  # still built: it joins at once
    assert worker.action.body["n_samples"] == 30
    assert worker.tell(Registered(worker.body(epoch=2))) == CallPoll(2, 0, 0)
    assert (worker.memory, worker.clock, worker.machine.memory.fresh) == (ZERO, 0, True)
    answer = worker.answering(round_index=3)
    assert (answer.epoch, answer.seq) == (2, 1)


def test_409_on_a_poll_registers_again():
    worker = joined()
    assert isinstance(worker.tell(Problem(409, "register again")), CallRegister)


def test_another_run_with_other_settings_is_rebuilt():
    worker = joined()
    worker.tell(Problem(409, "register again"))
    worker.settings = settings_with(mode="bin")
    assert worker.tell(Registered(worker.body())) == Build(worker.settings)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_upload_that_the_master_cannot_read_becomes_a_skip_after_three_more_tries(status):
    worker = joined()
    upload = worker.answering()
    failing(worker, Problem(status, "corrupted"), 3)
    worker.tell(Problem(status, "corrupted"))
    skip = worker.answer
    assert worker.action.path == "/offer"
    assert (skip.kind, skip.seq, skip.round_index, skip.cost_bits) == (Kind.SKIP, upload.seq, 1, 0)
    worker.verdict(Outcome.NOTED)
    assert (worker.memory, worker.clock) == (list(UPDATE), 1)


def test_if_the_upload_had_been_applied_after_all_the_skip_hears_it():
    worker = joined()
    worker.answering()
    failing(worker, Problem(400, "corrupted"), 3)
    worker.tell(Problem(400, "corrupted"))
    worker.verdict(Outcome.APPLIED)
    assert worker.memory == LEFT


def test_a_skip_that_the_master_cannot_read_registers_again():
    worker = joined()
    worker.answering()
    for _ in range(2):
        failing(worker, Problem(400, "corrupted"), 3)
        worker.tell(Problem(400, "corrupted"))
    assert isinstance(worker.action, CallRegister)


BLOCKED = Problem(413, "a proxy answers 413", by_master=False)


def blocked(**changes):
    """Return a worker whose update a proxy has rejected often enough that it reports this to the master."""
    worker = joined(**changes)
    worker.answering()
    failing(worker, BLOCKED, 3)
    worker.tell(BLOCKED)
    return worker


def test_an_update_that_a_proxy_rejects_becomes_a_skip_with_the_status_after_three_more_tries():
    worker = blocked()
    assert worker.action.path == "/offer"
    assert (worker.answer.kind, worker.answer.seq, worker.answer.blocked) == (Kind.SKIP, 1, 413)
    worker.verdict(Outcome.NOTED)
    assert (worker.memory, worker.clock) == (list(UPDATE), 1)  # as of an update that was not applied


def test_if_that_skip_is_blocked_too_the_update_is_sent_again():
    worker = blocked()
    worker.tell(BLOCKED)
    worker.pause()
    assert (worker.action.path, worker.answer.kind, worker.answer.blocked) == ("/upload_update", Kind.UPLOAD, 0)
    worker.verdict(Outcome.APPLIED)
    assert worker.memory == LEFT


def test_where_nothing_gets_through_any_more_the_worker_gives_up():
    worker = joined_for(100.0)
    worker.answering()
    while not isinstance(worker.tell(BLOCKED), Exit):
        assert worker.now <= 100.0
        if isinstance(worker.action, Pause):
            worker.pause()
    assert worker.action.code == 1 and BLOCKED.detail in worker.action.sentence


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_update_waits_for_a_gateway_that_cannot_reach_the_master(status):
    worker = joined(give_up_s=1e9)
    worker.answering()
    failing(worker, Problem(status, "bad gateway", by_master=False), 20)
    assert worker.answer.kind is Kind.UPLOAD


def test_a_skip_that_a_proxy_refuses_is_sent_again():
    worker = joined()
    worker.plan()
    worker.was_trained(Unable("too small", 1.5))
    failing(worker, BLOCKED, 6)
    assert (worker.answer.kind, worker.answer.blocked) == (Kind.SKIP, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("memory", ["none", "residual", "mirror"])
def test_an_update_that_is_not_finite_becomes_a_skip_and_changes_no_memory(bad, memory):
    worker = joined(memory=memory)
    before = worker.memory
    answer = worker.answering((1, bad, 0, 0), loss=bad)
    assert answer.kind is Kind.SKIP and answer.energy == 0.0 and answer.loss != answer.loss
    assert any("lower model.lr" in note for note in worker.machine.notes) and not answer.is_unable
    worker.verdict(Outcome.NOTED)
    assert (worker.memory, worker.clock) == (before, 1)
    assert worker.answering(round_index=2).kind is Kind.UPLOAD


def test_a_loss_that_is_infinite_is_sent_as_unknown():
    answer = joined().answering(loss=float("inf"))
    assert answer.kind is Kind.UPLOAD and answer.loss != answer.loss


@pytest.mark.parametrize("stream", [b"", b"<html>", joined_bytes(encode(Verdict(Outcome.END, 1, 1), LINK))])
def test_an_unreadable_plan_is_polled_again(stream):
    worker = joined()
    poll = worker.action
    worker.tell(Polled(stream))
    worker.pause()
    assert worker.action == poll


@pytest.mark.parametrize("frame", [b"", b"<html>", joined_bytes(encode(Plan(1, 0, 0, 0.0, False, False, 0), LINK))])
def test_after_an_unreadable_verdict_the_answer_is_sent_again(frame):
    worker = joined()
    worker.answering()
    sent = worker.frame
    worker.tell(VerdictReceived(frame))
    assert worker.memory == ZERO
    worker.pause()
    assert worker.frame == sent


def test_the_end_in_a_verdict_or_a_plan_is_exit_code_0():
    worker = joined()
    worker.answering()
    assert worker.verdict(Outcome.END, 5) == Exit(0, "the run has ended after round 5")
    worker = joined()
    assert worker.plan(round_index=5, ended=True) == Exit(0, "the run has ended after round 5")
    assert worker.state == "DONE"


@pytest.mark.parametrize("memory", ["residual", "mirror"])
def test_a_device_that_cannot_train_skips_the_round_and_keeps_its_memory(memory):
    worker = joined(memory=memory)
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    before = worker.memory
    worker.plan(2)
    worker.was_trained(Unable("the device has too little memory", 1.5))
    assert worker.answer.kind is Kind.SKIP and np.isnan(worker.answer.loss) and worker.answer.training_s == 1.5
    assert worker.answer.is_unable and from_state(*to_state(worker.pending)).answer == worker.pending.answer
    assert "cannot train in round 2: the device has too little memory" in worker.machine.notes
    worker.verdict(Outcome.NOTED, 2)
    assert worker.memory == before
    assert isinstance(worker.action, CallPoll)


def staying():
    worker = Worker(stays=True)
    worker.join()
    return worker


@pytest.mark.parametrize(
    "end",
    [
        lambda worker: worker.plan(3, ended=True),
        lambda worker: worker.answering() and worker.verdict(Outcome.END, 3),
        lambda worker: (
            worker.tell(Unreachable("away"))
            and worker.tell(Paused())
            and worker.tell(Problem(409, "register again"))
            and worker.tell(Registered(worker.body(ended=True)))
        ),
    ],
)
def test_a_worker_that_stays_asks_for_the_next_run_after_a_while(end):
    worker = staying()
    end(worker)
    assert isinstance(worker.action, Pause) and 0.5 * BETWEEN_RUNS_S <= worker.action.seconds <= BETWEEN_RUNS_S
    assert worker.tell(Paused()) == CallRegister({"wire": VERSION, "worker_id": 2, "instance": "one"})
    assert sum("waiting for the next one" in note for note in worker.machine.notes) == 1


def test_a_worker_that_stays_waits_for_ever_with_one_log_line():
    worker = staying()
    worker.plan(3, ended=True)
    for _ in range(50):
        worker.tell(Paused(), after=1e6)
        worker.tell(Unreachable("refused"))
        worker.tell(Paused(), after=1e6)
        worker.tell(Registered(worker.body(ended=True)))
        assert isinstance(worker.action, Pause)
    assert worker.machine.notes == ["the run has ended after round 3; waiting for the next one"]


def test_a_worker_that_stays_begins_the_next_run_with_empty_memories():
    worker = staying()
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    assert worker.memory == LEFT
    worker.plan(3, ended=True)
    worker.tell(Paused(), after=60.0)
    worker.join(run_id="another")
    assert isinstance(worker.action, CallPoll) and (worker.machine.epoch, worker.memory) == (1, ZERO)
    assert worker.action.have == 0  # the start values of the seed
