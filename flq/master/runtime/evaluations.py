"""Has the models of a run evaluated when a round closes, and missed rounds later.

Nothing that affects the model reads the results. With partition ``local`` only the workers have data, and the master
evaluates nothing.
"""

import logging
import math
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any, Callable, Generator, Optional, Tuple

from ...core.layout import Vector
from ...errors import FlqError
from ...protocol.events import RoundClosed
from ...report.rows import RoundRow
from ..records.round_log import Evaluated, Record
from .evaluator import Evaluator

logger = logging.getLogger(__name__)

LOOK_S = 0.1  # between two checks whether the program ends
PastModels = Callable[[], Generator[Tuple[int, Any], None, None]]


class Evaluations:
    """Has models evaluated, and keeps the results in the record.

    Parameters
    ----------
    evaluator : Evaluator
    record : Record
    keep : callable(int, Evaluated or None, RoundRow)
        Called, by any thread, with a round, its results, None = missed, and its row.
    past_models : callable() -> iterator of (int, models)
        Rebuilds the models of past rounds, as ``Store.past_models``.
    max_rounds : int
    is_local : bool
        Whether only the workers have data.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        record: Record,
        keep: Callable[[int, Optional[Evaluated], RoundRow], None],
        past_models: PastModels,
        max_rounds: int,
        is_local: bool,
    ) -> None:
        self._evaluator, self._record = evaluator, record
        self._keep_result, self._past_models = keep, past_models
        self._max_rounds, self._is_local = max_rounds, is_local
        self._catching_up, self._leaving = threading.Lock(), threading.Event()

    # -- closed and replayed rounds ------------------------------------------------------

    def evaluate(self, round_index: int, models: Any) -> None:
        """Have the models after a round evaluated: attributes ``model``, ``shared`` and ``mean`` of ``models``."""
        if self._is_local:
            self._evaluated(round_index, Evaluated())
        else:
            self._evaluator.evaluate(round_index, _vectors(models), self._evaluated)

    def resume_at(self, round_index: int, models: Any) -> None:
        """Evaluate the round of the snapshot unless its results are known; mark earlier rounds as missed."""
        self._record.give_up_before(round_index)
        self._evaluate_unless_known(round_index, models)

    def replayed(self, closed: RoundClosed) -> None:
        """Evaluate a replayed round unless its results are known."""
        self._evaluate_unless_known(closed.report.round_index, closed)

    def _evaluate_unless_known(self, round_index: int, models: Any) -> None:
        if self._record.is_untested(round_index):
            self.evaluate(round_index, models)

    def _evaluated(self, round_index: int, evaluated: Optional[Evaluated]) -> None:
        row = self._keep(round_index, evaluated)
        logger.info(
            "round=%d/%d accuracy=%s test_loss=%s loss=%s uploaded=%d skipped=%d refused=%d late=%d lost=%d "
            "wire_up=%d wire_down=%d seconds=%.2f",
            row.round_index,
            self._max_rounds,
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

    def _keep(self, round_index: int, evaluated: Optional[Evaluated]) -> RoundRow:
        row = self._record.add_evaluation(round_index, evaluated)
        self._keep_result(round_index, evaluated, row)
        return row

    # -- missed rounds -------------------------------------------------------------------

    def begin_catching_up(self) -> None:
        """Evaluate missed rounds in a thread, before the journal drops the entries that lead to their models."""
        if self._record.missed():
            threading.Thread(target=self.catch_up, name="catching-up", daemon=True).start()

    def catch_up(self, until: float = math.inf) -> None:
        """Evaluate missed rounds whose models can be rebuilt from the snapshots and the journal."""
        patience_s = min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
        if self._is_local or not self._catching_up.acquire(timeout=patience_s):
            return
        missed = set(self._record.missed())
        before = len(missed)
        try:
            if not missed:
                return
            with closing(self._past_models()) as found:
                for round_index, models in found:
                    if round_index in missed and not self._evaluate_late(round_index, models, until):
                        break
                    missed.discard(round_index)
                    if round_index >= max(missed, default=0) or time.monotonic() > until:
                        break
        except (FlqError, OSError, sqlite3.Error) as error:
            logger.warning("missed rounds are not evaluated: %s", error)
        except Exception:  # a bug: the run does without these results
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
                self._keep(round_index, evaluated)
            done.set()

        self._evaluator.evaluate(round_index, _vectors(models), finish)
        while not done.wait(LOOK_S) and time.monotonic() < until and not self._leaving.is_set():
            pass
        return round_index not in self._record.missed()

    # -- the end -------------------------------------------------------------------------

    def finish(self, limit_s: float, catches_up: bool) -> None:
        """Wait until the evaluator is idle; evaluate missed rounds if ``catches_up``; log how many have no results."""
        until = time.monotonic() + limit_s
        if not self._evaluator.wait_until_idle(limit_s):
            logger.warning("the evaluator has not finished after %.0f s", limit_s)
        elif catches_up:
            self.catch_up(until)
        untested = self._record.without_results()
        if untested and not self._is_local:
            logger.warning("%d rounds have no test results, the last of them is round %d", len(untested), untested[-1])

    def leave(self) -> None:
        """Stop waiting for results."""
        self._leaving.set()


def _vectors(models: Any) -> Tuple[Vector, ...]:
    """Return the vectors to evaluate after a round."""
    return (models.model, models.shared) + (() if models.mean is None else (models.mean,))


def _number(value: Optional[float]) -> str:
    return "-" if value is None else "%.4f" % value
