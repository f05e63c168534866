"""Over a link whose connections all break soon, every round is finished, and hardly any byte is sent twice."""

import numpy as np
from cluster import end_well, settings_of
from cutting import CuttingLink

from flq.engines import simulation

DIM, CUT_AFTER, N_ROUNDS = 60000, 100000, 3
RUN = (
    "mode=fedavg",
    "coding=none",
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=%d" % DIM,
    "system.total_workers=1",
    "system.min_workers=1",
    "system.max_rounds=%d" % N_ROUNDS,
)
HEAD = 600  # maximum bytes of HTTP per connection: those before the cut, and the next response's head


def test_downloads_larger_than_the_limit_of_a_connection_arrive(cluster):
    master = cluster.master(*RUN)
    with CuttingLink(master.port, CUT_AFTER) as link:
        worker = cluster.worker(0, link.port)
        end_well(master, [worker])
    settings = settings_of(*RUN)
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)
    downloads = 4 * DIM * (N_ROUNDS - 1)  # the model after a round, once; nothing follows the last
    assert downloads <= link.n_down <= downloads + HEAD * (link.n_cut + 2 * N_ROUNDS) + 4000  # and the settings
    assert link.n_cut >= downloads // CUT_AFTER
    assert "broke off after" in worker.text and "registering again" not in worker.text
    assert sum(row["payload down (bits)"] for row in master.table("Rounds")) == 8 * downloads
