"""A run: journals, performs, shows and saves the decisions of its machine.

The event loop (event_loop.py) owns the machine, and calls back to journal (storage/store.py) and to perform effects.
Each other part has one task: ending.py (stage of the end), saver.py (results), evaluations.py, sink_feed.py,
records/counts.py, live/board.py (the status).
"""

import logging
import os
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Optional

import numpy as np

from ...config_hash import config_hash
from ...core.settings import to_json
from ...errors import FlqError, Unavailable
from ...protocol.events import DATA, Effect, Effects, Note, ResultsSaved, RoundClosed, RunEnded, Stop
from ...protocol.master_machine import MasterMachine
from ...report.rows import RoundRow
from ...report.summary import Totals, summary, totals_to_stored
from ...run_end import KEY, RunEnd, Stage, end_of
from ...sinks.messages import Began, Round
from ..live.board import StatusBoard
from ..live.news import DIVERGED, PROBLEM
from ..live.status import status_of
from ..records.artifacts import Results
from ..records.counts import Counts
from ..records.round_log import Evaluated, Record, from_stored, to_stored
from ..records.wire_meter import Meter
from ..routes.model_files import ModelFiles
from ..storage.journal import Journal
from ..storage.store import Store
from .conclusion import RESUME, STARTED_WITH, Conclusion, conclusion
from .divergences import Divergences
from .ending import Ending
from .evaluations import Evaluations
from .evaluator import Evaluator
from .event_loop import EventLoop, Execute
from .saver import SAVE_EVALUATIONS_S, Saver
from .sink_feed import SinkFeed
from .sinks import Sinks

logger = logging.getLogger(__name__)

FINISH_S = 60.0  # time limit of evaluations and the exported model at the end
SINKS_S = 60.0  # time limit of figures, messages and trackers at the end
STOP_S = 120.0  # time limit for saving the results on a stop
STUCK_S = 5.0  # time limit of a stop while the journal cannot be written
LOOK_S = 0.1  # between two checks for a problem


class Run:
    """A run: its machine, its event loop and its results.

    Parameters
    ----------
    machine : MasterMachine
    store : Store
        The run on disk; it is written before any reply.
    results : Results
        Writes the results.
    evaluator : Evaluator
    meter : Meter
    sinks : Sinks, optional
        Get the events of the run.
    alive : callable(), optional
        Called by the event loop at least every second, also while it waits for the disk.

    Attributes
    ----------
    ending : Ending
        The stage of the run's end.
    record : Record
        Closed rounds and their test results.
    model_files : ModelFiles
        The newest model.
    counts : Counts
    feed : SinkFeed
    loop : EventLoop
    """

    def __init__(
        self,
        machine: MasterMachine,
        store: Store,
        results: Results,
        evaluator: Evaluator,
        meter: Meter,
        sinks: Optional[Sinks] = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        settings = machine.options.settings
        self.machine, self.results = machine, results
        self.config_hash = config_hash(to_json(settings))
        self.ending, self.record, self.counts = Ending(), Record(), Counts(meter)
        self.feed = SinkFeed(sinks or Sinks(), self._began)
        self._divergences = Divergences(
            settings, lambda sentence, index: self.feed.say(DIVERGED, sentence, round_index=index)
        )
        self.model_files = ModelFiles(
            machine.options.run_id, machine.options.layout, machine.model.state.model, evaluator, results.run_dir
        )
        self._store, self._alive = store, alive
        self._n_taken = -1  # reports of data that are in the journal
        self._evaluations = Evaluations(
            evaluator,
            self.record,
            self._keep_evaluation,
            self._past_models,
            settings.system.max_rounds,
            settings.dataset.partition == "local",
        )
        self._saver = Saver(
            results, self._sheets, store.folder, evaluator, self.ending, self._tell_problem, self._written
        )
        self._board = StatusBoard(self._make_status, self._problem)
        self.loop = EventLoop(machine, self._note, self._commit, self._perform, self._after_events, self.ending.halt)
        self._board.publish(True)

    # -- for any thread ------------------------------------------------------------------

    @property
    def failed(self) -> bool:
        """Whether the event loop has failed."""
        return self.loop.failed

    @property
    def status(self) -> Dict[str, Any]:
        """The reply to GET /status."""
        return self._board.status

    def begin(self) -> None:
        """Write the first snapshot of a new run.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._store.begin(self.machine)

    def resume(self, journal: Journal) -> None:
        """Resume the run at the end of its journal; before :meth:`start`.

        Raises
        ------
        FlqError
            If the snapshots and the journal are damaged or inconsistent.
        """
        reports = []
        for _, value in journal.rounds():
            closed = from_stored(value)
            reports.append(closed.report)
            self.record.add_round(closed)
            self.counts.resume_round(closed)
        for index, results in journal.tested():
            self.record.add_evaluation(index, Evaluated(*results))
        self._divergences.resume(reports, self.record.rounds())
        reason = self._store.replay(
            self.machine,
            lambda index: self._evaluations.resume_at(index, self.machine.model.state),
            self._evaluations.replayed,
        )
        about = journal.about()
        end = RunEnd()
        if reason is not None:  # the last master ended before the results were saved
            end = RunEnd(Stage.ENDED, reason, end_of(about).heard)
        self._store.note_about(**{KEY: end.to_json()}, settings=to_json(self.machine.options.settings))
        self.model_files.newest = journal.extent.n_rounds, self.machine.model.state.result
        self.counts.resume(self.machine, about.get("counted"))
        self.machine.restart_clocks(time.monotonic())
        self._board.publish(True)
        if reason is not None:
            self.machine.delivery.heard_end.update(end.heard)
            self._perform(RunEnded(reason))

    def start(self) -> None:
        """Take events from now on."""
        self.feed.start(self.model_files.newest[0])
        self.loop.start()
        self._evaluations.begin_catching_up()

    def take_report(self, worker_id: int, report: Dict[str, Any]) -> None:
        """Keep a worker's device report, which ``flq.device.report`` has validated."""
        self.counts.devices.take(worker_id, report)
        self.feed.report(worker_id, report, self.status["current_round"])

    def stop(self, reason: str) -> None:
        """End the run; return when its results are saved.

        Raises
        ------
        Unavailable
            If the run has failed, or saving the results takes too long.
        FlqError
            If the results cannot be written to their place.
        """
        self.loop.tell(Stop(reason))
        began = stuck = time.monotonic()
        while not self.ending.wait(Stage.SAVED, LOOK_S):
            now, problem = time.monotonic(), self._store.problem
            if problem is None:
                stuck = now
            elif self._store.misplaced is not None:  # new decisions cannot be journalled
                self._stop_misplaced(problem)
            if now - stuck > STUCK_S:
                raise Unavailable("%s: the run ends as soon as this is solved" % problem, "see the master's log")
            if now - began > STOP_S:
                raise Unavailable("the results are not saved after %.0f s" % STOP_S, "see the master's log")
        if self.ending.stage is Stage.INTERRUPTED:
            raise Unavailable("the master was interrupted first", "resume the run, then stop it")
        if self.failed:
            raise Unavailable("the master has failed", "see its log")
        self._saver.try_again()
        self.results.check()

    def _stop_misplaced(self, problem: str) -> None:
        """Save the model in another folder and interrupt the run, unless its folder is back or there is no other."""
        if not self._saver.find_place() or self._saver.misplaced is None:
            return
        self.results.save_model(self.model_files.newest[1])
        self.interrupt("%s when it was to be stopped" % problem)
        raise FlqError(
            "%s: the run is interrupted, and %s" % (self._saver.misplaced.detail, self._where_the_model_is()),
            self._saver.misplaced.hint,
        )

    def interrupt(self, reason: str) -> None:
        """Interrupt the run, which can be resumed, unless it has ended; let the program end."""
        self.ending.interrupt(reason)
        self._store.give_up()

    # -- the end, by the main thread -----------------------------------------------------

    def wait_for_evaluations(self) -> None:
        """Wait until the evaluator has caught up; if the run has ended, also with the missed rounds."""
        is_interrupted = self.ending.stage is Stage.INTERRUPTED
        self._evaluations.finish(
            SAVE_EVALUATIONS_S if is_interrupted else FINISH_S,
            catches_up=self.ending.has_ended and self._saver.misplaced is None,
        )

    def finish(self) -> None:
        """Write the final results, with all evaluations and bytes, and those that could not be written before.

        A run is over when its results are on disk and no worker is left to be informed. Before that, a master that
        resumes it completes both.
        """
        self._leave()
        self._saver.join()
        if not self._saver.find_place():
            return
        self.results.save_model(self.model_files.newest[1])
        try:
            try:
                totals = self.loop.ask(lambda ticket: Execute(self._totals))
            except Unavailable:  # the event loop has ended
                totals = self._totals()
            self._saver.write(self.model_files.newest[1], totals)
            if self.ending.has_ended and self.results.problem is None and self._saver.misplaced is None:
                with suppress(Unavailable):  # the event loop has failed, and has logged why
                    self.loop.ask(lambda ticket: Execute(self._be_over))
            self._tell_end(totals)
        except Exception:  # the machine is broken
            logger.exception("the results are incomplete")

    def conclude(self, name: str) -> Conclusion:
        """Return the last messages and the exit code; ``name`` is that of the run for ``--resume``."""
        misplaced = self._saver.misplaced
        if misplaced is not None:
            return Conclusion(1, error="%s; %s (%s)" % (misplaced.detail, self._where_the_model_is(), misplaced.hint))
        return conclusion(
            name,
            self.ending.has_ended,
            self.failed,
            self.results.problem_of(),
            self.results.workbook,
            None if self.ending.stage is Stage.INTERRUPTED else self._totals(),
            os.environ.get(STARTED_WITH, RESUME),
        )

    def close(self) -> None:
        """Journal the last counts and end the event loop; waiting requests get 503. Further calls do nothing."""
        self._leave()
        self.ending.move(Stage.FAILED)  # unless it has ended, or was interrupted
        self.loop.close(self._note_end)

    def _leave(self) -> None:
        """Stop all waits for evaluations, for the next attempt to save, and for the disk."""
        self._evaluations.leave()
        self._saver.leave()
        self._store.give_up()

    def close_sinks(self) -> None:
        """Let the sinks finish within a time limit."""
        self.feed.close(SINKS_S)

    # -- the event loop ------------------------------------------------------------------

    def _note(self, effects: Effects) -> None:
        self._store.note(self.machine, effects)
        for effect in effects:
            if isinstance(effect, RoundClosed):
                closed = self.counts.close_round(effect.report)
                self.record.note_round(closed)
                self._store.note_round(effect.report.round_index, to_stored(closed))
                self._note_totals()
            elif isinstance(effect, RunEnded):
                self._store.note_about(**{KEY: RunEnd(Stage.ENDED, effect.reason).to_json()})
                self._note_totals()

    def _note_totals(self) -> None:
        """Journal the workers' totals and data, so that ``python -m flq.report`` can write the workbook."""
        self._store.note_about(totals=totals_to_stored(self._totals()))
        if self._n_taken != self.machine.data.n_taken:
            self._n_taken, self.results.data = self.machine.data.n_taken, self.machine.data.stored()
            self._store.note_about(data=self.results.data)

    def _note_end(self) -> None:
        """Note the stage of the end, and the totals so far."""
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
            self.model_files.newest = round_index, effect.result
            self.record.add_noted(round_index)
            self._divergences.close_round(effect.report)
            self.results.update_config()
            self._evaluations.evaluate(round_index, effect)
        elif isinstance(effect, Note):
            logger.log(logging.WARNING if effect.kind == DATA else logging.INFO, "%s", effect.text)
            self._divergences.note(effect)
            self.feed.say(effect.kind, effect.text, effect.worker_id, self.machine.round_index)
        elif isinstance(effect, RunEnded) and self.ending.move(Stage.ENDED, effect.reason):
            # A run that was interrupted first is ended by the master that resumes it.
            self._saver.begin(self.model_files.newest[1], self._totals())

    def _after_events(self, is_idle: bool) -> None:
        self._alive()
        is_told = self.ending.stage is Stage.SAVED and self.machine.everyone_heard()
        self._board.publish(is_idle or is_told)
        if is_told:  # after publishing the final status, since the program may end now
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
            self._divergences.now,
            now,
        )

    # -- any thread, called back by the parts --------------------------------------------

    def _problem(self) -> Optional[str]:
        return self._store.problem or (self.results.problem if self.ending.has_reached(Stage.SAVED) else None)

    def _began(self) -> Began:
        return Began(
            self.machine.options.run_id,
            self.machine.options.settings,
            self.results.figures_dir,
            [Round(row, self.record.roll_call(row.round_index)) for row in self.record.rounds()],
        )

    def _keep_evaluation(self, round_index: int, evaluated: Optional[Evaluated], row: RoundRow) -> None:
        if evaluated is not None:
            self._store.note_tested(round_index, evaluated)
        self.feed.round(row, self.record.roll_call(round_index))
        self._divergences.evaluated(row)

    def _past_models(self) -> Any:
        options = self.machine.options
        return self._store.past_models(MasterMachine(options, np.zeros(options.layout.n_params, np.float32)))

    def _sheets(self, totals: Totals) -> tuple:
        rounds = self.record.rounds()
        options = self.machine.options
        lines = summary(
            options.run_id, self.ending.reason, rounds, totals, options.settings, self.config_hash, options.layout
        )
        roll_calls = [(row.round_index, call) for row, call in zip(rounds, self.record.roll_calls())]
        return lines, rounds, totals.workers, roll_calls

    def _tell_problem(self, problem: str) -> None:
        self.feed.say(PROBLEM, problem, round_index=self.machine.round_index)

    def _written(self, totals: Totals) -> None:
        self._tell_end(totals)
        self.loop.tell(ResultsSaved())

    def _tell_end(self, totals: Totals) -> None:
        self.feed.end(self.ending.stage, self.ending.reason, self.failed, totals.workers, self.machine.round_index)

    def _where_the_model_is(self) -> str:
        problem = self.results.problem_of(self.results.model)
        if problem is not None:
            return "the model is not saved: %s" % problem
        return "the model after round %d is saved as %s" % (self.model_files.newest[0], self.results.model)
