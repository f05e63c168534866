"""Makes the messages for the live page, as JSON values, without clocks, threads or sockets.

There are three messages, each complete: ``state`` (state of the run and its workers), ``rounds`` (key figures after one
round, curves, histories, time left) and ``log``. Curves are down-sampled and histories truncated, so that messages do
not grow with the length of a run. Texts from workers are unescaped: a viewer must treat them as hostile.

Example
-------
>>> thinned([5.0, 1.0, 7.0, 2.0, 3.0, 4.0, 9.0, 6.0], 4)
[0, 1, 6, 7]
"""

import math
from itertools import accumulate
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from ...core.layout import Layout
from ...core.settings import Settings
from ...core.statuses import LATE, LOST, REFUSED, SKIPPED, STATUSES, UPLOADED
from ...report.float32 import model_bytes, n_models
from ...report.outlook import seconds_left
from ...report.rows import RoundRow
from .news import Item

MOST_POINTS = 300  # of a curve
HISTORY = 60  # rounds of a worker's history
MOST_LINES = 100  # of the log
LETTERS = {UPLOADED: "u", SKIPPED: "s", REFUSED: "r", LATE: "l", LOST: "x"}
ABSENT = "."  # the worker was not a member of the round

Json = Dict[str, Any]


class RunFacts(NamedTuple):
    """The constants of a run.

    Attributes
    ----------
    has_own_data : bool
        Accuracy and loss are measured on the workers' own data, since only they have data.
    n_params : int
        0 = not known yet.
    budget_bits : int
        Maximum payload bits of a round's uploads; 0 = no limit.
    """

    model: str
    dataset: str
    mode: str
    has_own_data: bool
    total_workers: int
    min_workers: int
    n_params: int
    budget_bits: int


def facts_of(settings: Settings, dataset: str, n_params: int) -> RunFacts:
    """Return the facts of the settings; ``dataset`` is its name without a path, "" if there is none."""
    return RunFacts(
        settings.model.name,
        dataset,
        settings.flq_algorithm.mode,
        settings.dataset.partition == "local",
        settings.system.total_workers,
        settings.system.quorum,
        n_params,
        settings.budget_selection.up_budget_bits,
    )


def state_message(status: Json, facts: RunFacts, results: Optional[Json] = None) -> Json:
    """Return the message ``state``; ``status`` is that of GET /status, ``results`` names results of an ended run."""
    return dict(
        {
            name: status[name]
            for name in (
                "run_id",
                "state",
                "problem",
                "divergence",
                "data",
                "current_round",
                "max_rounds",
                "connected_workers",
            )
        },
        results=results,
        workers=[_worker(int(worker_id), worker) for worker_id, worker in status["worker_status"].items()],
        **facts._asdict(),
    )


def _worker(worker_id: int, worker: Json) -> Json:
    device = worker["device"] or {}
    return dict(
        {name: worker[name] for name in ("connected", "samples", "last_seen_s") + STATUSES},
        id=worker_id,
        loss=finite(worker["loss"]),
        wire_bytes=worker["wire_bytes_up"] + worker["wire_bytes_down"],
        **{name: device.get(name) for name in ("name", "temperature_c", "power_w", "throttled", "problem")},
    )


def rounds_message(
    rows: Sequence[RoundRow],
    roll_calls: Sequence[Dict[int, str]],
    max_rounds: int,
    facts: RunFacts,
    layout: Optional[Layout] = None,
) -> Json:
    """Return the message ``rounds``.

    Parameters
    ----------
    rows : sequence of RoundRow
        All closed rounds, in their order.
    roll_calls : sequence of dict
        Those of the last ``HISTORY`` rounds.
    layout : Layout or None
        None = not known yet.
    """
    wire = list(accumulate(row.wire_bytes_up + row.wire_bytes_down for row in rows))
    values = {
        "accuracy": [accuracy_of(row) for row in rows],
        "test_loss": [loss_of(row) for row in rows],
        "training_loss": [row.training_loss for row in rows],
    }
    return {
        "n_rounds": len(rows),
        "snapshot": snapshot(rows, facts, layout),
        "curves": {name: curve(rows, wire, column) for name, column in values.items()},
        "histories": histories(roll_calls),
        "time_left_s": seconds_left(rows, max_rounds),
    }


def snapshot(rows: Sequence[RoundRow], facts: RunFacts, layout: Optional[Layout] = None) -> Optional[Json]:
    """Return the key figures after one round: the newest with test results or, if there is none, the newest.

    All amounts are sums up to that round, so that an accuracy never stands beside bytes of another round.
    """
    tested = (index for index in range(len(rows), 0, -1) if loss_of(rows[index - 1]) is not None)
    known = rows[: next(tested, len(rows))]
    if not known:
        return None
    last = known[-1]
    up, down = sum(row.wire_bytes_up for row in known), sum(row.wire_bytes_down for row in known)
    return {
        "round": last.round_index,
        "accuracy": finite(accuracy_of(last)),
        "highest": max(_finite([accuracy_of(row) for row in known]), default=None),
        "test_loss": finite(loss_of(last)),
        "lowest": min(_finite([loss_of(row) for row in known]), default=None),
        "training_loss": finite(last.training_loss),
        "wire_bytes_up": up,
        "wire_bytes_down": down,
        "float_bytes": 0 if layout is None else n_models(known) * model_bytes(layout),
        "budget": budget(known, facts.budget_bits),
    }


def accuracy_of(row: RoundRow) -> Optional[float]:
    """Return the accuracy of a round's model, on the workers' own data if nothing else is tested."""
    return row.own_accuracy if row.accuracy is None else row.accuracy


def loss_of(row: RoundRow) -> Optional[float]:
    """Return the test loss of a round's model, on the workers' own data if nothing else is tested."""
    return row.own_loss if row.test_loss is None else row.test_loss


def _finite(values: Sequence[Optional[float]]) -> List[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def log_message(items: Sequence[Item]) -> Json:
    """Return the message ``log``: the newest lines, oldest first."""
    return {"items": [item._asdict() for item in items[-MOST_LINES:]]}


def curve(rows: Sequence[RoundRow], wire: Sequence[int], values: Sequence[Optional[float]]) -> Json:
    """Return the known points of a curve: rounds, cumulative wire bytes, and values."""
    known = [index for index, value in enumerate(values) if finite(value) is not None]
    chosen = [known[index] for index in thinned([values[index] for index in known], MOST_POINTS)]
    return {
        "round": [rows[index].round_index for index in chosen],
        "bytes": [wire[index] for index in chosen],
        "value": [significant(values[index]) for index in chosen],
    }


def thinned(values: Sequence[float], n_most: int) -> List[int]:
    """Return the indices of at most ``n_most`` (4 or more) values: the first, the last, and extremes in between.

    If there are too many, they are cut into pieces of about equal length; each contributes its minimum and maximum.

    Returns
    -------
    list of int
        Ascending.
    """
    if len(values) <= n_most:
        return list(range(len(values)))
    n_pieces = n_most // 2 - 1
    inner = len(values) - 2
    chosen = {0, len(values) - 1}
    for piece in range(n_pieces):
        indices = range(1 + piece * inner // n_pieces, 1 + (piece + 1) * inner // n_pieces)
        chosen.update((min(indices, key=values.__getitem__), max(indices, key=values.__getitem__)))
    return sorted(chosen)


def histories(roll_calls: Sequence[Dict[int, str]]) -> Dict[str, str]:
    """Return each worker's statuses in some rounds, one letter per round, the newest last."""
    ids = sorted({worker_id for roll_call in roll_calls for worker_id in roll_call})
    return {
        str(worker_id): "".join(
            LETTERS[roll_call[worker_id]] if worker_id in roll_call else ABSENT for roll_call in roll_calls
        )
        for worker_id in ids
    }


def budget(rows: Sequence[RoundRow], bits: int) -> Optional[Json]:
    """Return the shares of the budget used by the last round and by all rounds on average; None = no budget."""
    if not bits or not rows:
        return None
    used = [row.payload_bits_up / bits for row in rows]
    return {"bits": bits, "last": significant(used[-1]), "mean": significant(math.fsum(used) / len(used))}


def finite(value: Optional[float]) -> Optional[float]:
    """Return the value, or None if it is non-finite, which JSON lacks."""
    return value if value is not None and math.isfinite(value) else None


def significant(value: float) -> float:
    """Return a number rounded to five digits."""
    return float("%.5g" % value)
