"""If any message of a run is lost, the worker retries and the model stays the same."""

import numpy as np
import pytest
from local_master import HttpWorker, token_of_worker

from flq.engines import simulation
from flq.protocol import worker_events
from flq.worker.http_client import MasterClient

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3", "memory=mirror", "C=1")
BUDGET = RUN + ("sel_clients=1",)


class LossyClient(MasterClient):
    """Loses the n-th request, or the response to it; counts its calls."""

    def __init__(self, url, worker_id, n, loses_response):
        super().__init__(url, worker_id, lambda: token_of_worker(worker_id))
        self.n_calls = 0
        self._n, self._loses_response = n, loses_response

    def do(self, action):
        self.n_calls += 1
        if self.n_calls != self._n:
            return super().do(action)
        if self._loses_response:
            super().do(action)
        return worker_events.Unreachable("lost by the test")


@pytest.mark.parametrize("overrides", [RUN, BUDGET], ids=["one phase", "two phases"])
@pytest.mark.parametrize("loses_response", [False, True], ids=["request", "response"])
def test_any_lost_message_leaves_the_model_as_it_is(make_master, run_workers, overrides, loses_response):
    n, n_calls, expected = 0, 0, None
    while n <= n_calls:
        master = make_master(*overrides)
        client = LossyClient(master.url, 0, n, loses_response)
        model = run_workers(master, {0: client})
        if n == 0:  # nothing is lost
            n_calls, expected = client.n_calls, simulation.simulate(master.settings).model
        assert np.array_equal(model, expected), "the model differs when message %d is lost" % n
        assert len(master.run.record.rounds()) == 3
        n += 1
    assert n_calls >= 6  # registered twice, polled, and answered three rounds, which brings the next one or the end


def test_an_upload_whose_response_is_lost_counts_once_and_as_sent_again(make_master, run_workers):
    master = make_master(*RUN)
    n_first_upload = 4  # after two registrations and a poll
    client = LossyClient(master.url, 0, n_first_upload, loses_response=True)
    run_workers(master, {0: client})
    totals, undisturbed = master.machine.delivery.totals, simulation.simulate(master.settings).master.delivery.totals
    assert totals._replace(retransmitted_bytes=0) == undisturbed
    assert totals.retransmitted_bytes > undisturbed.retransmitted_bytes == 0


def test_a_worker_that_registers_again_takes_part_in_the_open_round(make_master):
    master = make_master(*RUN)
    first, second, again = HttpWorker(master, 0), HttpWorker(master, 1), HttpWorker(master, 0, waits=False)
    for worker in first, second:
        while not isinstance(worker.action, worker_events.CallPoll):
            worker.step()
    while not isinstance(again.action, worker_events.CallAnswer):
        assert again.step()
    assert again.machine.epoch == 2
    assert master.machine.round_index == 1
    again.step()
    assert master.machine.rounds.attendance[0].tally["uploaded"] == 1  # decided before it was answered
