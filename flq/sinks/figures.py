"""The process that draws the figures of a run: every ``report.figure_every`` rounds and at its end.

    python -m flq.sinks.figures

reads the master's messages from standard input (``messages``). A thread reads the lines as they arrive, so that the
master's pipe never fills. Only the newest state is drawn, at low priority and at most a tenth of the time. Each failure
is a sentence on stderr, which the master logs; it does not affect other figures.
"""

import os
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Set

from ..drawing.classes import class_figure
from ..errors import FlqError
from ..report.figures import CLASSES, FIGURES, write_figures
from ..training.datasets import load_dataset
from ..training.distribution import counts_of
from .messages import Began, Ended, Message, Round, read

NICENESS = 10
RESTS = 9.0  # pause after a drawing, in multiples of its duration; none once the run has ended


class FigureDrawer:
    """Keeps the state of a run and draws it when due.

    Parameters
    ----------
    say : callable(str)
        Logs a sentence; a problem that persists is logged once.
    clock : callable()
        Monotonic seconds.
    """

    def __init__(self, say: Callable[[str], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._began: Optional[Began] = None
        self._rounds: Dict[int, Round] = {}
        self._has_ended = self._has_changed = False
        self._drawn = 0  # the newest round drawn
        self._rests_until = 0.0
        self._said: Set[str] = set()

    def take(self, message: Message) -> None:
        """Process a message of the master."""
        if isinstance(message, Began):
            self._began = message
            self._rounds = {a_round.row.round_index: a_round for a_round in message.rounds}
            self._has_changed = bool(self._rounds)
            self._draw_classes(message)
        elif isinstance(message, Round):
            self._rounds[message.row.round_index] = message
            self._has_changed = True
        elif isinstance(message, Ended):
            self._has_ended = True

    def due_s(self) -> Optional[float]:
        """Return the seconds until the next drawing, 0 = now; None = there is nothing to draw."""
        if self._began is None or not self._has_changed:
            return None
        if self._has_ended:
            return 0.0
        every = self._began.settings.report.figure_every
        if max(self._rounds) // every <= self._drawn // every:
            return None
        return max(0.0, self._rests_until - self._clock())

    def draw(self) -> None:
        """Draw the figures if anything has changed."""
        if self._began is None or not self._has_changed:
            return
        since = self._clock()
        rounds = [self._rounds[index] for index in sorted(self._rounds)]
        self._write(FIGURES, [a_round.row for a_round in rounds], [a_round.roll_call for a_round in rounds])
        self._drawn, self._has_changed = max(self._rounds), False
        self._rests_until = self._clock() + RESTS * (self._clock() - since)

    def _draw_classes(self, began: Began) -> None:
        """Draw the partition, unless the data are local or generated."""
        if began.settings.dataset.partition == "local" or not began.settings.model.has_data:
            return
        try:
            dataset = load_dataset(began.settings)
            counts = counts_of(dataset, began.settings)
        except FlqError as error:
            self._say("figure %s was not drawn: %s" % (CLASSES, error))
        except Exception as error:  # readers of damaged files raise anything; other figures do not need the data
            self._say("figure %s was not drawn: %s: %s" % (CLASSES, type(error).__name__, error))
        else:
            self._write({CLASSES: class_figure}, counts, "", dataset.class_names)

    def _write(self, figures: Any, *arguments: Any) -> None:
        folder = self._began.figures_dir
        try:
            os.stat(os.path.dirname(os.path.dirname(folder)))  # never recreate a folder of runs that was renamed
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            problems = ["no figures are written: %s cannot be created: %s" % (folder, error.strerror or error)]
        else:
            _, problems = write_figures(folder, figures, *arguments)
        for problem in problems:
            if problem not in self._said:
                self._say(problem)
        self._said = set(problems)


def watch(stream: BinaryIO, drawer: FigureDrawer) -> None:
    """Process a stream of messages until it ends, and draw.

    Raises
    ------
    WireError
        If a line is not a message.
    """
    waiting: "queue.SimpleQueue[Optional[bytes]]" = queue.SimpleQueue()

    def listen() -> None:
        for line in stream:
            waiting.put(line)
        waiting.put(None)

    threading.Thread(target=listen, name="listener", daemon=True).start()
    for lines in _batches(waiting, drawer.due_s):
        for message in read(lines):
            drawer.take(message)
        if drawer.due_s() == 0.0:
            drawer.draw()
    drawer.draw()  # also if the stream was cut off


def _batches(
    waiting: "queue.SimpleQueue[Optional[bytes]]", due_s: Callable[[], Optional[float]]
) -> Iterator[List[bytes]]:
    """Yield all pending lines as soon as there are any, or an empty list when a drawing is due."""
    while True:
        lines: List[bytes] = []
        with suppress(queue.Empty):
            line = waiting.get(timeout=due_s())
            while line is not None:
                lines.append(line)
                line = waiting.get_nowait()
            yield lines
            return
        yield lines


def main() -> int:
    """Draw the run whose messages come from stdin; return the exit code."""

    def say(sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    with suppress(OSError):
        os.nice(NICENESS)
    try:
        watch(sys.stdin.buffer, FigureDrawer(say))
    except FlqError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
