"""The status is updated when it is due, and survives errors in making it."""

from flq.master.live import board
from flq.master.live.board import StatusBoard


def test_it_is_made_when_due_or_old(monkeypatch):
    made = []
    problem = []
    status = StatusBoard(lambda now: made.append(now) or {"n": len(made)}, lambda: problem[-1] if problem else None)
    monkeypatch.setattr(board, "PUBLISH_S", 1e9)
    for is_due in (True, False, True, False):
        status.publish(is_due)
    assert status.status == {"n": 2, "problem": None}
    monkeypatch.setattr(board, "PUBLISH_S", 0.0)
    status.publish(False)
    problem.append("the disk is full")  # of this moment, not of when it was made
    assert status.status == {"n": 3, "problem": "the disk is full"}


def test_one_that_cannot_be_made_leaves_the_one_before(caplog):
    values = [{"n": 1}]
    status = StatusBoard(lambda now: values.pop(), lambda: None)
    for _ in range(2):
        status.publish(True)
    assert status.status["n"] == 1 and "the status is not updated" in caplog.text
