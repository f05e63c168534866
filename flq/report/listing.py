"""Lists the runs of a folder: state, rounds, accuracy, bytes, and what to do next.

Example
-------
    print(list_runs("results", 80))
"""

import os
import shlex
import textwrap
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..errors import FlqError
from ..journal_file import NAME as JOURNAL
from ..journal_file import finished_by
from ..locks import is_locked
from ..write_ahead_log import LOG
from .amounts import amount
from .brief import Brief, read_brief
from .names import named, workbook_name_of
from .recorded import is_journalled
from .stored import printable, shown
from .text_table import shorten, text_table

TITLES = ("run", "state", "rounds", "last", "best", "bytes")
LONGEST_NAME = 28
INDENT = "    "
NO_RUNS = ("figures", "trackers")  # folders that FLQ makes beside those of the runs
PARTS_OF_RUNS = (JOURNAL + LOG, "config.json", "snapshots", "lock", "model.npz")
NOTHING = "-"
MOST_NAMED = 5
WHOLE = 1000  # characters: the table is in one part, and has at most 80


class Listed(NamedTuple):
    """A run, or a folder that should be one.

    Attributes
    ----------
    folder : str
        Path.
    state : str
        running, ended, unfinished, damaged.
    notes : list of str
        Commands and paths; ``sentences`` are wrapped.
    """

    folder: str
    state: str
    brief: Optional[Brief] = None
    notes: List[str] = []
    sentences: List[str] = []


def list_runs(results_dir: str, width: int) -> str:
    """Return the list as text, the newest run last, then damaged folders and the names of others.

    Raises
    ------
    FlqError
        If the folder cannot be read.
    """
    runs, others = find(results_dir)
    if not runs:
        text = "There are no runs in %s." % shown(results_dir)
    else:
        first, *lines = text_table(TITLES, [_cells(run) for run in runs], WHOLE, 2).splitlines()
        text = "\n".join([first] + [line for run, line in zip(runs, lines) for line in [line, *_below(run, width)]])
    if others:
        text += "\n\n" + textwrap.fill("Not runs: %s." % _some(others), width, break_on_hyphens=False)
    return text


def find(results_dir: str) -> Tuple[List[Listed], List[str]]:
    """Return the runs, in the order of the list, and the names of folders that are none.

    Raises
    ------
    FlqError
        If the folder cannot be read.
    """
    try:
        names = sorted(os.listdir(results_dir))
    except OSError as error:
        raise FlqError(
            "%s cannot be read: %s" % (shown(results_dir) or "the folder ''", error.strerror or error),
            "name the folder of the runs with --results_dir",
        ) from None
    paths = [os.path.join(results_dir, name) for name in names if not name.startswith(".") and name not in NO_RUNS]
    folders = {
        os.path.realpath(path): path  # the folder itself comes after links to it
        for path in sorted(filter(os.path.isdir, paths), key=os.path.islink, reverse=True)
    }
    runs, others = [], []
    for folder in sorted(folders.values()):
        if is_journalled(folder):
            runs.append(_look_at(folder))
        elif any(os.path.lexists(os.path.join(folder, name)) for name in PARTS_OF_RUNS):
            runs.append(Listed(folder, "damaged", sentences=["it has no %s: copy or restore it completely" % JOURNAL]))
        else:
            others.append(os.path.basename(folder))
    runs.sort(key=lambda run: (1, 0) if run.brief is None else (0, run.brief.number))
    return _with_copies(runs), others


def _look_at(folder: str) -> Listed:
    """Return a run with what to do next."""
    try:
        brief = read_brief(folder)
        workbook = os.path.join(os.path.dirname(folder), workbook_name_of(brief.about))
    except FlqError as error:
        return Listed(folder, "damaged", sentences=[printable(error)])
    if brief.end.is_over:
        if os.path.isfile(workbook):
            return Listed(folder, "ended", brief, [shlex.quote(printable(workbook))])
        return Listed(folder, "ended", brief, ["python -m flq.report workbook " + printable(named(folder))])
    if brief.is_open and is_locked(os.path.join(folder, "lock")):
        return Listed(folder, "running", brief)
    release = finished_by(brief.about.get("format"))
    if release is not None:
        return Listed(folder, "unfinished", brief, sentences=["FLQ %s can resume it; this release cannot" % release])
    run = Listed(folder, "unfinished", brief, ["./start_master.sh --resume " + printable(named(folder))])
    if brief.is_open and not os.path.exists(os.path.join(folder, JOURNAL + LOG)):
        return run._replace(sentences=["its %s is missing, maybe with the last rounds" % (JOURNAL + LOG)])
    return run


def _with_copies(runs: List[Listed]) -> List[Listed]:
    """Add a sentence to folders with the same run, which ``--resume`` rejects."""
    folders: Dict[str, List[str]] = {}
    for run in runs:
        if run.brief is not None:
            folders.setdefault(run.brief.run_id, []).append(os.path.basename(run.folder))
    found = []
    for run in runs:
        same = [] if run.brief is None else folders[run.brief.run_id]
        others = [name for name in same if name != os.path.basename(run.folder)]
        sentences = ["the same run as %s: leave only one of them here" % _some(others)] if others else []
        found.append(run._replace(sentences=run.sentences + sentences))
    return found


def _some(names: List[str]) -> str:
    """Return names as text, abbreviated if there are many."""
    more = len(names) - MOST_NAMED
    return ", ".join(map(shown, names[:MOST_NAMED])) + (" and %d more" % more if more > 0 else "")


def _cells(run: Listed) -> Tuple[str, ...]:
    name, brief = shorten(shown(os.path.basename(run.folder)), LONGEST_NAME), run.brief
    if brief is None:
        return (name, run.state, *[NOTHING] * 4)
    accuracies = brief.accuracies
    return (
        name,
        run.state,
        "%d/%d" % (brief.n_rounds, brief.settings.system.max_rounds),
        "%.2f%%" % (100 * accuracies[-1]) if accuracies else NOTHING,
        "%.2f%%" % (100 * max(accuracies)) if accuracies else NOTHING,
        amount(brief.wire_bytes),
    )


def _below(run: Listed, width: int) -> List[str]:
    lines = [INDENT + note for note in run.notes]
    for sentence in run.sentences:
        lines += textwrap.wrap(sentence, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)
    return lines
