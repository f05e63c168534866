"""The contestants of benchmarks.training_vs_flower: trains them, and evaluates their models."""

import json
import os
import sys
import tempfile
from typing import Any, Callable, Dict, List

import numpy as np

from benchmarks.processes import PROJECT, Marks, run, worker_command
from benchmarks.round_overhead import summary
from flq.config_file import load_config
from flq.core.settings import Settings, to_json
from flq.master.runtime.evaluator import Evaluator
from flq.training.datasets import resolve_dataset

EVALUATION_S = 3600.0  # limit for all evaluations

Train = Callable[[str, str, Dict[str, int]], Marks]  # file of the models, folder for everything else, byte counts


def resolved(overrides: List[str]) -> Settings:
    """Return the settings with these overrides, as workers receive them."""
    return resolve_dataset(load_config(None, overrides))


def run_flower(overrides: List[str], python: str, models: str, folder: str, bytes_moved: Dict[str, int]) -> Marks:
    """Train on Flower's gRPC server; the file ``models`` receives the model of each round."""
    settings = resolved(overrides)
    path = os.path.join(folder, "settings.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(to_json(settings), file)
    return run(
        ["benchmarks.training_flower_server", path, models],
        lambda port: [
            ["benchmarks.training_flower_client", port, str(i), path] for i in range(settings.system.total_workers)
        ],
        folder,
        python,
        bytes_moved,
    )


def run_flq(overrides: List[str], models: str, folder: str, bytes_moved: Dict[str, int]) -> Marks:
    """Train on FLQ; the file ``models`` receives the model of each round."""
    sets = [text for override in overrides + ["report.results_dir=" + folder] for text in ("--set", override)]
    return run(
        [
            "benchmarks.training_master",
            folder,
            models,
            "--config",
            os.path.join(PROJECT, "flq_config.json"),
            "--host",
            "127.0.0.1",
            "--port",
            "0",
        ]
        + sets,
        lambda port: [
            worker_command("benchmarks.training_worker", folder, i, port)
            for i in range(resolved(overrides).system.total_workers)
        ],
        folder,
        bytes_moved=bytes_moved,
    )


def accuracies(settings: Settings, models: np.ndarray) -> List[float]:
    """Return the test accuracy of each model, evaluated in a child process."""
    found: Dict[int, Any] = {}
    evaluator = Evaluator(settings, max_backlog_bytes=models.nbytes)
    try:
        for index, model in enumerate(models):
            evaluator.evaluate(index, [model], lambda i, results: found.__setitem__(i, results.accuracy))
        evaluator.wait_until_idle(EVALUATION_S)
    finally:
        evaluator.close()
    if len(found) < len(models) or None in found.values():
        sys.exit("error: the models could not be evaluated")
    return [found[index] for index in range(len(models))]


def measure(train: Train, settings: Settings) -> Dict[str, Any]:
    """Train one contestant; return its measurements."""
    bytes_moved: Dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        models = os.path.join(folder, "models.npy")
        marks = train(models, folder, bytes_moved)
        row = summary([marks], warm_up=1)
        row.update(
            bytes_moved, worker_peak_mb=marks[-1]["worker_peak_mb"], accuracy=accuracies(settings, np.load(models))
        )
    return row
