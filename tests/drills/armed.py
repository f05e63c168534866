"""Runs a program that kills itself, by SIGKILL, at a given point.

    python armed.py POINT COUNT FIRED_FILE PROGRAM ARGS...

The COUNT-th time that the program reaches POINT, FIRED_FILE is written and synced, and then the program is killed. It
is not aware of this: one of its functions is wrapped before it starts. Special values of POINT: "anywhere" is the
COUNT-th call of any function of FLQ; with "a clock that jumps", the time of day is an hour ahead after COUNT readings,
an hour behind after as many again, and so on, without a kill; with "a full disk", the disk accepts COUNT more changes
when the last round is about to close (with oplog.c beneath the program), without a kill; "nothing" runs the program
unchanged. Programs pause for half a second at most, so that drills do not wait for them.
"""

import ctypes
import http.client
import importlib
import itertools
import os
import runpy
import signal
import sys
import threading
import time
from typing import Any, Callable, NamedTuple

BEFORE, AFTER, HALF = "before", "after", "half"
HOUR_S = 3600.0
ANYWHERE, JUMPS, FULL, NOTHING = "anywhere", "a clock that jumps", "a full disk", "nothing"


def always(*_: Any, **__: Any) -> bool:
    return True


def is_keyframe(message: Any, link: Any) -> bool:
    return getattr(message, "kind", None) == 7


def is_snapshot(path: str, *_: Any, **__: Any) -> bool:
    return os.path.basename(path).startswith("snapshot_")


def is_record(path: str, *_: Any, **__: Any) -> bool:
    return os.path.basename(path) == "state.npz"


def is_workbook(path: str, *_: Any, **__: Any) -> bool:
    return path.endswith(".xlsx")


def is_upload_answered(request: Any) -> bool:
    return request.uri.startswith((b"/upload_update", b"/offer"))


def is_upload_sent(connection: Any) -> bool:
    return getattr(connection, "flq_sends_answer", False)


class Point(NamedTuple):
    """A point where a program can be killed.

    Attributes
    ----------
    program : str
        flq_master.py or flq_worker.py.
    target : str
        module:attribute of the function.
    when : str
        Before it, after it, or, for a function that writes a file, after half of the file.
    counts : callable(*arguments) -> bool
        Whether a call counts.
    """

    program: str
    target: str
    when: str
    counts: Callable[..., bool] = always


MASTER, WORKER = "flq_master.py", "flq_worker.py"
POINTS = {
    "before the journal": Point(MASTER, "flq.master.storage.journal:Journal.write", BEFORE),
    "within the journal": Point(MASTER, "flq.master.storage.journal:_Transaction.__exit__", BEFORE),
    "after the journal, before the answer": Point(MASTER, "flq.master.storage.journal:Journal.write", AFTER),
    "after the answer": Point(MASTER, "flq.master.http.connection:BoundedRequest.respond", AFTER, is_upload_answered),
    "in the middle of a snapshot": Point(MASTER, "flq.durable:write_whole", HALF, is_snapshot),
    "before a round closes": Point(MASTER, "flq.protocol.master_machine:MasterMachine._close_round", BEFORE),
    "when a round has closed": Point(MASTER, "flq.protocol.master_machine:MasterMachine._close_round", AFTER),
    "while a keyframe is encoded": Point(MASTER, "flq.protocol.downlink:encode", BEFORE, is_keyframe),
    "while it resumes": Point(MASTER, "flq.master.storage.store:Store.replay", AFTER),
    "before the results are saved": Point(MASTER, "flq.master.runtime.saver:Saver._run", BEFORE),
    "between model and workbook": Point(MASTER, "flq.master.records.artifacts:Results.save_model", AFTER),
    "in the middle of the workbook": Point(MASTER, "flq.report.sheets:write_whole", HALF, is_workbook),
    "before the run has ended for good": Point(MASTER, "flq.master.runtime.run:Run._be_over", BEFORE),
    "after training": Point(WORKER, "flq.worker.program:Worker.train", AFTER),
    "in the middle of the record": Point(WORKER, "flq.durable:write_whole", HALF, is_record),
    "after the record": Point(WORKER, "flq.worker.state_file:save", AFTER),
    "after sending": Point(WORKER, "http.client:HTTPConnection.getresponse", BEFORE, is_upload_sent),
    "before the commit": Point(WORKER, "flq.protocol.worker_machine:WorkerMachine._commit", BEFORE),
    "after the commit": Point(WORKER, "flq.protocol.worker_machine:WorkerMachine._commit", AFTER),
}

IMPATIENT = {
    MASTER: (("flq.master.storage.journal", "BUSY_S"), ("flq.master.storage.store", "RETRY_S")),
    WORKER: (("flq.protocol.backoff", "LONGEST_PAUSE_S"),),
}  # seconds


class Strike:
    """Kills this process at the ``count``-th counted call."""

    def __init__(self, count: int, fired_file: str) -> None:
        self._count, self._fired_file = count, fired_file
        self._calls, self._lock = itertools.count(1), threading.Lock()

    def is_due(self) -> bool:
        """Count a call; return whether the process must die now."""
        with self._lock:
            return next(self._calls) == self._count

    def kill(self) -> None:
        """Record that the kill has happened, and die."""
        with open(self._fired_file, "w") as stream:
            stream.write("fired")
            stream.flush()
            os.fsync(stream.fileno())
        os.kill(os.getpid(), signal.SIGKILL)


def arm(point: Point, strike: Strike) -> None:
    """Wrap the function of a point."""
    module_name, _, path = point.target.partition(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    function = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        is_due = point.counts(*args, **kwargs) and strike.is_due()
        if is_due and point.when == BEFORE:
            strike.kill()
        if is_due and point.when == HALF:
            write_half(strike, function, *args)
        result = function(*args, **kwargs)
        if is_due:
            strike.kill()
        return result

    setattr(owner, name, wrapped)


def write_half(
    strike: Strike, write_whole: Callable[..., Any], path: str, write: Callable[[Any], Any], *rest: Any
) -> None:
    """Kill the writer of a file after half of it."""

    def write_and_die(stream: Any) -> None:
        write(stream)
        stream.flush()
        os.truncate(stream.name, stream.tell() // 2)
        strike.kill()

    write_whole(path, write_and_die, *rest)


def mark_answers() -> None:
    """Record in a connection whether its last request was a worker's answer."""
    put_request = http.client.HTTPConnection.putrequest

    def remember(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self.flq_sends_answer = url.startswith(("/upload_update", "/offer"))
        put_request(self, method, url, *args, **kwargs)

    http.client.HTTPConnection.putrequest = remember  # type: ignore[method-assign]


def watch_calls(strike: Strike) -> None:
    """Kill at a call of a function of FLQ, in any thread."""

    def watch(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and "/flq/" in frame.f_code.co_filename and strike.is_due():
            strike.kill()

    threading.setprofile(watch)
    sys.setprofile(watch)


def shake_the_clock(every: int, fired_file: str) -> None:
    """Let the time of day jump by an hour, forward and back."""
    real, looks = time.time, itertools.count(1)

    def jumping() -> float:
        look = next(looks)
        if look == 2 * every:
            with open(fired_file, "w") as stream:
                stream.write("fired")
        return real() + (0.0, HOUR_S, -HOUR_S)[look // every % 3]

    time.time = jumping


def fill_the_disk(n_changes: int) -> None:
    """Allow a limited number of changes when the last round is about to close."""
    from flq.protocol.master_machine import MasterMachine

    close_round = MasterMachine._close_round

    def fill_and_close(machine: Any, now: float) -> None:
        if machine.round_index == machine.options.settings.system.max_rounds:
            ctypes.CDLL(None).oplog_fill(ctypes.c_long(n_changes))
        close_round(machine, now)

    MasterMachine._close_round = fill_and_close  # type: ignore[method-assign]


def main() -> None:
    """Arm the program and run it as if it had been started itself."""
    point, count, fired_file, program = sys.argv[1:5]
    sys.argv[:] = sys.argv[4:]
    sys.path[0] = os.getcwd()
    for module_name, name in IMPATIENT[program]:
        setattr(importlib.import_module(module_name), name, 0.5)
    if point == JUMPS:
        shake_the_clock(int(count), fired_file)
    elif point == FULL:
        fill_the_disk(int(count))
    elif point == ANYWHERE:
        watch_calls(Strike(int(count), fired_file))
    elif point != NOTHING:
        if POINTS[point].counts is is_upload_sent:
            mark_answers()
        arm(POINTS[point], Strike(int(count), fired_file))
    runpy.run_path(os.path.join(os.getcwd(), program), run_name="__main__")


if __name__ == "__main__":
    main()
