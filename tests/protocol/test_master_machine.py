"""The master's machine: hand-made events, a virtual clock, replies read back from their bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from master_bench import LAYOUT, Bench, vector

from flq.core.codecs import QUANTIZERS, plus
from flq.core.held_back import HeldBack
from flq.core.layout import Layout, Tensor, fingerprint
from flq.core.settings import for_workers
from flq.errors import BadValues, ConfigError, Conflict
from flq.protocol import events
from flq.protocol.messages import Answer, Kind, Outcome
from flq.protocol.wire import VERSION

APPLIED, LATE, NOTED, REFUSED, GRANTED, WAIT, RESYNC, END = (
    Outcome.APPLIED,
    Outcome.LATE,
    Outcome.NOTED,
    Outcome.REFUSED,
    Outcome.GRANTED,
    Outcome.WAIT,
    Outcome.RESYNC,
    Outcome.END,
)
HUGE = 3e38


def open_bench(n_workers=2, quorum=None, **changes):
    """Return a bench whose first round is open, with workers 0 .. n_workers-1, which needs a quorum only."""
    bench = Bench(min_workers=n_workers, **changes)
    bench.join(*range(n_workers))
    assert (bench.state, bench.round) == ("OPEN", 1)
    bench.set_quorum(quorum or n_workers)
    return bench


# -- the lobby -------------------------------------------------------------------------------


def test_a_run_waits_in_the_lobby_until_enough_workers_have_joined():
    bench = Bench(min_workers=2)
    assert (bench.state, bench.round) == ("LOBBY", 0)
    bench.join(3)
    bench.register(1)  # has only asked for the settings
    assert (bench.state, bench.round) == ("LOBBY", 0)
    bench.join(1)
    assert (bench.state, bench.round) == ("OPEN", 1)


def test_the_reply_to_a_registration_has_everything_that_a_worker_needs():
    bench = Bench(start=vector(1, 2, 3, 4))
    assert bench.register(0) == {
        "wire": VERSION,
        "run_id": "run",
        "ended": False,
        "epoch": 0,
        "joined": False,
        "resumed": False,
        "n_sessions": 0,
        "warning": None,
        "lease_s": 300.0,
        "start_crc": fingerprint(vector(1, 2, 3, 4)),
        "codings": [],
        "layout": [["w", [3]], ["b", [1]]],
        "settings": for_workers(bench.settings),
    }
    assert bench.register(0, 10, LAYOUT.crc)["epoch"] == 1


def test_asking_for_the_settings_again_changes_nothing():
    bench = Bench()
    bench.join(0)
    before = bench.snapshot()
    assert bench.register(0)["epoch"] == 1
    assert bench.snapshot() == before


def test_the_same_instance_takes_over_at_once_with_a_new_epoch():
    bench = open_bench()
    old = bench.epochs[0]
    bench.join(0)
    assert bench.epochs[0] == old + 1
    assert bench.outcome(bench.poll(0, epoch=old)) is Conflict
    assert bench.verdict(0) is APPLIED  # it still belongs to the round


def test_a_copy_of_the_request_that_joined_begins_no_second_epoch():
    bench = Bench()
    bench.register(0)
    join = dict(n_samples=10, layout_crc=LAYOUT.crc, known_epoch=0)
    assert [bench.register(0, **join)["epoch"] for _ in range(3)] == [1, 1, 1]
    assert bench.register(0, **dict(join, n_samples=20))["epoch"] == 2  # another request
    assert bench.register(0, **dict(join, n_samples=20, known_epoch=2))["epoch"] == 3


def test_a_copy_of_the_request_that_joined_is_refused_when_the_worker_has_answered():
    bench = open_bench()
    bench.verdict(0)
    before = bench.snapshot()
    n_samples = bench.machine.members[0].n_samples
    assert isinstance(bench.register(0, n_samples=n_samples, layout_crc=LAYOUT.crc, known_epoch=0), Conflict)
    assert bench.snapshot() == before


def test_another_instance_gets_409_while_the_lease_lasts_and_the_id_afterwards():
    bench = Bench(lease_s=100.0)
    bench.join(0)
    before = bench.snapshot()
    for step in (dict(), dict(n_samples=10, layout_crc=LAYOUT.crc)):
        error = bench.register(0, instance="two", **step)
        assert isinstance(error, Conflict) and error.status_hint == 409 and "alive elsewhere" in str(error)
    assert bench.snapshot() == before
    bench.wait(100)
    bench.join(0, instance="two")
    assert bench.epochs[0] == 2
    assert isinstance(bench.register(0), Conflict)  # now the first is the other one


@pytest.mark.parametrize("worker_id", [-1, 4, 2**40])
def test_worker_ids_out_of_range_are_refused(worker_id):
    bench = Bench()
    before = bench.snapshot()
    error = bench.register(worker_id)
    assert isinstance(error, BadValues) and "0..3" in str(error)
    assert bench.snapshot() == before


@pytest.mark.parametrize(
    "n_samples, layout_crc, error",
    [(10, LAYOUT.crc ^ 1, Conflict), (10, None, Conflict), (0, LAYOUT.crc, BadValues), (-5, LAYOUT.crc, BadValues)],
)
def test_another_layout_or_no_samples_are_refused(n_samples, layout_crc, error):
    bench = Bench()
    bench.join(1)
    before = bench.snapshot()
    assert isinstance(bench.register(0, n_samples, layout_crc), error)
    assert bench.snapshot() == before


def test_a_worker_that_joins_in_mid_round_starts_with_the_next():
    bench = open_bench(2)
    bench.join(2)
    ticket = bench.poll(2)
    assert bench.is_parked(ticket)
    bench.all_upload(0, 1)
    assert bench.plan(ticket)[0].round_index == 2
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded"}
    bench.all_upload(0, 1, 2)
    assert sorted(bench.reports[1].roll_call) == [0, 1, 2]


# -- polls -----------------------------------------------------------------------------------


def test_a_poll_waits_and_is_answered_when_the_round_opens():
    bench = Bench(min_workers=2)
    bench.join(0)
    ticket = bench.poll(0)
    bench.wait(20)
    assert bench.is_parked(ticket)
    bench.join(1)
    plan, frames = bench.plan(ticket)
    assert (plan.round_index, plan.version, plan.needs_offer, plan.ended, plan.n_frames) == (1, 0, False, False, 0)
    assert plan.model_crc == fingerprint(np.zeros(4, np.float32)) and frames == []


def test_a_poll_ends_empty_after_25_seconds():
    bench = Bench(min_workers=2)
    bench.join(0)
    ticket = bench.poll(0)
    bench.wait(24.9)
    assert bench.is_parked(ticket)
    bench.wait(0.1)
    assert bench.replies[ticket] is None


def test_with_a_short_lease_a_poll_ends_before_the_worker_would_be_lost():
    bench = Bench(min_workers=2, lease_s=10.0)
    bench.join(0)
    for _ in range(5):
        ticket = bench.poll(0)
        bench.wait(5)
        assert bench.replies[ticket] is None


def test_a_new_poll_of_the_same_worker_releases_the_older():
    bench = Bench(min_workers=2)
    bench.join(0)
    older = bench.poll(0)
    newer = bench.poll(0)
    assert bench.replies[older] is None and bench.is_parked(newer)


def test_the_plan_is_sent_again_before_the_answer_and_counts_as_retransmitted():
    bench = open_bench(2)
    first, second = bench.poll(0), bench.poll(0)
    assert bench.plan(first) == bench.plan(second)
    totals = bench.machine.delivery.totals
    assert totals.frame_bytes_down == 55 and totals.retransmitted_bytes == 55  # a plan is 32 + 23 bytes


def test_after_its_answer_a_worker_waits_for_the_next_round_even_if_the_model_is_unchanged():
    bench = open_bench(2)
    assert bench.verdict(0, Kind.SKIP) is NOTED
    ticket = bench.poll(0, have=0, answered=1)
    assert bench.is_parked(ticket)
    assert bench.verdict(1, Kind.SKIP) is NOTED
    plan, frames = bench.plan(ticket)
    assert (plan.round_index, plan.version, frames) == (2, 0, [])


def test_a_poll_that_claims_an_answer_to_the_open_round_that_has_not_come_is_refused():
    bench = open_bench(2)
    before = bench.snapshot()
    assert bench.outcome(bench.poll(0, answered=1)) is Conflict
    assert bench.snapshot() == before


@pytest.mark.parametrize("epoch", [0, 2, 2**40])
def test_polls_and_heartbeats_of_another_epoch_conflict(epoch):
    bench = open_bench(2)
    before = bench.snapshot()
    assert bench.outcome(bench.poll(0, epoch=epoch)) is Conflict
    assert bench.outcome(bench.ask(lambda ticket: events.Heartbeat(ticket, 0, epoch))) is Conflict
    assert bench.outcome(bench.ask(lambda ticket: events.Heartbeat(ticket, 3, 0))) is Conflict
    assert bench.snapshot() == before


def test_a_heartbeat_tells_the_state_and_renews_the_lease():
    bench = open_bench(2, lease_s=100.0)
    for _ in range(5):
        bench.wait(60)
        for worker_id in (0, 1):
            ticket = bench.ask(lambda ticket, m=worker_id: events.Heartbeat(ticket, m, 1))
            assert bench.replies[ticket] == {"state": "OPEN", "round": 1}
    assert bench.verdict(0) is APPLIED


# -- answers ---------------------------------------------------------------------------------


def test_a_round_closes_when_everyone_has_answered_and_steps_the_model_by_the_weighted_mean():
    bench = open_bench(2, start=vector(9, 9, 9, 9))  # 10 and 20 samples
    assert bench.verdict(0, values=(3, 0, 0, 0)) is APPLIED
    assert bench.round == 1
    assert bench.verdict(1, values=(0, 3, 0, 0)) is APPLIED
    assert bench.round == 2
    assert bench.model == pytest.approx([8, 7, 9, 9], rel=1e-7)


def test_the_report_counts_real_frames():
    bench = open_bench(2)
    tickets = [bench.poll(0), bench.poll(1)]
    assert all(bench.plan(ticket)[1] == [] for ticket in tickets)
    bench.verdict(0, values=(3, 0, 0, 0), loss=1.0)
    bench.wait(5)
    bench.verdict(1, values=(3, 0, 0, 0), loss=4.0, training_s=3.5, waiting_s=0.5)
    report = bench.reports[0]
    assert report.round_index == 1
    assert report.roll_call == {0: "uploaded", 1: "uploaded"}
    assert report.training_loss == (10 * 1.0 + 20 * 4.0) / 30
    assert report.payload_bits_up == 2 * 4 * 32
    assert report.frame_bytes_up == 2 * (32 + 48 + 16)
    assert report.payload_bits_down == 0  # the start was drawn from the seed
    assert report.frame_bytes_down == 2 * (32 + 23) + 2 * (32 + 5)  # plans and verdicts
    assert report.retransmitted_bytes == 0
    assert (report.training_s, report.waiting_s, report.round_s) == (3.5, 1.0, 5.0)


def test_an_unknown_loss_does_not_enter_the_mean():
    bench = open_bench(2)
    bench.verdict(0, Kind.SKIP, loss=float("nan"))
    bench.verdict(1, loss=2.0)
    assert bench.reports[0].training_loss == 2.0
    assert bench.machine.rounds.attendance[0].last_loss is None
    bench.verdict(0, Kind.SKIP, loss=float("nan"))
    bench.verdict(1, Kind.SKIP, loss=float("nan"))
    assert bench.reports[1].training_loss is None


def test_losses_too_large_for_their_mean_are_left_out():
    bench = open_bench(2)
    bench.answer(0, loss=1.7e308)
    bench.answer(1, loss=1.7e308)
    assert bench.reports[0].training_loss is None


def test_results_on_held_back_data_are_averaged_by_their_samples():
    bench = open_bench(3, partition="local")
    bench.answer(0, held_back=HeldBack(1.0, 0.25, 10))
    bench.answer(1, held_back=HeldBack(4.0, 1.0, 30))
    bench.answer(2)
    assert (bench.reports[0].own_loss, bench.reports[0].own_accuracy) == (3.25, 0.8125)


def test_without_data_of_their_own_workers_have_no_such_results():
    bench = open_bench(1)
    assert bench.verdict(0, held_back=HeldBack(1.0, 1.0, 10)) is BadValues
    bench.answer(0)
    assert (bench.reports[0].own_loss, bench.reports[0].own_accuracy) == (None, None)


def test_a_duplicate_upload_gets_the_same_verdict_and_is_aggregated_once():
    bench = open_bench(2)
    assert bench.verdict(0, values=(3, 0, 0, 0)) is APPLIED
    bits = bench.machine.delivery.totals.payload_bits_up
    assert bench.verdict(0, values=(3, 0, 0, 0)) is APPLIED
    assert bench.machine.delivery.totals.payload_bits_up == bits
    assert bench.machine.delivery.totals.retransmitted_bytes == (32 + 48 + 16) + 37  # the frame, and its verdict again
    assert bench.verdict(1, values=(0, 0, 0, 0)) is APPLIED
    assert bench.model == pytest.approx([-1, 0, 0, 0], rel=1e-7)
    # ... and also when the round has closed meanwhile
    assert bench.verdict(0, values=(3, 0, 0, 0), seq=1, round_index=1) is APPLIED
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded"}
    assert bench.machine.rounds.attendance[0].tally["uploaded"] == 1


def test_an_upload_for_a_round_that_has_closed_is_late():
    bench = open_bench(3, round_deadline_s=60.0, quorum=2)
    bench.all_upload(0, 1)
    bench.wait(60)
    model = bench.model
    assert bench.round == 2
    assert bench.verdict(2, seq=1, round_index=1) is LATE
    assert bench.verdict(2, seq=1, round_index=1) is LATE  # again the same
    assert bench.model == model
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded", 2: "late"}
    assert bench.machine.rounds.attendance[2].tally == {"uploaded": 0, "skipped": 0, "refused": 0, "late": 1, "lost": 0}
    assert bench.verdict(2, seq=2) is APPLIED  # and it takes part again


@pytest.mark.parametrize(
    "changes",
    [
        dict(seq=0),
        dict(round_index=2),
        dict(seq=7, round_index=99),
        dict(codec_id=4, payload=QUANTIZERS[4].encode(vector(1, 1, 1, 1), LAYOUT), cost_bits=88),
        dict(kind=Kind.OFFER, codec_id=0, payload=None),
        dict(epoch=2),
        dict(epoch=0),
    ],
)
def test_an_impossible_answer_is_refused_and_changes_nothing(changes):
    bench = open_bench(2)
    before = bench.snapshot()
    assert bench.verdict(0, **changes) in (BadValues, Conflict)
    assert bench.snapshot() == before
    assert bench.verdict(0) is APPLIED


def test_a_second_answer_to_the_same_round_is_refused():
    bench = open_bench(2)
    bench.verdict(0, seq=1)
    before = bench.snapshot()
    assert bench.verdict(0, seq=2) is Conflict
    for seq in (0, 3):
        assert bench.verdict(0, seq=seq) is Conflict
    assert bench.snapshot() == before


def test_an_answer_of_a_stranger_is_refused():
    bench = open_bench(2)
    bench.epochs[3] = 1
    before = bench.snapshot()
    assert bench.verdict(3) is Conflict
    assert bench.snapshot() == before


def test_an_answer_of_a_worker_that_is_not_in_the_round_is_late():
    bench = open_bench(2)
    bench.join(2)
    assert bench.verdict(2) is LATE


@pytest.mark.parametrize("status, fix", [(413, "client_max_body_size"), (403, "have it let"), (302, "have it let")])
def test_an_update_that_was_refused_on_its_way_is_lost_and_no_skip(status, fix):
    bench = open_bench(2)
    bench.all_upload(1)
    assert bench.verdict(0, Kind.SKIP, blocked=status) is Outcome.NOTED
    assert bench.reports[0].roll_call == {0: "lost", 1: "uploaded"}
    record = bench.machine.rounds.attendance[0]
    assert (record.blocked, record.tally["skipped"], record.tally["lost"]) == (1, 0, 1)
    assert bench.machine.members[0].has_lease
    (said,) = [note for note in bench.notes if "did not arrive" in note]
    assert (
        said.startswith(
            "the update of worker 0 in round 1 did not arrive: something between it and the master "
            "answered %d; " % status
        )
        and fix in said
        and "directly" in said
    )
    assert bench.round == 2 and 0 in bench.machine.open_round.undecided()  # it takes part in the next one
    assert bench.replayed().rounds.attendance[0].blocked == 1


def test_a_blocked_update_is_reported_once():
    bench = open_bench(2)
    bench.answer(0, Kind.SKIP, blocked=413, seq=1)
    again = bench.answer(0, Kind.SKIP, blocked=413, seq=1)
    assert bench.outcome(again) is Outcome.NOTED
    assert bench.machine.rounds.attendance[0].blocked == 1 and len([note for note in bench.notes if "413" in note]) == 1


def test_an_update_that_was_blocked_and_is_late_counts_as_blocked():
    bench = open_bench(2, round_deadline_s=5.0, quorum=1)
    bench.all_upload(1)
    bench.wait(6)
    assert bench.reports[0].roll_call[0] == "late"
    assert bench.verdict(0, Kind.SKIP, blocked=413, seq=1, round_index=1) is Outcome.LATE
    assert bench.machine.rounds.attendance[0].blocked == 1
    assert bench.machine.rounds.attendance[0].tally["lost"] == 0


def test_with_a_budget_an_update_that_was_blocked_leaves_its_grant_unused():
    bench = open_bench(2, sel_clients=2, mode="bbit")
    offers = [bench.answer(worker_id, Kind.OFFER) for worker_id in (0, 1)]
    assert [bench.outcome(offer) for offer in offers] == [Outcome.GRANTED] * 2
    assert bench.verdict(0, Kind.SKIP, blocked=413) is Outcome.NOTED
    bench.all_upload(1)
    assert bench.reports[0].roll_call == {0: "lost", 1: "uploaded"}


def test_a_round_of_skips_closes_and_leaves_the_model():
    bench = open_bench(2, start=vector(1, 2, 3, 4))
    for _ in range(3):
        assert bench.verdict(0, Kind.SKIP) is NOTED
        assert bench.verdict(1, Kind.SKIP) is NOTED
    assert bench.round == 4 and bench.model == [1, 2, 3, 4]
    assert bench.reports[2].roll_call == {0: "skipped", 1: "skipped"}
    assert bench.reports[2].payload_bits_up == 0


# -- deadlines and leases --------------------------------------------------------------------


def test_at_the_deadline_a_quorum_closes_the_round():
    bench = open_bench(3, round_deadline_s=60.0, quorum=2)
    bench.all_upload(0, 1)
    bench.wait(59.9)
    assert bench.round == 1
    bench.wait(0.1)
    assert bench.round == 2
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded", 2: "late"}
    assert bench.reports[0].round_s == 60.0


def test_without_a_quorum_the_round_stays_open_beyond_its_deadline():
    bench = open_bench(3, round_deadline_s=60.0, quorum=2)
    bench.verdict(0)
    bench.wait(100)
    assert bench.round == 1
    assert bench.verdict(1, Kind.SKIP) is NOTED  # a skip is an answer, too
    assert bench.round == 2
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "skipped", 2: "late"}


def test_where_fewer_than_a_quorum_are_alive_the_round_waits_for_all_of_them():
    bench = open_bench(3, round_deadline_s=250.0, lease_s=200.0)
    bench.wait(100)
    ticket = bench.ask(lambda ticket: events.Heartbeat(ticket, 1, 1))
    assert bench.replies[ticket]["round"] == 1
    bench.verdict(0)
    bench.wait(99)
    bench.ask(lambda ticket: events.Heartbeat(ticket, 0, 1))
    bench.wait(51)  # worker 2 is lost since 200; at 250 one of two has answered
    assert bench.round == 1
    bench.ask(lambda ticket: events.Heartbeat(ticket, 0, 1))
    bench.wait(100)  # worker 1 is lost at 300: one of one
    assert bench.round == 2
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "lost", 2: "lost"}


def test_a_lost_worker_leaves_the_weights_at_the_next_round_and_the_run_continues():
    bench = open_bench(2, lease_s=100.0, memory="residual", mode="bbit", b_up=8)  # weights 1/3, 2/3
    bench.wait(50)
    assert bench.verdict(0, values=(3, 0, 0, 0)) is APPLIED
    bench.wait(50)
    assert bench.round == 2
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "lost"}
    assert bench.model == pytest.approx([-1, 0, 0, 0], rel=1e-6)  # it was leased when the round opened
    assert bench.verdict(0, values=(3, 0, 0, 0)) is APPLIED
    assert bench.model == pytest.approx([-4, 0, 0, 0], rel=1e-6)  # now worker 0 is alone
    assert any("worker 1 is lost" in note for note in bench.notes)


def test_a_lost_worker_must_register_again():
    bench = open_bench(2, lease_s=100.0)
    bench.wait(50)
    bench.verdict(0)
    bench.wait(50)
    assert bench.round == 2
    before = bench.snapshot()
    assert bench.verdict(1, seq=1, round_index=1) is Conflict
    assert bench.outcome(bench.poll(1)) is Conflict
    assert bench.snapshot() == before
    bench.join(1)
    assert bench.epochs[1] == 2


def test_when_all_are_lost_the_run_waits_and_continues_with_the_first_that_returns():
    bench = open_bench(2, lease_s=100.0)
    bench.wait(100)
    assert bench.reports[0].roll_call == {0: "lost", 1: "lost"}
    assert (bench.state, bench.round) == ("LOBBY", 1)
    bench.wait(1000)
    assert (bench.state, bench.round) == ("LOBBY", 1)
    bench.join(1)
    assert (bench.state, bench.round) == ("OPEN", 2)
    assert bench.verdict(1, values=(5, 0, 0, 0)) is APPLIED
    assert bench.model == [-5, 0, 0, 0]


def test_a_worker_whose_round_closed_without_it_starts_with_the_next():
    bench = open_bench(2, lease_s=100.0)
    bench.wait(50)
    bench.ask(lambda ticket: events.Heartbeat(ticket, 0, 1))
    bench.wait(50)  # worker 1 is lost, worker 0 still trains
    bench.join(1)
    ticket = bench.poll(1)
    assert bench.is_parked(ticket)
    bench.verdict(0)
    assert bench.plan(ticket)[0].round_index == 2


# -- offers ----------------------------------------------------------------------------------


def offers_bench(n_workers=3, **changes):
    return open_bench(n_workers, **dict(dict(sel_clients=1, mode="bbit"), **changes))


def offer(bench, worker_id, energy=4.0, **changes):
    return bench.answer(worker_id, Kind.OFFER, energy=energy, **changes)


def test_a_budget_is_announced_in_the_plan():
    bench = offers_bench()
    assert bench.plan(bench.poll(0))[0].needs_offer is True


def test_grants_wait_until_every_offer_is_in():
    bench = offers_bench()
    first, second = offer(bench, 0, 1.0), offer(bench, 1, 9.0)
    assert bench.is_parked(first) and bench.is_parked(second)
    third = offer(bench, 2, 4.0)
    assert [bench.outcome(ticket) for ticket in (first, second, third)] == [REFUSED, GRANTED, REFUSED]
    assert bench.round == 1
    assert bench.verdict(1) is APPLIED
    assert bench.round == 2
    assert bench.reports[0].roll_call == {0: "refused", 1: "uploaded", 2: "refused"}
    assert bench.reports[0].payload_bits_up == 88


def test_a_skip_counts_as_an_answer_for_the_grants():
    bench = offers_bench()
    tickets = [offer(bench, 0), offer(bench, 1, 9.0)]
    assert bench.verdict(2, Kind.SKIP) is NOTED
    assert [bench.outcome(ticket) for ticket in tickets] == [REFUSED, GRANTED]


def test_offers_are_granted_when_the_last_silent_worker_is_lost():
    bench = offers_bench(lease_s=100.0)
    bench.wait(90)
    tickets = [offer(bench, 0), offer(bench, 1, 9.0)]
    assert all(bench.is_parked(ticket) for ticket in tickets)
    bench.wait(10)
    assert [bench.outcome(ticket) for ticket in tickets] == [REFUSED, GRANTED]


def test_an_offer_gets_wait_after_25_seconds_and_is_sent_again():
    bench = offers_bench()
    first = offer(bench, 0, 9.0)
    bench.wait(25)
    assert bench.outcome(first) is WAIT
    again = offer(bench, 0, 9.0)
    assert bench.machine.delivery.totals.retransmitted_bytes == 80
    offer(bench, 1, 1.0)
    offer(bench, 2, 1.0)
    assert bench.outcome(again) is GRANTED


def test_a_worker_that_is_not_waiting_learns_the_grants_when_it_sends_its_offer_again():
    bench = offers_bench(sel_clients=2)
    for worker_id in (0, 1):
        offer(bench, worker_id, 9.0 - worker_id)
    bench.wait(25)
    assert bench.outcome(offer(bench, 2, 9.0)) is GRANTED
    bits_and_bytes = bench.machine.delivery.totals
    assert bench.outcome(offer(bench, 0, 9.0)) is GRANTED
    assert bench.outcome(offer(bench, 1, 8.0)) is REFUSED
    assert bench.outcome(offer(bench, 0, 9.0)) is GRANTED
    assert bench.outcome(offer(bench, 1, 8.0)) is REFUSED
    assert bench.machine.delivery.totals.frame_bytes_up == bits_and_bytes.frame_bytes_up  # all of these are repeats
    bench.all_upload(0, 2)
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "refused", 2: "uploaded"}
    assert bench.machine.rounds.attendance[1].tally["refused"] == 1


def test_an_upload_without_a_grant_is_refused_and_changes_nothing():
    bench = offers_bench()
    before = bench.snapshot()
    assert bench.verdict(0) is Conflict
    assert bench.snapshot() == before
    for worker_id in range(3):
        offer(bench, worker_id, float(worker_id))
    before = bench.snapshot()
    assert bench.verdict(0, seq=2) is Conflict
    assert bench.snapshot() == before


def test_an_upload_larger_than_the_offer_is_refused():
    bench = offers_bench()
    tickets = [offer(bench, worker_id, cost_bits=80 + worker_id) for worker_id in range(3)]
    assert [bench.outcome(ticket) for ticket in tickets] == [GRANTED, REFUSED, REFUSED]
    before = bench.snapshot()
    assert bench.verdict(0) is BadValues  # 88 bits
    assert bench.snapshot() == before


def test_an_offer_after_the_decision_is_refused_for_the_round():
    bench = offers_bench(round_deadline_s=60.0)  # so offers have 30 s
    tickets = [offer(bench, 0, 1.0), offer(bench, 1, 2.0)]
    bench.wait(24)
    assert all(bench.is_parked(ticket) for ticket in tickets)
    bench.wait(1)
    tickets = [offer(bench, 0, 1.0), offer(bench, 1, 2.0)]
    bench.wait(5)
    assert [bench.outcome(ticket) for ticket in tickets] == [REFUSED, GRANTED]
    assert bench.outcome(offer(bench, 2, 99.0)) is REFUSED
    assert bench.outcome(offer(bench, 2, 99.0)) is REFUSED
    assert bench.verdict(1) is APPLIED
    assert bench.reports[0].roll_call == {0: "refused", 1: "uploaded", 2: "refused"}


def test_an_offer_after_the_decision_gets_the_rest_of_the_budget():
    bench = offers_bench(round_deadline_s=60.0, sel_clients=2)
    first = offer(bench, 0, 1.0)
    bench.wait(25)
    first = offer(bench, 0, 1.0)
    bench.wait(5)
    assert bench.outcome(first) is GRANTED
    assert bench.outcome(offer(bench, 1, 1.0)) is GRANTED
    assert bench.outcome(offer(bench, 2, 99.0)) is REFUSED
    assert bench.machine.rounds.attendance[2].passed_over == 1
    bench.all_upload(0, 1)
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded", 2: "refused"}


def test_without_an_offer_at_the_deadline_the_first_offer_decides():
    bench = offers_bench(round_deadline_s=60.0)
    bench.wait(31)
    assert bench.outcome(offer(bench, 2, 1.0)) is GRANTED
    assert bench.outcome(offer(bench, 0, 99.0)) is REFUSED
    assert bench.verdict(2) is APPLIED


def test_the_grants_wait_for_a_worker_refused_c_rounds_in_a_row():
    bench = offers_bench(round_deadline_s=60.0, C=1)
    for _ in range(2):
        parked = [offer(bench, 0, 9.0), offer(bench, 1, 8.0)]
        bench.wait(25)
        parked = [offer(bench, 0, 9.0), offer(bench, 1, 8.0)]
        bench.wait(5)
        if bench.round == 2:
            break
        assert [bench.outcome(ticket) for ticket in parked] == [GRANTED, REFUSED]
        assert bench.outcome(offer(bench, 2, 1.0)) is REFUSED
        assert bench.verdict(0) is APPLIED
    assert all(bench.is_parked(ticket) for ticket in parked)  # worker 2 has not offered, and its turn has come
    turn = [offer(bench, worker_id, 1.0) for worker_id in (2,)]
    assert bench.outcome(turn[0]) is REFUSED  # worker 1 has been passed over as often, and offers more
    assert [bench.outcome(ticket) for ticket in parked] == [REFUSED, GRANTED]


def test_an_offer_that_may_not_wait_is_recorded_and_gets_wait():
    bench = offers_bench()
    answer = Answer(Kind.OFFER, 0, bench.epochs[0], 1, 1, loss=1.0, energy=9.0, cost_bits=88)
    ticket = bench.send(answer, may_wait=False)
    assert bench.outcome(ticket) is WAIT
    offer(bench, 1, 1.0)
    offer(bench, 2, 1.0)
    assert bench.outcome(offer(bench, 0, 9.0)) is GRANTED


def test_a_granted_worker_that_does_not_upload_is_late_at_the_deadline():
    bench = offers_bench(round_deadline_s=60.0, quorum=2)
    for worker_id in range(3):
        offer(bench, worker_id, float(worker_id))
    bench.wait(60)
    assert bench.reports[0].roll_call == {0: "refused", 1: "refused", 2: "late"}
    assert bench.verdict(2, seq=1, round_index=1) is LATE


def test_a_granted_worker_may_still_skip():
    bench = offers_bench()
    for worker_id in range(3):
        offer(bench, worker_id, float(worker_id))
    assert bench.verdict(2, Kind.SKIP) is NOTED
    assert bench.reports[0].roll_call == {0: "refused", 1: "refused", 2: "skipped"}


def test_an_offer_that_still_waits_at_the_rounds_deadline_is_late():
    bench = offers_bench(round_deadline_s=20.0, offer_deadline_s=40.0, quorum=1)
    waiting = offer(bench, 0)
    assert bench.verdict(1, Kind.SKIP) is NOTED
    assert bench.is_parked(waiting)
    bench.wait(20)
    assert bench.reports[0].roll_call == {0: "late", 1: "skipped", 2: "late"}
    assert bench.outcome(waiting) is LATE
    assert bench.machine.rounds.attendance[0].tally["late"] == 1


def test_a_worker_that_is_lost_while_its_offer_waits_is_lost_and_nothing_else():
    bench = offers_bench(lease_s=20.0)
    bench.wait(5)
    waiting = offer(bench, 0, 99.0)
    bench.wait(9)
    bench.ask(lambda ticket: events.Heartbeat(ticket, 1, 1))
    bench.ask(lambda ticket: events.Heartbeat(ticket, 2, 1))
    bench.wait(11)  # the request of worker 0 was answered WAIT, and it has not come back
    assert bench.outcome(waiting) is WAIT
    tickets = [offer(bench, 1, 2.0), offer(bench, 2, 1.0)]
    assert [bench.outcome(ticket) for ticket in tickets] == [GRANTED, REFUSED]
    assert bench.verdict(1) is APPLIED
    assert bench.reports[0].roll_call == {0: "lost", 1: "uploaded", 2: "refused"}
    assert bench.machine.rounds.attendance[0].tally == {"uploaded": 0, "skipped": 0, "refused": 0, "late": 0, "lost": 1}


def test_a_skip_takes_back_an_offer_that_waits():
    bench = offers_bench()
    waiting = offer(bench, 0, 99.0)
    assert bench.verdict(0, Kind.SKIP) is NOTED
    assert bench.outcome(waiting) is WAIT
    tickets = [offer(bench, 1, 2.0), offer(bench, 2, 1.0)]
    assert [bench.outcome(ticket) for ticket in tickets] == [GRANTED, REFUSED]
    bench.verdict(1)
    assert bench.reports[0].roll_call == {0: "skipped", 1: "uploaded", 2: "refused"}
    assert bench.machine.rounds.attendance[0].tally["refused"] == 0


def test_a_worker_that_registers_again_takes_its_waiting_offer_back():
    bench = offers_bench()
    waiting = offer(bench, 0, 1.0)
    bench.join(0)
    assert bench.outcome(waiting) is WAIT
    tickets = [offer(bench, worker_id, worker_id + 1.0) for worker_id in (1, 2)]
    assert all(bench.is_parked(ticket) for ticket in tickets)
    again = offer(bench, 0, 99.0, seq=1)  # numbers restart with the epoch
    assert bench.outcome(again) is GRANTED
    assert bench.verdict(0, seq=1) is APPLIED


def test_a_worker_refused_c_rounds_in_a_row_is_granted_first():
    bench = offers_bench(2, C=2)
    winners = []
    for _ in range(6):
        tickets = [offer(bench, 0, 1.0), offer(bench, 1, 9.0)]
        winner = [bench.outcome(ticket) for ticket in tickets].index(GRANTED)
        bench.verdict(winner)
        winners.append(winner)
    assert winners == [1, 1, 0, 1, 1, 0]


@given(
    costs=st.lists(st.integers(1, 88), min_size=3, max_size=3),
    energies=st.lists(st.floats(0, 100), min_size=3, max_size=3),
    sel_clients=st.integers(0, 2),
    budget=st.integers(88, 250),
)
def test_grants_never_exceed_the_budget(costs, energies, sel_clients, budget):
    bench = offers_bench(sel_clients=sel_clients, up_budget_bits=budget)
    tickets = [offer(bench, i, energies[i], cost_bits=costs[i]) for i in range(3)]
    outcomes = [bench.outcome(ticket) for ticket in tickets]
    granted = [i for i in range(3) if outcomes[i] is GRANTED]
    assert sum(costs[i] for i in granted) <= budget
    assert not sel_clients or len(granted) <= sel_clients
    assert granted  # the budget admits at least one
    assert [i for i in range(3) if outcomes[i] is REFUSED] == [i for i in range(3) if i not in granted]


def test_a_budget_too_small_for_any_upload_is_rejected_before_the_run():
    with pytest.raises(ConfigError, match="88 payload bits"):
        Bench(mode="bbit", up_budget_bits=87)


# -- mirrors ---------------------------------------------------------------------------------


def mirror_upload(bench, worker_id, mirror, values, **changes):
    """Send an upload that moves the mirror; return the outcome and the next mirror."""
    payload = QUANTIZERS[4].encode(vector(*values), LAYOUT)
    moved = plus(mirror, 4, payload, LAYOUT)
    answer = dict(values=values, state_crc=fingerprint(moved))
    return bench.verdict(worker_id, **dict(answer, **changes)), moved


def test_the_aggregate_is_the_sum_over_all_mirrors_with_those_of_silent_workers():
    bench = open_bench(2, mode="bbit", memory="mirror", b_down=32)
    zero = vector(0, 0, 0, 0)
    outcome, first = mirror_upload(bench, 0, zero, (6, 0, 0, 3))
    assert outcome is APPLIED
    outcome, _ = mirror_upload(bench, 1, zero, (0, 6, 0, 0))
    assert outcome is APPLIED
    assert bench.model == pytest.approx([-2, -4, 0, -1], rel=1e-6)
    bench.verdict(0, Kind.SKIP)
    outcome, _ = mirror_upload(bench, 1, vector(0, 6, 0, 0), (0, -6, 0, 0))
    assert outcome is APPLIED
    assert bench.model == pytest.approx([-4, -4, 0, -2], rel=1e-6)  # worker 0's again, worker 1's is zero now


def test_a_mirror_that_differs_begins_a_new_epoch():
    bench = open_bench(2, mode="bbit", memory="mirror")
    outcome, _ = mirror_upload(bench, 0, vector(0, 0, 0, 0), (6, 0, 0, 3), state_crc=1)
    assert outcome is RESYNC
    assert bench.verdict(0, seq=2) is Conflict  # the old epoch
    assert bench.outcome(bench.poll(0)) is Conflict
    bench.join(0)
    assert bench.epochs[0] == 3
    assert bench.is_parked(bench.poll(0))  # this round is lost for it
    outcome, _ = mirror_upload(bench, 1, vector(0, 0, 0, 0), (0, 6, 0, 0))
    assert bench.reports[0].roll_call == {0: "refused", 1: "uploaded"}
    assert bench.model == pytest.approx([0, -4, 0, 0], rel=1e-6)
    outcome, _ = mirror_upload(bench, 0, vector(0, 0, 0, 0), (6, 0, 0, 3), seq=1)  # from zero, at both ends
    assert outcome is APPLIED


def test_an_applied_upload_counts_although_its_worker_begins_a_new_epoch():
    bench = open_bench(2, mode="bbit", memory="mirror", b_down=32)
    zero = vector(0, 0, 0, 0)
    assert mirror_upload(bench, 0, zero, (6, 0, 0, 3))[0] is APPLIED
    bench.join(0)
    assert mirror_upload(bench, 1, zero, (0, 6, 0, 0))[0] is APPLIED
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded"}
    assert bench.model == pytest.approx([-2, -4, 0, -1], rel=1e-6)
    assert mirror_upload(bench, 0, zero, (3, 0, 0, 0), seq=1)[0] is APPLIED  # from zero again
    assert bench.verdict(1, Kind.SKIP) is NOTED
    assert bench.model == pytest.approx([-3, -8, 0, -1], rel=1e-6)


def test_a_lost_workers_mirror_leaves_the_aggregate_with_the_next_round():
    bench = open_bench(2, mode="bbit", memory="mirror", b_down=32, lease_s=100.0)
    zero = vector(0, 0, 0, 0)
    for worker_id in (0, 1):
        mirror_upload(bench, worker_id, zero, (3, 0, 0, 0))
    assert bench.model == pytest.approx([-3, 0, 0, 0], rel=1e-6)
    bench.wait(50)
    bench.verdict(0, Kind.SKIP)
    bench.wait(50)
    assert bench.reports[1].roll_call == {0: "skipped", 1: "lost"}
    assert bench.model == pytest.approx([-6, 0, 0, 0], rel=1e-6)
    bench.verdict(0, Kind.SKIP)
    assert bench.model == pytest.approx([-9, 0, 0, 0], rel=1e-6)  # weight 1 x mirror 3, alone
    bench.join(1)
    bench.verdict(0, Kind.SKIP)
    bench.verdict(0, Kind.SKIP)
    bench.verdict(1, Kind.SKIP, seq=1)  # back, with weight 2/3 and nothing in its mirror
    assert bench.model == pytest.approx([-13, 0, 0, 0], rel=1e-6)


# -- the downlink ----------------------------------------------------------------------------

WIDE = Layout((Tensor("w", (100,)),))


def wide_bench(b_down=1, **changes):
    bench = Bench(layout=WIDE, mode="bbit", b_down=b_down, min_workers=1, **changes)
    bench.join(0)
    return bench


def one_round(bench):
    assert bench.verdict(0, values=np.linspace(-1, 1, 100)) is APPLIED


def follow(bench, frames, shared):
    for frame in frames:
        if frame.kind is Kind.KEYFRAME:
            shared = np.frombuffer(frame.payload.tobytes(), "<f4")
        else:
            shared = plus(shared, frame.codec_id, frame.payload, WIDE)
    return shared


def test_a_joiner_that_has_the_start_gets_the_chain_of_deltas_while_it_is_cheaper():
    bench = wide_bench()
    kinds = []
    for rounds in range(1, 11):
        one_round(bench)
        plan, frames = bench.plan(bench.poll(0, have=0))
        kinds.append([frame.kind for frame in frames])
        assert plan.version == rounds and plan.n_frames == len(frames)
        assert fingerprint(follow(bench, frames, np.zeros(100, np.float32))) == plan.model_crc
    # A delta frame takes 32 + 4 + 13 bytes, the model 400: eight of them are cheaper, nine are not.
    assert kinds[:8] == [[Kind.DELTA] * rounds for rounds in range(1, 9)]
    assert kinds[8:] == [[Kind.KEYFRAME]] * 2


def test_a_worker_that_keeps_up_gets_one_delta_and_its_bits_are_counted():
    bench = wide_bench()
    for _ in range(12):
        one_round(bench)
    plan, frames = bench.plan(bench.poll(0, have=11))
    assert [(frame.kind, frame.version, frame.codec_id) for frame in frames] == [(Kind.DELTA, 12, 1)]
    assert bench.machine.delivery.totals.payload_bits_down == 8 * 17


@pytest.mark.parametrize("have", [-1, 99, -(2**70), 2**70])
def test_a_worker_with_no_or_an_unknown_version_gets_a_keyframe(have):
    bench = wide_bench()
    one_round(bench)
    plan, frames = bench.plan(bench.poll(0, have=have))
    assert [(frame.kind, frame.version, frame.codec_id) for frame in frames] == [(Kind.KEYFRAME, 1, 32)]
    assert fingerprint(follow(bench, frames, None)) == plan.model_crc
    assert bench.machine.delivery.totals.payload_bits_down == 3200


def test_a_worker_with_the_current_version_gets_no_frame():
    bench = wide_bench()
    assert bench.plan(bench.poll(0, have=0))[1] == []
    assert bench.machine.delivery.totals.payload_bits_down == 0


def test_a_keyframe_after_a_plan_of_the_same_round_counts_as_sent_for_the_first_time():
    bench = open_bench(1)
    bench.poll(0)
    before = bench.machine.delivery.totals
    bench.poll(0, have=-1)
    after = bench.machine.delivery.totals
    assert after.payload_bits_down == before.payload_bits_down + 32 * 4
    assert after.retransmitted_bytes == before.retransmitted_bytes
    bench.poll(0, have=-1)
    assert bench.machine.delivery.totals.payload_bits_down == after.payload_bits_down
    assert bench.machine.delivery.totals.retransmitted_bytes > after.retransmitted_bytes


def test_a_worker_with_other_start_values_gets_a_keyframe():
    bench = Bench(start=vector(1, 2, 3, 4), min_workers=1)
    bench.join(0)
    plan, frames = bench.plan(bench.poll(0, have=-1))
    assert [(frame.kind, frame.version) for frame in frames] == [(Kind.KEYFRAME, 0)]
    assert frames[0].payload.tobytes() == vector(1, 2, 3, 4).tobytes()


def test_the_threshold_in_the_plan_is_the_movement_of_the_model():
    bench = open_bench(1, mode="bbit", memory="mirror", b_down=32, D=1, ck=0.5)
    assert bench.plan(bench.poll(0))[0].threshold == 0.0
    mirror_upload(bench, 0, vector(0, 0, 0, 0), (3, 0, 0, 4))
    assert bench.plan(bench.poll(0, have=1, answered=1))[0].threshold == pytest.approx(0.5 * 25)


# -- the end ---------------------------------------------------------------------------------


def test_the_run_ends_after_the_last_round_and_everyone_hears():
    bench = open_bench(2, max_rounds=1)
    bench.verdict(0)
    waiting = bench.poll(0, answered=1)
    bench.verdict(1)
    assert bench.state == "CLOSING" and bench.reason == "1 rounds are done"
    assert bench.plan(waiting)[0].ended is True
    assert not bench.machine.everyone_heard()
    assert bench.plan(bench.poll(1, have=0, answered=1))[0].ended is True
    assert bench.machine.everyone_heard()
    bench.tell(events.ResultsSaved())
    assert bench.state == "FINISHED"
    assert bench.plan(bench.poll(1, have=0, answered=1))[0].ended is True


def test_stop_answers_everything_that_waits():
    bench = offers_bench()
    bench.join(3)
    parked, waiting = bench.poll(3), offer(bench, 0)
    bench.tell(events.Stop("because"))
    assert (bench.state, bench.reason) == ("CLOSING", "because")
    assert bench.plan(parked)[0].ended is True
    assert bench.outcome(waiting) is END
    assert bench.reports == []  # the open round is abandoned
    assert not bench.machine.everyone_heard()
    assert bench.outcome(offer(bench, 1)) is END
    assert bench.verdict(2) is END
    assert bench.machine.everyone_heard()


def test_stop_ends_the_run_once():
    bench = open_bench(2)
    bench.tell(events.Stop("first"))
    before = bench.snapshot()
    bench.tell(events.Stop("second"))
    assert bench.reason == "first" and bench.snapshot() == before


def test_a_lease_that_ends_after_the_run_is_no_event_of_the_run():
    bench = open_bench(2, max_rounds=1)
    bench.all_upload(0, 1)
    assert bench.state == "CLOSING"
    n_entries = len(bench.journal)
    bench.wait(400)
    assert bench.machine.everyone_heard()  # the master waits for no worker any more
    assert all(member.has_lease for member in bench.machine.members.values())  # and the results stay as they are
    assert len(bench.journal) == n_entries


def test_a_lost_worker_need_not_learn_of_the_end():
    bench = open_bench(2, lease_s=100.0)
    bench.tell(events.Stop("now"))
    bench.poll(0)
    assert not bench.machine.everyone_heard()
    bench.wait(100)
    assert bench.machine.everyone_heard()


def test_a_registration_after_the_end_learns_of_it():
    bench = open_bench(1)
    bench.tell(events.Stop("now"))
    epoch = bench.epochs[0]
    assert bench.register(0)["ended"] is True
    assert bench.machine.everyone_heard()
    assert bench.register(0, 10, LAYOUT.crc)["epoch"] == epoch  # no worker joins any more
    assert bench.register(3)["ended"] is True
    assert bench.state == "CLOSING"


def test_a_stop_in_the_lobby_ends_the_run():
    bench = Bench()
    bench.tell(events.Stop("nobody came"))
    assert bench.state == "CLOSING" and bench.machine.everyone_heard()


def test_a_round_whose_aggregate_overflows_leaves_the_model_and_the_run_continues():
    bench = open_bench(1)
    assert bench.verdict(0, values=(HUGE, 0, 0, 0)) is APPLIED
    model = bench.model
    assert bench.verdict(0, values=(HUGE, 0, 0, 0)) is APPLIED
    assert (bench.state, bench.round) == ("OPEN", 3)
    assert any(note.startswith("round 2 leaves the model unchanged") for note in bench.notes)
    assert bench.model == model and np.isfinite(model).all()
    assert [report.roll_call for report in bench.reports] == [{0: "uploaded"}, {0: "uploaded"}]
    assert bench.verdict(0, values=(-HUGE, 0, 0, 0)) is APPLIED
    assert bench.model != model


def test_a_mirror_that_would_overflow_is_refused_and_changes_nothing():
    bench = open_bench(1, mode="bbit", memory="mirror")
    outcome, mirror = mirror_upload(bench, 0, vector(0, 0, 0, 0), (HUGE, 0, 0, 0))
    assert outcome is APPLIED
    before = bench.snapshot()
    assert bench.verdict(0, values=(HUGE, 0, 0, 0), state_crc=1) is BadValues
    assert bench.snapshot() == before


def test_a_non_finite_update_is_reported():
    bench = open_bench(1)
    assert bench.verdict(0, Kind.SKIP, loss=float("nan")) is NOTED
    assert any("worker 0" in note and "not finite" in note for note in bench.notes)
    before = list(bench.notes)
    assert bench.verdict(0, Kind.SKIP) is NOTED
    assert bench.notes == before
    assert [report.n_nonfinite for report in bench.reports] == [1, 0]


def test_why_a_worker_has_no_update_is_said_once_per_episode():
    bench, nan = open_bench(1), float("nan")
    no_memory = {"loss": nan, "is_unable": True}
    for changes in (no_memory, no_memory, {"loss": nan}, {"loss": nan}, no_memory, {}, no_memory):
        assert bench.verdict(0, Kind.SKIP, **changes) is NOTED
    said = [note for note in bench.notes if "cannot train" in note or "not finite" in note]
    assert [
        ("too little memory" in note, "in round %d:" % index in note) for note, index in zip(said, (1, 3, 5, 7))
    ] == [(True, True), (False, True), (True, True), (True, True)]
    assert len(said) == 4 and not any("lr" in note for note in said if "memory" in note)
    assert [report.n_nonfinite for report in bench.reports] == [0, 0, 1, 1, 0, 0, 0]
    assert {report.training_loss for report in bench.reports} == {None, 1.0}
    assert bench.replayed().rounds.attendance[0].trouble == bench.machine.rounds.attendance[0].trouble == "unable"


def test_a_late_skip_says_nothing_of_its_trouble():
    bench = open_bench(2, round_deadline_s=5.0, quorum=1)
    bench.all_upload(1)
    bench.wait(6)
    assert bench.verdict(0, Kind.SKIP, loss=float("nan"), is_unable=True, round_index=1) is Outcome.LATE
    assert not any("memory" in note for note in bench.notes)


# -- anything at all -------------------------------------------------------------------------


@given(st.data())
def test_no_order_of_requests_breaks_the_machine(data):
    """Random workers, kinds, numbers and times: every request has one reply, bits only grow, sums agree."""
    bench = Bench(
        mode="bbit",
        sel_clients=data.draw(st.integers(0, 1)),
        memory=data.draw(st.sampled_from(["none", "residual", "mirror"])),
        min_workers=2,
        lease_s=100.0,
        max_rounds=4,
        round_deadline_s=data.draw(st.sampled_from([0.0, 40.0])),
    )
    tickets = []
    for _ in range(data.draw(st.integers(1, 40))):
        worker_id = data.draw(st.integers(0, 2))
        what = data.draw(st.sampled_from(["join", "poll", "skip", "offer", "upload", "wait", "beat"]))
        bench.epochs.setdefault(worker_id, 0)
        if what == "join":
            bench.join(worker_id)
        elif what == "wait":
            bench.wait(data.draw(st.sampled_from([1.0, 30.0, 110.0])))
        elif what == "poll":
            have, answered = data.draw(st.integers(-1, 3)), data.draw(st.integers(0, 3))
            tickets.append(bench.poll(worker_id, have, answered))
        elif what == "beat":
            tickets.append(bench.ask(lambda ticket, m=worker_id: events.Heartbeat(ticket, m, bench.epochs[m])))
        else:
            kind = {"skip": Kind.SKIP, "offer": Kind.OFFER, "upload": Kind.UPLOAD}[what]
            tickets.append(
                bench.answer(
                    worker_id,
                    kind,
                    seq=data.draw(st.integers(0, 4)),
                    round_index=max(0, bench.round - data.draw(st.integers(0, 1))),
                )
            )
    bench.wait(130)
    bench.tell(events.Stop("enough"))
    assert all(not bench.is_parked(ticket) for ticket in tickets)
    machine = bench.machine
    assert machine.next_deadline(bench.now) is None or machine.next_deadline(bench.now) > bench.now
    by_member = list(machine.delivery.traffic.values())
    assert (
        machine.delivery.totals == tuple(map(sum, zip(*by_member)))
        if by_member
        else machine.delivery.totals == (0,) * 5
    )
    n_decided = sum(sum(record.tally.values()) for record in machine.rounds.attendance.values())
    in_reports = sum(len(report.roll_call) for report in bench.reports)
    assert in_reports <= n_decided <= in_reports + 3  # an abandoned round counts in the members alone
    for report in bench.reports:
        uploads = sum(status == "uploaded" for status in report.roll_call.values())
        assert not bench.machine.options.rules.sel_clients or uploads <= 1
