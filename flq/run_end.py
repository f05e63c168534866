"""The stage that the end of a run has reached, as recorded in its journal."""

from enum import Enum
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

KEY = "end"  # of the journal's table about, from format 5 on


class Stage(Enum):
    """Stages of the end of a run; ``master/runtime/ending.py`` has the transitions.

    A journal of format 4 or older distinguishes only RUNNING and OVER.
    """

    RUNNING = "going on"  # more rounds follow; without a running master: it was killed
    INTERRUPTED = "interrupted"  # a signal ended the master; --resume continues the run
    FAILED = "failed"  # an error ended the master; --resume continues the run
    ENDED = "ended"  # the last round has closed, or the run was stopped; its results are being written
    SAVED = "saved"  # the master has tried to write the results once, maybe without success
    TOLD = "told"  # likewise, and every remaining worker knows of the end
    OVER = "over"  # the results are on disk, and the master no longer waits for workers


class RunEnd(NamedTuple):
    """The end of a run as recorded in its journal.

    Attributes
    ----------
    stage : Stage
    reason : str or None
        Why the run, or its last master, has ended; None before.
    heard : list of int
        The workers that know of the end.
    """

    stage: Stage = Stage.RUNNING
    reason: Optional[str] = None
    heard: List[int] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do: a master does not resume the run unless it is extended."""
        return self.stage is Stage.OVER

    def to_json(self) -> Dict[str, Any]:
        """Return the value for the key :data:`KEY`."""
        return dict(self._asdict(), stage=self.stage.value)


def end_of(about: Mapping[str, Any]) -> RunEnd:
    """Return the end from the table about of a journal of any format.

    Raises
    ------
    LookupError, TypeError, ValueError
        If it is missing or invalid.
    """
    if KEY in about:
        return RunEnd(Stage(about[KEY]["stage"]), about[KEY]["reason"], about[KEY]["heard"])
    if about["ended"] is not None:  # of format 4 or older
        return RunEnd(Stage.OVER, about["ended"])
    return RunEnd(Stage.RUNNING, about.get("reason"))
