"""Master and workers in one process, joined by bytes, with real files: each can be killed at a named point.

A killed process loses its memory and restarts from a copy of the files at that moment. Time is virtual, and a killed
master may stay away for a while.
"""

import os
import random
from collections import Counter
from contextlib import ExitStack
from functools import partial
from unittest import mock

from crash_master import MASTER_POINTS, CrashMaster, Killed

from flq.engines.virtual_worker import VirtualWorker
from flq.protocol import events
from flq.protocol import worker_events as worker
from flq.protocol.exchange import to_master, to_worker
from flq.protocol.worker_machine import WorkerMachine
from flq.training.frameworks import build_trainer
from flq.worker import state_file

TRAINING, HALF_A_RECORD, RECORD, SENDING, VERDICT, COMMIT = WORKER_POINTS = (
    "after training",
    "in the middle of the record",
    "after the record",
    "after sending",
    "before the commit",
    "after the commit",
)
POINTS = MASTER_POINTS + WORKER_POINTS
GIVE_UP_S = 3600.0


class Peer(VirtualWorker):
    """A worker: its folder, and its state in memory."""

    def __init__(self, worker_id, state_dir, network):
        self.worker_id, self.state_dir, self.network, self.n_processes = worker_id, state_dir, network, 0
        self.notes = []
        os.makedirs(state_dir, exist_ok=True)
        self.start()

    def start(self):
        """Start a new process."""
        self.n_processes += 1
        self.session = "process %d" % self.n_processes
        pending, name = state_file.load(self.state_dir), "peer%d" % self.worker_id
        super().__init__(
            WorkerMachine(self.worker_id, name, random.Random(self.worker_id), GIVE_UP_S, pending),
            build_trainer,
            lambda: self.network.now,
        )

    def train(self, action):
        super().train(action)
        if self.network.strikes_at(TRAINING):
            self.start()

    def save(self, action):
        """Write the record; return None if the process dies there."""
        if self.network.strikes_at(HALF_A_RECORD):
            with mock.patch("os.replace", side_effect=Killed), mock.patch("os.unlink"):
                try:
                    state_file.save(self.state_dir, action.pending)
                except Killed:
                    part = os.path.join(self.state_dir, state_file.NAME + ".part")
                    os.truncate(part, os.path.getsize(part) // 2)
            return self.start()
        state_file.save(self.state_dir, action.pending)
        return self.start() if self.network.strikes_at(RECORD) else super().save(action)

    def report(self, event):
        is_final = isinstance(event, worker.VerdictReceived) and self.machine._upload is not None
        if is_final and self.network.strikes_at(VERDICT):
            return self.start()
        super().report(event)
        self.notes += self.machine.notes
        del self.machine.notes[:]
        if is_final and self.machine._upload is None and self.network.strikes_at(COMMIT):
            self.start()
        return None


class CrashNetwork:
    """A whole run.

    Parameters
    ----------
    folder : str
    settings : dict
    strikes : callable(point, n) -> bool
        Whether to kill the n-th time (from 1, over the whole run) that a point is reached.
    away_s : float, optional
        Seconds that the master is away after each kill.
    together : bool, optional
        Whether calls reach the master in batches, or one by one.
    resumes : bool, optional
        Whether the folder contains a killed run with its workers, all of which restart.

    Attributes
    ----------
    fired : Counter
        Point -> number of kills there.
    """

    def __init__(self, folder, settings, strikes, away_s=0.0, together=True, resumes=False):
        self.settings, self.now, self.away_s, self.back_at = settings, 0.0, away_s, 0.0
        self.together, self.resumes = together, resumes
        self.strikes, self.reached_at, self.fired = strikes, Counter(), Counter()
        self.n_tickets, self.waiting = 0, {}
        self.master = CrashMaster(os.path.join(folder, "results"), settings, self.strikes_at)
        self.peers = [
            Peer(worker_id, os.path.join(folder, "worker%d" % worker_id), self)
            for worker_id in range(settings.system.total_workers)
        ]

    def run(self):
        """Let all processes act until all workers have exited."""
        with ExitStack() as stack:
            for patch in self.master.patches():
                stack.enter_context(patch)
            if self.resumes:
                self.master.resume(self.now)
            else:
                self.master.begin()
            stack.callback(self.master.close)
            while not all(isinstance(peer.action, worker.Exit) for peer in self.peers):
                calls = []
                for peer in self.peers:
                    if not self.is_blocked(peer):
                        peer.act(partial(self.send, calls, peer))
                if calls:
                    for batch in [calls] if self.together else [[call] for call in calls]:
                        self.serve(batch)
                elif all(self.is_blocked(peer) for peer in self.peers):
                    self.pass_time()
            self.strikes = lambda point, n: False  # only the notice of the end remains
            if self.now < self.back_at:
                self.master.resume(self.now)
            self.take([events.ResultsSaved()])
            self.reports = self.master.rounds()
        return self

    def strikes_at(self, point):
        """Count a point as reached; return whether the process dies there."""
        self.reached_at[point] += 1
        is_end = self.strikes(point, self.reached_at[point])
        self.fired[point] += is_end
        return is_end

    # -- the workers ---------------------------------------------------------------------

    @staticmethod
    def is_blocked(peer):
        return isinstance(peer.action, worker.Exit) or peer.is_waiting

    def send(self, calls, peer, action):
        """Add a worker's call to those that reach the master together: (peer or None, event)."""
        if self.now < self.back_at:
            peer.due = self.now, worker.Unreachable("connection refused")
            return
        event = to_master(action, 0, peer.worker_id, self.master.machine.link, peer.session)
        if isinstance(action, worker.CallAnswer) and self.strikes_at(SENDING):
            peer.start()
            peer = None
        calls.append((peer, event))

    def report(self, peer, event):
        """Report the result of an action to its worker."""
        self.waiting = {ticket: other for ticket, other in self.waiting.items() if other is not peer}
        peer.report(event)

    # -- the master ----------------------------------------------------------------------

    def serve(self, calls):
        """Pass a batch of calls to the master, unless it is away."""
        batch = []
        if self.now < self.back_at:
            for peer, _ in calls:
                if peer is not None:
                    peer.due = self.now, worker.Unreachable("connection refused")
            return
        for peer, event in calls:
            self.n_tickets += 1
            if peer is not None:
                self.waiting[self.n_tickets] = peer
            batch.append(event._replace(ticket=self.n_tickets))
        self.take(batch)

    def take(self, batch):
        try:
            self.master.take(batch, self.now, self.reply)
        except Killed:
            waiting, self.waiting = self.waiting, {}
            for peer in waiting.values():
                self.report(peer, worker.Unreachable("the connection broke"))
            self.back_at = self.now + self.away_s
            if not self.away_s:
                self.master.resume(self.now)

    def reply(self, ticket, body):
        """Carry a reply to the worker that waits for it."""
        peer = self.waiting.pop(ticket, None)
        if peer is not None:
            self.report(peer, to_worker(peer.action, body))

    def pass_time(self):
        """Move the clock to the next event, since no process can act."""
        due = [peer.due[0] for peer in self.peers if peer.due is not None]
        is_away = self.now < self.back_at
        deadline = self.back_at if is_away else self.master.machine.next_deadline(self.now)
        self.now = min(due + ([deadline] if deadline is not None else []))
        if is_away and self.now >= self.back_at:
            self.master.resume(self.now)
        if self.now >= self.back_at:
            self.take([events.Tick()])
        for peer in self.peers:
            if peer.due is not None and peer.due[0] <= self.now:
                self.report(peer, peer.due[1])
