"""Writes the results of a run: in a thread of its own when the run ends, and once more before the program does."""

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

SAVE_EVALUATIONS_S = 5.0  # how long the results wait for evaluations that are under way
SAVE_AGAIN_S = 5.0  # between two attempts to write the results


class Saver:
    """Writes model and workbook, again and again while one of them is not written and the master is there.

    Parameters
    ----------
    results : Results
    sheets : callable(Totals) -> tuple
        Makes the content of the workbook.
    folder : RunFolder
        Of the run, as it was opened.
    evaluator : Evaluator
    ending : Ending
        Moves on to SAVED after the first attempt.
    on_problem : callable(str)
        Called if the first attempt leaves something unwritten.
    on_written : callable(Totals)
        Called when both are written.

    Attributes
    ----------
    misplaced : Misplaced or None
        Set if the folder of the run was not where it was: the results are in another one.
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
        """Write the results of a run that has ended, with the totals of that moment."""
        self._final = model, totals
        self._thread = threading.Thread(target=self._run, name="saver", daemon=True)
        self._thread.start()

    def try_again(self) -> None:
        """Write what is not written of the results of a run that has ended."""
        model, totals = self._final
        self._results.save_model(model)
        if self._results.problem is not None:
            self._results.save_workbook(lambda: self._sheets(totals))

    def write(self, model: Vector, totals: Totals) -> None:
        """Write the model unless it is written, and the workbook unless it says the same already."""
        self._results.save_model(model)
        self._results.save_workbook(lambda: self._sheets(totals))

    def leave(self) -> None:
        """Make no further attempt."""
        self._leaving.set()

    def join(self) -> None:
        """Wait for the attempt that is being made."""
        if self._thread is not None:
            self._thread.join()

    def find_place(self) -> bool:
        """Choose another folder for the results if that of the run is not where it was; return whether there is one."""
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
            if self._results.keras is not None:
                self._evaluator.save_keras(self._results.keras, model)
            if self._results.problem is not None:
                self._on_problem(self._results.problem)
                self._ending.move(Stage.SAVED)
                while self._results.problem is not None and not self._leaving.wait(SAVE_AGAIN_S):
                    self.try_again()
            if self._results.problem is None:
                self._on_written(totals)
        except Exception:
            logger.exception("the results are not complete")
        finally:
            self._ending.move(Stage.SAVED)
