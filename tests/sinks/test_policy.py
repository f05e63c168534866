"""The notifications that are due, with a simulated clock."""

import pytest
from report_rows import a_round, a_worker

from flq.config_file import load_config
from flq.sinks.messages import Began, Ended, Happened, Round
from flq.sinks.notify.notice import FAILURE, INFO, SUCCESS, WARNING
from flq.sinks.notify.pace import GATHER_S, HOUR_S
from flq.sinks.notify.policy import Policy

DONE = Ended("30 rounds are done", False, False, [])


class Story:
    """A run passed to a policy, and the resulting notices with their times."""

    def __init__(self, *overrides, rounds=()):
        settings = load_config(None, ["notify.%s" % override for override in overrides])
        began = Began("run_7", settings, "", [Round(row, {}) for row in rounds])
        self.policy, self.now, self.notices = Policy(settings.notify, began, 0.0), 0.0, []

    def until(self, now):
        """Let time pass, calling the policy exactly when it has requested."""
        while True:
            at = self.policy.next_at()
            if at is None or at > now:
                break
            self.now = max(self.now, at)
            self._ask()
        self.now = now
        return self

    def at(self, now, *messages):
        """Pass messages at a time."""
        self.until(now)
        for message in messages:
            self.policy.take(message, now)
            self._ask()
        return self

    def _ask(self):
        notice = self.policy.due(self.now)
        if notice is not None:
            self.notices.append((self.now, notice))

    @property
    def titles(self):
        return [(now, notice.title) for now, notice in self.notices]

    @property
    def bodies(self):
        return [notice.body for _, notice in self.notices]


def news(kind, worker_id=None, round_index=7):
    return Happened(kind, "<text of no account>", worker_id, round_index, 1e9)


def a_test(round_index, accuracy=None, **changes):
    changes = dict({"own_accuracy": None, "own_loss": None, "test_loss": None}, **changes)
    return Round(a_round(round_index, accuracy=accuracy, **changes), {})


def test_a_run_has_a_notification_at_its_start_and_its_end():
    story = Story().at(0.0, news("began", round_index=0)).at(60.0, a_test(30, 0.5)).at(61.0, DONE).until(1e6)
    assert story.titles == [(GATHER_S, "FLQ: a run has started"), (61.0, "FLQ: the run has finished, accuracy 50.00 %")]
    assert story.bodies == [
        "The run has started: 30 rounds.\nRun run_7 (digits, mlp, lowrank).",
        "The run has finished after round 30 of 30: 30 rounds are done.\n"
        "Round 30 of 30, accuracy 50.00 %, uploaded 3, skipped 1, 1.5 kB up, 900 bytes down.\n"
        "Best accuracy 50.00 % in round 30.\nTotal 1.5 kB up, 900 bytes down.\nRun run_7 (digits, mlp, lowrank).",
    ]
    assert [notice.level for _, notice in story.notices] == [INFO, SUCCESS]


def test_events_that_are_not_enabled_are_not_reported():
    story = Story("best=false", "workers=false")
    story.at(1.0, *[a_test(k, k / 30) for k in range(1, 30)])
    story.at(2.0, *[news(kind, 3) for kind in ("lost", "back", "joined", "problem", "ended")]).until(1e6)
    assert story.titles == []


def test_every_given_number_of_rounds_is_reported_once():
    story = Story("every_rounds=10", "best=false")
    for k in range(1, 31):
        story.at(100.0 * k, a_test(k, 0.5, round_s=100.0), a_test(k, 0.5, round_s=100.0))
    story.until(1e6)
    assert story.titles == [(100.0 * k + GATHER_S, "FLQ: round %d of 30, accuracy 50.00 %%" % k) for k in (10, 20, 30)]
    assert "about 33 min left." in story.bodies[0] and "left" not in story.bodies[2]


def test_every_given_number_of_minutes_is_reported_while_there_are_rounds():
    story = Story("every_minutes=5", "best=false").at(310.0, a_test(1, 0.5)).until(1000.0).at(1000.0, DONE).until(1e6)
    assert [now for now, _ in story.titles] == [600.0 + GATHER_S, 900.0 + GATHER_S, 1000.0]


def test_a_new_best_is_reported_when_it_is_a_point_better_than_the_last_report():
    story = Story()
    for k, accuracy in enumerate((0.5, 0.505, 0.51, 0.515, 0.4, 0.52, 0.6), 1):
        story.at(100.0 * k, a_test(k, accuracy))
    story.until(1e6)
    assert story.titles == [(401.0, "FLQ: new best accuracy 51.50 %"), (701.0, "FLQ: new best accuracy 60.00 %")]
    assert "New best accuracy 60.00 % in round 7 (previously accuracy 51.50 %)." in story.bodies[1]


def test_without_accuracy_the_loss_counts():
    story = Story()
    for k, loss in enumerate((10.0, 9.5, 8.9, 8.8, 12.0, 8.0), 1):
        story.at(100.0 * k, a_test(k, test_loss=loss))
    assert [title for _, title in story.until(1e6).titles] == ["FLQ: new best loss 8.9", "FLQ: new best loss 8"]


def test_results_on_the_workers_own_data_count_if_there_are_no_others():
    story = Story().at(1.0, a_test(1, own_accuracy=0.25)).at(100.0, a_test(2, own_accuracy=0.5)).until(1e6)
    assert story.titles == [(101.0, "FLQ: new best accuracy 50.00 %")]


def test_of_several_pending_new_bests_the_last_is_reported():
    story = Story("min_interval_s=60").at(0.0, news("began", round_index=0)).until(5.0)
    for k in range(1, 10):
        story.at(5.0 + k, a_test(k, k / 10))
    story.until(1e6)
    assert story.titles[1:] == [(61.0, "FLQ: new best accuracy 90.00 %")]
    assert story.bodies[1].count("New best") == 1


def test_a_lost_worker_and_its_return_are_reported():
    story = Story().at(10.0, news("lost", 3)).at(50.0, news("back", 3, 9)).until(1e6)
    assert story.titles == [(11.0, "FLQ: worker 3 is lost"), (51.0, "FLQ: worker 3 is back")]
    assert [notice.level for _, notice in story.notices] == [WARNING, INFO]
    assert "Worker 3 is back (round 9)." in story.bodies[1]


def test_a_lost_worker_that_joins_as_new_is_back_too():
    story = Story().at(0.0, news("joined", 3), news("back", 4)).at(10.0, news("lost", 3)).at(50.0, news("joined", 3))
    assert [title for _, title in story.until(1e6).titles] == ["FLQ: worker 3 is lost", "FLQ: worker 3 is back"]


def test_workers_lost_together_are_one_message():
    story = Story().at(10.0, *[news("lost", worker_id) for worker_id in range(64)]).until(1e6)
    assert story.titles == [(11.0, "FLQ: 64 workers are lost")]
    assert "64 workers are lost: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 54 more (round 7)." in story.bodies[0]


def test_a_flapping_worker_is_summarized():
    story = Story("min_interval_s=100").at(0.0, news("lost", 3))
    for k in range(1, 9):
        story.at(2.0 + k, news("back", 3), news("lost", 3))
    story.at(50.0, news("back", 3), news("lost", 5)).until(1e6)
    assert story.titles == [(1.0, "FLQ: worker 3 is lost"), (101.0, "FLQ: worker 5 is lost")]
    assert "Worker 3 was lost and is back (round 7, 8 losses in total)." in story.bodies[1]


def test_messages_keep_the_minimum_interval_and_lose_nothing():
    story = Story("min_interval_s=30", "every_rounds=1", "best=false")
    for k in range(1, 101):
        story.at(float(k), a_test(k, 0.5))
    story.at(100.0, news("lost", 2)).until(1e6)
    times = [now for now, _ in story.titles]
    assert times == [2.0, 32.0, 62.0, 92.0, 122.0]
    assert "Worker 2 is lost" in story.bodies[-1] and "Round 100 of 30" in story.bodies[-1]


def test_an_hour_has_no_more_than_allowed_except_the_end():
    story = Story("max_per_hour=3", "every_rounds=1", "best=false")
    for k in range(1, 500):
        story.at(60.0 * k, a_test(k, 0.5))
    times = [now for now, _ in story.titles]
    for at in times:
        assert sum(at - HOUR_S < other <= at for other in times) <= 3
    assert times[:4] == [61.0, 121.0, 181.0, 61.0 + HOUR_S]
    story.at(60.0 * 500, news("lost", 1), DONE)
    assert story.titles[-1] == (60.0 * 500, "FLQ: the run has finished, accuracy 50.00 %")
    assert "Worker 1 is lost" in story.bodies[-1]


def test_earlier_events_are_known_but_not_reported():
    before = [a_round(k, accuracy=k / 20) for k in range(1, 11)]
    story = Story("every_rounds=5", rounds=before)
    story.at(0.0, Round(before[9], {}), Round(before[4], {})).until(100.0)
    assert story.titles == []
    story.at(100.0, news("went_on", round_index=10)).at(200.0, a_test(11, 0.505)).at(300.0, a_test(12, 0.6)).until(1e6)
    assert story.titles == [(101.0, "FLQ: the run resumes"), (301.0, "FLQ: new best accuracy 60.00 %")]
    assert "(previously accuracy 50.00 %)" in story.bodies[1]


def test_the_first_round_after_a_restart_may_be_a_new_best():
    story = Story(rounds=[a_round(k, accuracy=k / 20) for k in range(1, 11)]).at(100.0, a_test(11, 0.6)).until(1e6)
    assert (
        story.titles == [(101.0, "FLQ: new best accuracy 60.00 %")]
        and "(previously accuracy 50.00 %)" in story.bodies[0]
    )


def test_a_late_evaluation_changes_the_best_but_not_the_last_round():
    story = Story("every_rounds=2", "best=false").at(0.0, a_test(2, 0.5)).at(100.0, a_test(1, 0.9)).at(200.0, DONE)
    assert story.titles[0] == (1.0, "FLQ: round 2 of 30, accuracy 50.00 %")
    assert "Best accuracy 90.00 % in round 1." in story.bodies[-1]


@pytest.mark.parametrize(
    "ended, title, level, said",
    [
        (DONE._replace(has_failed=True), "FLQ: the run has failed, accuracy 50.00 %", FAILURE, "--resume run_7"),
        (
            DONE._replace(is_interrupted=True),
            "FLQ: the run is interrupted, accuracy 50.00 %",
            WARNING,
            "--resume run_7",
        ),
        (
            DONE._replace(workers=[a_worker(3, state="lost"), a_worker(4), a_worker(5, state="lost")]),
            "FLQ: the run has finished, accuracy 50.00 %",
            SUCCESS,
            "Lost at the end: 3, 5.",
        ),
    ],
)
def test_each_kind_of_end_has_its_text(ended, title, level, said):
    story = Story().at(0.0, a_test(3, 0.5), ended).until(1e6)
    ((now, notice),) = story.notices
    assert (now, notice.title, notice.level) == (0.0, title, level) and said in notice.body


def test_an_unexpected_end_of_the_master_is_reported_once_unless_the_run_has_ended():
    story = Story().at(0.0, a_test(3, 0.5))
    story.policy.vanish(5.0)
    story.policy.vanish(6.0)
    story.until(1e6)
    ((_, notice),) = story.notices
    assert notice.title == "FLQ: the master has ended unexpectedly" and notice.level == FAILURE
    assert "after round 3" in notice.body and "--resume run_7" in notice.body
    ended = Story().at(0.0, DONE)
    ended.policy.vanish(5.0)
    assert len(ended.until(1e6).notices) == 1


def test_rounds_after_the_end_are_not_reported():
    story = Story("every_rounds=1").at(0.0, a_test(29, 0.5)).at(50.0, DONE).at(51.0, a_test(30, 0.9)).until(1e6)
    assert len(story.notices) == 2


def test_a_reason_is_always_one_line():
    reason = "stopped\nby \u202e<b>\x1b[31m you" + "x" * 1000
    story = Story().at(0.0, DONE._replace(reason=reason))
    line = story.bodies[0].splitlines()[0]
    assert line.startswith("The run has finished after round 0 of 30: stopped by <b> [31m youxxx")
    assert line.endswith("xxx....") and len(line) < 400 and line.isprintable()


def test_a_worker_with_blocked_updates_is_reported_once():
    story = Story().at(1, news("blocked", 3)).at(100, news("blocked", 3, 8)).at(200, news("blocked", 4, 9)).until(300)
    assert [title for _, title in story.titles] == [
        "FLQ: an update of worker 3 was blocked",
        "FLQ: an update of worker 4 was blocked",
    ]
    assert "did not arrive in round 7" in story.bodies[0] and "account" not in story.bodies[0]
    assert {notice.level for _, notice in story.notices} == {WARNING}
    assert Story("workers=false").at(1, news("blocked", 3)).until(300).notices == []


def test_a_divergence_is_reported_once():
    text = "the run diverges: training loss 3.1e+04 in round 7 (2.35 in round 1); lower model.lr"
    story = Story("workers=false", "best=false")
    for now in (1.0, 100.0, 200.0):
        story.at(now, Happened("diverged", text, None, 7, now))
    (notice,) = [notice for _, notice in story.until(1e6).notices]
    assert notice.title == "FLQ: the run diverges" and notice.level == WARNING
    assert notice.body.splitlines()[0] == "T" + text[1:] + "."
