"""Folders of runs with a real journal, without a master."""

import os
from contextlib import closing

from flq.config_file import load_config
from flq.master.storage.journal import Batch, open_journal
from flq.master.storage.resume import begin_journal
from flq.master.storage.run_index import claim
from flq.run_end import KEY, RunEnd, Stage
from flq.training.datasets import resolve_dataset
from flq.training.frameworks import make_task


def begin(results_dir: str, is_joined: bool = True) -> str:
    """Start a run, which a worker has joined or not; return its folder."""
    settings = resolve_dataset(load_config(None, ["model.name=quadratic", "model.lr=0.05", "mode=bbit"]))
    run_dir = claim(results_dir)
    with closing(begin_journal(run_dir, os.path.basename(run_dir), settings, make_task(settings).layout)) as journal:
        if is_joined:
            journal.write(Batch([], [], [], [], {"counted": {}}))
    return run_dir


def end(run_dir: str, why: str = "it is over") -> None:
    """Mark a run as ended."""
    with closing(open_journal(run_dir)) as journal:
        journal.write(Batch([], [], [], [], {KEY: RunEnd(Stage.OVER, why).to_json()}))
