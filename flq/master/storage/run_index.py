"""Names and orders the runs in report.results_dir, without relying on the clock.

A run is named by the time of its start. The clock may stand still or go back (no battery, another time zone, the end
of summer time), and two masters may begin within one second. So runs are ordered by a number in their journals, which
is greater for a new run than for all existing ones; journals of format 3 and older have none.
"""

import logging
import os
import secrets
import time
from contextlib import contextmanager, suppress
from typing import Any, ContextManager, Dict, Iterator, List, NamedTuple, Optional

from ...durable import make_folder, writing
from ...errors import ConfigError, Conflict, FlqError
from ...journal_file import finished_by
from ...locks import is_locked, lock
from ...report.recorded import about_of, is_journalled
from ...run_end import RunEnd, end_of
from .snapshots import Snapshots

logger = logging.getLogger(__name__)

LOCK = ".lock"
ON_A_DISK = "choose a report.results_dir on a local disk"


class Seen(NamedTuple):
    """A run and the table about of its journal."""

    run_dir: str
    about: Dict[str, Any]

    @property
    def number(self) -> int:
        """Its number in the order; 0 for older journals, which have none."""
        return self.about.get("number", 0)

    @property
    def is_unfinished(self) -> bool:
        """Whether the run has begun, with a snapshot or a transaction, and is not over."""
        return not self.end.is_over and (Snapshots(self.run_dir, 1).exist() or "counted" in self.about)

    @property
    def end(self) -> RunEnd:
        """The stage of its end."""
        return end_of(self.about)


def make_run_folder(run_dir: str) -> None:
    """Make the folder of a run, and its parents.

    Raises
    ------
    ConfigError
        If it cannot be made.
    """
    with _naming(run_dir):
        make_folder(run_dir)


def claim(results_dir: str) -> str:
    """Make and return the folder of a new run, with a timestamp that no other run there has in its name.

    Raises
    ------
    ConfigError
        If it cannot be made.
    """
    make_run_folder(results_dir)
    with alone(results_dir):
        taken, now = os.listdir(results_dir), time.time()
        with suppress(OSError):  # not every run has figures
            taken += os.listdir(os.path.join(results_dir, "figures"))
        stamp = _stamp(now)
        while any(stamp in name for name in taken):
            now += 1
            stamp = _stamp(now)
        run_dir = os.path.join(results_dir, "%s_%s" % (stamp, secrets.token_hex(2)))
        with _naming(run_dir):
            os.mkdir(run_dir)
        return run_dir


@contextmanager
def claimed(results_dir: str) -> Iterator[str]:
    """Make the folder of a new run, as :func:`claim`; remove it afterwards if it is still empty."""
    run_dir = claim(results_dir)
    try:
        yield run_dir
    finally:
        with suppress(OSError):  # it is not empty
            os.rmdir(run_dir)


@contextmanager
def alone(results_dir: str) -> Iterator[None]:
    """Return a context in which no other master can begin a run there.

    Raises
    ------
    ConfigError
        If the folder cannot be written.
    """
    with _naming(results_dir):
        stream = open(os.path.join(results_dir, LOCK), "a", encoding="ascii")
    with stream:
        lock(stream, ON_A_DISK, waits=True)
        yield


def next_number(results_dir: str) -> int:
    """Return a number greater than those of all readable runs there; call within :func:`alone`."""
    numbers = [0]
    for run_dir in _folders(results_dir):
        with suppress(FlqError):  # --resume reports it
            numbers.append(see(run_dir).number)
    return 1 + max(numbers)


def newest_unfinished(results_dir: str, skips_running: bool = False) -> Optional[Seen]:
    """Return the unfinished run that began last; None if there is none.

    Parameters
    ----------
    results_dir : str
    skips_running : bool
        Whether to pass over runs that a master is running.

    Raises
    ------
    Conflict
        If that passes over all of them.
    FlqError
        If it cannot be determined: a journal cannot be read, or two folders have the same number.
    """
    hint = "name the run to resume, as in --resume NAME, or move the others out of %s" % results_dir
    runs = []
    for run_dir in _folders(results_dir):
        try:
            runs.append(see(run_dir))
        except FlqError as error:
            if Snapshots(run_dir, 1).exist():  # else its master was killed before the run began
                raise FlqError("the newest run cannot be determined: %s" % error.detail, hint) from None
    for run_dir in _without_journal(results_dir):
        logger.warning("%s has snapshots of a run, but no journal: it is ignored", run_dir)
    unfinished = []
    for run in runs:
        if run.is_unfinished:
            release = finished_by(run.about["format"])
            if release is None:
                unfinished.append(run)
            else:
                logger.warning(
                    "run %s is unfinished, but ignored: its journal has format %s; finish it with FLQ %s",
                    run.run_dir,
                    run.about["format"],
                    release,
                )
    running = [run.run_dir for run in unfinished if skips_running and is_locked(os.path.join(run.run_dir, "lock"))]
    if running and len(running) == len(unfinished):
        raise Conflict(
            "there is no unfinished run to resume in %s: another master is running with %s"
            % (results_dir, " and ".join(running)),
            "stop it first, or let it run",
        )
    for run_dir in running:
        logger.warning("run %s is passed over: another master is running with it", run_dir)
    unfinished = [run for run in unfinished if run.run_dir not in running]
    newest = max(unfinished, key=lambda run: run.number, default=None)
    if newest is None:
        return None
    same = [run.run_dir for run in runs if run.number == newest.number]
    if len(same) > 1:
        raise ConfigError(
            "the newest run cannot be determined: %s have the same number: they are copies, or come "
            "from several machines" % " and ".join(same),
            hint,
        )
    return newest


def last_run(results_dir: str) -> Optional[Seen]:
    """Return the newest unfinished run or, if there is none, the newest finished one; None without runs.

    Raises
    ------
    FlqError
        If the newest run cannot be determined.
    """
    unfinished = newest_unfinished(results_dir)
    if unfinished is not None:
        return unfinished
    ended = []
    for run_dir in _folders(results_dir):
        with suppress(FlqError):  # newest_unfinished has ignored it
            run = see(run_dir)
            ended += [run] if run.end.is_over else []
    return max(ended, key=lambda run: run.number, default=None)


def refuse_a_copy(run_dir: str, run_id: str, results_dir: str) -> None:
    """Check that no other folder there has the same run, since both would write the same workbook.

    Raises
    ------
    ConfigError
        If one has.
    """
    same = []
    for other in _folders(results_dir):
        with suppress(FlqError):
            if not os.path.samefile(other, run_dir) and see(other).about["run_id"] == run_id:
                same.append(other)
    if same:
        raise ConfigError(
            "%s contain the same run %s" % (" and ".join([run_dir, *same]), run_id),
            "leave only the one to resume in %s" % results_dir,
        )


def _naming(path: str) -> ContextManager[None]:
    """Return a context that turns errors of writing into a ConfigError that names the setting."""
    return writing("the folder of the run cannot be made", path, "report.results_dir must be a writable folder")


def _folders(results_dir: str) -> List[str]:
    """Return the folders of the runs, each once, also if there are links to it."""
    names = sorted(os.listdir(results_dir)) if os.path.isdir(results_dir) else []
    paths = [path for path in (os.path.join(results_dir, name) for name in names) if is_journalled(path)]
    return sorted(
        {
            os.path.realpath(path): path  # the folder itself comes after links to it
            for path in sorted(paths, key=os.path.islink, reverse=True)
        }.values()
    )


def _without_journal(results_dir: str) -> List[str]:
    """Return the folders of runs whose journal was removed or renamed."""
    names = sorted(os.listdir(results_dir)) if os.path.isdir(results_dir) else []
    return [
        path
        for path in (os.path.join(results_dir, name) for name in names)
        if not is_journalled(path) and Snapshots(path, 1).exist()
    ]


def see(run_dir: str) -> Seen:
    """Read the table about of a run.

    Raises
    ------
    FlqError
        If its journal cannot be read.
    """
    about = about_of(run_dir)
    missing = [key for key in ("run_id", "format") if key not in about]
    if missing or not isinstance(about.get("number", 0), int):
        raise FlqError("the journal in %s has no valid %s" % (run_dir, ", ".join(missing) or "number"))
    try:
        end_of(about)
    except (LookupError, TypeError, ValueError):
        raise FlqError("the journal in %s has no valid stage of the run's end" % run_dir) from None
    return Seen(run_dir, about)


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%d_%H%M%S", time.localtime(seconds))
