"""Begins a new run on disk, or opens one to resume it.

A run is a folder, results/<run>/, which one master at a time locks.
"""

import glob
import logging
import os
import platform
import sqlite3
from contextlib import ExitStack, closing
from typing import IO, Any, Dict, List, NamedTuple

import numpy as np

from ...config_hash import affecting, config_hash
from ...core.layout import Layout, layout_from_json
from ...core.settings import Json, Settings, to_json
from ...durable import folder_of, make_folder
from ...errors import ConfigError, Conflict, FlqError
from ...leftovers import remove_leftovers
from ...locks import lock
from ...report.recorded import is_journalled
from ...run_end import KEY, RunEnd, end_of
from .journal import NAME, Journal, create, open_journal
from .run_index import ON_A_DISK, alone, newest_unfinished, next_number, refuse_a_copy

logger = logging.getLogger(__name__)

PARTS = "*.part", "*.partial.*"  # of flq.durable, and of Keras files, which need their own extension
EXPORT = ".export-"  # prefix of a temporary folder with a requested Keras file


class Past(NamedTuple):
    """A run to resume: its folder is locked, and its journal is open."""

    run_id: str
    run_dir: str
    layout: Layout
    journal: Journal
    lock: IO[str]
    about: Dict[str, Any]


def hold(run_dir: str) -> IO[str]:
    """Lock the folder of a run; the lock lasts until the returned file is closed.

    Raises
    ------
    Conflict
        If another master has it.
    ConfigError
        If its file system has no locks.
    OSError
        If the folder cannot be written.
    """
    stream = open(os.path.join(run_dir, "lock"), "a", encoding="ascii")
    try:
        if not lock(stream, ON_A_DISK):
            raise Conflict("another master is running with %s" % run_dir, "stop it first, or let it run")
    except FlqError:
        stream.close()
        raise
    return stream


def begin_journal(run_dir: str, run_id: str, settings: Settings, layout: Layout) -> Journal:
    """Make the journal of a new run.

    Raises
    ------
    OSError, ConfigError
        If it cannot be written.
    """
    make_folder(run_dir)
    results_dir = folder_of(run_dir)
    try:
        with alone(results_dir):
            return create(
                run_dir,
                {
                    "run_id": run_id,
                    "number": next_number(results_dir),
                    "settings": to_json(settings),
                    "config_hash": config_hash(to_json(settings)),
                    "layout": layout.to_json(),
                    "software": software(),
                    KEY: RunEnd().to_json(),
                },
            )
    except sqlite3.Error as error:
        raise ConfigError(
            "the journal in %s cannot be written: %s" % (run_dir, error),
            "free disk space there, or choose another report.results_dir",
        ) from None


def resume_run(name: str, results_dir: str) -> Past:
    """Open a run to resume it; the empty name is the newest unfinished run that no master is running.

    Raises
    ------
    ConfigError
        If there is no such run, or another folder has the same run.
    Conflict
        If a master is running with it.
    FlqError
        If its journal cannot be read, or the newest run cannot be determined.
    """
    run_dir = find_run(name, results_dir)
    with ExitStack() as opened:  # closed again if the run cannot be resumed
        lock = opened.enter_context(hold(run_dir))
        journal = opened.enter_context(closing(open_journal(run_dir)))
        about = journal.about()
        refuse_a_copy(run_dir, about["run_id"], results_dir)
        if about["software"] != software():
            logger.warning(
                "the run began with %s, but this is %s: the next rounds may not be reproducible bit for bit",
                _as_text(about["software"]),
                _as_text(software()),
            )
        _remove_leftovers(run_dir)
        past = Past(about["run_id"], run_dir, layout_from_json(about["layout"]), journal, lock, about)
        opened.pop_all()
    return past


def find_run(name: str, results_dir: str) -> str:
    """Return the folder of a run, given by name or path; the empty name is the newest unfinished run without a master.

    Raises
    ------
    ConfigError
        If there is none.
    Conflict
        If masters are running with all unfinished runs.
    FlqError
        If the newest run cannot be determined.
    """
    if name:
        for path in (os.path.join(results_dir, name), name):
            if is_journalled(path):
                return path
        raise ConfigError("there is no run %s in %s" % (name, results_dir), "the folder of a run contains %s" % NAME)
    newest = newest_unfinished(results_dir, skips_running=True)
    if newest is None:
        raise ConfigError("there is no unfinished run in %s" % results_dir, "start without --resume to begin one")
    return newest.run_dir


def _remove_leftovers(run_dir: str) -> None:
    """Remove the unfinished files of a killed master from the folder of a run."""
    folder = glob.escape(run_dir)
    for pattern in PARTS:
        remove_leftovers(os.path.join(folder, "**", pattern))
    remove_leftovers(os.path.join(folder, EXPORT + "*"), are_folders=True)


def check_may_resume(past: Past, settings: Settings) -> None:
    """Check that a run may be resumed with these settings.

    Raises
    ------
    ConfigError
        If they would make another model, or the run has nothing left to do.
    """
    check_same_model(past.run_id, past.about, settings)
    n_done, n_most = past.journal.extent.n_rounds, settings.system.max_rounds
    if n_most < n_done or (n_most == n_done and n_most != past.about["settings"]["system"]["max_rounds"]):
        raise ConfigError(
            "run %s has done %d rounds already, got system.max_rounds = %d" % (past.run_id, n_done, n_most),
            "it may only be raised",
        )
    end, was_stopped = end_of(past.about), n_done < past.about["settings"]["system"]["max_rounds"]
    if end.is_over and (was_stopped or n_most <= n_done):
        raise ConfigError(
            "run %s has ended: %s" % (past.run_id, end.reason),
            "begin a new run" if was_stopped else "to resume it, add --set system.max_rounds=N, N > %d" % n_done,
        )


def check_same_model(run_id: str, about: Dict[str, Any], settings: Settings) -> None:
    """Check that a run, which may be running, can be resumed with these settings.

    Raises
    ------
    ConfigError
        If they would make another model.
    """
    if config_hash(to_json(settings)) != about["config_hash"]:
        raise ConfigError(
            "run %s cannot be resumed with another configuration: %s"
            % (run_id, "; ".join(differences(about["settings"], to_json(settings)))),
            "omit --config and --set to use the run's own, or stop it (POST /stop) and begin a new one",
        )


def differences(before: Json, now: Json) -> List[str]:
    """Return a text for each setting that affects the model and differs."""
    found, before, now = [], affecting(before), affecting(now)
    for section in sorted(set(before) | set(now)):
        was, asked = before.get(section, {}), now.get(section, {})
        found += [
            "%s.%s was %r and is %r" % (section, key, was.get(key), asked.get(key))
            for key in sorted(set(was) | set(asked))
            if was.get(key) != asked.get(key)
        ]
    return found or ["their keys differ"]


def software() -> Dict[str, str]:
    """Return the versions of the software that affects the master's arithmetic."""
    return {"python": platform.python_version(), "numpy": np.__version__}


def _as_text(versions: Dict[str, str]) -> str:
    return ", ".join("%s %s" % pair for pair in sorted(versions.items()))
