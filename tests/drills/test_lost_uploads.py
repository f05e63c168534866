"""A fifth of all uploads is lost: waiting for the verdict costs no accuracy, committing blindly does.

docs/states.md: memories change only on a verdict.
"""

import numpy as np
import pytest

from flq.config_file import load_config
from flq.core.layout import unflatten
from flq.engines import simulation
from flq.protocol import global_model, round_machine, worker_events
from flq.protocol.worker_machine import WorkerMachine
from flq.training.datasets import load_dataset
from flq.training.frameworks import make_task
from flq.training.partition import partition
from flq.training.task import LocalUpdate

N_WORKERS, N_ROUNDS, LOSS = 8, 60, 0.2
RUN = (
    "model.name=logreg",
    "dataset.name=digits",
    "dataset.partition=shards",
    "system.total_workers=%d" % N_WORKERS,
    "system.min_workers=1",
    "system.max_rounds=%d" % N_ROUNDS,
    "system.round_deadline_s=600",
    "mode=bbit",
    "memory=mirror",
    "b_up=4",
    "thr_scale=0",
    "update=gradient",
    "model.lr=0.5",
)


class Softmax:
    """Logistic regression in numpy: the full gradient of a worker's digits."""

    data_report = None

    def __init__(self, settings, worker_id):
        digits = load_dataset(settings)
        share = partition(digits.y_train, settings)[worker_id]
        self.x, self.y = features(digits.x_train[share]), digits.y_train[share]
        self.n_samples, self.notes, self.layout = len(self.y), [], make_task(settings).layout

    def local_update(self, shared, round_index):
        kernel, bias = unflatten(shared, self.layout)
        logits = self.x @ kernel + bias
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        loss = -float(np.log(share[np.arange(self.n_samples), self.y]).mean())
        share[np.arange(self.n_samples), self.y] -= 1
        share /= self.n_samples
        return LocalUpdate(np.concatenate([(self.x.T @ share).ravel(), share.sum(axis=0)]).astype(np.float32), loss, 1)


def features(images):
    return images.reshape(len(images), -1).astype(np.float32) / 16


def accuracy(model, settings):
    digits = load_dataset(settings)
    kernel, bias = unflatten(model, make_task(settings).layout)
    return float(((features(digits.x_test) @ kernel + bias).argmax(axis=1) == digits.y_test).mean())


class Losses:
    """Draws the lost uploads; each attempt is a draw from its worker's generator."""

    def __init__(self):
        self._draws = [np.random.Generator(np.random.Philox(key=[7, worker_id])) for worker_id in range(N_WORKERS)]
        self.n_lost = self.n_sent = 0

    def hit(self, worker_id):
        self.n_sent += 1
        lost = bool(self._draws[worker_id].random() < LOSS)
        self.n_lost += lost
        return lost


@pytest.fixture(scope="module")
def settings():
    return load_config(None, RUN)


@pytest.fixture(scope="module")
def undisturbed(settings):
    return simulation.simulate(settings, build=Softmax)


class Blind(WorkerMachine):
    """Assumes that every upload is applied; a lost one is never sent again, and no number reveals it."""

    losses = None

    def _send(self, is_granted=False):
        action = super()._send(is_granted)
        if action.path == "/upload_update" and self.losses.hit(self.worker_id):
            self._commit(True)
            self._seq -= 1
            return self._poll()
        return action


class AnyMirror:
    """Equals every CRC32: a master that does not compare mirrors."""

    def __ne__(self, other):
        return False


def test_lost_uploads_that_are_sent_again_cost_nothing(settings, undisturbed):
    losses = Losses()

    def wrap(worker_id, call):
        def lose(action):  # its sender hears nothing
            if getattr(action, "path", "") == "/upload_update" and losses.hit(worker_id):
                return worker_events.Unreachable("lost")
            return call(action)

        return lose

    lossy = simulation.simulate(settings, build=Softmax, wrap=wrap)
    print(
        "accuracy %.3f with %d of %d uploads lost, %.3f without loss"
        % (accuracy(lossy.model, settings), losses.n_lost, losses.n_sent, accuracy(undisturbed.model, settings))
    )
    assert 0.15 < losses.n_lost / losses.n_sent < 0.25
    assert lossy.model.tobytes() == undisturbed.model.tobytes()
    assert [report.roll_call for report in lossy.reports] == [report.roll_call for report in undisturbed.reports]


@pytest.mark.parametrize("compares", [False, True], ids=["nobody notices", "the master compares"])
def test_committing_blindly_costs_accuracy(settings, undisturbed, monkeypatch, compares):
    monkeypatch.setattr(Blind, "losses", Losses())
    monkeypatch.setattr(simulation, "WorkerMachine", Blind)
    if not compares:
        monkeypatch.setattr(global_model, "fingerprint", lambda mirror: AnyMirror())
        monkeypatch.setattr(round_machine.RoundMachine, "is_ahead", lambda self, worker_id, answered: False)
    blind = simulation.simulate(settings, build=Softmax)
    reached, expected = accuracy(blind.model, settings), accuracy(undisturbed.model, settings)
    print(
        "accuracy %.3f with blind commits and %d uploads lost, %.3f without loss"
        % (reached, Blind.losses.n_lost, expected)
    )
    assert blind.model.tobytes() != undisturbed.model.tobytes()
    epochs = [member.epoch for member in blind.master.members.values()]
    assert (max(epochs) > 1) == compares  # it begins a new epoch if the two ends differ
    if not compares:
        assert reached < expected - 0.1
