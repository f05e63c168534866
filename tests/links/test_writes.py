"""The bytes that the programs write per round do not grow with the number of rounds: SD cards wear out and fill up."""

import os

import pytest
from cluster import end_well

FIRST, MIDDLE, LAST = 30, 115, 200
RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=400",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=%d" % (LAST + 10),
)
MOST_GROWTH = 1.5  # what grows with the rounds would be 2.2 times as much in the second half, and a look may come late


def written(programs):
    """Return the number of bytes that each program has written so far, except to sockets."""
    found = []
    for program in programs:
        with open("/proc/%d/io" % program.pid, encoding="ascii") as file:
            found.append(int(dict(line.split(": ") for line in file)["wchar"]))
    return found


@pytest.mark.parametrize("overrides", [("b_up=4", "memory=mirror", "C=1"), ("mode=fedavg",)], ids=["mirror", "float32"])
def test_the_bytes_written_for_a_round_do_not_grow(cluster, overrides):
    if not os.path.exists("/proc/self/io"):
        pytest.skip("this kernel does not count what a process writes")
    master = cluster.master(*RUN, *overrides)
    workers = cluster.workers(range(2), master.port)
    looks = []
    for round_index in (FIRST, MIDDLE, LAST):
        master.wait_for(r"round=%d/" % round_index)
        looks.append(written([master] + workers))
    end_well(master, workers)
    for first, middle, last in zip(*looks):
        assert 0 < last - middle < MOST_GROWTH * (middle - first)


def test_the_folders_of_a_run_do_not_grow_with_the_bytes_of_its_rounds(cluster):
    dim, sizes = 20000, []
    for n_rounds in (60, 140):
        name = "run of %d" % n_rounds
        master = cluster.master(*RUN, "system.max_rounds=%d" % n_rounds, "model.dim=%d" % dim, "b_up=8", name=name)
        end_well(master, [cluster.worker(i, master.port, state="%s, worker %d" % (name, i)) for i in range(2)])
        sizes.append([size_of(master.results_dir), size_of(os.path.join(cluster.folder, "state"))])
    (results, state), (results_later, states_later) = sizes
    frames = (140 - 60) * 3 * dim  # two workers' and the master's
    assert results_later < results + frames / 4  # rows on rounds, and as many frames as there are since a snapshot
    assert states_later <= 2.1 * state  # two runs' states lie there then


def size_of(folder):
    return sum(os.path.getsize(os.path.join(above, name)) for above, _, names in os.walk(folder) for name in names)
