"""The workers of a run, without a machine: their states, and the judgement of their claims."""

import re
from pathlib import Path

import pytest

from flq.errors import BadValues, Conflict
from flq.protocol import membership as module
from flq.protocol.claims import CLAIMS, Claim
from flq.protocol.events import Register
from flq.protocol.member import Presence
from flq.protocol.membership import Membership
from flq.protocol.messages import Answer, Kind, Outcome

LAYOUT, LEASE_S = 99, 100.0


def request(worker_id=0, n_samples=10, session="a", instance="one", **claim):
    return Register(1, worker_id, instance, n_samples, LAYOUT, session=session, **claim)


def ask(members, now=0.0, **changes):
    """Request the settings."""
    event = request(**dict(dict(n_samples=None), **changes))
    return members.register(event, members.judge(event, 0), now)


def join(members, now=0.0, **changes):
    """Join with a new epoch, like the machine."""
    event = request(**changes)
    member = members.register(event, members.judge(event, 0), now)
    if event.session != member.session:
        member.begin_session(event.session)
    member.begin_epoch(event.instance, event.n_samples)
    return member


def lose(members, now=0.0):
    for worker_id in members.silent(now + LEASE_S):
        members.members[worker_id].leave()


@pytest.fixture
def members():
    return Membership(4, LAYOUT, LEASE_S, 1000)


# -- where a worker stands -------------------------------------------------------------------

MOVES = {"asks for the settings": ask, "joins": join, "its lease ends": lose}
ROADS = {"unknown": (), "reserved": (ask,), "leased": (join,), "lost": (join, lose)}


def table():
    """Return the table of the module's docstring: {(state, event): next state}."""
    lines = [re.split(r"  +", line) for line in module.__doc__.split("\n") if line.startswith(tuple(ROADS))]
    columns = list(MOVES) + ["its requests"]
    return {(row[0], column): cell for row in lines for column, cell in zip(columns, row[1:])}


def standing(members):
    return members.members[0].presence.name.lower() if 0 in members.members else "unknown"


def test_the_state_of_a_worker_follows_the_table():
    assert {name.upper() for name in ROADS} - {"UNKNOWN"} == {presence.name for presence in Presence}
    for (before, column), after in table().items():
        members = Membership(4, LAYOUT, LEASE_S, 1000)
        for step in ROADS[before]:
            step(members)
        assert standing(members) == before
        if column == "its requests":
            epoch = members.members[0].epoch if before != "unknown" else 0
            if after == "rejected":
                with pytest.raises(Conflict):
                    members.find(0, epoch, "a", 50.0)
            else:
                assert members.find(0, epoch, "a", 50.0).lease_until == 150.0
        elif after != "-":
            MOVES[column](members)
            assert standing(members) == after, (before, column)


def test_an_id_belongs_to_one_instance_while_the_lease_lasts(members):
    join(members)
    with pytest.raises(Conflict, match="alive elsewhere"):
        ask(members, now=99.9, instance="two")
    assert ask(members, now=100.0, instance="two").holder == "two"


@pytest.mark.parametrize(
    "changes, error",
    [
        (dict(worker_id=4), BadValues),
        (dict(worker_id=-1), BadValues),
        (dict(n_samples=0), BadValues),
        (dict(n_samples=1001), BadValues),
    ],
)
def test_ids_and_samples_out_of_range_are_refused(members, changes, error):
    with pytest.raises(error):
        join(members, **changes)
    assert members.members == {}


def test_another_layout_is_refused(members):
    event = request()._replace(layout_crc=LAYOUT + 1)
    with pytest.raises(Conflict, match="layout"):
        members.register(event, Claim.NEW, 0.0)


def test_requests_of_another_epoch_or_session_are_refused(members):
    join(members)
    for epoch, session in ((2, "a"), (0, "a"), (1, "b")):
        with pytest.raises(Conflict):
            members.find(0, epoch, session, 0.0)
    assert members.find(0, 1, None, None).lease_until == LEASE_S  # from the journal: checked before, renews nothing


def test_leases_end_and_restart_in_full(members):
    join(members)
    join(members, worker_id=1, now=50.0)
    assert members.silent(99.9) == [] and members.silent(100.0) == [0] and members.leased() == {0: 10, 1: 10}
    members.members[0].leave()
    members.restart_clocks(200.0)
    assert members.deadlines() == [300.0] and members.leased() == {1: 10}


def test_the_operator_is_warned_at_most_once_a_minute(members):
    member = join(members)
    assert not members.has_unknown_key(0, "guess")  # its own process was not heard either
    member.is_confirmed = True
    assert (
        members.has_unknown_key(0, "guess")
        and not members.has_unknown_key(0, "a")
        and not members.has_unknown_key(0, None)
    )
    assert [members.may_warn(0, now) for now in (0.0, 59.9, 60.0)] == [True, False, True]


# -- how a claim is judged -------------------------------------------------------------------


def judged(members, round_index=5, **changes):
    return members.judge(request(**changes), round_index)


def closed(member, seq=3, round_index=4):
    member.close(Answer(Kind.SKIP, 0, member.epoch, seq, round_index, 0.5, 1.0), Outcome.NOTED)


def test_every_claim_has_one_row_and_the_last_one_always_holds():
    assert [claim for claim, _ in CLAIMS] == list(Claim)
    assert CLAIMS[-1][0] is Claim.NEW
    page = (Path(__file__).parents[2] / "docs" / "states.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([A-Z]{3,}) \|", page.split("**Claims.**")[1].split("**Sessions.**")[0], re.M) == [
        claim.name for claim in Claim
    ]


def test_an_unknown_worker_is_new(members):
    assert judged(members) is Claim.NEW


@pytest.mark.parametrize(
    "claim, expected",
    [
        (dict(claimed_seq=3, claimed_round=4), Claim.RESUMED),
        (dict(claimed_seq=3), Claim.RESUMED),
        (dict(claimed_seq=4, undecided=True), Claim.RESUMED),
        (dict(claimed_seq=4, claimed_round=5, undecided=True), Claim.RESUMED),
        (dict(claimed_seq=4, claimed_round=6, undecided=True), Claim.NEW),
        (dict(claimed_seq=4), Claim.NEW),
        (dict(claimed_seq=5, undecided=True), Claim.NEW),
        (dict(claimed_seq=3, claimed_round=3), Claim.NEW),
        (dict(claimed_seq=3, n_samples=20), Claim.NEW),
        (dict(claimed_seq=3, instance="two"), Claim.NEW),
        (dict(claimed_seq=3, claimed_epoch=2), Claim.NEW),
        (dict(claimed_seq=None), Claim.OVERTAKEN),
        (dict(claimed_seq=None, session="b"), Claim.NEW),
        (dict(claimed_seq=2), Claim.OVERTAKEN),
    ],
)
def test_an_epoch_is_resumed_by_the_worker_with_its_memories(members, claim, expected):
    closed(join(members))
    assert judged(members, **dict(dict(claimed_epoch=1), **claim)) is expected


def test_memories_whose_mirror_is_dropped_cannot_be_resumed(members):
    member = join(members)
    closed(member)
    member.is_forgotten = True
    assert judged(members, claimed_epoch=1, claimed_seq=3) is Claim.NEW


def test_a_copy_of_the_request_that_joined_is_a_duplicate_until_an_answer_has_come(members):
    member = join(members)
    assert judged(members, known_epoch=0) is Claim.DUPLICATE
    assert judged(members, known_epoch=1) is judged(members) is judged(members, known_epoch=0, n_samples=9) is Claim.NEW
    closed(member)
    assert judged(members, known_epoch=0) is Claim.OVERTAKEN


def test_a_process_takes_over_unless_another_did_meanwhile(members):
    join(members)
    assert judged(members, session="b", known_sessions=1) is Claim.NEW
    join(members, session="b")
    assert judged(members, session="c", known_sessions=1) is Claim.OUTDATED
    assert judged(members, session="c") is Claim.NEW  # knows no number


def test_a_process_that_was_taken_over_from_and_knows_it_shares_the_identity_and_bars_others(members):
    join(members)
    member = join(members, session="b")
    assert judged(members, session="a", known_sessions=1) is Claim.OUTDATED  # a late copy
    assert judged(members, session="a", known_sessions=2) is Claim.CONTESTED
    member.begin_session("a")
    member.is_contested = True
    assert judged(members, session="b", known_sessions=3) is Claim.BARRED
    with pytest.raises(Conflict, match="another process runs as worker 0"):
        ask(members, session="b")
    member.leave()
    assert judged(members, session="b", known_sessions=3) is Claim.NEW


@pytest.mark.parametrize(
    "claim, expected",
    [
        (dict(claimed_epoch=1, claimed_seq=4), True),
        (dict(claimed_epoch=1, claimed_seq=5, undecided=True), True),
        (dict(claimed_epoch=1, claimed_seq=4, undecided=True), False),
        (dict(claimed_epoch=1, claimed_seq=3, claimed_round=6), True),
        (dict(claimed_epoch=2, claimed_seq=0), True),
        (dict(claimed_epoch=0, claimed_seq=9), False),
        (dict(claimed_epoch=2, claimed_seq=0, instance="two"), False),
        (dict(), False),
    ],
)
def test_a_worker_may_remember_more_than_the_journal(members, claim, expected):
    closed(join(members))
    assert members.is_ahead(request(**claim), 5) is expected


# -- answers and snapshots -------------------------------------------------------------------


def test_answers_are_numbered_and_the_last_verdict_is_remembered(members):
    member = join(members)
    first = Answer(Kind.SKIP, 0, 1, 1, 1, 0.5, 1.0)
    member.check_next(first, 1)
    member.close(first, Outcome.LATE)
    assert member.has_closed(first) and member.closed_outcome is Outcome.LATE
    for wrong in (first, first._replace(seq=3), first._replace(seq=2, round_index=2)):
        with pytest.raises(Conflict, match="expected number 2 of a round up to 1"):
            member.check_next(wrong, 1)
    member.begin_epoch("one", 10)
    assert not member.has_closed(first)


def test_members_resume_from_their_capture(members):
    closed(join(members))
    join(members, session="b")
    members.members[0].codings = ("zlib",)
    again = Membership(4, LAYOUT, LEASE_S, 1000)
    again.resume([members.capture_worker(0)], "auto")
    times = ("lease_until", "last_seen")
    kept = {name: value for name, value in vars(members.members[0]).items() if name not in times}
    assert {name: value for name, value in vars(again.members[0]).items() if name not in times} == kept
