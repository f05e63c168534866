"""Performs one run with the real machines and frames in memory, and writes a line of JSON per round.

The lines go to FILE.part, which is renamed to FILE at the end of the run, so FILE is always complete. Bytes are those
of the frames; the number of exchanges is recorded, and the table adds the overhead of HTTP for each. The model of round
k is evaluated before it is sent to any worker.
"""

import json
import os
import re
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from flq.config_file import load_config
from flq.core.settings import Settings
from flq.engines.simulation import simulate
from flq.protocol import events
from flq.protocol.exchange import Call, CallAction
from flq.protocol.worker_events import CallRegister, Event
from flq.training.datasets import resolve_dataset
from flq.training.frameworks import make_task
from flq.training.task import Trainer

from .data import FixedPartition, prepared
from .recipes import COMMON, Recipe


class _Enough(Exception):
    """The run has reached the requested accuracy."""


class Job(NamedTuple):
    """A requested run."""

    name: str
    recipe: Recipe
    seed: int
    alpha: float
    stop_at: float
    out: str

    @property
    def path(self) -> str:
        """The file of its lines."""
        plain = re.sub(r"[^A-Za-z0-9.=,+-]+", "_", self.name)
        return os.path.join(self.out, "%s__alpha%g__seed%d.jsonl" % (plain, self.alpha, self.seed))

    @property
    def overrides(self) -> Tuple[str, ...]:
        """All its settings except those of the data."""
        return (
            COMMON
            + self.recipe.overrides
            + ("dir_alpha=%g" % self.alpha, "seed=%d" % self.seed, "max_rounds=%d" % self.recipe.rounds)
        )


def read(path: str) -> Tuple[Dict[str, Any], List[Dict[str, Any]]]:
    """Return the head and the rounds of a file."""
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.endswith("}\n")]
    return rows[0], rows[1:]


def run(job: Job) -> str:
    """Perform a run unless its file exists; return a sentence on it."""
    if os.path.exists(job.path):
        head, rows = read(job.path)
        if sorted(head["overrides"]) != sorted(job.recipe.overrides):
            return "%s has other settings (%s): use another name" % (job.path, " ".join(head["overrides"]))
        return "%s exists, %d rounds" % (job.path, len(rows))
    load_config(None, job.overrides)  # an invalid setting leaves no file
    os.makedirs(job.out, exist_ok=True)
    with open(job.path + ".part", "w", encoding="utf-8") as lines:
        _Run(job, lines).run()
    os.replace(job.path + ".part", job.path)
    return "%s is complete" % job.path


class _Run:
    def __init__(self, job: Job, lines: Any) -> None:
        files = prepared(os.path.join(job.out, "data"))
        base = load_config(None, job.overrides + ("dataset.name=npz:" + os.path.abspath(files["test"]),))
        self._settings = resolve_dataset(base)
        validation = self._settings.dataset._replace(name="npz:" + os.path.abspath(files["validation"]))
        self._evaluators = {
            "test": make_task(self._settings),
            "val": make_task(self._settings._replace(dataset=validation)),
        }
        self._job, self._lines = job, lines
        self._totals = {
            "up": 0,
            "down": 0,
            "up_bits": 0,
            "down_bits": 0,
            "exchanges": 0,
            "registrations": 0,
            "samples": 0,
        }
        self._task: Optional[FixedPartition] = None  # for all workers
        self._last: Optional[np.ndarray] = None
        self._validation: List[float] = []
        self._began = time.perf_counter()

    def run(self) -> None:
        """Write the head, then a line per round."""
        self._write(
            {
                "recipe": self._job.name,
                "seed": self._job.seed,
                "alpha": self._job.alpha,
                "rounds": self._job.recipe.rounds,
                "stop_at": self._job.stop_at,
                "mode": self._settings.flq_algorithm.mode,
                "overrides": list(self._job.recipe.overrides),
            }
        )
        try:
            simulate(self._settings, build=self._build, watch=self._watch, wrap=self._count)
        except _Enough:
            return

    def _build(self, settings: Settings, worker_id: int) -> Trainer:
        if self._task is None:
            self._task = FixedPartition(settings, lambda n_samples: self._add("samples", n_samples))
        return Trainer(self._task, worker_id)

    def _add(self, key: str, value: int) -> None:
        self._totals[key] += value

    def _count(self, worker_id: int, call: Call) -> Call:
        def counted(action: CallAction) -> Optional[Event]:
            self._add("registrations" if isinstance(action, CallRegister) else "exchanges", 1)
            return call(action)

        return counted

    def _watch(self, closed: events.RoundClosed) -> None:
        report = closed.report
        for key, value in (
            ("up", report.frame_bytes_up),
            ("down", report.frame_bytes_down),
            ("up_bits", report.payload_bits_up),
            ("down_bits", report.payload_bits_down),
        ):
            self._add(key, value)
        row: Dict[str, Any] = dict(self._totals, round=report.round_index)
        for part, evaluator in self._evaluators.items():
            for prefix, vector in (("", closed.model), ("mean_", closed.mean)):
                if vector is not None:
                    result = evaluator.evaluate(vector)
                    row["%s%s_accuracy" % (prefix, part)] = round(result["accuracy"], 5)
                    row["%s%s_loss" % (prefix, part)] = round(result["loss"], 5)
        statuses = list(report.roll_call.values())
        row.update(
            training_loss=report.training_loss,
            uploads=statuses.count("uploaded"),
            step_energy=_energy(closed.model, self._last),
            gap_energy=_energy(closed.model, closed.shared),
            seconds=round(time.perf_counter() - self._began, 1),
        )
        self._last = closed.model
        self._write(row)
        self._validation.append(row["val_accuracy"])
        if len(self._validation) >= 3 and sum(self._validation[-3:]) / 3 >= self._job.stop_at:
            raise _Enough

    def _write(self, row: Dict[str, Any]) -> None:
        self._lines.write(json.dumps(row) + "\n")
        self._lines.flush()


def _energy(vector: np.ndarray, other: Optional[np.ndarray]) -> Optional[float]:
    return None if other is None else float(np.sum(np.square(vector - other, dtype=np.float64)))
