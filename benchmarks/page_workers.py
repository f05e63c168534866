"""Many simulated workers in one process: a real machine, trainer and HTTP client in a thread each.

    python -m benchmarks.page_workers URL TOKENS FIRST END PERIOD [CA]

Worker 0 keeps each round open for the period: round k ends PERIOD * k seconds after the start of the first. Each worker
sends a device report with invented numbers at its start.
"""

import random
import sys
import threading
import time
from functools import partial
from typing import Any, Dict, Optional

from flq.protocol import worker_events as events
from flq.protocol.exchange import CallAction, Local, run_worker
from flq.protocol.worker_machine import WorkerMachine
from flq.tokens import read_tokens, worker_name
from flq.training.frameworks import build_trainer
from flq.worker.http_client import MasterClient


class Simulated(Local):
    """One worker.

    Parameters
    ----------
    client : MasterClient
    worker_id : int
    period_s : float
        Duration of a round, for which only worker 0 waits.
    """

    def __init__(self, client: MasterClient, worker_id: int, period_s: float) -> None:
        super().__init__(partial(build_trainer, worker_id=worker_id), time.monotonic, time.sleep)
        self._client, self._worker_id, self._period_s = client, worker_id, period_s
        self._chance = random.Random(worker_id)
        self._machine = WorkerMachine(worker_id, "instance%d" % worker_id, self._chance, 3600)
        self._began = 0.0

    def run(self) -> None:
        """Take part until the end of the run."""
        run_worker(self._machine, self, self._call, time.monotonic)

    def train(self, action: events.Train) -> Optional[events.Event]:
        """Train once the period is over."""
        self._keep_time(action.round_index)
        return super().train(action)

    def _call(self, action: CallAction) -> events.Event:
        event = self._client.do(action)
        if isinstance(event, events.Registered) and event.body["epoch"]:
            self._client.heartbeat(event.body["epoch"], self._board())
        return event

    def _keep_time(self, round_index: int) -> None:
        if self._worker_id == 0:
            self._began = self._began or time.monotonic() - round_index * self._period_s
            time.sleep(max(0.0, self._began + round_index * self._period_s - time.monotonic()))

    def _board(self) -> Dict[str, Any]:
        return {
            "life": "%08x" % self._worker_id,
            "name": "board %d" % self._worker_id,
            "temperature_c": 45.0 + 20 * self._chance.random(),
            "power_w": 4.0 + 3 * self._chance.random(),
        }


def main() -> None:
    """Run them all."""
    url, token_file, first, end, period_s, *ca = sys.argv[1:]
    tokens = read_tokens(token_file)
    threads = []
    for worker_id in range(int(first), int(end)):
        client = MasterClient(url, worker_id, partial(tokens.get, worker_name(worker_id)), *ca)
        threads.append(threading.Thread(target=Simulated(client, worker_id, float(period_s)).run, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
