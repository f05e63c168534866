"""Writes the results of a run, in a thread when the run ends, and again before the program ends."""

import logging
import threading
from typing import Any, Callable, Optional

from ...core.layout import Vector
from ...report.summary import Totals
from ...run_end import Stage
from ..records.artifacts import Results
from ..storage.run_folder import Misplaced, RunFolder
from .ending import Ending
from .evaluator import Evaluator

logger = logging.getLogger(__name__)

SAVE_EVALUATIONS_S = 5.0  # time limit of pending evaluations before the results are written
SAVE_AGAIN_S = 5.0  # between two attempts to write the results


class Saver:
    """Writes model and workbook; retries until both are written or the master ends.

    Parameters
    ----------
    results : Results
    sheets : callable(Totals) -> tuple
        Makes the content of the workbook.
    folder : RunFolder
        The run's folder, as it was opened.
    evaluator : Evaluator
    ending : Ending
        Moved to SAVED after the first attempt.
    on_problem : callable(str)
        Called if the first attempt fails.
    on_written : callable(Totals)
        Called when both are written.

    Attributes
    ----------
    misplaced : Misplaced or None
        Set if the run's folder is misplaced, so that the results are in another one.
    """

    def __init__(
        self,
        results: Results,
        sheets: Callable[[Totals], tuple],
        folder: RunFolder,
        evaluator: Evaluator,
        ending: Ending,
        on_problem: Callable[[str], None],
        on_written: Callable[[Totals], None],
    ) -> None:
        self.misplaced: Optional[Misplaced] = None
        self._results, self._sheets, self._folder = results, sheets, folder
        self._evaluator, self._ending = evaluator, ending
        self._on_problem, self._on_written = on_problem, on_written
        self._final: Any = None  # the model and the totals of a run that has ended
        self._thread: Optional[threading.Thread] = None
        self._leaving = threading.Event()
        self._moving, self._has_place = threading.Lock(), True

    def begin(self, model: Vector, totals: Totals) -> None:
        """Begin to write the results of a run that has ended, with the totals at its end."""
        self._final = model, totals
        self._thread = threading.Thread(target=self._run, name="saver", daemon=True)
        self._thread.start()

    def try_again(self) -> None:
        """Write the missing results of a run that has ended."""
        model, totals = self._final
        self._results.save_model(model)
        if self._results.problem is not None:
            self._results.save_workbook(lambda: self._sheets(totals))

    def write(self, model: Vector, totals: Totals) -> None:
        """Write the model unless it is written, and the workbook unless its content is the same."""
        self._results.save_model(model)
        self._results.save_workbook(lambda: self._sheets(totals))

    def leave(self) -> None:
        """Stop retrying."""
        self._leaving.set()

    def join(self) -> None:
        """Wait for the current attempt."""
        if self._thread is not None:
            self._thread.join()

    def find_place(self) -> bool:
        """Choose another folder for the results if the run's is misplaced; return whether there is a folder."""
        with self._moving:
            if self.misplaced is None:
                self.misplaced = self._folder.misplaced()
                self._has_place = self.misplaced is None or self._results.move()
            return self._has_place

    def _run(self) -> None:
        model, totals = self._final
        try:
            self._results.save_model(model)
            self._evaluator.wait_until_idle(SAVE_EVALUATIONS_S)
            logger.info("the run has ended: %s", self._ending.reason)
            self._results.save_workbook(lambda: self._sheets(totals))
            if self._results.exported is not None:
                self._evaluator.begin_export(self._results.exported, model)
            if self._results.problem is not None:
                self._on_problem(self._results.problem)
                self._ending.move(Stage.SAVED)
                while self._results.problem is not None and not self._leaving.wait(SAVE_AGAIN_S):
                    self.try_again()
            if self._results.problem is None:
                self._on_written(totals)
        except Exception:
            logger.exception("the results are incomplete")
        finally:
            self._ending.move(Stage.SAVED)
