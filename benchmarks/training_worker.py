"""The real worker program, which trains; prints its resource usage (benchmarks.peak.report).

python -m benchmarks.training_worker FOLDER [flags of flq_worker.py]
"""

import sys
import time
from typing import List

from benchmarks.peak import report
from flq.core.layout import Vector
from flq.core.settings import Settings
from flq.training.frameworks import build_trainer
from flq.training.task import LocalUpdate
from flq.worker import command_line, program

CPU_MARKS: List[float] = []


class NotedTrainer:
    """The trainer; records the process's CPU seconds after each local training."""

    def __init__(self, settings: Settings, worker_id: int) -> None:
        self._trainer = build_trainer(settings, worker_id)
        self.n_samples, self.layout, self.notes = self._trainer.n_samples, self._trainer.layout, self._trainer.notes
        self.seen, self.data_report = self._trainer.seen, self._trainer.data_report

    def local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        """Train, and record the CPU seconds."""
        learnt = self._trainer.local_update(shared, round_index)
        CPU_MARKS.append(time.process_time())
        return learnt


if __name__ == "__main__":
    program.build_trainer = NotedTrainer
    exit_code = command_line.main(sys.argv[2:], sys.argv[1])
    print(report(CPU_MARKS), flush=True)
    sys.exit(exit_code)
