"""Four workers behind links of 1 Mbit/s that lose one packet in twenty finish with the right model."""

import numpy as np
import pytest
from cluster import end_well, settings_of

from benchmarks.namespaces import NoNamespaces, Star
from flq.engines import simulation

N_WORKERS, N_ROUNDS, LOST_PERCENT = 4, 20, 5
RUN = ("model.name=quadratic", "model.lr=0.05", "system.max_rounds=%d" % N_ROUNDS, "system.linger_s=10")
LINK_S = 180.0  # far beyond its duration


@pytest.fixture
def star():
    """Return a star of four namespaces."""
    try:
        with Star(N_WORKERS, "1mbit", LOST_PERCENT, is_regular=True) as made:
            yield made
    except NoNamespaces as error:
        pytest.skip("no network namespaces with tc and nft can be made here: %s" % error)


@pytest.mark.parametrize(
    "overrides, n_bytes",
    [(("b_up=4", "b_down=4", "model.dim=100000"), 30000), (("mode=lowrank", "model.dim=10000"), 3000)],
    ids=["4 bits", "lowrank"],
)
def test_twenty_rounds_over_1_mbit_with_loss_make_the_simulation_s_model(cluster, star, overrides, n_bytes):
    master = cluster.master(*RUN, *overrides, flags=("--host", "0.0.0.0"), by=star.in_middle())
    workers = [
        cluster.worker(i, master.port, flags=("--master_ip", star.address(i)), by=star.in_leaf(i))
        for i in range(N_WORKERS)
    ]
    end_well(master, workers, LINK_S)
    settings = settings_of(*RUN, *overrides)
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)
    rounds = master.table("Rounds")
    assert [row["uploaded"] for row in rounds] == [N_WORKERS] * N_ROUNDS
    assert sum(row["frames up (bytes)"] for row in rounds) >= N_ROUNDS * N_WORKERS * n_bytes
    assert min(star.lost()) > 0  # at both ends of every link
