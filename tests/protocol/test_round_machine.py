"""The rounds of a run, without a machine: the verdicts, the time of the grants, the close of a round."""

import re

import pytest
from master_bench import LAYOUT, settings_with

from flq.core.statuses import LATE, LOST, REFUSED, SKIPPED, STATUSES, UPLOADED
from flq.core.upload_selection import LAST_ROUNDS
from flq.errors import BadValues, Conflict
from flq.protocol import round_machine
from flq.protocol.events import OffersDue, RoundDue
from flq.protocol.messages import Answer, Kind, Outcome
from flq.protocol.options import run_options
from flq.protocol.round_machine import Phase, RoundMachine, Ruling
from flq.protocol.traffic import Traffic


def some_rounds(n_members=2, **changes):
    """Return rounds, the first of which is open, with members 0 .. n_members-1."""
    rounds = RoundMachine(run_options("run", settings_with(mode="bbit", **changes), LAYOUT))
    for worker_id in range(n_members):
        rounds.begin_epoch(worker_id)
    rounds.open({worker_id: 10 for worker_id in range(n_members)}, 0.0)
    return rounds


def an_answer(worker_id=0, kind=Kind.UPLOAD, round_index=1, **changes):
    answer = Answer(kind, worker_id, 1, 1, round_index, 0.5, 4.0, 88 if kind is not Kind.SKIP else 0)
    return answer._replace(**dict(dict(codec_id=4) if kind is Kind.UPLOAD else {}, **changes))


def take(rounds, *args, **changes):
    """Judge an answer and record it; return the ruling."""
    answer = an_answer(*args, **changes)
    ruling = rounds.judge(answer)
    rounds.record(answer, ruling)
    return ruling


def with_a_budget(granted=()):
    """Return rounds that accept offers, or whose grants are decided."""
    rounds = some_rounds(3, sel_clients=max(len(granted), 1))
    if granted:
        for worker_id in range(3):
            take(rounds, worker_id, Kind.OFFER, energy=1.0 + 8.0 * (worker_id in granted))
        rounds.decide_grants()
        assert rounds.open_round.granted == set(granted)
    return rounds


PHASES = {"UPLOADS": some_rounds, "OFFERS": with_a_budget, "GRANTED": lambda: with_a_budget((0,))}


def table():
    """Return the table of the module's docstring: {(phase, kind): ruling}."""
    lines = [line for line in round_machine.__doc__.split("\n") if re.match("phase|UPLOADS  |OFFERS  |GRANTED  ", line)]
    rows = [re.split(r"  +", line) for line in lines]
    return {(row[0], kind): cell for row in rows[1:] for kind, cell in zip(rows[0][1:], row[1:])}


def test_the_verdict_on_an_answer_follows_the_table():
    words = {"NOTED": Outcome.NOTED, "APPLIED": Outcome.APPLIED, "GRANTED,": Outcome.GRANTED, "waits": None}
    found = table()
    assert len(found) == len(Phase) * 3
    for (phase, kind), cell in found.items():
        rounds = PHASES[phase]()
        assert rounds.phase is Phase[phase]
        answer = an_answer(kind=Kind[kind])
        if cell == "409":
            with pytest.raises(Conflict):
                rounds.judge(answer)
        else:
            assert rounds.judge(answer).outcome is words[cell.split()[0]], (phase, kind)


def test_to_judge_changes_nothing():
    for make in PHASES.values():
        rounds = make()
        before = repr(vars(rounds.open_round)), repr(vars(rounds.attendance[1]))
        for kind in (Kind.SKIP, Kind.OFFER, Kind.UPLOAD):
            try:
                rounds.judge(an_answer(1, kind))
            except Conflict:
                pass
        assert (repr(vars(rounds.open_round)), repr(vars(rounds.attendance[1]))) == before


@pytest.mark.parametrize("worker_id, round_index", [(0, 0), (2, 1)], ids=["of an older round", "of no member"])
def test_any_other_answer_is_late(worker_id, round_index):
    assert some_rounds().judge(an_answer(worker_id, round_index=round_index)) == Ruling(Outcome.LATE)


def test_an_answer_of_a_member_that_was_lost_is_late_and_a_second_one_is_refused():
    rounds = some_rounds()
    rounds.lose(0)
    assert rounds.judge(an_answer(0)) == Ruling(Outcome.LATE)
    take(rounds, 1)
    with pytest.raises(Conflict, match="answered round 1 already"):
        rounds.judge(an_answer(1))


def test_an_upload_with_another_codec_or_more_bits_than_offered_is_refused():
    with pytest.raises(BadValues, match="codec 8, expected 4"):
        some_rounds().judge(an_answer(codec_id=8))
    with pytest.raises(BadValues, match="at most the 88 of its offer"):
        with_a_budget((0,)).judge(an_answer(cost_bits=96))


def test_a_grant_is_repeated_and_the_rest_goes_to_later_offers():
    rounds = some_rounds(3, sel_clients=2, offer_deadline_s=5.0)
    take(rounds, 0, Kind.OFFER)
    rounds.offers_due()
    assert [granted for _, granted in rounds.decide_grants()] == [True]
    assert take(rounds, 0, Kind.OFFER) == Ruling(Outcome.GRANTED, is_news=False, is_duplicate=True)
    assert take(rounds, 1, Kind.OFFER).outcome is Outcome.GRANTED
    assert take(rounds, 2, Kind.OFFER) == Ruling(Outcome.REFUSED, REFUSED)
    assert rounds.open_round.status == {2: REFUSED}
    assert [rounds.attendance[m].passed_over for m in range(3)] == [0, 0, 1]


def test_grants_wait_for_all_offers_then_for_one_that_was_passed_over_too_often():
    rounds = some_rounds(3, sel_clients=1, offer_deadline_s=5.0, C=2)
    rounds.attendance[2].passed_over = 2
    take(rounds, 0, Kind.OFFER)
    assert rounds.decide_grants() is None
    rounds.offers_due()
    assert rounds.decide_grants() is None
    rounds.lose(2)
    assert [(answer.worker_id, granted) for answer, granted in rounds.decide_grants()] == [(0, True)]
    assert rounds.decide_grants() is None  # once


def test_an_offer_can_be_withdrawn_until_the_grants_are_decided():
    rounds = with_a_budget()
    take(rounds, 0, Kind.OFFER)
    assert rounds.withdraw(0) and rounds.open_round.offers == {}
    assert not with_a_budget((0,)).withdraw(0)


def test_a_grant_that_is_not_used_puts_a_worker_last_for_some_rounds():
    rounds = with_a_budget((1,))
    for worker_id in rounds.missing():
        rounds.miss(worker_id, LATE)
    rounds.close()
    assert [rounds.attendance[m].last_until for m in range(3)] == [0, 1 + LAST_ROUNDS, 0]


def test_a_round_closes_when_all_parts_are_decided():
    rounds = some_rounds(3)
    take(rounds, 0)
    take(rounds, 1, Kind.SKIP)
    assert not rounds.is_complete() and rounds.missing() == [2]
    rounds.lose(2)
    assert rounds.is_complete()
    report = rounds.close().report(Traffic(), 7.0)
    assert report.roll_call == {0: UPLOADED, 1: SKIPPED, 2: LOST} and report.round_s == 7.0
    assert rounds.open_round is None and rounds.index == 1
    assert [rounds.attendance[m].tally[status] for m, status in report.roll_call.items()] == [1, 1, 1]
    assert set(rounds.attendance_of(9).tally) == set(STATUSES)


def test_at_its_deadline_a_round_closes_with_a_quorum():
    rounds = some_rounds(3, min_workers=2, round_deadline_s=60.0)
    assert rounds.deadlines() == [60.0] and list(rounds.due(59.9)) == []
    assert list(rounds.due(60.0)) == [RoundDue(1)]
    rounds.round_due()
    take(rounds, 0)
    assert not rounds.is_complete()
    take(rounds, 1)
    assert rounds.is_complete() and rounds.deadlines() == []


def test_the_deadline_of_the_offers_comes_first_and_clocks_restart_in_full():
    rounds = some_rounds(2, sel_clients=1, round_deadline_s=60.0)
    assert list(rounds.due(30.0)) == [OffersDue(1)]
    rounds.offers_due()
    rounds.restart_clocks(100.0)
    assert rounds.deadlines() == [160.0]


def test_an_update_that_was_blocked_is_lost_and_no_skip():
    rounds = some_rounds()
    assert take(rounds, 0, Kind.SKIP, blocked=413) == Ruling(Outcome.NOTED, LOST)
    assert rounds.attendance[0].blocked == 1


def test_workers_that_must_train_and_workers_from_the_future():
    rounds = some_rounds()
    assert rounds.expects(0, 0) and not rounds.expects(0, 1) and not rounds.expects(2, 0)
    assert rounds.is_ahead(0, 1) and not rounds.is_ahead(0, 0) and rounds.is_ahead(2, 2)
    take(rounds, 0)
    assert not rounds.expects(0, 0) and not rounds.is_ahead(0, 1)


def test_a_member_with_most_of_the_weight_is_named_once():
    rounds = some_rounds()
    assert rounds.newly_heavy() is None
    named = []
    for n_samples in ({0: 95, 1: 5}, {0: 80, 1: 5}, {0: 10, 1: 10}, {0: 95, 1: 5}):
        rounds.open(n_samples, 0.0)
        named.append(rounds.newly_heavy())
    assert named == [0, None, None, 0]


def test_rounds_resume_from_their_capture():
    rounds = some_rounds()
    take(rounds, 0)
    take(rounds, 1, Kind.SKIP)
    assert not rounds.is_between()
    rounds.close()
    rounds.open({0: 10, 1: 10}, 5.0)
    again = RoundMachine(run_options("run", settings_with(mode="bbit"), LAYOUT))
    again.resume(rounds.capture(), [dict(rounds.capture_worker(m), worker_id=m) for m in (0, 1)])
    assert rounds.is_between() and again.index == 2 and again.open_round.n_samples == {0: 10, 1: 10}
    assert vars(again.attendance[0]) == vars(rounds.attendance[0])
