"""Master and workers in one process, joined by bytes, what they keep on disk: kill -9 takes either at a named point.

Who is killed is gone with all it had in memory; it starts again from the files as they were at that moment, of which
a copy is taken. Time is virtual, and a master that is dead may stay so for a while.
"""

import json
import os
import random
from collections import Counter
from contextlib import ExitStack
from unittest import mock

from crash_master import MASTER_POINTS, CrashMaster, Killed

from flq.errors import FlqError
from flq.protocol import events
from flq.protocol import worker_events as worker
from flq.protocol.wire import check_version, decode
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


class Peer:
    """A worker: its folder, and what of it is in memory."""

    def __init__(self, worker_id, state_dir):
        self.worker_id, self.state_dir, self.n_processes = worker_id, state_dir, 0
        self.notes = []
        os.makedirs(state_dir, exist_ok=True)
        self.start(0.0)

    def start(self, now):
        """Begin as a new process."""
        self.n_processes += 1
        self.session = "process %d" % self.n_processes
        pending = state_file.load(self.state_dir)
        self.machine = WorkerMachine(
            self.worker_id, "peer%d" % self.worker_id, random.Random(self.worker_id), GIVE_UP_S, pending
        )
        self.action = self.machine.start(now)
        self.trainer = self.due = self.ticket = None  # due: (time, event), what happens next unless a reply comes


class CrashNetwork:
    """A whole run.

    Parameters
    ----------
    folder : str
    settings : dict
    strikes : callable(point, n) -> bool
        Whether to kill at the n-th time (from 1, over the whole run) that a point is reached.
    away_s : float, optional
        How long the master is away each time.
    together : bool, optional
        Whether calls reach the master in batches, or one by one.
    goes_on : bool, optional
        Whether the folder holds a run that was killed, and its workers: then everybody starts again.

    Attributes
    ----------
    fired : Counter
        Point -> how often somebody was killed there.
    """

    def __init__(self, folder, settings, strikes, away_s=0.0, together=True, goes_on=False):
        self.settings, self.now, self.away_s, self.back_at = settings, 0.0, away_s, 0.0
        self.together, self.goes_on = together, goes_on
        self.strikes, self.reached_at, self.fired = strikes, Counter(), Counter()
        self.n_tickets, self.waiting = 0, {}
        self.master = CrashMaster(os.path.join(folder, "results"), settings, self.strikes_at)
        self.peers = [
            Peer(worker_id, os.path.join(folder, "worker%d" % worker_id))
            for worker_id in range(settings["system"]["total_workers"])
        ]

    def run(self):
        """Let everybody act until all workers have left."""
        with ExitStack() as stack:
            for patch in self.master.patches():
                stack.enter_context(patch)
            if self.goes_on:
                self.master.resume(self.now)
            else:
                self.master.begin()
            stack.callback(self.master.close)
            while not all(isinstance(peer.action, worker.Exit) for peer in self.peers):
                calls = [call for call in map(self.act, self.peers) if call is not None]
                if calls:
                    for batch in [calls] if self.together else [[call] for call in calls]:
                        self.serve(batch)
                elif all(self.is_blocked(peer) for peer in self.peers):
                    self.pass_time()
            self.strikes = lambda point, n: False  # what is left is to say that it has ended
            if self.now < self.back_at:
                self.master.resume(self.now)
            self.take([events.Saved()])
            self.reports = self.master.rounds()
        return self

    def strikes_at(self, point):
        """Count that a point is reached; return whether that is somebody's end."""
        self.reached_at[point] += 1
        is_end = self.strikes(point, self.reached_at[point])
        self.fired[point] += is_end
        return is_end

    # -- the workers ---------------------------------------------------------------------

    @staticmethod
    def is_blocked(peer):
        return isinstance(peer.action, worker.Exit) or peer.due is not None or peer.ticket is not None

    def act(self, peer):
        """Do what a worker wants done; return the call that it makes, if it does: (peer or None, event)."""
        action = peer.action
        if self.is_blocked(peer):
            return None
        if isinstance(action, worker.Build):
            peer.trainer = build_trainer(action.settings, peer.worker_id)
            self.report(peer, worker.Built(peer.trainer.n_samples, peer.trainer.layout))
        elif isinstance(action, worker.Pause):
            peer.due = self.now + action.seconds, worker.Paused()
        elif isinstance(action, worker.Train):
            local = peer.trainer.local_update(action.shared, action.round_index)
            peer.due = self.now + 1.0, worker.Trained(local.update, local.loss, 1.0)
            if self.strikes_at(TRAINING):
                peer.start(self.now)
        elif isinstance(action, worker.Save):
            self.keep(peer, action)
        elif self.now < self.back_at:
            peer.due = self.now, worker.Unreachable("connection refused")
        else:
            call = self.event_of(peer, action)
            if isinstance(action, worker.CallAnswer) and self.strikes_at(SENDING):
                peer.start(self.now)
                return None, call
            return peer, call
        return None

    def keep(self, peer, action):
        """Write a worker's record."""
        if self.strikes_at(HALF_A_RECORD):
            with mock.patch("os.replace", side_effect=Killed), mock.patch("os.unlink"):
                try:
                    state_file.save(peer.state_dir, action.pending)
                except Killed:
                    part = os.path.join(peer.state_dir, state_file.NAME + ".part")
                    os.truncate(part, os.path.getsize(part) // 2)
            return peer.start(self.now)
        state_file.save(peer.state_dir, action.pending)
        if self.strikes_at(RECORD):
            return peer.start(self.now)
        return self.report(peer, worker.Saved())

    def report(self, peer, event):
        """Tell a worker what came of its action."""
        self.waiting = {ticket: other for ticket, other in self.waiting.items() if other is not peer}
        peer.due = peer.ticket = None
        is_final = isinstance(event, worker.VerdictReceived) and peer.machine._upload is not None
        if is_final and self.strikes_at(VERDICT):
            return peer.start(self.now)
        peer.action = peer.machine.handle(event, self.now)
        peer.notes += peer.machine.notes
        del peer.machine.notes[:]
        if is_final and peer.machine._upload is None and self.strikes_at(COMMIT):
            peer.start(self.now)
        return None

    def event_of(self, peer, action):
        """Return what the master gets, without a ticket."""
        if isinstance(action, worker.CallRegister):
            body = json.loads(json.dumps(action.body))
            check_version("the worker", body.pop("wire"))
            return events.Register(0, session=peer.session, **body)
        if isinstance(action, worker.CallPoll):
            return events.Poll(0, peer.worker_id, action.epoch, action.have, action.answered, session=peer.session)
        frame = b"".join(bytes(buffer) for buffer in action.frame)
        return events.Answered(
            0, decode(frame, self.master.machine.link), frame, have=action.have, session=peer.session
        )

    # -- the master ----------------------------------------------------------------------

    def serve(self, calls):
        """Hand the master calls that have come together; who is away hears none."""
        batch = []
        if self.now < self.back_at:
            for peer, _ in calls:
                if peer is not None:
                    peer.due = self.now, worker.Unreachable("connection refused")
            return
        for peer, event in calls:
            self.n_tickets += 1
            if peer is not None:
                peer.ticket, self.waiting[self.n_tickets] = self.n_tickets, peer
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
        if peer is None:
            return
        if isinstance(body, FlqError):
            event = worker.Problem(body.status_hint, str(body))
        elif body is None:
            event = worker.NothingNew(0.0)
        elif isinstance(body, dict):
            event = worker.Registered(json.loads(json.dumps(body)))
        else:
            stream = bytearray(b"".join(bytes(buffer) for buffer in body))
            event = (
                worker.Polled(stream) if isinstance(peer.action, worker.CallPoll) else worker.VerdictReceived(stream)
            )
        self.report(peer, event)

    def pass_time(self):
        """Nobody can act: go on to whatever comes first."""
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
