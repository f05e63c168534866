"""Which run a master has: a new one, or one that goes on where its journal ends.

A run is its folder, results/<run>/; one master at a time holds it.
"""

import fcntl  # Linux only, like the workers' state folders
import logging
import os
import platform
import shutil
import sqlite3
from typing import IO, Any, Dict, List, NamedTuple, Optional

import numpy as np

from ..config_hash import config_hash, is_left_out
from ..core.params import Layout, layout_from_json
from ..durable import make_folder
from ..errors import ConfigError, Conflict, FlqError, Unavailable
from .journal import NAME, Journal, create, reopen
from .snapshots import Snapshots

logger = logging.getLogger(__name__)

Settings = Dict[str, Dict[str, Any]]


class Past(NamedTuple):
    """A run that goes on: its folder is locked and its journal open."""

    run_id: str
    run_dir: str
    layout: Layout
    journal: Journal
    lock: IO[str]
    about: Dict[str, Any]


def hold(run_dir: str) -> IO[str]:
    """Lock the folder of a run, for as long as the file is open.

    Raises
    ------
    Conflict
        If another master has it.
    OSError
        If the folder can not be written.
    """
    stream = open(os.path.join(run_dir, "lock"), "a", encoding="ascii")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise Conflict("another master is running with %s" % run_dir, "stop that one, or let it go on") from None
    return stream


def make_run_folder(run_dir: str) -> None:
    """Make the folder of a run, and those above it.

    Raises
    ------
    Unavailable
        If it can not be made.
    """
    try:
        make_folder(run_dir)
    except OSError as error:
        raise Unavailable("the folder of the run can not be made: %s: %s" % (error.filename or run_dir, error.strerror),
                          "report.results_dir must name a folder that can be written") from None


def begin_journal(run_dir: str, run_id: str, settings: Settings, layout: Layout) -> Journal:
    """Make the journal of a new run.

    Raises
    ------
    OSError, Unavailable
        If it can not be written.
    """
    make_folder(run_dir)
    try:
        return create(run_dir, {"run_id": run_id, "settings": settings, "config_hash": config_hash(settings),
                                "layout": layout.to_json(), "software": software(), "ended": None})
    except sqlite3.Error as error:
        raise Unavailable("the journal in %s can not be written: %s" % (run_dir, error),
                          "make room there, or choose another report.results_dir") from None


def take_up(name: str, results_dir: str) -> Past:
    """Open a run that is to go on; the empty name is the newest that has not ended.

    Raises
    ------
    ConfigError
        If there is no such run.
    Conflict
        If a master is running with it.
    FlqError
        If its journal can not be read.
    """
    run_dir = _folder_of(name, results_dir) if name else newest_unfinished(results_dir)
    if run_dir is None:
        raise ConfigError("there is no unfinished run in %s" % results_dir, "start without --resume to begin one")
    lock = hold(run_dir)
    try:
        journal = reopen(run_dir)
        about = journal.about()
        if about["software"] != software():
            logger.warning("the run began with %s, this is %s: the next rounds may differ in the last bits",
                           _as_text(about["software"]), _as_text(software()))
        for leftover in os.listdir(run_dir):
            if leftover.startswith(".export-"):  # the master was killed while it wrote a model for somebody
                shutil.rmtree(os.path.join(run_dir, leftover), ignore_errors=True)
        return Past(about["run_id"], run_dir, layout_from_json(about["layout"]), journal, lock, about)
    except BaseException:
        lock.close()
        raise


def check_may_go_on(past: Past, settings: Settings) -> None:
    """Make sure that a run may go on with these settings.

    Raises
    ------
    ConfigError
        If they would make another model, with the difference; or if the run has nothing left to do.
    """
    _refuse_another(past.run_id, past.about, settings)
    n_done, n_most = len(past.journal.rounds()), settings["system"]["max_rounds"]
    if n_most < n_done or (n_most == n_done and n_most != past.about["settings"]["system"]["max_rounds"]):
        raise ConfigError("run %s has done %d rounds already, got system.max_rounds = %d"
                          % (past.run_id, n_done, n_most), "it may only grow")
    if past.about["ended"] is not None and (past.journal.was_stopped() or n_most <= n_done):
        raise ConfigError("run %s has ended: %s" % (past.run_id, past.about["ended"]),
                          "begin a new run" if past.journal.was_stopped() else
                          "raise it with --set system.max_rounds=N, N > %d, to go on" % n_done)


def check_newest_may_go_on(results_dir: str, settings: Settings) -> None:
    """Make sure that the newest unfinished run, if there is one, may go on with these settings; it may be running.

    Raises
    ------
    ConfigError
        If they would make another model, with the difference.
    """
    run_dir = newest_unfinished(results_dir)
    if run_dir is None:
        return
    journal = reopen(run_dir, only_to_look=True)
    try:
        about = journal.about()
    finally:
        journal.close()
    _refuse_another(about["run_id"], about, settings)


def _refuse_another(run_id: str, about: Dict[str, Any], settings: Settings) -> None:
    if config_hash(settings) != about["config_hash"]:
        raise ConfigError("run %s can not go on with another configuration: %s"
                          % (run_id, "; ".join(differences(about["settings"], settings))),
                          "leave --config and --set out to take the run's own, or end it (POST /stop) and begin a new "
                          "one")


def differences(before: Settings, now: Settings) -> List[str]:
    """Return in words which settings that affect the model are not the same."""
    found = []
    for section in sorted(set(before) | set(now)):
        was, asked = before.get(section, {}), now.get(section, {})
        found += ["%s.%s was %r and is %r" % (section, key, was.get(key), asked.get(key))
                  for key in sorted(set(was) | set(asked))
                  if not is_left_out(section, key) and was.get(key) != asked.get(key)]
    return found or ["the keys that there are differ"]


def software() -> Dict[str, str]:
    """Return the versions on which the master's arithmetic depends."""
    return {"python": platform.python_version(), "numpy": np.__version__}


def _as_text(versions: Dict[str, str]) -> str:
    return ", ".join("%s %s" % pair for pair in sorted(versions.items()))


def _folder_of(name: str, results_dir: str) -> str:
    for path in (os.path.join(results_dir, name), name):
        if os.path.isfile(os.path.join(path, NAME)):
            return path
    raise ConfigError("there is no run %s in %s" % (name, results_dir), "its folder holds %s" % NAME)


def newest_unfinished(results_dir: str) -> Optional[str]:
    """Return the folder of the run that began last of those that have not ended, None if there is none."""
    names = sorted(os.listdir(results_dir), reverse=True) if os.path.isdir(results_dir) else []
    for path in (os.path.join(results_dir, name) for name in names):
        if os.path.isfile(os.path.join(path, NAME)) and Snapshots(path, 1).exist() and _ended(path) is None:
            return path
    return None


def _ended(run_dir: str) -> Optional[str]:
    """Return why a run has ended; a journal that can not be read is nothing to go on with."""
    try:
        journal = reopen(run_dir, only_to_look=True)
    except FlqError as error:
        logger.warning("%s", error)
        return str(error)
    try:
        return journal.about()["ended"]
    finally:
        journal.close()
