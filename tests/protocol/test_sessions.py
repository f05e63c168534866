"""Two processes with one identity: the requests that the master's machine accepts."""

import pytest
from master_bench import LAYOUT, Bench

from flq.errors import Conflict
from flq.protocol import events
from flq.protocol.messages import Answer, Kind, Outcome


class Process:
    """One process of a worker, with a key; it registers like a worker."""

    def __init__(self, bench, key, instance="one", worker_id=0):
        self.bench, self.key, self.instance, self.worker_id = bench, key, instance, worker_id
        self.epoch = self.n_sessions = self.seq = 0

    def ask_for_settings(self):
        return self._told(self.bench.register(self.worker_id, instance=self.instance, session=self.key))

    def join(self, **claim):
        claim.setdefault("known_sessions", self.n_sessions)
        return self._told(
            self.bench.register(
                self.worker_id,
                10,
                LAYOUT.crc,
                instance=self.instance,
                session=self.key,
                known_epoch=self.epoch,
                **claim,
            )
        )

    def begin(self, **claim):
        """Register in both steps."""
        self.ask_for_settings()
        return self.join(**claim)

    def _told(self, body):
        if isinstance(body, dict):
            self.epoch, self.n_sessions = body["epoch"], body["n_sessions"]
        return body

    def poll(self):
        return self.bench.ask(lambda ticket: events.Poll(ticket, self.worker_id, self.epoch, 0, 0, session=self.key))

    def is_heard(self):
        ticket = self.poll()
        return self.bench.is_parked(ticket) or not isinstance(self.bench.replies[ticket], Conflict)

    def beat(self):
        return self.bench.replies[
            self.bench.ask(lambda ticket: events.Heartbeat(ticket, self.worker_id, self.epoch, session=self.key))
        ]


def warnings(bench):
    return [note for note in bench.notes if "two processes" in note]


@pytest.fixture
def bench():
    bench = Bench(min_workers=2)
    bench.join(1)
    return bench


@pytest.fixture
def first(bench):
    first = Process(bench, "first")
    assert first.begin()["joined"] is True
    return first


def test_a_restarted_worker_takes_over_at_once_and_the_process_before_it_is_not_heard(bench, first):
    second = Process(bench, "second")
    assert second.begin(claimed_epoch=1, claimed_seq=0)["resumed"] is True
    assert second.is_heard() and not first.is_heard()
    assert isinstance(first.beat(), Conflict)
    assert warnings(bench) == []  # requests of a process that was killed may come late


def test_twenty_restarts_in_a_row_take_over_at_once_and_keep_the_epoch(bench):
    for number in range(20):
        process = Process(bench, "process %d" % number)
        body = process.begin(**({"claimed_epoch": 1, "claimed_seq": 0} if number else {}))
        assert (body["joined"], body["resumed"], body["epoch"]) == (True, number > 0, 1)
        assert process.is_heard()
    assert warnings(bench) == []


def test_a_request_of_the_earlier_process_does_not_keep_the_lease(bench, first):
    second = Process(bench, "second")
    second.begin(claimed_epoch=1, claimed_seq=0)
    bench.wait(200)
    first.beat()
    bench.wait(100)
    assert not bench.machine.members[0].has_lease


def test_when_the_earlier_process_joins_again_it_gets_the_identity_back_and_the_later_one_409(bench, first):
    second = Process(bench, "second")
    second.begin(claimed_epoch=1, claimed_seq=0)
    assert not first.is_heard()
    body = first.begin(claimed_epoch=1, claimed_seq=0)
    assert (body["joined"], body["resumed"]) == (True, False)  # both have had the epoch's memories
    assert first.is_heard() and not second.is_heard()
    for ask in (second.ask_for_settings, second.join, Process(bench, "third").ask_for_settings):
        assert isinstance(ask(), Conflict)
    assert first.is_heard()
    assert len(warnings(bench)) == 1


def test_the_operator_is_warned_once_a_minute(bench, first):
    second = Process(bench, "second")
    second.begin()
    first.begin()
    for _ in range(4):
        for _ in range(10):
            second.ask_for_settings()
        first.beat()
        bench.wait(30)
    assert len(warnings(bench)) == 2


@pytest.mark.parametrize("order", ["AB", "ABC", "ACB", "ABCDEFG"])
def test_of_many_copies_in_turn_the_first_to_return_continues_and_all_others_get_409(bench, order):
    copies = {key: Process(bench, key) for key in order}
    for copy in copies.values():
        copy.begin(claimed_epoch=1, claimed_seq=0)
    n_joins = bench.machine.members[0].n_sessions
    refused = set()
    for key in 5 * order:
        if key not in refused and not copies[key].is_heard() and isinstance(copies[key].begin(), Conflict):
            refused.add(key)
        bench.wait(1)
    assert refused == set(order[1:]) and copies["A"].is_heard()
    assert bench.machine.members[0].n_sessions == n_joins + 1
    assert len(warnings(bench)) == 1


@pytest.mark.parametrize("n_keys", [2, 3, 200])
def test_a_thief_of_a_state_folder_does_not_keep_it_by_taking_over_many_times(bench, first, n_keys):
    thieves = [Process(bench, "thief %d" % number) for number in range(n_keys)]
    for thief in thieves:
        thief.begin()
    assert first.begin()["joined"] is True
    assert all(isinstance(thief.begin(), Conflict) for thief in thieves)
    assert first.is_heard()
    assert len(bench.machine.members[0].earlier_sessions) <= 64


def test_late_requests_of_successively_killed_processes_raise_no_warning(bench):
    killed = [Process(bench, "process %d" % number) for number in range(4)]
    for process in killed:
        process.begin(claimed_epoch=1, claimed_seq=0)
    last = killed.pop()
    for process in killed:
        assert not process.is_heard() and isinstance(process.beat(), Conflict)
        assert process.join(claimed_epoch=1, claimed_seq=0)["joined"] is False  # sent before the others had joined
    assert last.is_heard() and warnings(bench) == []


def test_when_the_lease_of_the_earlier_one_has_ended_another_takes_over(bench, first):
    second = Process(bench, "second")
    second.begin()
    first.begin()
    bench.wait(300)
    assert second.begin()["joined"] is True and second.is_heard()
    assert Process(bench, "third").begin()["joined"] is True


def test_a_late_copy_of_a_join_changes_nothing(bench, first):
    known = dict(known_sessions=0)  # before anybody had joined
    second = Process(bench, "second")
    second.begin(claimed_epoch=1, claimed_seq=0)
    before = bench.snapshot()
    body = first.join(**known)
    assert (body["joined"], body["n_sessions"]) == (False, 2)
    assert bench.snapshot() == before and second.is_heard()


def test_a_late_duplicate_of_a_resuming_join_changes_nothing_after_an_answer(bench, first):
    second = Process(bench, "second")
    second.ask_for_settings()
    claim = dict(claimed_epoch=1, claimed_seq=0, known_sessions=1)
    assert second.join(**claim)["resumed"] is True
    answer = Answer(Kind.SKIP, 0, 1, 1, 1, float("nan"), 0.0)
    bench.send(answer, session="second")
    before = bench.snapshot()
    assert isinstance(second.join(**claim), Conflict)
    assert bench.snapshot() == before and second.is_heard()


def test_a_token_without_the_key_answers_for_no_worker(bench, first):
    bench.epochs[0] = 1
    thief = Process(bench, "a guess", instance="another")
    assert isinstance(thief.begin(), Conflict)
    thief.epoch = 1
    assert not thief.is_heard()
    for seq in (1, 2, 50):
        assert bench.verdict(0, Kind.SKIP, seq=seq) is Conflict  # the bench sends no key
    assert bench.machine.open_round.status == {}
    assert len(warnings(bench)) == 1
    assert first.is_heard()


def test_the_end_of_the_run_knows_sessions_too(bench, first):
    bench.tell(events.Stop("enough"))
    ticket = first.poll()
    assert bench.plan(ticket)[0].ended


def test_the_journal_knows_the_session_and_its_answers_need_none(bench, first):
    assert bench.journal[-1].body["session"] == "first"
    answer = Answer(Kind.SKIP, 0, first.epoch, 1, 1, float("nan"), 0.0)
    bench.send(answer, session="first")
    machine = bench.replayed()
    assert machine.open_round.status == {0: "skipped"}
    assert machine.members[0].session == "first"


# -- a worker that remembers more than the journal -------------------------------------------


def rounds_of(bench, n_rounds):
    for _ in range(n_rounds):
        assert bench.verdict(0) is Outcome.APPLIED and bench.verdict(1) is Outcome.APPLIED


def test_a_worker_that_waits_for_a_past_round_is_informed_and_joins_with_a_new_epoch():
    bench = Bench(min_workers=2)
    bench.join(0, 1)
    rounds_of(bench, 3)
    ticket = bench.poll(0, answered=50)  # before the end of the journal was lost
    assert bench.outcome(ticket) is Conflict
    body = bench.come_back(0, epoch=1, seq=50, claimed_round=50, undecided=False)
    assert (body["resumed"], body["epoch"]) == (False, 2)
    assert sum("ahead of the journal" in note for note in bench.notes) == 1
    assert not bench.is_parked(bench.poll(0))  # it has its round


def test_a_worker_whose_last_answer_is_not_in_the_journal_joins_with_a_new_epoch():
    bench = Bench(min_workers=2)
    bench.join(0, 1)
    rounds_of(bench, 3)
    ticket = bench.poll(0, answered=4)  # the round that is open, and waits for it
    assert bench.outcome(ticket) is Conflict
    body = bench.come_back(0, epoch=1, seq=4, claimed_round=4, undecided=False)
    assert (body["resumed"], body["epoch"]) == (False, 2)
    assert sum("ahead of the journal" in note for note in bench.notes) == 1
    assert not bench.is_parked(bench.poll(0))


def test_a_process_whose_join_is_not_in_the_journal_raises_no_warning(bench, first):
    bench.machine = bench.replayed()
    bench.machine.restart_clocks(bench.now)
    second = Process(bench, "second")  # took over from the first after the end of the damaged journal
    second.epoch = 1
    assert not second.is_heard() and isinstance(second.beat(), Conflict)
    assert second.begin(claimed_epoch=1, claimed_seq=0)["resumed"] is True
    assert second.is_heard() and warnings(bench) == []
    thief = Process(bench, "a guess")
    thief.epoch = 1
    assert not thief.is_heard() and len(warnings(bench)) == 1


@pytest.mark.parametrize(
    "claim",
    [
        dict(epoch=1, seq=3, claimed_round=3, undecided=False),  # one answer ahead, and knows its verdict
        dict(epoch=1, seq=4, claimed_round=3),
        dict(epoch=1, seq=3, claimed_round=9),
        dict(epoch=2, seq=1, claimed_round=1),
    ],
)
def test_a_worker_that_is_ahead_of_the_journal_joins_with_a_new_epoch(claim):
    bench = Bench(min_workers=2)
    bench.join(0, 1)
    rounds_of(bench, 2)
    assert bench.come_back(0, **claim)["resumed"] is False
    assert "ahead of the journal" in bench.notes[-1]


def test_a_worker_whose_answer_skips_a_number_must_register_again():
    bench = Bench(min_workers=2)
    bench.join(0, 1)
    rounds_of(bench, 2)
    assert bench.verdict(0, seq=4) is Conflict
    assert bench.verdict(0, seq=3) is Outcome.APPLIED


def test_a_worker_that_the_journal_does_not_know_joins_with_a_new_epoch():
    bench = Bench(min_workers=2)
    body = bench.come_back(0, epoch=3, seq=7, claimed_round=7)
    assert (body["resumed"], body["epoch"]) == (False, 1) and "ahead of the journal" in bench.notes[-1]


# -- claims ----------------------------------------------------------------------------------


def named(bench):
    return [note for note in bench.notes if "of the weight" in note]


@pytest.mark.parametrize("n_samples, accepted", [(10**7, True), (10**7 + 1, False), (2**63, False)])
def test_samples_beyond_the_limit_are_refused(n_samples, accepted):
    body = Bench().register(0, n_samples, LAYOUT.crc)
    assert isinstance(body, dict) is accepted
    if not accepted:
        assert "1..10000000" in str(body) and "system.max_samples" in body.hint


@pytest.mark.parametrize(
    "samples, is_named",
    [
        ((10, 10, 31), True),
        ((10, 10, 10, 29), False),
        ((10, 10, 10, 31), True),
        ((10, 15), False),
        ((10, 1000), True),
        ((5,), False),
        ((1000, 10), True),
        ((1000, 10, 10), True),
        ((10, 1000, 10, 10), True),
    ],
)
def test_a_worker_with_more_than_half_of_the_weight_is_named_once_in_any_order_of_joins(samples, is_named):
    bench = Bench(min_workers=len(samples))
    for worker_id, n_samples in enumerate(samples):
        assert not named(bench)
        bench.register(worker_id, n_samples, LAYOUT.crc)
        bench.epochs[worker_id] = 1
    for _ in range(3):
        bench.all_upload(*bench.epochs)
    assert len(named(bench)) == is_named
    assert all(note.startswith("worker %d " % samples.index(max(samples))) for note in named(bench))


def test_a_worker_that_is_left_with_most_of_the_weight_is_named_when_the_next_round_opens():
    bench = Bench(min_workers=4)
    for worker_id, n_samples in enumerate((300, 300, 30, 30)):
        bench.register(worker_id, n_samples, LAYOUT.crc)
        bench.epochs[worker_id] = 1
    bench.wait(200)
    bench.all_upload(0, 2, 3)
    bench.wait(100)
    assert bench.round == 2
    assert len(named(bench)) == 1 and "worker 0 holds 83 % of the weight of 3 workers" in named(bench)[0]


def test_a_grant_that_is_not_used_puts_its_owner_last():
    bench = Bench(min_workers=2, sel_clients=1, mode="bbit")
    bench.join(0, 1)
    granted = []
    for _ in range(13):
        bench.answer(0, Kind.OFFER, energy=1e300)
        bench.answer(1, Kind.OFFER, energy=1.0)
        (winner,) = bench.machine.open_round.granted or ()
        granted.append(winner)
        if winner == 0:
            assert bench.verdict(0, Kind.SKIP) is Outcome.NOTED
        else:
            assert bench.verdict(1) is Outcome.APPLIED
    assert granted == [0] + 10 * [1] + [0, 1]
