"""The master's machine with its journal and snapshots, in this process: after a kill, it resumes from its files."""

import os
import shutil
from unittest import mock

from flq.errors import FlqError
from flq.master.records.round_log import Closed, from_stored, to_stored
from flq.master.records.wire_meter import Wire
from flq.master.storage import journal, resume, snapshots
from flq.master.storage.store import Store
from flq.protocol import downlink, events
from flq.protocol.master_machine import MasterMachine, State
from flq.protocol.messages import Kind
from flq.protocol.options import run_options
from flq.run_end import KEY, RunEnd, Stage
from flq.training.frameworks import make_task

BEFORE, WITHIN, JOURNALLED, ANSWERED, SNAPSHOT, CLOSING, CLOSED, KEYFRAME, RESUMED = MASTER_POINTS = (
    "before the journal",
    "within the journal",
    "after the journal, before the answer",
    "after the answer",
    "in the middle of a snapshot",
    "before a round closes",
    "when a round has closed",
    "while a keyframe is encoded",
    "while it resumes",
)
SNAPSHOT_EVERY, SNAPSHOTS_KEPT = 2, 2
RUN = "20260101_000000_run"


class Killed(BaseException):
    """The process is dead; its code must not catch this."""


class CrashMaster:
    """A master that gets a new folder after each kill, with the files at that moment.

    Parameters
    ----------
    folder : str
    settings : dict
    strikes_at : callable(point) -> bool
        Returns at each point whether the process dies there.
    """

    def __init__(self, folder, settings, strikes_at):
        self._folder, self._settings, self._strikes_at = folder, settings, strikes_at
        self._life, self._is_live, self._is_dead = 0, False, False
        self.n_keyframes, self.notes, self.closed = 0, [], []

    @property
    def results_dir(self):
        """The folder of runs in this life."""
        return os.path.join(self._folder, "life%d" % self._life)

    @property
    def run_dir(self):
        """The folder of the run in this life."""
        return os.path.join(self.results_dir, RUN)

    # -- as the program does -------------------------------------------------------------

    def begin(self):
        """Start the run."""
        task = make_task(self._settings)
        layout, start = task.layout, task.start()
        os.makedirs(self.run_dir)
        self.machine = MasterMachine(run_options(RUN, self._settings, layout), start)
        self._lock = resume.hold(self.run_dir)
        self._journal = resume.begin_journal(self.run_dir, RUN, self._settings, layout)
        self._store = Store(self.run_dir, self._journal, SNAPSHOT_EVERY, SNAPSHOTS_KEPT)
        self._store.begin(self.machine)
        self._reason, self._is_live = None, True

    def resume(self, now):
        """Resume from the files; if killed meanwhile, from those at that moment."""
        while True:
            try:
                return self._resume(now)
            except Killed:
                self._bury()

    def _resume(self, now):
        past = resume.resume_run("", self.results_dir)
        self._journal, self._lock = past.journal, past.lock
        try:
            self._replay(past)
        except FlqError:
            past.journal.close()
            past.lock.close()
            raise
        self._is_live = True
        self._reach(RESUMED)
        self.machine.restart_clocks(now)

    def _replay(self, past):
        resume.check_may_resume(past, self._settings)
        start = make_task(self._settings).start()
        self.machine = MasterMachine(run_options(past.run_id, self._settings, past.layout), 0 * start)
        self._store = Store(self.run_dir, self._journal, SNAPSHOT_EVERY, SNAPSHOTS_KEPT)
        self._reason = self._store.replay(self.machine, lambda index: None, self.closed.append)
        counted = self._journal.about().get("counted")
        if counted is not None:
            self.machine.delivery.resume(counted["traffic"])

    def take(self, batch, now, reply):
        """Process a batch of events; ``reply(ticket, body)`` gets the replies.

        Raises
        ------
        Killed
            If the process died at a point; the files are ready for :meth:`resume`.
        """
        try:
            decided = [effect for event in batch for effect in self._decide(event, now)]
            if self.machine.state is State.FINISHED:
                self._store.note_about(**{KEY: RunEnd(Stage.OVER, self._reason).to_json()})
            has_news = self._store.has_news
            if has_news:
                self._reach(BEFORE)
            self._store.commit(lambda: {"traffic": self.machine.delivery.capture()})
            self._store.snapshots.wait()
            if has_news:
                self._reach(JOURNALLED)
            for effect in decided:
                if isinstance(effect, events.Reply):
                    reply(effect.ticket, effect.body)
                    self._reach(ANSWERED)
            if self._is_dead:  # in a snapshot, which another thread writes
                raise Killed
        except Killed:
            self._bury()
            raise

    def _decide(self, event, now):
        effects = self.machine.handle(event, now)
        self._store.note(self.machine, effects)
        for effect in effects:
            if isinstance(effect, events.RoundClosed):
                self._store.note_round(effect.report.round_index, to_stored(Closed(effect.report, Wire())))
            elif isinstance(effect, events.RunEnded):
                self._reason = effect.reason
            elif isinstance(effect, events.Note):
                self.notes.append(effect.text)
        return effects

    def rounds(self):
        """Return the reports of the journal."""
        return [from_stored(value).report for _, value in self._journal.rounds()]

    def close(self):
        """Close the files."""
        self._is_live = False
        self._store.close()
        self._lock.close()

    # -- its end -------------------------------------------------------------------------

    def _reach(self, point):
        if self._is_live and not self._is_dead and self._strikes_at(point):
            self._die()
            raise Killed

    def _die(self):
        """Copy the files at this moment; later changes are lost."""
        self._is_dead = True
        target = os.path.join(self._folder, "life%d" % (self._life + 1), RUN)
        shutil.copytree(self.run_dir, target, ignore=shutil.ignore_patterns("*-shm"))

    def _bury(self):
        self.close()
        self._life += 1
        self._is_dead = False

    def patches(self):
        """Return the patches that turn functions of the product into points."""
        leave, save, encode = journal._Transaction.__exit__, snapshots.save_state, downlink.encode
        close_round = MasterMachine._close_round

        def leave_transaction(transaction, kind, *rest):
            if kind is None:
                self._reach(WITHIN)
            return leave(transaction, kind, *rest)

        def save_snapshot(path, meta, arrays):
            save(path, meta, arrays)
            if self._is_live and not self._is_dead and self._strikes_at(SNAPSHOT):
                os.rename(path, path + ".part")
                size = os.path.getsize(path + ".part")
                os.truncate(path + ".part", size // 2)
                self._die()

        def encode_frame(message, link):
            if getattr(message, "kind", None) is Kind.KEYFRAME:
                self.n_keyframes += 1
                self._reach(KEYFRAME)
            return encode(message, link)

        def close_a_round(machine, now):
            self._reach(CLOSING)
            close_round(machine, now)
            self._reach(CLOSED)

        return [
            mock.patch.object(journal._Transaction, "__exit__", leave_transaction),
            mock.patch.object(snapshots, "save_state", save_snapshot),
            mock.patch.object(downlink, "encode", encode_frame),
            mock.patch.object(MasterMachine, "_close_round", close_a_round),
        ]
