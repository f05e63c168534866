"""Sends any number of garbage requests to a master that trains, and compares the model with an undisturbed run's.

    python tests/fuzz/run_requests.py --n 50000 --seed 1 [--set memory=mirror]...

Four workers train; the rounds wait for the requests, so that these are spread from the first round to the last. The
exit code is 1 if there is any problem.
"""

import argparse
import gc
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

for folder in ("", "tests", "tests/master"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / folder))

import numpy as np  # noqa: E402
from answers import WAIT_S, Judge, Peer  # noqa: E402
from garbage import IDLE, TRAINING, Garbage  # noqa: E402
from local_master import TOKENS, HttpWorker, LocalMaster  # noqa: E402

from flq.master.live.status import resident_bytes  # noqa: E402
from flq.protocol import worker_events  # noqa: E402
from flq.run_end import Stage  # noqa: E402

ROUNDS, N_PEERS = 20, 3
RUN = (
    "system.total_workers=%d" % len(TRAINING + IDLE),
    "system.min_workers=%d" % len(TRAINING),
    "system.max_rounds=%d" % ROUNDS,
    "system.lease_s=86400",
    "security.requests_per_s=0",
    "security.local_operator=false",
)


class Outcome(NamedTuple):
    """The result of a run under fire.

    Attributes
    ----------
    answers : Counter
        By kind of request and status; None = no response.
    problems : list of str
    model, undisturbed : ndarray
    more_threads, more_bytes : int
        Growth of the process from the first tenth of the requests to the end.
    seconds : float
    """

    answers: Counter
    problems: list
    model: np.ndarray
    undisturbed: np.ndarray
    more_threads: int
    more_bytes: int
    seconds: float


class Complaints(logging.Handler):
    """Keeps log records with a traceback, or of level error."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        if record.exc_info or record.levelno >= logging.ERROR:
            self.texts.append(logging.Formatter().format(record))


class Training:
    """Four workers in threads; each answer of worker 0 waits until it may be sent."""

    def __init__(self, master):
        self._may_answer = threading.Semaphore(0)
        self._workers = [HttpWorker(master, worker_id) for worker_id in TRAINING]
        for worker in self._workers:  # all of them are part of the run before anybody else says something
            while not isinstance(worker.action, worker_events.CallPoll):
                worker.step()
        self._threads = [threading.Thread(target=self._train, args=(worker,), daemon=True) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def let_a_round_pass(self):
        """Allow one more answer of worker 0."""
        self._may_answer.release()

    def wait(self):
        """Train until the end of the run."""
        for _ in range(2 * ROUNDS):  # an offer and an upload in each
            self.let_a_round_pass()
        for thread in self._threads:
            thread.join(WAIT_S)
        assert [worker.action.code for worker in self._workers] == [0] * len(TRAINING)

    def _train(self, worker):
        is_held = worker.worker_id == TRAINING[0]
        while True:
            if is_held and isinstance(worker.action, worker_events.CallAnswer):
                self._may_answer.acquire()
            if not worker.step():
                return


def model_of(master, training):
    """Return the final model."""
    training.wait()
    assert master.run.ending.wait(Stage.SAVED, WAIT_S)
    return master.machine.model.state.model.copy()


def undisturbed(folder, overrides=()):
    """Return the model of an undisturbed run."""
    with LocalMaster(folder, *RUN, *overrides) as master:
        return model_of(master, Training(master))


def fuzz(folder, n, seed, overrides=(), report=lambda done: None):
    """Send ``n`` requests during a run; return the Outcome."""
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    try:
        with LocalMaster(os.path.join(folder, "fuzzed"), *RUN, *overrides) as master:
            training = Training(master)
            fire = Fire(master, training, n, seed, report)
            started = time.perf_counter()
            fire.run()
            seconds = time.perf_counter() - started
            model = model_of(master, training)
            joined = {worker_id for worker_id, member in master.machine.members.items() if member.epoch}
            if joined != set(TRAINING):
                fire.problems.append("workers %s have joined, expected %s" % (joined, TRAINING))
            trained = [(master.machine.members[m], master.machine.rounds.attendance[m].tally) for m in TRAINING]
            if any(member.epoch != 1 or tally["late"] or tally["lost"] for member, tally in trained):
                fire.problems.append("a worker that trains was disturbed: %s" % master.run.status)
    finally:
        logging.getLogger().removeHandler(complaints)
    return Outcome(
        fire.answers,
        fire.problems + complaints.texts,
        model,
        undisturbed(os.path.join(folder, "undisturbed"), overrides),
        *fire.growth(),
        seconds,
    )


class Fire:
    """Peers with their own generators that send requests concurrently."""

    def __init__(self, master, training, n, seed, report):
        self.answers, self.problems = Counter(), []
        self._master, self._training, self._report = master, training, report
        self._n, self._seed = n, seed
        self._judge, self._lock = Judge(master.url), threading.Lock()
        self._sent, self._sizes = 0, []

    def run(self):
        """Send everything."""
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(N_PEERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def growth(self):
        """Return the growth in threads and bytes from a tenth of the requests to the end."""
        return tuple(last - first for first, last in zip(self._sizes[0], self._sizes[-1]))

    def _send(self, number):
        random = Random("%d %d" % (self._seed, number))
        garbage, peer = Garbage(random, TOKENS, self._master.machine.link), Peer(self._master.port)
        for _ in range(number, self._n, N_PEERS):
            request = garbage.next()
            try:
                answers = peer.exchange(request)
                for answer in answers:
                    self._judge.check(request, answer)
                if len(answers) > 1 and request.is_one:
                    raise AssertionError("%d answers to %s: %r" % (len(answers), request.kind, request.data))
            except Exception as error:  # a connection that hangs or ends is a problem, too
                self.problems.append("%s %s: %r" % (type(error).__name__, error, request))
                peer.close()
                answers = []
            self._count(request, answers)
        peer.close()

    def _count(self, request, answers):
        with self._lock:
            self._sent += 1
            self.answers[request.kind, answers[0].status if answers else None] += 1
            if self._sent % max(1, self._n // ROUNDS) == 0:
                self._training.let_a_round_pass()
            if self._sent % max(1, self._n // 10) == 0:
                gc.collect()
                self._sizes.append((threading.active_count(), resident_bytes() or 0))
                self._report(self._sent)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", metavar="section.key=value", action="append", default=[], dest="overrides")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = fuzz(
            folder, args.n, args.seed, tuple(args.overrides), lambda done: print("%d requests" % done, flush=True)
        )
    for (kind, status), count in sorted(outcome.answers.items(), key=str):
        print("%7d %-8s %s" % (count, kind, "no answer" if status is None else status))
    is_same = np.array_equal(outcome.model, outcome.undisturbed)
    for problem in outcome.problems[:20]:
        print(problem)
    print(
        "%d requests in %.0f s, %d problems; the model is %s; %+d threads, %+.1f MB"
        % (
            args.n,
            outcome.seconds,
            len(outcome.problems),
            "that of an undisturbed run" if is_same else "ANOTHER ONE",
            outcome.more_threads,
            outcome.more_bytes / 1e6,
        )
    )
    return 0 if is_same and not outcome.problems else 1


if __name__ == "__main__":
    sys.exit(main())
