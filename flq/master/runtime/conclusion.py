"""Makes the master's last messages on its run, and its exit code."""

import logging
from typing import List, NamedTuple, Optional

from ...logfile import say
from ...report.summary import NEVER_JOINED, Totals, blocked_updates, lost_workers

logger = logging.getLogger(__name__)


RESUME = "./start_master.sh --resume"
STARTED_WITH = "FLQ_RESUME_COMMAND"  # in the environment: the command of a script that has started the master


class Conclusion(NamedTuple):
    """Exit code and sentences for the log; an ``error`` is the only sentence."""

    code: int
    sentences: List[str] = []
    error: Optional[str] = None

    def say(self) -> int:
        """Log the sentences; return the exit code, which a signal may override."""
        if self.error is not None:
            logger.error("%s", self.error)
        for sentence in self.sentences:
            say(sentence)
        return self.code


def conclusion(
    name: str,
    has_ended: bool,
    has_failed: bool,
    problem: Optional[str],
    workbook: str,
    totals: Optional[Totals],
    command: str = RESUME,
) -> Conclusion:
    """Return the conclusion of a run.

    Parameters
    ----------
    name : str
        Of the run for ``--resume``.
    has_ended, has_failed : bool
        Whether the machine has ended the run; whether the event loop has failed, before or after that.
    problem : str or None
        Which result is not written, and why.
    totals : Totals or None
        None if a signal interrupted the run.
    command : str
        That resumes an interrupted run, with the name after it.
    """
    resume = "%s %s" % (RESUME, name)
    if has_ended and problem is not None:
        return Conclusion(
            1,
            error="the run has ended, but its results are incomplete: %s (free disk space, or remove what is in the "
            "way; then %s writes them)" % (problem, resume),
        )
    said: List[Optional[str]] = []
    if has_ended and has_failed:
        said.append(
            "the run has ended and its results are complete, but its journal may not record this; to make sure: "
            + resume
        )
    elif totals is None or has_failed:
        said.append("to resume: %s %s" % (command, name))
    if problem is None:
        said.append("results: " + workbook)
    blocked = None
    if totals is not None:
        blocked = blocked_updates(totals)
        said += [_fewer_workers(totals), blocked]
    return Conclusion(
        1 if has_failed or blocked is not None else 0, [sentence for sentence in said if sentence is not None]
    )


def _fewer_workers(totals: Totals) -> Optional[str]:
    """Return a sentence on the workers that were lost at the end; None if there are none."""
    lost, n_joined = lost_workers(totals), sum(row.state != NEVER_JOINED for row in totals.workers)
    if not lost:
        return None
    return "the run ended with %d of the %d workers that joined; lost: %s" % (
        n_joined - len(lost),
        n_joined,
        ", ".join(map(str, lost)),
    )
