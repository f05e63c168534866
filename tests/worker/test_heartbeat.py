"""Heartbeats, device reports, and the watchdog of a long training; with a simulated clock."""

import threading

import pytest

from flq.worker.heartbeat import LONGEST_BEAT_S, SHORTEST_BEAT_S, HeartbeatThread, beat_s


@pytest.mark.parametrize(
    "lease_s, expected",
    [
        (300.0, 100.0),
        (0.03, 0.01),
        (0.0, SHORTEST_BEAT_S),
        (-5, SHORTEST_BEAT_S),
        (1e9, LONGEST_BEAT_S),
        (float("inf"), LONGEST_BEAT_S),
        (float("nan"), LONGEST_BEAT_S),
        (10**400, LONGEST_BEAT_S),
        (-(10**400), SHORTEST_BEAT_S),
    ],
    ids=lambda value: repr(value)[:9],
)
def test_there_are_three_heartbeats_per_lease_within_the_limits_of_a_wait(lease_s, expected):
    assert beat_s(lease_s) == expected


class Bench:
    """A heartbeat without its thread, and its calls."""

    def __init__(self, report_s=0.0, period_s=None):
        self.beats, self.fed, self.now = [], [], 1000.0
        self.refused = None  # the error of a heartbeat
        self.told = threading.Event()
        self.period_s = period_s  # as a watchdog has it
        self.thread = HeartbeatThread(self._beat, self, self, lambda: self.now)
        self.thread.report_s = report_s

    def _beat(self, epoch, report, renews):
        assert renews == self.thread._is_training
        self.beats.append((epoch, report))
        self.told.set()
        return self.refused

    def report(self, samples, problem):
        """Like Telemetry's."""
        return {"samples": samples, "problem": problem}

    def feed_if_busy(self):
        """Like Watchdog's."""
        self.fed.append("if busy")

    def feed(self):
        """Like Watchdog's."""
        self.fed.append("in any case")

    def steps(self, seconds):
        """Let time pass as the thread would; return the beats of that time."""
        del self.beats[:]
        end = self.now + seconds
        while True:
            pause = self.thread.step(self.now)
            if pause is None or self.now + pause > end:
                self.now = end
                return self.beats
            self.now += pause


def test_a_worker_that_has_not_joined_sends_no_heartbeat():
    bench = Bench(report_s=5.0)
    assert bench.steps(100.0) == []
    with bench.thread.training():
        assert bench.steps(100.0) == []


def test_without_telemetry_there_are_heartbeats_while_it_trains_only():
    bench = Bench()
    bench.thread.follow(2, 30.0)
    assert bench.steps(1000.0) == []
    with bench.thread.training():
        assert bench.steps(35.0) == [(2, None)] * 3
    assert bench.steps(1000.0) == []


def test_an_intermediary_that_rejects_heartbeats_is_reported_once():
    bench = Bench()
    bench.thread.follow(2, 30.0)
    for bench.refused, n_lines in ("403 of a proxy", 1), (None, 1), ("403 of a proxy", 1), ("413 of a proxy", 2):
        with bench.thread.training():
            bench.steps(35.0)
        assert len(bench.thread.notes) == n_lines
    assert bench.thread.notes[0] == (
        "heartbeats do not arrive, and a worker that trains longer than its lease of 30 s is lost: 403 of a proxy"
    )


def test_reports_come_at_once_and_then_at_their_interval_and_are_heartbeats_too():
    bench = Bench(report_s=10.0)
    bench.thread.follow(1, 3000.0)
    bench.thread.n_samples, bench.thread.problem = 7, "hot"
    assert bench.steps(0.0) == [(1, {"samples": 7, "problem": "hot"})]
    assert len(bench.steps(95.0)) == 9
    with bench.thread.training():
        assert len(bench.steps(100.0)) == 10  # none besides to keep a lease that the reports keep


def test_a_short_lease_is_kept_between_two_reports():
    bench = Bench(report_s=10.0)
    bench.thread.follow(1, 12.0)
    bench.steps(0.0)
    with bench.thread.training():
        beats = bench.steps(22.0)
    assert [report is not None for _, report in beats] == [False, False, True, False, False, True]


@pytest.mark.parametrize("report_s", [1e-9, 0.5])
def test_reports_are_sent_at_most_once_a_second(report_s):
    bench = Bench(report_s=report_s)
    bench.thread.follow(1, 300.0)
    assert len(bench.steps(10.0)) == 11


def test_a_new_epoch_is_reported_at_once():
    bench = Bench(report_s=10.0)
    bench.thread.follow(1, 300.0)
    bench.steps(3.0)
    bench.thread.follow(2, 300.0)
    assert [epoch for epoch, _ in bench.steps(1.0)] == [2]


@pytest.mark.parametrize("what, how", [("training", "if busy"), ("calling", "in any case")])
def test_the_watchdog_is_fed_while_a_training_or_a_transfer_takes_long_and_at_no_other_time(what, how):
    bench = Bench(period_s=20.0)
    bench.thread.follow(1, 1e6)
    bench.steps(100.0)
    assert bench.fed == []
    with getattr(bench.thread, what)():
        bench.steps(101.0)
    assert bench.fed == [how] * 5
    bench.steps(100.0)
    assert len(bench.fed) == 5


def test_the_thread_performs_the_same_steps_and_ends():
    bench = Bench(report_s=1e6)
    bench.start = bench.close = lambda: None  # as Telemetry
    bench.thread.start()
    bench.thread.follow(4, 300.0)
    assert bench.told.wait(30.0)
    bench.thread.close()
    assert bench.beats == [(4, {"samples": 0, "problem": ""})] and not bench.thread._thread.is_alive()
