"""One thread owns the master's machine; everybody else hands it events.

The thread takes an event, lets the machine decide, and does what the machine says: replies,
rows, evaluations, the end. After each event it publishes a status that anybody may read
without waiting.
"""

import itertools
import logging
import os
import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..core.params import Vector
from ..errors import FlqError, Unavailable
from ..protocol.events import Effect, Event, Note, Reply, RoundClosed, RunEnded, Saved, Stop, Tick, Ticket
from ..protocol.master_machine import POLL_S, MasterMachine, State
from ..report.excel import write_workbook
from ..report.rows import WorkerRow
from .evaluator import Evaluator
from .meter import Meter
from .record import Evaluated, Record, save_npz, summary, worker_rows
from .status import status_of

logger = logging.getLogger(__name__)

REPLY_S = POLL_S + 15.0     # longer than anything that the machine lets wait
SAVE_EVALUATIONS_S = 5.0    # how long the results wait for evaluations that are under way
FINISH_S = 60.0             # how long the end waits for them and for the Keras file
IDLE_S = 1.0                # how often time passes for the machine when nothing else happens


class MasterService:
    """The run: its machine, its thread, its files.

    Parameters
    ----------
    machine : MasterMachine
    settings : dict
    results_dir, run_dir, stamp : str
        Where the workbook and the model files go; ``stamp`` is part of the workbook's name.
    """

    def __init__(self, machine: MasterMachine, settings: Dict[str, Dict[str, Any]], evaluator: Evaluator,
                 meter: Meter, results_dir: str, run_dir: str, stamp: str) -> None:
        self.machine = machine
        self.meter = meter
        self.record = Record(meter)
        self.saved = threading.Event()   # the results of the ended run are on disk
        self.heard = threading.Event()   # and every worker that is still there knows of the end
        self.workbook = os.path.join(results_dir, "flq_results_%s_%s_%s.xlsx" % (
            settings["dataset"]["name"], settings["flq_algorithm"]["mode"], stamp))
        self._settings = settings
        self._run_dir = run_dir
        self._evaluator = evaluator
        self._queue: queue.Queue = queue.Queue()
        self._tickets = itertools.count(1)
        self._waiting: Dict[Ticket, Future] = {}
        self._closing = False
        self._is_complete = True  # whether the workbook has every evaluation
        self._reason = ""
        self._workers: List[WorkerRow] = []
        self._thread = threading.Thread(target=self._run, name="owner", daemon=True)
        self._publish()

    # -- for any thread ------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take events."""
        self._thread.start()

    def ask(self, make_event: Callable[[Ticket], Event]) -> Any:
        """Hand in an event and wait for the machine's reply.

        Raises
        ------
        FlqError
            If the machine refuses the event, or the master is shutting down.
        """
        future: Future = Future()
        ticket = next(self._tickets)
        self._queue.put((make_event(ticket), ticket, future))
        try:
            body = future.result(REPLY_S)
        except FutureTimeout:
            raise Unavailable("the master did not answer in time", "try again") from None
        if isinstance(body, FlqError):
            raise body
        return body

    def stop(self, reason: str) -> None:
        """End the run, and return when its results are saved."""
        self._queue.put((Stop(reason), None, None))
        self.saved.wait()

    def finish(self) -> None:
        """Wait for what the evaluator still has to do, and complete the workbook."""
        if not self._evaluator.wait_until_idle(FINISH_S):
            logger.warning("the evaluator has not finished after %.0f s", FINISH_S)
        if not self._is_complete:
            self._write_workbook()

    def close(self) -> None:
        """End the thread; requests that still wait are told so."""
        self._queue.put((None, None, None))
        self._thread.join()

    # -- the owner thread ----------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            event, ticket, future = self._next()
            if future is not None:
                self._waiting[ticket] = future
            if event is None:
                self._closing = True
                break
            try:
                effects: Tuple[Effect, ...] = self.machine.handle(event, time.monotonic())
            except Exception:  # a bug of ours: this request fails, the run goes on
                logger.exception("the machine failed on %s", type(event).__name__)
                effects = (Reply(ticket, Unavailable("the master failed on this request", "see its log")),)
            for effect in effects:
                self._perform(effect)
            self._publish()
        for future in self._waiting.values():
            future.set_result(Unavailable("the master is shutting down"))

    def _next(self) -> Tuple[Optional[Event], Optional[Ticket], Optional[Future]]:
        """Return the next event, or a Tick when one is due."""
        now = time.monotonic()
        deadline = self.machine.next_deadline(now)
        try:
            return self._queue.get(timeout=IDLE_S if deadline is None else min(deadline - now, IDLE_S))
        except queue.Empty:
            return Tick(), None, None

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Reply):
            future = self._waiting.pop(effect.ticket, None)
            if future is not None:
                future.set_result(effect.body)
        elif isinstance(effect, RoundClosed):
            self.record.add_round(effect.report)
            self._evaluator.evaluate(effect.report.round_index, effect.model, effect.shared, self._evaluated)
        elif isinstance(effect, Note):
            logger.info("%s", effect.text)
        elif isinstance(effect, RunEnded):
            self._reason, self._workers = effect.reason, worker_rows(self.machine.members, self.meter)
            threading.Thread(target=self._save, args=(self.machine.server.model,), name="saver").start()

    def _publish(self) -> None:
        if self.machine.state is State.FINISHED and self.machine.everyone_heard():
            self.heard.set()
        self.status = status_of(self.machine, self.meter, self.record.last_evaluated(), time.monotonic())

    # -- other threads -------------------------------------------------------------------

    def _evaluated(self, round_index: int, evaluated: Evaluated) -> None:
        row = self.record.add_evaluation(round_index, evaluated)
        logger.info(
            "round=%d/%d accuracy=%s test_loss=%s loss=%s uploaded=%d skipped=%d refused=%d late=%d lost=%d "
            "wire_up=%d wire_down=%d seconds=%.2f", row.round_index, self.machine.options.max_rounds,
            _number(row.accuracy), _number(row.test_loss), _number(row.training_loss), row.uploaded, row.skipped,
            row.refused, row.late, row.lost, row.wire_bytes_up, row.wire_bytes_down, row.round_s)

    def _save(self, model: Vector) -> None:
        """Write the results, and say so; what fails is logged and does not keep the run from ending."""
        try:
            save_npz(os.path.join(self._run_dir, "model.npz"), model, self.machine.options.layout)
            self._is_complete = self._evaluator.wait_until_idle(SAVE_EVALUATIONS_S)
            logger.info("the run has ended: %s", self._reason)
            self._write_workbook()
            if self._settings["model"]["name"] != "quadratic":
                self._evaluator.save_keras(os.path.join(self._run_dir, "model.keras"), model)
        except OSError as error:
            logger.error("the results are not saved: %s", error)
        finally:
            self._queue.put((Saved(), None, None))
            self.saved.set()

    def _write_workbook(self) -> None:
        rounds = self.record.rounds()
        pairs = summary(self.machine.options.run_id, self._reason, rounds, self._workers,
                        self.record.last_evaluated(), self.meter.of_others(), self._settings)
        write_workbook(self.workbook, pairs, rounds, self._workers, self._settings)
        logger.info("results saved: %s", self.workbook)


def _number(value: Optional[float]) -> str:
    return "-" if value is None else "%.4f" % value
