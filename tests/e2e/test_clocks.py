"""A clock that is set back changes neither the run to resume nor the places of results and logs."""

import os
import signal

from cluster import end_well

RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "system.total_workers=1",
    "system.min_workers=1",
    "system.max_rounds=3",
    "system.linger_s=2",
)


def run_id_of(master):
    return master.wait_for(r"FLQ master ready on \S+ \(run (\S+)\)").group(1)


def interrupt(master):
    """Interrupt a master that has started a run; return the run."""
    run_id = run_id_of(master)
    master.signal(signal.SIGTERM)
    assert master.wait() == 128 + signal.SIGTERM
    return run_id


def test_the_newest_run_is_resumed_although_the_clock_was_set_back(cluster):
    first = interrupt(cluster.start_master(*RUN, by=("env", "TZ=AAA-2")))
    second = interrupt(cluster.start_master(*RUN, by=("env", "TZ=AAA+2")))
    assert second < first
    for flags in ("--resume",), ("--start_once", os.path.join(cluster.folder, "run_wanted")):
        assert interrupt(cluster.start_master(*RUN, flags=flags, by=("env", "TZ=AAA+2"))) == second


def test_masters_that_begin_at_once_leave_a_workbook_a_log_and_a_model_each(cluster):
    masters = [cluster.start_master(*RUN) for _ in range(3)]  # from the nursery: within a second, most likely
    workers = [
        cluster.worker(0, master.wait_until_ready().port, state="of_%d" % index) for index, master in enumerate(masters)
    ]
    for master, worker in zip(masters, workers):
        end_well(master, [worker])
    said = {master.wait_for("results: (.*)").group(1) for master in masters}
    assert sorted(said) == masters[0].files(".xlsx") and len(said) == 3
    assert len(masters[0].files("model.npz")) == 3
    logs = [name for name in os.listdir(os.path.join(cluster.folder, "logs")) if name.startswith("master_")]
    assert len(logs) == 3
