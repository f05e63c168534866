"""How far the end of a run has come, as its journal holds it."""

from enum import Enum
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

KEY = "end"  # of the journal's table about, from format 5 on


class Stage(Enum):
    """Where the end of a run stands; ``master/runtime/ending.py`` has the transitions.

    A journal of format 4 or older tells only GOING_ON and OVER apart.
    """

    GOING_ON = "going on"  # rounds go on; of a run without a master: it was killed
    INTERRUPTED = "interrupted"  # a signal ended the master first: --resume goes on
    FAILED = "failed"  # a fault did: likewise
    ENDED = "ended"  # the last round has closed, or somebody stopped the run; its results are being written
    SAVED = "saved"  # the first attempt to write them has been made, and may have failed
    TOLD = "told"  # likewise, and every worker that is left knows of the end
    OVER = "over"  # the results are on disk, and nobody is left to be told


class RunEnd(NamedTuple):
    """What a journal says of the end of its run.

    Attributes
    ----------
    stage : Stage
    reason : str or None
        Why the run, or its last master, has ended; None while it goes on.
    heard : list of int
        The workers that know of the end.
    """

    stage: Stage = Stage.GOING_ON
    reason: Optional[str] = None
    heard: List[int] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do: no master resumes the run as it is."""
        return self.stage is Stage.OVER

    def to_json(self) -> Dict[str, Any]:
        """Return the value of :data:`KEY`."""
        return dict(self._asdict(), stage=self.stage.value)


def end_of(about: Mapping[str, Any]) -> RunEnd:
    """Read it from the table about of a journal of any format.

    Raises
    ------
    LookupError, TypeError, ValueError
        If it is not there, or not what it should be.
    """
    if KEY in about:
        return RunEnd(Stage(about[KEY]["stage"]), about[KEY]["reason"], about[KEY]["heard"])
    if about["ended"] is not None:  # of format 4 or older
        return RunEnd(Stage.OVER, about["ended"])
    return RunEnd(Stage.GOING_ON, about.get("reason"))
