"""Reads the rows of a run from its journal, during the run or after it.

The master writes the journal (``flq.master.storage.journal``). It is read in one short transaction, which does not
block the writer.

Example
-------
    recorded = read_journal("results/20260801_120000_ab12")
    recorded.rows[-1].accuracy
    # 0.9639
"""

import json
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..core.settings import Settings, settings_from_json
from ..core.statuses import STATUSES
from ..errors import FlqError
from ..journal_file import NAME as JOURNAL
from ..journal_file import Extent, open_to_read, read_about, read_numbered, read_tested
from .rows import RoundRow

TESTED = ("test_loss", "accuracy", "shared_accuracy", "average_accuracy")  # the order of test results in a journal
COPIED = (
    "round_index",
    "training_loss",
    "payload_bits_up",
    "payload_bits_down",
    "frame_bytes_up",
    "frame_bytes_down",
    "retransmitted_bytes",
    "training_s",
    "waiting_s",
    "round_s",
    "own_accuracy",
    "own_loss",
)


class Recorded(NamedTuple):
    """A run so far.

    Attributes
    ----------
    run_id : str
    settings : Settings
        Keys unknown to the version that wrote the journal have their defaults.
    rows : list of RoundRow
    roll_calls : list of {worker id: status}
        One per row.
    about : dict
        The journal's table about.
    joined : {worker id: (samples, whether its lease is valid)}
        From the entries of a journal of format 3 or older, which has no totals; otherwise empty.
    """

    run_id: str
    settings: Settings
    rows: List[RoundRow]
    roll_calls: List[Dict[int, str]]
    about: Dict[str, Any]
    joined: Dict[int, Tuple[int, bool]]


def row_of(
    report: Mapping[str, Any], wire: Sequence[int], results: Sequence[Optional[float]], energy_j: Optional[float]
) -> RoundRow:
    """Build the row of a round from its known values.

    Parameters
    ----------
    report : mapping
        The machine's report, with the fields ``COPIED`` and ``roll_call``.
    wire : (up, down)
        Bytes.
    results : sequence of float or None
        In the order of ``TESTED``; missing values are unknown.
    """
    statuses = list(report["roll_call"].values())
    known = dict.fromkeys(TESTED)  # type: Dict[str, Optional[float]]
    known.update(zip(TESTED, results))
    return RoundRow(
        wire_bytes_up=wire[0],
        wire_bytes_down=wire[1],
        energy_so_far_j=energy_j,
        **{status: statuses.count(status) for status in STATUSES},
        **{field: report[field] for field in COPIED},
        **known,  # type: ignore[arg-type]
    )


def is_journalled(path: str) -> bool:
    """Return whether a path is the folder of a run."""
    return os.path.isfile(os.path.join(path, JOURNAL))


def about_of(run_dir: str) -> Dict[str, Any]:
    """Read the table about of a journal of any version, also during the run.

    Raises
    ------
    FlqError
        If it cannot be read.
    """
    with reading(run_dir) as (database, path):
        return read_about(database, path)[0]


def read_journal(run_dir: str) -> Recorded:
    """Read the rounds of a run from its journal, also during the run.

    Raises
    ------
    FlqError
        If it cannot be read.
    """
    with reading(run_dir) as (database, path):
        about, extent = read_about(database, path)
        tested, values = tested_of(database, path, extent), reports_of(database, path, extent)
        rows = [
            row_of(
                value["report"], value["wire"], tested.get(value["report"]["round_index"], ()), value.get("energy_j")
            )
            for value in values
        ]  # older versions wrote no energy
        roll_calls = [
            {int(worker_id): status for worker_id, status in value["report"]["roll_call"].items()} for value in values
        ]
        joined = _joined(database) if extent is None else {}
        return Recorded(
            str(about["run_id"]),
            settings_from_json(about["settings"], allow_missing=True),
            rows,
            roll_calls,
            about,
            joined,
        )


def tested_of(database: sqlite3.Connection, path: str, extent: Optional[Extent]) -> Dict[int, Any]:
    """Return the test results by round; rows of old journals have no digest."""
    if extent is None:
        return {index: json.loads(value) for index, value in database.execute("SELECT round, results FROM tested")}
    return dict(read_tested(database, path, extent.n_tested))


def reports_of(database: sqlite3.Connection, path: str, extent: Optional[Extent]) -> List[Any]:
    """Return the report of each round; rows of old journals have no digest."""
    if extent is None:
        reports: Iterable[Any] = database.execute("SELECT report FROM rounds ORDER BY round")
    else:
        reports = (
            (report,)
            for _, report in read_numbered(
                database, path, "rounds", "round, report", "the report of round", 0, extent.n_rounds
            )
        )
    return [json.loads(report) for (report,) in reports]


def _joined(database: sqlite3.Connection) -> Dict[int, Tuple[int, bool]]:
    """Return the workers that joined, from the entries of an old journal: samples, and whether the lease is valid."""
    joined: Dict[int, Tuple[int, bool]] = {}
    for kind, text in database.execute(
        "SELECT kind, body FROM entries WHERE kind IN ('joined', 'lease_ended') ORDER BY seq"
    ):
        body = json.loads(text)
        n_samples = body["n_samples"] if kind == "joined" else joined[body["worker_id"]][0]
        joined[body["worker_id"]] = n_samples, kind == "joined"
    return joined


@contextmanager
def reading(run_dir: str) -> Iterator[Tuple[sqlite3.Connection, str]]:
    """Open the journal of a run in one transaction; raise every error of reading as FlqError."""
    path = os.path.join(run_dir, JOURNAL)
    try:
        with closing(open_to_read(path)) as database:
            database.execute("BEGIN")  # one consistent state
            yield database, path
    except sqlite3.Error as error:
        raise FlqError("%s cannot be read: %s" % (path, error)) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FlqError(
            "%s is not the journal of a run: %s: %s" % (path, type(error).__name__, error),
            "name the folder of a run, results/<run>",
        ) from None
