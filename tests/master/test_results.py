"""The results of a run: their totals, and failures to write them."""

import errno
import json
import os
import threading

import pytest
from local_master import HttpWorker

from flq.core.statuses import LATE, LOST, REFUSED, SKIPPED, UPLOADED
from flq.errors import FlqError
from flq.master.records import artifacts
from flq.master.records.devices import Devices
from flq.master.records.round_log import Closed, Evaluated, Record
from flq.master.records.totals import totals_of
from flq.master.records.wire_meter import Wire
from flq.protocol import worker_events
from flq.protocol.events import RoundReport, Tick
from flq.protocol.member import Member
from flq.protocol.roll_call import Attendance
from flq.report.summary import summary
from flq.run_end import Stage

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
AFTER = {
    "payload up (bits)": "payload up after the last round (bits)",
    "payload down (bits)": "payload down after the last round (bits)",
    "wire up (bytes)": "wire up after the last round (bytes)",
    "wire down (bytes)": "wire down after the last round (bytes)",
}


def no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def assert_adds_up(master):
    """Check that the summary is the sum of the rounds and later traffic, and equals the workers' sums."""
    pairs, rounds, workers = master.summary(), master.table("Rounds"), master.table("Workers")
    for title, after in AFTER.items():
        assert pairs[title] == sum(row[title] for row in rounds) + pairs[after]
    for title in "payload up (bits)", "wire up (bytes)", "wire down (bytes)":
        assert pairs[title] == sum(row[title] for row in workers)
    assert pairs["uploads"] == sum(row["uploaded"] for row in workers)
    answered = sum(row[status] for row in rounds for status in (UPLOADED, SKIPPED, REFUSED))
    assert sum(row["rounds answered"] for row in workers) == answered + pairs["answers after the last round"]
    return pairs


def test_stop_reports_why_the_workbook_is_not_written_and_the_end_retries(make_master, monkeypatch):
    master = make_master(*RUN)
    path = master.run.results.workbook
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "write_workbook", no_space)
        code, _, body = master.send("POST", "/stop")
    answer = json.loads(body)
    assert code == 500 and set(answer) == {"error", "detail", "hint"}
    assert answer["detail"] == "%s is not written: No space left on device: %s" % (os.path.basename(path), path)
    assert "free disk space" in answer["hint"]
    assert not os.path.exists(path)
    assert os.path.exists(os.path.join(os.path.dirname(path), "model.npz"))  # one does not need the other
    master.run.finish()
    assert os.path.exists(path)
    assert json.loads(master.send("POST", "/stop")[2])["results_saved"] == path


def test_a_model_that_cannot_be_written_leaves_the_workbook(make_master, monkeypatch):
    master = make_master(*RUN)
    folder = os.path.dirname(master.run.results.workbook)
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "save_npz", no_space)
        code, _, body = master.send("POST", "/stop")
    path = os.path.join(folder, "model.npz")
    assert code == 500 and "model.npz is not written: No space left on device: %s" % path in json.loads(body)["detail"]
    assert os.path.exists(master.run.results.workbook) and not os.path.exists(path)
    master.run.finish()
    assert os.path.exists(path)


def test_a_bug_is_named_too(make_master, monkeypatch):
    master = make_master(*RUN)
    monkeypatch.setattr(artifacts, "write_workbook", lambda *_: {}["bug"])
    code, _, body = master.send("POST", "/stop")
    assert code == 500 and b"KeyError: 'bug'" in body
    master.run.finish()
    with pytest.raises(FlqError, match="KeyError: 'bug'"):
        master.run.results.check()


@pytest.mark.parametrize("spoil", [lambda path: path.write_text(""), lambda path: path.symlink_to(path / "gone")])
def test_where_no_folder_of_results_can_be_made_they_move_to_that_of_temporary_files(
    make_master, tmp_path, caplog, monkeypatch, spoil
):
    written = make_master(*RUN).run.results
    spoil(tmp_path / "no_folder")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(artifacts.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(written, "_results_dir", str(tmp_path / "no_folder"))
    assert written.move() and "the model cannot be saved in %s" % (tmp_path / "no_folder") in caplog.text
    assert os.path.dirname(written.model) == os.path.dirname(written.workbook)
    assert os.path.dirname(os.path.dirname(written.model)) == str(tmp_path / "temporary")
    first = written.model
    assert written.move() and written.model != first  # the one that was made is not used again


def test_a_workbook_is_rewritten_only_with_new_content(make_master, monkeypatch):
    master = make_master(*RUN)
    master.run.stop("stopped by the test")
    master.run.finish()
    calls = []
    monkeypatch.setattr(artifacts, "write_workbook", lambda *_: calls.append(1))
    master.run.finish()
    assert calls == []
    master.meter.add(0, Wire(1, 0))
    master.run.finish()
    assert calls == [1]


def test_an_answer_to_a_stopped_round_is_in_the_summary(make_master):
    master = make_master(*RUN)
    workers = [HttpWorker(master, worker_id, waits=False) for worker_id in (0, 1)]
    for worker in workers:
        while not isinstance(worker.action, worker_events.CallPoll):
            worker.step()
    while master.machine.rounds.attendance_of(0).tally[UPLOADED] == 0:
        assert workers[0].step()
    master.run.stop("stopped by the test")
    master.run.finish()
    pairs = assert_adds_up(master)
    assert (pairs["rounds"], pairs["uploads"], pairs["answers after the last round"]) == (0, 1, 1)
    assert pairs["payload up (bits)"] > 4 * 40
    assert pairs["wire up (bytes)"] > pairs["payload up (bits)"] / 8


def test_the_final_workbook_has_every_byte(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    assert master.send("GET", "/status")[0] == 200
    master.server.stop()
    master.run.finish()
    pairs, wire = assert_adds_up(master), master.meter.of_workers()
    assert (pairs["wire up (bytes)"], pairs["wire down (bytes)"]) == wire
    assert pairs["wire of other peers (bytes)"] == sum(master.meter.of_others()) > 0
    assert pairs["wire down after the last round (bytes)"] > 0  # that the run has ended, to say the least
    assert pairs["uploads"] == 6 and pairs["answers after the last round"] == 0


def test_rounds_answered_are_those_with_an_answer(make_master):
    master = make_master(*RUN)
    member = Member(1)
    member.epoch, member.has_lease = 1, False
    master.machine.members[1], attendance = member, Attendance()
    attendance.tally.update({UPLOADED: 1, SKIPPED: 2, REFUSED: 4, LATE: 8, LOST: 16})
    master.machine.rounds.attendance[1] = attendance
    (row,) = totals_of(master.machine, master.meter, Devices(), None).workers
    assert (row.rounds, row.late, row.lost, row.state) == (7, 8, 16, "lost")
    del master.machine.members[1], master.machine.rounds.attendance[1]


def test_the_bytes_of_a_worker_that_never_joined_are_counted_but_not_the_worker(make_master):
    master = make_master(*RUN)
    master.send("POST", "/upload_update?worker=1", b"x")
    totals = totals_of(master.machine, master.meter, Devices(), None)
    (row,) = totals.workers
    assert (row.worker_id, row.state, row.rounds) == (1, "never joined", 0)
    assert totals.wire_bytes == (row.wire_bytes_up, row.wire_bytes_down) == master.meter.of_workers()
    pairs = {line.label: line.value for line in summary("r", "because", [], totals, master.settings, "abc")}
    assert pairs["workers that joined"] == 0 and pairs["workers lost"] == "none"
    assert pairs["wire up after the last round (bytes)"] == row.wire_bytes_up > 0


def test_the_newest_evaluation_is_that_of_the_latest_round():
    report = RoundReport(0, {}, *[0] * 11)
    record = Record()
    assert record.last_evaluated() == Evaluated()
    for round_index in (2, 5, 7):  # rounds need not follow each other
        record.add_round(Closed(report._replace(round_index=round_index, roll_call={round_index: LATE}), Wire()))
    for round_index, loss in ((2, 0.2), (7, 0.7), (5, 0.5)):
        assert record.add_evaluation(round_index, Evaluated(loss)).test_loss == loss
    assert record.last_evaluated() == Evaluated(0.7)
    assert [row.test_loss for row in record.rounds()] == [0.2, 0.5, 0.7]
    assert [row.late for row in record.rounds()] == [1, 1, 1]
    assert record.roll_calls() == [{2: LATE}, {5: LATE}, {7: LATE}] and record.roll_calls(5) == [{7: LATE}]
    assert [[row.round_index for row in record.rounds(since, 2)] for since in (0, 1, 2, 6, 7)] == [
        [2, 5],
        [2, 5],
        [5, 7],
        [7],
        [],
    ]


def test_rounds_whose_models_a_restored_master_does_not_know_count_as_tested(make_master):
    run, report = make_master(*RUN).run, RoundReport(0, {}, *[0] * 11)
    for round_index in range(1, 5):
        run.record.add_round(Closed(report._replace(round_index=round_index), Wire()))
    run._evaluations.resume_at(3, run.machine.model.state)
    assert [run.record.is_untested(round_index) for round_index in range(1, 6)] == [False] * 3 + [True, False]
    assert [row.test_loss for row in run.record.rounds()] == [None, None, 3.0, None]


def test_the_status_is_not_made_for_every_event_of_a_crowd(make_master, monkeypatch):
    master = make_master(*RUN)
    loop, made, may_continue = master.run.loop, [], threading.Event()
    monkeypatch.setattr("flq.master.live.board.PUBLISH_S", 60.0)
    monkeypatch.setattr("flq.master.runtime.run.status_of", lambda *_: made.append(1) or {"made": len(made)})
    handle = master.machine.handle
    monkeypatch.setattr(master.machine, "handle", lambda *args: may_continue.wait(20) and handle(*args))
    for _ in range(200):
        loop.tell(Tick())
    may_continue.set()
    master.run.stop("stopped by the test")
    assert 1 <= len(made) < 20


def test_leases_that_end_after_the_run_leave_the_results_as_they_are(make_master):
    master = make_master("system.total_workers=2", "system.min_workers=2", "system.lease_s=0.5")
    workers = [HttpWorker(master, worker_id, waits=False) for worker_id in range(2)]
    while not all(isinstance(worker.action, worker_events.CallPoll) for worker in workers):
        for worker in workers:
            worker.step()
    master.run.stop("stopped by the test")  # no worker sends a request again
    assert master.run.ending.wait(Stage.TOLD, 60)  # their leases have ended
    master.run.finish()
    assert [row["state"] for row in master.table("Workers")] == ["present", "present"]
    assert master.summary()["workers lost"] == "none"
