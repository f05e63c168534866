"""The folder of a run is renamed, deleted or replaced during the run: the master waits, and loses nothing."""

import json
import os
import shutil
import signal
import time
import urllib.error

import numpy as np
import pytest
from cluster import RUN_S, ask, settings_of, stop

from flq.core.layout import flatten
from flq.engines import simulation
from flq.training.frameworks import make_task

RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=60",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=1000000",
    "system.linger_s=1000",
)


class Misplaced:
    """A run of some rounds whose folder was moved."""

    def __init__(self, cluster, displace):
        self.cluster = cluster
        self.master = cluster.master(*RUN)
        self.workers = cluster.workers(range(2), self.master.port)
        self.master.wait_for(r"round=4/")
        self.run = os.path.dirname(*self.master.files("journal.sqlite"))
        self.master.signal(signal.SIGSTOP)  # so that the master sees the outcome only
        self.away = displace(self.run)
        self.master.signal(signal.SIGCONT)
        self.master.wait_for("the run waits: the folder of the run ")

    @property
    def model(self):
        """The model saved elsewhere, and the number of its round."""
        path = os.path.join(self.run + "_recovered_1", "model.npz")
        n_rounds = int(self.master.wait_for("the model after round (.*) is saved as %s " % path).group(1))
        settings = settings_of(*RUN)
        layout = make_task(settings).layout
        with np.load(path, allow_pickle=False) as tensors:
            return flatten([tensors[tensor.name] for tensor in layout.tensors], layout), n_rounds


def rename(run):
    os.rename(run, run + "_away")
    return run + "_away"


def rename_parent(run):
    parent, run_id = os.path.split(run)
    os.rename(parent, parent + "_away")
    return os.path.join(parent + "_away", run_id)


def replace(run):
    away = rename(run)
    shutil.copytree(away, run)
    return away


def delete(run):
    shutil.rmtree(run)


WHAT = {rename: "was moved", rename_parent: "was moved", replace: "was replaced", delete: "is gone"}


def expected(n_rounds):
    return simulation.simulate(settings_of(*RUN + ("system.max_rounds=%d" % n_rounds,))).master.model.state.result


@pytest.mark.parametrize("displace", [rename, rename_parent, replace, delete])
@pytest.mark.parametrize("by", ["stop", "signal"])
def test_ending_the_run_then_writes_the_model_elsewhere_with_exit_code_1(cluster, displace, by):
    case = Misplaced(cluster, displace)
    problem = ask(case.master, "/status")["problem"]
    assert problem == "the folder of the run " + WHAT[displace]
    before = files_of(case.run)
    began = time.monotonic()
    if by == "stop":
        with pytest.raises(urllib.error.HTTPError) as caught:
            stop(case.master)
        with caught.value as answer:
            content = json.loads(answer.read().decode("utf-8"))
        assert problem in content["detail"] and "%s_recovered_1/model.npz" % case.run in content["detail"]
        assert content["hint"]
    else:
        case.master.signal(signal.SIGTERM)
    assert case.master.wait() == 1
    assert time.monotonic() - began < RUN_S / 3 and "Traceback" not in case.master.text
    assert files_of(case.run) == before  # of a copy too
    model, n_rounds = case.model
    assert model.tobytes() == expected(n_rounds).tobytes()
    if case.away is None:
        return
    shutil.rmtree(case.run, ignore_errors=True)  # of two folders with the same run, neither would be resumed
    for worker in case.workers:
        worker.signal(signal.SIGTERM)
        worker.wait()
    again = cluster.master("system.max_rounds=%d" % (n_rounds + 5), flags=("--resume", case.away))
    assert [program.wait() for program in cluster.workers(range(2), again.port) + [again]] == [0, 0, 0], again.text
    path = os.path.join(case.away, "model.npz")
    layout = make_task(settings_of(*RUN)).layout
    with np.load(path, allow_pickle=False) as tensors:
        found = flatten([tensors[tensor.name] for tensor in layout.tensors], layout)
    assert found.tobytes() == expected(n_rounds + 5).tobytes()


def files_of(folder):
    """Return the files in a folder, if it exists."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as stream:
                found[os.path.join(path, name)] = stream.read()
    return found


def test_when_the_folder_is_back_the_run_continues(cluster):
    case = Misplaced(cluster, rename)
    rounds = ask(case.master, "/status")["current_round"]
    assert not os.path.exists(case.run)
    os.rename(case.away, case.run)
    case.master.wait_for("round=%d/" % (rounds + 20))
    assert ask(case.master, "/status")["problem"] is None
    assert os.path.dirname(stop(case.master)["results_saved"]) == os.path.dirname(case.run)
    assert [program.wait() for program in case.workers + [case.master]] == [0, 0, 0]
    n_rounds = case.master.summary()["rounds"]
    assert n_rounds >= rounds + 20
    assert case.master.model(settings_of(*RUN)).tobytes() == expected(n_rounds).tobytes()
