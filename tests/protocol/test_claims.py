"""The claims of joining workers, judged by the master's machine."""

import pytest
from master_bench import LAYOUT, Bench, fingerprint, vector

from flq.errors import Conflict
from flq.protocol.messages import Kind, Outcome

APPLIED, LATE, NOTED, REFUSED, GRANTED, WAIT = (
    Outcome.APPLIED,
    Outcome.LATE,
    Outcome.NOTED,
    Outcome.REFUSED,
    Outcome.GRANTED,
    Outcome.WAIT,
)
CRC = fingerprint(vector(1, 1, 1, 1))


def open_bench(n_workers=2, quorum=None, **changes):
    """Return a bench whose first round is open; mode bbit uses memories."""
    bench = Bench(min_workers=n_workers, **dict(dict(mode="bbit"), **changes))
    bench.join(*range(n_workers))
    bench.set_quorum(quorum or n_workers)
    return bench


def keep_alive(bench, seconds, *worker_ids):
    """Let time pass while only these workers send requests."""
    for _ in range(int(seconds / 100)):
        for worker_id in worker_ids:
            bench.poll(worker_id, answered=bench.round)
        bench.wait(100)


@pytest.mark.parametrize("seq, undecided", [(1, False), (1, True), (2, True)])
def test_a_worker_with_a_valid_claim_resumes_its_epoch(seq, undecided):
    bench = open_bench()
    assert bench.verdict(0) is APPLIED
    n_entries, before = len(bench.journal), bench.snapshot()["rounds"]["open_round"]
    body = bench.come_back(0, epoch=1, seq=seq, claimed_round=1, undecided=undecided)
    assert (body["resumed"], body["epoch"]) == (True, 1)
    assert bench.verdict(0) is APPLIED  # and the same answer gets the same verdict
    assert len(bench.journal) == n_entries  # nothing has changed
    assert bench.snapshot()["rounds"]["open_round"] == before


def test_a_worker_with_many_samples_resumes_its_epoch():
    bench = Bench(min_workers=1, total_workers=31, mode="bbit")
    bench.join(30)  # with 310 samples; Python shares the objects of integers up to 256
    assert bench.come_back(30, epoch=1, seq=0, claimed_round=0, undecided=False)["resumed"]


@pytest.mark.parametrize(
    "what, claim",
    [
        ("an older answer", dict(epoch=1, seq=0)),
        ("an answer that the journal does not know", dict(epoch=1, seq=2, undecided=False)),
        ("an answer after that", dict(epoch=1, seq=3)),
        ("a round to come", dict(epoch=1, seq=1, claimed_round=2)),
        ("an older epoch", dict(epoch=0, seq=1)),
        ("an epoch to come", dict(epoch=2, seq=1)),
        ("another number of samples", dict(epoch=1, seq=1, n_samples=11)),
        ("no number", dict(epoch=1, seq=None)),
        ("no epoch", dict(epoch=None, seq=1)),
        ("nonsense", dict(epoch=-1, seq=2**70)),
    ],
)
def test_an_invalid_claim_begins_a_new_epoch(what, claim):
    bench = open_bench()
    assert bench.verdict(0) is APPLIED
    body = bench.come_back(0, **claim)
    assert (body["resumed"], body["epoch"]) == (False, 2)
    assert bench.machine.members[0].closed_seq == 0


@pytest.mark.parametrize("instance", ["a", "two"])  # that of the worker is "one"
def test_another_instance_begins_a_new_epoch_for_any_claim(instance):
    bench = open_bench()
    assert bench.verdict(0) is APPLIED
    keep_alive(bench, 300, 1)
    body = bench.come_back(0, epoch=1, seq=1, instance=instance)
    assert (body["resumed"], body["epoch"]) == (False, 2)


def test_after_another_instance_the_first_one_begins_a_new_epoch():
    bench = open_bench()
    bench.wait(300)
    bench.join(0, instance="two")
    bench.wait(300)
    assert bench.come_back(0, epoch=1, seq=0)["resumed"] is False


@pytest.mark.parametrize("memory", ["none", "residual"])
def test_after_its_lease_has_ended_a_worker_comes_back_with_its_epoch(memory):
    bench = open_bench(memory=memory)
    assert bench.verdict(0) is APPLIED
    bench.verdict(1)
    keep_alive(bench, 300, 1)
    assert bench.verdict(0) is Conflict
    assert not bench.machine.members[0].has_lease
    body = bench.come_back(0, epoch=1, seq=2)
    assert (body["resumed"], body["epoch"]) == (True, 1)
    assert bench.machine.members[0].has_lease
    bench.all_upload(1)
    assert bench.machine.open_round.n_samples == {0: 10, 1: 20}


def test_while_its_mirror_is_still_there_a_lost_worker_may_come_back():
    bench = open_bench(memory="mirror")
    assert bench.verdict(0, state_crc=CRC) is APPLIED
    keep_alive(bench, 300, 1)
    assert bench.round == 1
    assert bench.come_back(0, epoch=1, seq=1)["resumed"] is True
    assert bench.verdict(1, state_crc=CRC) is APPLIED
    assert bench.verdict(0, values=(0, 0, 0, 0), state_crc=CRC) is APPLIED  # on from the mirror that both ends hold


def test_a_worker_whose_mirror_has_left_the_weights_begins_a_new_epoch():
    bench = open_bench(memory="mirror")
    assert bench.verdict(0, state_crc=CRC) is APPLIED
    keep_alive(bench, 300, 1)
    assert bench.verdict(1, state_crc=CRC) is APPLIED
    assert bench.round == 2 and 0 not in bench.machine.model.mirrors
    assert bench.come_back(0, epoch=1, seq=1)["resumed"] is False
    assert bench.come_back(0, epoch=2, seq=0)["resumed"] is True


@pytest.mark.parametrize("kind", [Kind.SKIP, Kind.OFFER, Kind.UPLOAD])
def test_a_lost_worker_that_returns_in_the_same_round_is_late_and_keeps_its_epoch(kind):
    bench = open_bench(sel_clients=1 if kind is Kind.OFFER else 0)
    keep_alive(bench, 300, 1)
    assert bench.machine.open_round.status == {0: "lost"}
    assert bench.come_back(0, epoch=1, seq=1)["resumed"] is True
    for _ in range(2):  # the verdict stands
        assert bench.verdict(0, kind) is LATE
    assert bench.is_parked(bench.poll(0, answered=1))
    bench.verdict(1, Kind.SKIP)
    assert bench.reports[0].roll_call == {0: "lost", 1: "skipped"}
    assert bench.machine.open_round.n_samples == {0: 10, 1: 20}


def test_a_worker_that_was_granted_and_lost_and_returns_is_late():
    bench = open_bench(3, sel_clients=2)
    for worker_id in range(3):
        bench.answer(worker_id, Kind.OFFER)
    assert bench.machine.open_round.granted == {0, 1}
    keep_alive(bench, 300, 1, 2)
    bench.come_back(0, epoch=1, seq=1)
    assert bench.verdict(0, Kind.OFFER) is LATE
    assert bench.verdict(1) is APPLIED
    assert bench.reports[0].roll_call == {0: "lost", 1: "uploaded", 2: "refused"}


def test_a_resumed_worker_keeps_its_offer_and_its_grant():
    bench = open_bench(sel_clients=1)
    bench.answer(0, Kind.OFFER)
    assert bench.come_back(0, epoch=1, seq=1)["resumed"] is True
    assert 0 in bench.machine.open_round.offers
    bench.answer(1, Kind.OFFER, energy=1.0)
    assert bench.verdict(0, Kind.OFFER) is GRANTED
    assert bench.come_back(0, epoch=1, seq=1)["resumed"] is True
    assert bench.verdict(0) is APPLIED


def test_a_refused_offer_that_does_not_wait_hears_it_on_asking_again():
    bench = open_bench(sel_clients=1)
    bench.answer(0, Kind.OFFER, energy=1.0)
    bench.wait(25)  # it gets WAIT
    assert bench.outcome(bench.answer(1, Kind.OFFER, energy=9.0)) is GRANTED
    assert bench.machine.open_round.status == {0: "refused"}
    for _ in range(2):
        assert bench.verdict(0, Kind.OFFER, energy=1.0) is REFUSED
    bench.verdict(1)
    assert bench.verdict(0, Kind.OFFER, energy=1.0, round_index=1, seq=1) is REFUSED  # in the next round, too


def test_after_a_resync_the_old_epoch_is_of_no_use():
    bench = open_bench(memory="mirror")
    assert bench.verdict(0, state_crc=1) is Outcome.RESYNC
    assert bench.verdict(0, state_crc=1) is Conflict
    assert bench.come_back(0, epoch=1, seq=1)["resumed"] is False


def test_no_worker_resumes_after_the_end_of_the_run():
    bench = open_bench(max_rounds=1)
    bench.all_upload(0, 1)
    body = bench.register(0, 10, LAYOUT.crc, claimed_epoch=1, claimed_seq=1)
    assert (body["ended"], body["resumed"]) == (True, False)


# -- copies of registrations -----------------------------------------------------------------


def test_a_copy_of_a_registration_gets_its_reply_again_and_changes_nothing():
    bench = open_bench(1)
    n_entries = len(bench.journal)
    body = bench.register(0, 10, LAYOUT.crc, known_epoch=0)
    assert (body["epoch"], body["resumed"], len(bench.journal)) == (1, False, n_entries)


def test_a_copy_that_comes_after_an_answer_is_refused_and_changes_nothing():
    bench = open_bench()
    assert bench.verdict(0) is APPLIED
    n_entries = len(bench.journal)
    assert isinstance(bench.register(0, 10, LAYOUT.crc, known_epoch=0), Conflict)
    assert len(bench.journal) == n_entries and bench.machine.members[0].epoch == 1


def test_a_new_process_that_knows_the_epoch_begins_a_new_one():
    bench = open_bench()
    assert bench.verdict(0) is APPLIED
    assert bench.register(0, 10, LAYOUT.crc, known_epoch=1)["epoch"] == 2
