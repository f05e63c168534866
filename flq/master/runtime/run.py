"""A run: what its machine decides is written down, performed, shown and saved here.

The event loop (event_loop.py) owns the machine, and calls back to write (storage/store.py) and to perform. Everything
else is a part with one task: ending.py (how far the end has come), saver.py (results), evaluations.py, sink_feed.py,
records/counts.py, live/board.py (the status).
"""

import logging
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

from ...config_hash import config_hash
from ...core.layout import Vector
from ...core.settings import Settings, to_json
from ...errors import FlqError, Unavailable
from ...protocol.events import Effect, Effects, Note, ResultsSaved, RoundClosed, RunEnded, Stop, Ticket
from ...protocol.master_machine import MasterMachine
from ...report.rows import RoundRow
from ...report.summary import Totals, summary, totals_to_stored
from ...run_end import KEY, RunEnd, Stage, end_of
from ...sinks.messages import Began, Round
from ..live.board import Board
from ..live.news import PROBLEM
from ..live.status import status_of
from ..records.artifacts import Results
from ..records.counts import Counts
from ..records.round_log import Closed, Evaluated, Record, from_stored, to_stored
from ..records.wire_meter import Meter
from ..routes.model_files import ModelFiles
from ..storage.journal import Journal
from ..storage.store import Store
from .conclusion import Conclusion, conclusion
from .ending import Ending
from .evaluations import Evaluations
from .evaluator import Evaluator
from .event_loop import Call, EventLoop
from .saver import SAVE_EVALUATIONS_S, Saver
from .sink_feed import SinkFeed
from .sinks import Sinks

logger = logging.getLogger(__name__)

FINISH_S = 60.0  # how long the end waits for evaluations and for the Keras file
SINKS_S = 60.0  # how long it waits for figures, messages and trackers
STOP_S = 120.0  # longer than the results take to be saved
STUCK_S = 5.0  # how long a stop waits for a journal that cannot be written
LOOK_S = 0.1  # between two looks at whether there is a problem


class Run:
    """A run: its machine, its event loop and its results.

    Parameters
    ----------
    machine : MasterMachine
    settings : Settings
    store : Store
        What of the run is on disk: nothing is answered before it is there.
    results : Results
        Where the results go.
    evaluator : Evaluator
    meter : Meter
    sinks : Sinks, optional
        Who is told what happens.
    alive : callable(), optional
        Called by the event loop, every second and more often, also while it waits for the disk.

    Attributes
    ----------
    ending : Ending
        How far the end of the run has come.
    record : Record
        Closed rounds and their test results.
    published : (int, ndarray of shape (n_params,), float32)
        How many rounds are done, and the model after them, or its average where one is kept.
    model_files : ModelFiles
        ``published`` as files for people.
    counts : Counts
    feed : SinkFeed
    """

    def __init__(
        self,
        machine: MasterMachine,
        settings: Settings,
        store: Store,
        results: Results,
        evaluator: Evaluator,
        meter: Meter,
        sinks: Optional[Sinks] = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.machine, self.results = machine, results
        self.config_hash = config_hash(to_json(settings))
        self.ending, self.record, self.counts = Ending(), Record(), Counts(meter)
        self.feed = SinkFeed(sinks or Sinks(), self._began)
        self.published: Tuple[int, Vector] = (0, machine.model.state.model)
        self.model_files = ModelFiles(
            machine.options.run_id, machine.options.layout, lambda: self.published, evaluator, results.run_dir
        )
        self._settings, self._store, self._alive = settings, store, alive
        self._evaluations = Evaluations(
            evaluator,
            self.record,
            self._keep_evaluation,
            self._past_models,
            machine.options.max_rounds,
            settings.dataset.partition == "local",
        )
        self._saver = Saver(
            results, self._sheets, store.folder, evaluator, self.ending, self._tell_problem, self._written
        )
        self._board = Board(self._make_status, self._problem)
        self._loop = EventLoop(machine, self._note, self._commit, self._perform, self._after_events, self.ending.halt)
        self._closed: Dict[int, Closed] = {}  # rounds that are noted, and not performed yet
        self._board.publish(True)

    # -- for any thread ------------------------------------------------------------------

    @property
    def failed(self) -> bool:
        """Whether the run could not go on."""
        return self._loop.failed

    @property
    def status(self) -> Dict[str, Any]:
        """What GET /status says."""
        return self._board.status

    def begin(self) -> None:
        """Write where the run begins.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._store.begin(self.machine)

    def resume(self, journal: Journal) -> None:
        """Go on where the journal ends; before :meth:`start`.

        Raises
        ------
        FlqError
            If the journal and the snapshots do not lead there.
        """
        for _, value in journal.rounds():
            closed = from_stored(value)
            self.record.add_round(closed)
            self.counts.resume_round(closed)
        for index, results in journal.tested():
            self.record.add_evaluation(index, Evaluated(*results))
        reason = self._store.replay(
            self.machine,
            lambda index: self._evaluations.resume_at(index, self.machine.model.state),
            self._evaluations.replayed,
        )
        about = journal.about()
        end = RunEnd()
        if reason is not None:  # the program ended before the results were saved
            end = RunEnd(Stage.ENDED, reason, end_of(about).heard)
        self._store.note_about(**{KEY: end.to_json()}, settings=to_json(self._settings))
        self.published = journal.extent.n_rounds, self.machine.model.state.result
        self.counts.resume(self.machine, about.get("counted"))
        self.machine.restart_clocks(time.monotonic())
        self._board.publish(True)
        if reason is not None:
            self.machine.delivery.heard_end.update(end.heard)
            self._perform(RunEnded(reason))

    def start(self) -> None:
        """Take events from now on."""
        self.feed.start(self.published[0])
        self._loop.start()
        self._evaluations.begin_catching_up()

    def ask(self, make_event: Callable[[Ticket], Any]) -> Any:
        """Hand in an event and wait for the machine's reply; raises what the machine refuses it with."""
        return self._loop.ask(make_event)

    def take_report(self, worker_id: int, report: Dict[str, Any]) -> None:
        """Keep what a worker tells of its device, as ``flq.device.report`` has checked it."""
        self.counts.devices.take(worker_id, report)
        self.feed.report(worker_id, report, self.status["current_round"])

    def stop(self, reason: str) -> None:
        """End the run, and return when its results are saved.

        Raises
        ------
        Unavailable
            If the run has failed, or its results take too long.
        FlqError
            If the results are not written where they belong.
        """
        self._loop.tell(Stop(reason))
        began = stuck = time.monotonic()
        while not self.ending.wait(Stage.SAVED, LOOK_S):
            now, problem = time.monotonic(), self._store.problem
            if problem is None:
                stuck = now
            elif self._store.misplaced is not None:  # nothing that is decided now can be written
                self._stop_misplaced(problem)
            if now - stuck > STUCK_S:
                raise Unavailable("%s: the run ends when that is over" % problem, "see the master's log")
            if now - began > STOP_S:
                raise Unavailable("the results are not saved after %.0f s" % STOP_S, "see the master's log")
        if self.ending.stage is Stage.INTERRUPTED:
            raise Unavailable("the master was interrupted first", "stop the run when it goes on")
        if self.failed:
            raise Unavailable("the master has failed", "see its log")
        self._saver.try_again()
        self.results.check()

    def _stop_misplaced(self, problem: str) -> None:
        """Save the model elsewhere, and interrupt the run, unless its folder is back or there is no other place."""
        if not self._saver.find_place() or self._saver.misplaced is None:
            return
        self.results.save_model(self.published[1])
        self.interrupt("%s when it was to be stopped" % problem)
        raise FlqError(
            "%s: the run is interrupted, and %s" % (self._saver.misplaced.detail, self._where_the_model_is()),
            self._saver.misplaced.hint,
        )

    def interrupt(self, reason: str) -> None:
        """Let the program end: a master that resumes the run goes on with it. A run that has ended only ends."""
        self.ending.interrupt(reason)
        self._store.give_up()

    # -- the end, by the main thread -----------------------------------------------------

    def wait_for_evaluations(self) -> None:
        """Wait until the evaluator has caught up; when the run has ended, also with the rounds that were missed."""
        is_interrupted = self.ending.stage is Stage.INTERRUPTED
        self._evaluations.finish(
            SAVE_EVALUATIONS_S if is_interrupted else FINISH_S,
            catches_up=self.ending.has_ended and self._saver.misplaced is None,
        )

    def finish(self) -> None:
        """Complete the results: with all evaluations, all bytes, and what could not be written before.

        A run is over when its results are on disk and nobody is left to hear of it. Until then a master that resumes
        it writes them, and tells the others.
        """
        self._leave()
        self._saver.join()
        if not self._saver.find_place():
            return
        self.results.save_model(self.published[1])
        try:
            try:
                totals = self._loop.ask(lambda ticket: Call(self._totals))
            except Unavailable:  # no thread owns the machine any more
                totals = self._totals()
            self._saver.write(self.published[1], totals)
            if self.ending.has_ended and self.results.problem is None and self._saver.misplaced is None:
                with suppress(Unavailable):  # the event loop has failed, and has said why
                    self._loop.ask(lambda ticket: Call(self._be_over))
            self._tell_end(totals)
        except Exception:  # the machine is broken
            logger.exception("the results are not complete")

    def conclude(self) -> Conclusion:
        """Return how the run stands and where its results are."""
        misplaced = self._saver.misplaced
        if misplaced is not None:
            return Conclusion(1, error="%s; %s (%s)" % (misplaced.detail, self._where_the_model_is(), misplaced.hint))
        return conclusion(
            self.machine.options.run_id,
            self.ending.has_ended,
            self.failed,
            self.results.problem_of(),
            self.results.workbook,
            None if self.ending.stage is Stage.INTERRUPTED else self._totals(),
        )

    def close(self) -> None:
        """End the event loop, with what was counted last; requests that still wait are told so. Once is enough."""
        self._leave()
        self.ending.move(Stage.FAILED)  # unless it has ended, or was interrupted
        self._loop.close(self._note_end)

    def _leave(self) -> None:
        """Let no thread wait for an evaluation, for the next attempt to save, or for the disk."""
        self._evaluations.leave()
        self._saver.leave()
        self._store.give_up()

    def close_sinks(self) -> None:
        """Let the sinks finish with what they have been told, within a time limit."""
        self.feed.close(SINKS_S)

    # -- the event loop ------------------------------------------------------------------

    def _note(self, effects: Effects) -> None:
        self._store.note(self.machine, effects)
        for effect in effects:
            if isinstance(effect, RoundClosed):
                closed = self._closed[effect.report.round_index] = self.counts.close_round(effect.report)
                self._store.note_round(effect.report.round_index, to_stored(closed))
                self._note_totals()
            elif isinstance(effect, RunEnded):
                self._store.note_about(**{KEY: RunEnd(Stage.ENDED, effect.reason).to_json()})
                self._note_totals()

    def _note_totals(self) -> None:
        """Keep the workers' totals in the journal, so that ``python -m flq.report`` can write the workbook too."""
        self._store.note_about(totals=totals_to_stored(self._totals()))

    def _note_end(self) -> None:
        """Note how far the end has come, and what was counted so far."""
        heard = sorted(self.machine.delivery.heard_end)
        self._store.note_about(**{KEY: self.ending.recorded(heard).to_json()})
        self._note_totals()

    def _be_over(self) -> None:
        self.ending.move(Stage.OVER)
        self._note_end()

    def _commit(self) -> bool:
        return self._store.commit(lambda: self.counts.to_json(self.machine), self._alive)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, RoundClosed):
            round_index = effect.report.round_index
            self.published = round_index, effect.result
            self.record.add_round(self._closed.pop(round_index))
            self._evaluations.evaluate(round_index, effect)
        elif isinstance(effect, Note):
            logger.info("%s", effect.text)
            self.feed.say(effect.kind, effect.text, effect.worker_id, self.machine.round_index)
        elif isinstance(effect, RunEnded) and self.ending.move(Stage.ENDED, effect.reason):
            # If it was interrupted first, the master that resumes the run ends it.
            self._saver.begin(self.published[1], self._totals())

    def _after_events(self, is_idle: bool) -> None:
        self._alive()
        is_told = self.ending.stage is Stage.SAVED and self.machine.everyone_heard()
        self._board.publish(is_idle or is_told)
        if is_told:  # after the status: the program ends with what those who look saw last
            self.ending.move(Stage.TOLD)

    def _totals(self) -> Totals:
        return self.counts.totals(self.machine, self.record.last_evaluated().accuracy)

    def _make_status(self, now: float) -> Dict[str, Any]:
        return status_of(
            self.machine,
            self.counts.meter,
            self.counts.devices,
            self.record.last_evaluated(),
            self.config_hash,
            self._store.disk_bytes(),
            now,
        )

    # -- any thread, called back by the parts --------------------------------------------

    def _problem(self) -> Optional[str]:
        return self._store.problem or (self.results.problem if self.ending.has_reached(Stage.SAVED) else None)

    def _began(self) -> Began:
        return Began(
            self.machine.options.run_id,
            self._settings,
            self.results.figures_dir,
            [Round(row, self.record.roll_call(row.round_index)) for row in self.record.rounds()],
        )

    def _keep_evaluation(self, round_index: int, evaluated: Optional[Evaluated], row: RoundRow) -> None:
        if evaluated is not None:
            self._store.note_tested(round_index, evaluated)
        self.feed.round(row, self.record.roll_call(round_index))

    def _past_models(self) -> Any:
        options = self.machine.options
        return self._store.past_models(MasterMachine(options, np.zeros(options.layout.n_params, np.float32)))

    def _sheets(self, totals: Totals) -> tuple:
        rounds = self.record.rounds()
        pairs = summary(
            self.machine.options.run_id, self.ending.reason, rounds, totals, self._settings, self.config_hash
        )
        roll_calls = [(row.round_index, call) for row, call in zip(rounds, self.record.roll_calls())]
        return pairs, rounds, totals.workers, roll_calls

    def _tell_problem(self, problem: str) -> None:
        self.feed.say(PROBLEM, problem, round_index=self.machine.round_index)

    def _written(self, totals: Totals) -> None:
        self._tell_end(totals)
        self._loop.tell(ResultsSaved())

    def _tell_end(self, totals: Totals) -> None:
        self.feed.end(self.ending.stage, self.ending.reason, self.failed, totals.workers, self.machine.round_index)

    def _where_the_model_is(self) -> str:
        problem = self.results.problem_of(self.results.model)
        if problem is not None:
            return "the model is not saved: %s" % problem
        return "the model after round %d is saved as %s" % (self.published[0], self.results.model)
