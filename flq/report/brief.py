"""Reads what a list of runs shows from the small tables of a journal, without rows of rounds and entries.

Example
-------
    brief = read_brief("results/20260801_120000_ab12")
    brief.n_rounds, brief.accuracies[-1]
    # (30, 0.95)
"""

from typing import Any, Dict, List, NamedTuple

from ..core.settings import Settings, settings_from_json
from ..journal_file import read_about
from ..run_end import RunEnd, end_of
from .recorded import TESTED, reading, reports_of, tested_of


class Brief(NamedTuple):
    """A run in brief.

    Attributes
    ----------
    run_id : str
    about : dict
        The journal's table about.
    number : int
        Its place in the order of the runs; 0 in journals of format 3 and older.
    settings : Settings
    end : RunEnd
    is_open : bool
        Whether a master has the run open or was killed; always False in journals of format 3 and older.
    n_rounds : int
    accuracies : list of float
        Those known, by round; of local data, on the workers' own.
    wire_bytes : int
        Bytes of all workers on the wire, both ways, at the last close of a round or at the end.
    """

    run_id: str
    about: Dict[str, Any]
    number: int
    settings: Settings
    end: RunEnd
    is_open: bool
    n_rounds: int
    accuracies: List[float]
    wire_bytes: int


def read_brief(run_dir: str) -> Brief:
    """Read the small tables of a journal of any version, also during the run.

    Raises
    ------
    FlqError
        If they cannot be read.
    """
    with reading(run_dir) as (database, path):
        about, extent = read_about(database, path)
        if not isinstance(about.get("number", 0), int):
            raise ValueError("its number is %.20r" % (about["number"],))
        settings = settings_from_json(about["settings"], allow_missing=True)
        if settings.dataset.partition == "local":
            accuracies = [value["report"].get("own_accuracy") for value in reports_of(database, path, extent)]
        else:
            at = TESTED.index("accuracy")
            accuracies = [results[at] for _, results in sorted(tested_of(database, path, extent).items())]
        (n_rounds,) = database.execute("SELECT COUNT(*) FROM rounds").fetchone()
        return Brief(
            str(about["run_id"]),
            about,
            about.get("number", 0),
            settings,
            end_of(about),
            extent is not None and extent.is_open,
            n_rounds if extent is None else extent.n_rounds,
            [float(accuracy) for accuracy in accuracies if accuracy is not None],
            _wire_bytes(about),
        )


def _wire_bytes(about: Dict[str, Any]) -> int:
    if "totals" in about:
        return sum(about["totals"]["wire_bytes"])
    counted = about.get("counted") or {}
    return sum(up + down for worker_id, up, down in counted.get("wire", ()) if worker_id is not None)
