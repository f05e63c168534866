"""The real worker program, which sends a ready vector instead of training.

    python -m benchmarks.round_worker FOLDER [flags of flq_worker.py]

Prints its resource usage (benchmarks.peak.report).
"""

import sys
import time
from typing import Any, List

from benchmarks.peak import report
from benchmarks.ready import ready_vector
from benchmarks.volatile import leave_out_the_disk
from flq.core.layout import Vector
from flq.core.settings import Settings
from flq.training.frameworks import make_task
from flq.training.task import LocalUpdate
from flq.worker import command_line, program

CPU_MARKS: List[float] = []


class ReadyTrainer:
    """A trainer with a ready update."""

    n_samples = 100
    seen = data_report = None

    def __init__(self, settings: Settings, worker_id: int, *_: Any) -> None:
        self.notes: List[str] = []
        self.layout = make_task(settings).layout
        self._update = ready_vector(self.layout.n_params, worker_id)

    def local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        """Return the same update in every round."""
        CPU_MARKS.append(time.process_time())
        return LocalUpdate(self._update, 1.0, 1)


if __name__ == "__main__":
    program.build_trainer = ReadyTrainer
    exit_code = command_line.main(leave_out_the_disk(sys.argv[2:]), sys.argv[1])
    print(report(CPU_MARKS), flush=True)
    sys.exit(exit_code)
