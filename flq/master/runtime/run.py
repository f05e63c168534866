"""The run: what the machine decides is done here, and shown, and saved.

The machine belongs to one thread (event_loop.py), which also writes down what it decides (storage/store.py) and
performs its effects: rounds are recorded and evaluated, the end is saved. After some events it
publishes a status and the model for anybody to read without waiting.
"""

import logging
import math
import os
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

from ...config_hash import config_hash
from ...core.layout import Vector
from ...errors import FlqError, Unavailable
from ...logfile import say
from ...protocol.events import Effect, Effects, Note, RoundClosed, RunEnded, Saved, Stop, Ticket
from ...protocol.master_machine import MasterMachine
from ...protocol.master_state import set_traffic, traffic_of
from ...report.names import without_address
from ...report.rows import RoundRow
from ...report.summary import NEVER_JOINED, Totals, blocked_updates, lost_workers, summary, totals_to_stored
from ...sinks.messages import Began, Ended, Happened, Round
from ..live.news import BEGAN, ENDED, INTERRUPTED, PROBLEM, WENT_ON, Item, News
from ..live.status import status_of
from ..records.artifacts import Results
from ..records.devices import Devices
from ..records.round_log import Closed, Evaluated, Record, from_stored, to_stored
from ..records.totals import totals_of
from ..records.wire_meter import Meter, Wire
from ..routes.model_files import ModelFiles
from ..storage.journal import Journal
from ..storage.run_folder import Misplaced
from ..storage.store import Store
from .evaluator import Evaluator
from .event_loop import Call, Owner
from .sinks import Watchers

logger = logging.getLogger(__name__)

SAVE_EVALUATIONS_S = 5.0  # how long the results wait for evaluations that are under way
FINISH_S = 60.0  # how long the end waits for them and for the Keras file
WATCHERS_S = 60.0  # how long it waits for figures, messages and trackers
STOP_S = 120.0  # longer than the results take to be saved
STUCK_S = 5.0  # how long a stop waits for a journal that cannot be written
SAVE_AGAIN_S = 5.0  # between two attempts to write the results
LOOK_S = 0.1  # between two looks at whether there is a problem
PUBLISH_S = 0.2  # how old the status may become while events keep coming


class MasterService:
    """The run: its machine, its thread and its results.

    Parameters
    ----------
    machine : MasterMachine
    settings : dict
    results_dir, run_dir, stamp : str
        Where the workbook and the model files go; ``stamp`` is part of the workbook's name.
    store : Store
        What of the run is on disk: nothing is answered before it is there.
    watchers : Watchers, optional
        Who is told what happens.

    Attributes
    ----------
    alive : callable()
        Called by the thread that owns the machine, every second and more often, also while it waits for the disk.
    was_interrupted : bool
        The program ends before the run does; the run can go on.
    misplaced : Misplaced or None
        Set at the end if the folder of the run was not where it was: the results are in another one.
    saved, heard, released : Event
        The master has tried to save the results of the ended run; every worker that is
        still there knows of the end; nobody needs a master that keeps serving any more.
    published : (int, ndarray of shape (n_params,), float32)
        How many rounds are done, and the model after them, or its average where one is kept.
    model_files : ModelFiles
        ``published`` as files for people.
    devices : Devices
        What workers tell of their boards.
    news : News
        What has happened, for people.
    config_hash : str
        Of the settings.
    """

    def __init__(
        self,
        machine: MasterMachine,
        settings: Dict[str, Dict[str, Any]],
        evaluator: Evaluator,
        meter: Meter,
        results_dir: str,
        run_dir: str,
        stamp: str,
        store: Store,
        watchers: Optional[Watchers] = None,
    ) -> None:
        self.machine = machine
        self.record = Record()
        self.alive: Callable[[], None] = lambda: None
        self.was_interrupted = False
        self.misplaced: Optional[Misplaced] = None
        self._figures_dir = os.path.join(results_dir, "figures", machine.options.run_id)
        self.results = Results(settings, machine.options.layout, results_dir, run_dir, stamp, self._figures_dir)
        self.saved, self.heard, self.released = threading.Event(), threading.Event(), threading.Event()
        self.published: Tuple[int, Vector] = (0, machine.model.state.model)
        self.model_files = ModelFiles(
            machine.options.run_id, machine.options.layout, lambda: self.published, evaluator, run_dir
        )
        self.devices = Devices()
        self.news = News()
        self.config_hash = config_hash(settings)
        self._settings, self._run_dir = settings, run_dir
        self._meter, self._evaluator, self._store = meter, evaluator, store
        self._watchers = watchers or Watchers()
        self._owner = Owner(machine, self._note, self._commit, self._perform, self._publish, self._let_the_program_end)
        self._status: Dict[str, Any] = {}
        self._published_at = 0.0
        self._reason = "the master failed"
        self._ending = threading.Lock()
        self._is_ending = self._is_closing = False  # the results are being saved; the thread is to end
        self._end: Tuple[Vector, Any] = (machine.model.state.model, None)  # the model and the totals to be saved
        self._saver: Optional[threading.Thread] = None
        self._has_tried, self._leaving = False, threading.Event()  # to save them; only the last attempt is left
        self._moving, self._has_place = threading.Lock(), True  # whether the results have a folder
        self._is_local = settings["dataset"]["partition"] == "local"  # nobody but the workers has data
        self._has_missed, self._catching_up = False, threading.Lock()
        self._wire_at_last_close = Wire()
        self._closed: Dict[int, Closed] = {}  # rounds that are not written down yet
        self._publish(True)

    # -- for any thread ------------------------------------------------------------------

    @property
    def failed(self) -> bool:
        """Whether the run could not go on."""
        return self._owner.failed

    @property
    def status(self) -> Dict[str, Any]:
        """What GET /status says."""
        return dict(self._status, problem=self._store.problem or (self.results.problem if self._has_tried else None))

    def start(self) -> None:
        """Begin to take events."""
        self._watchers.start(self._began)
        n_done = self.published[0]
        self._tell(
            self.news.add(
                *(WENT_ON, "the run goes on after round %d" % n_done) if n_done else (BEGAN, "the run has begun"),
                round_index=n_done,
            )
        )
        self._owner.start()
        if self._has_missed:  # now: the journal may soon forget what leads to these models
            threading.Thread(target=self._catch_up, name="catching-up", daemon=True).start()

    def begin(self) -> None:
        """Write down where the run begins.

        Raises
        ------
        OSError
            If it can not be written.
        """
        self._store.begin(self.machine)

    def go_on(self, journal: Journal) -> None:
        """Take the run up where its journal ends; before :meth:`start`.

        Raises
        ------
        FlqError
            If the journal and the snapshots do not lead there.
        """
        for _, value in journal.rounds():
            closed = from_stored(value)
            self.record.add_round(closed)
            self._wire_at_last_close = self._wire_at_last_close.plus(closed.wire)
        for index, results in journal.tested():
            self.record.add_evaluation(index, Evaluated(*results))
        reason = self._store.revive(self.machine, self._evaluate_restored, self._evaluate_again)
        about = journal.about()
        self._has_missed = bool(self.record.missed())
        self._store.note_about(
            ended=None,
            reason=reason,
            heard=[],  # it may have ended, and been made longer
            settings=self._settings,
        )
        self.published = journal.extent.n_rounds, self.machine.model.state.result
        counted = about.get("counted")
        if counted is not None:
            set_traffic(self.machine, counted["traffic"])
            for worker_id, *wire in counted["wire"]:
                self._meter.add(worker_id, Wire(*wire))
            self.devices.restore(counted.get("devices", ()))  # of a run that an older version began, none
        self.machine.go_on(time.monotonic())
        self._publish(True)
        if reason is not None:  # the program ended before the results were saved
            for worker_id in about.get("heard", ()):
                self.machine.members[worker_id].heard_end = True
            self._perform(RunEnded(reason))

    def ask(self, make_event: Callable[[Ticket], Any]) -> Any:
        """Hand in an event and wait for the machine's reply; raises what the machine refuses it with."""
        return self._owner.ask(make_event)

    def take_report(self, worker_id: int, report: Dict[str, Any]) -> None:
        """Keep what a worker tells of its device, as ``flq.device.report`` has checked it."""
        self.devices.take(worker_id, report)
        item = self.news.add_problem(worker_id, report, self._status["current_round"])
        if item is not None:
            self._tell(item)

    def stop(self, reason: str) -> None:
        """End the run, and return when its results are saved.

        Raises
        ------
        Unavailable
            If the run has failed, or its results take too long.
        FlqError
            If the results are not written where they belong.
        """
        self._owner.tell(Stop(reason))
        began = stuck = time.monotonic()
        while not self.saved.wait(LOOK_S):
            now, problem = time.monotonic(), self._store.problem
            if problem is None:
                stuck = now
            elif self._store.misplaced is not None and self._move():  # nothing that is decided now can be written
                self.results.save_model(self.published[1])
                self.interrupt("%s when it was to be stopped" % problem)
                raise FlqError(
                    "%s: the run is interrupted, and %s" % (self.misplaced.detail, self._where_the_model_is()),
                    self.misplaced.hint,
                )
            if now - stuck > STUCK_S:
                raise Unavailable("%s: the run ends when that is over" % problem, "see the master's log")
            if now - began > STOP_S:
                raise Unavailable("the results are not saved after %.0f s" % STOP_S, "see the master's log")
        if self.was_interrupted:
            raise Unavailable("the master was interrupted first", "stop the run when it goes on")
        if self.failed:
            raise Unavailable("the master has failed", "see its log")
        self._write_results()  # once more, if need be
        self.results.check()

    def interrupt(self, reason: str) -> None:
        """Let the program end: the run goes on when a master takes it up again. A run that has ended only ends."""
        with self._ending:
            if not self._is_ending:
                self._reason, self.was_interrupted = reason, True
        if self.was_interrupted:
            for event in (self.saved, self.heard):
                event.set()
        self._store.give_up()
        self.released.set()

    def wait_for_evaluator(self) -> None:
        """Wait until the evaluator has caught up; when the run has ended, also with the rounds that were missed."""
        limit_s = SAVE_EVALUATIONS_S if self.was_interrupted else FINISH_S
        until = time.monotonic() + limit_s
        if not self._evaluator.wait_until_idle(limit_s):
            logger.warning("the evaluator has not finished after %.0f s", limit_s)
        elif self._is_ending and self.misplaced is None:
            self._catch_up(until)
        untested = self.record.without_results()
        if untested and not self._is_local:
            logger.warning("%d rounds have no test results, the last of them is round %d", len(untested), untested[-1])

    def finish(self) -> None:
        """Complete the results: with all evaluations, all bytes, and what could not be written before.

        A run has ended for good when its results are on disk and nobody is left to hear of it: until then a master that
        is killed can take it up again, write them, and tell the others.
        """
        self._leaving.set()
        if self._saver is not None:
            self._saver.join()
        self._store.give_up()
        if not self._move():
            return
        self.results.save_model(self.published[1])
        try:
            try:
                totals = self._owner.ask(lambda ticket: Call(self._totals))
            except Unavailable:  # nobody owns the machine any more
                totals = self._totals()
            self._save_workbook(totals)
            if self._is_ending and self.results.problem is None and self.misplaced is None:
                with suppress(Unavailable):  # the thread has failed, and has said why
                    self._owner.ask(lambda ticket: Call(self._end_for_good))
            self._tell_the_end(totals)
        except Exception:  # the machine is broken
            logger.exception("the results are not complete")

    def conclude(self) -> int:
        """Say how the run stands and where its results are; return the exit code, signals left aside."""
        run_id, problem = self.machine.options.run_id, self.results.problem_of()
        if self.misplaced is not None:
            logger.error("%s; %s (%s)", self.misplaced.detail, self._where_the_model_is(), self.misplaced.hint)
            return 1
        if self._is_ending and problem is not None:
            logger.error(
                "the run has ended, but its results are not complete: %s (make room, or remove what is in the "
                "way; then ./start_master.sh --resume %s writes them)",
                problem,
                run_id,
            )
            return 1
        if self._is_ending and self.failed:
            say(
                "the run has ended and its results are whole, but its journal may not say so; to make sure: "
                "./start_master.sh --resume %s" % run_id
            )
        elif self.was_interrupted or self.failed:
            say("to go on: ./start_master.sh --resume %s" % run_id)
        if problem is None:
            say("results: %s" % self.results.workbook)
        blocked = None if self.was_interrupted else blocked_updates(self._totals())
        for sentence in (None if self.was_interrupted else self._fewer_workers(), blocked):
            if sentence is not None:
                say(sentence)
        return 1 if self.failed or blocked is not None else 0

    def close(self) -> None:
        """End the thread, with what was counted last; requests that still wait are told so. Once is enough."""
        self._leaving.set()
        self._store.give_up()
        self._is_closing = True
        self._owner.close()

    def close_watchers(self) -> None:
        """Let those who watch finish with what they have been told, within a time limit."""
        self._watchers.close(WATCHERS_S)

    # -- the owner thread ----------------------------------------------------------------

    def _note(self, effects: Effects) -> None:
        self._store.note(self.machine, effects)
        for effect in effects:
            if isinstance(effect, RoundClosed):
                total = self._meter.of_workers()
                before, self._wire_at_last_close = self._wire_at_last_close, total
                closed = Closed(
                    effect.report, Wire(total.up - before.up, total.down - before.down), self.devices.energy_j()
                )
                self._closed[effect.report.round_index] = closed
                self._store.note_round(effect.report.round_index, to_stored(closed))
                self._note_totals()
            elif isinstance(effect, RunEnded):
                self._note_totals(effect.reason)

    def _note_totals(self, reason: Optional[str] = None) -> None:
        """Keep the workers' totals in the journal, so that ``python -m flq.report`` can write the workbook too."""
        self._store.note_about(totals=totals_to_stored(self._totals()), reason=reason)

    def _commit(self) -> bool:
        if self._is_closing:
            self._store.note_about(
                counted=None,  # which commit replaces
                heard=[worker_id for worker_id, member in sorted(self.machine.members.items()) if member.heard_end],
            )
            self._note_totals(self._reason)
        return self._store.commit(self._counted, self.alive)

    def _counted(self) -> Dict[str, Any]:
        return {
            "traffic": traffic_of(self.machine),
            "wire": [[worker_id, *wire] for worker_id, wire in self._meter.snapshot().items()],
            "devices": self.devices.to_json(),
        }

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, RoundClosed):
            round_index = effect.report.round_index
            self.published = round_index, effect.result
            self.record.add_round(self._closed.pop(round_index))
            self._evaluate(round_index, effect.model, effect.shared, effect.mean)
        elif isinstance(effect, Note):
            logger.info("%s", effect.text)
            self._tell(self.news.add(effect.kind, effect.text, effect.worker_id, self.machine.round_index))
        elif isinstance(effect, RunEnded):
            with self._ending:
                if self.was_interrupted:  # the master that resumes the run will end it
                    return
                self._is_ending, self._reason = True, effect.reason
            self._end = self.published[1], self._totals()
            self._saver = threading.Thread(target=self._save, name="saver", daemon=True)
            self._saver.start()

    def _evaluate(self, round_index: int, model: Vector, shared: Vector, mean: Optional[Vector]) -> None:
        if self._is_local:
            self._evaluated(round_index, Evaluated())
        else:
            self._evaluator.evaluate(round_index, _vectors(model, shared, mean), self._evaluated)

    def _evaluate_again(self, closed: RoundClosed) -> None:
        """Evaluate a round whose results were not written down."""
        if self.record.is_untested(closed.report.round_index):
            self._evaluate(closed.report.round_index, closed.model, closed.shared, closed.mean)

    def _evaluate_restored(self, round_index: int) -> None:
        """Do so for the round after which the snapshot was taken; those before it are not known any more."""
        server = self.machine.model.state
        self.record.give_up_before(round_index)
        if self.record.is_untested(round_index):
            self._evaluate(round_index, server.model, server.shared, server.mean)

    def _end_for_good(self) -> None:
        self._store.note_about(ended=self._reason)
        self._note_totals(self._reason)

    def _totals(self) -> Totals:
        return totals_of(self.machine, self._meter, self.devices, self.record.last_evaluated().accuracy)

    def _publish(self, is_idle: bool) -> None:
        """Say that all have heard of the end, and make the status anew unless the next event will."""
        self.alive()
        is_over = False
        try:
            is_over = self._has_tried and self.machine.everyone_heard()
            now = time.monotonic()
            if is_idle or is_over or now - self._published_at >= PUBLISH_S:
                self._status = status_of(
                    self.machine,
                    self._meter,
                    self.devices,
                    self.record.last_evaluated(),
                    self.config_hash,
                    self._store.disk_bytes(),
                    now,
                )
                self._published_at = time.monotonic()
        except Exception:
            logger.exception("the status is not made anew")
        if is_over:
            self.heard.set()  # after the status: the program ends with what those who look saw last

    def _let_the_program_end(self) -> None:
        for event in (self.saved, self.heard, self.released):
            event.set()

    # -- other threads -------------------------------------------------------------------

    def _keep_evaluation(self, round_index: int, evaluated: Optional[Evaluated]) -> RoundRow:
        row = self.record.add_evaluation(round_index, evaluated)
        if evaluated is not None:
            self._store.note_tested(round_index, evaluated)
        self._watchers.tell(Round(row, self.record.roll_call(round_index)))
        return row

    def _evaluated(self, round_index: int, evaluated: Optional[Evaluated]) -> None:
        row = self._keep_evaluation(round_index, evaluated)
        logger.info(
            "round=%d/%d accuracy=%s test_loss=%s loss=%s uploaded=%d skipped=%d refused=%d late=%d lost=%d "
            "wire_up=%d wire_down=%d seconds=%.2f",
            row.round_index,
            self.machine.options.max_rounds,
            _number(row.own_accuracy if row.accuracy is None else row.accuracy),
            _number(row.own_loss if row.test_loss is None else row.test_loss),
            _number(row.training_loss),
            row.uploaded,
            row.skipped,
            row.refused,
            row.late,
            row.lost,
            row.wire_bytes_up,
            row.wire_bytes_down,
            row.round_s,
        )

    def _catch_up(self, until: float = math.inf) -> None:
        """Evaluate missed rounds whose models the journal and the snapshots still lead to."""
        if self._is_local or not self._catching_up.acquire(
            timeout=min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
        ):
            return
        missed = set(self.record.missed())
        before = len(missed)
        try:
            if not missed:
                return
            options = self.machine.options
            machine = MasterMachine(options, np.zeros(options.layout.n_params, np.float32))
            with closing(self._store.past_models(machine)) as found:
                for round_index, models in found:
                    if round_index in missed and not self._evaluate_late(round_index, models, until):
                        break
                    missed.discard(round_index)
                    if round_index >= max(missed, default=0) or time.monotonic() > until:
                        break
        except (FlqError, OSError, sqlite3.Error) as error:
            logger.warning("missed rounds are not evaluated: %s", error)
        except Exception:  # a bug of ours: the run does without these results
            logger.exception("missed rounds are not evaluated")
        finally:
            self._catching_up.release()
        if len(missed) < before:
            logger.info("%d rounds were evaluated late, from the journal", before - len(missed))

    def _evaluate_late(self, round_index: int, models: Any, until: float) -> bool:
        """Evaluate a missed round and wait for it; return whether there are results."""
        done = threading.Event()

        def finish(round_index: int, evaluated: Optional[Evaluated]) -> None:
            if evaluated is not None:
                self._keep_evaluation(round_index, evaluated)
            done.set()

        self._evaluator.evaluate(round_index, _vectors(models.model, models.shared, models.mean), finish)
        while not done.wait(LOOK_S) and time.monotonic() < until and not self._leaving.is_set():
            pass
        return round_index not in self.record.missed()

    def _write_results(self) -> None:
        """Write the model and the workbook, unless they are written."""
        model, totals = self._end
        self.results.save_model(model)
        if self.results.problem is not None:
            self._save_workbook(totals)

    def _save(self) -> None:
        """Write the results, and say so; try again while one is not written and the master stays."""
        try:
            model, totals = self._end
            self.results.save_model(model)
            self._evaluator.wait_until_idle(SAVE_EVALUATIONS_S)
            logger.info("the run has ended: %s", self._reason)
            self._save_workbook(totals)
            if self._settings["model"]["name"] != "quadratic":
                self._evaluator.save_keras(os.path.join(self._run_dir, "model.keras"), model)
            self._has_tried, problem = True, self.results.problem
            if problem is not None:
                self._tell(self.news.add(PROBLEM, problem, round_index=self.machine.round_index))
                self.saved.set()
                while self.results.problem is not None and not self._leaving.wait(SAVE_AGAIN_S):
                    self._write_results()
            if self.results.problem is None:
                self._tell_the_end(totals)
                self._owner.tell(Saved())
        except Exception:
            logger.exception("the results are not complete")
        finally:
            self._has_tried = True
            self.saved.set()

    # -- those who watch -----------------------------------------------------------------

    def _began(self) -> Began:
        rows = self.record.rounds()
        return Began(
            self.machine.options.run_id,
            without_address(self._settings),
            self._figures_dir,
            [Round(row, self.record.roll_call(row.round_index)) for row in rows],
        )

    def _tell(self, item: Item) -> None:
        self._watchers.tell(Happened(item.kind, item.text, item.worker_id, item.round_index, item.at))

    def _tell_the_end(self, totals: Totals) -> None:
        """Tell those who watch, once, that the run has ended, or that it ends here and can go on."""
        if not self._watchers.has_ended:
            kind = INTERRUPTED if self.was_interrupted else ENDED
            self._tell(self.news.add(kind, self._reason, round_index=self.machine.round_index))
            self._watchers.tell(Ended(self._reason, self.was_interrupted, self.failed, totals.workers))

    def _save_workbook(self, totals: Totals) -> None:
        def content() -> tuple:
            rounds = self.record.rounds()
            pairs = summary(self.machine.options.run_id, self._reason, rounds, totals, self._settings, self.config_hash)
            roll_calls = [(row.round_index, call) for row, call in zip(rounds, self.record.roll_calls())]
            return pairs, rounds, totals.workers, roll_calls

        self.results.save_workbook(content)

    def _move(self) -> bool:
        """Move the results if the folder of the run is not where it was; return whether they have a folder."""
        with self._moving:
            if self.misplaced is None:
                self.misplaced = self._store.folder.misplaced()
                self._has_place = self.misplaced is None or self.results.move()
            return self._has_place

    def _where_the_model_is(self) -> str:
        problem = self.results.problem_of(self.results.model)
        return (
            "the model after round %d is saved as %s" % (self.published[0], self.results.model)
            if problem is None
            else "the model is not saved: %s" % problem
        )

    def _fewer_workers(self) -> Optional[str]:
        """Return a sentence on the workers that were lost by the end, None if there are none."""
        totals = self._totals()
        lost, n_joined = lost_workers(totals), sum(row.state != NEVER_JOINED for row in totals.workers)
        if not lost:
            return None
        return "the run ended on %d of the %d workers that joined; lost: %s" % (
            n_joined - len(lost),
            n_joined,
            ", ".join(map(str, lost)),
        )


def _vectors(model: Vector, shared: Vector, mean: Optional[Vector]) -> Tuple[Vector, ...]:
    """Return the vectors that are evaluated after a round."""
    return (model, shared) + (() if mean is None else (mean,))


def _number(value: Optional[float]) -> str:
    return "-" if value is None else "%.4f" % value
