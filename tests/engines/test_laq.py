"""Mode laq as published: the sum of stored gradients, the order of uploads, and gradient descent as a special case."""

import numpy as np
import pytest
from factory import quadratic_with

from flq.core.codecs import QUANTIZERS, decode
from flq.core.rng import start_values
from flq.core.settings import rules_from_settings
from flq.training.frameworks import build_trainer, make_task
from flq.training.quadratic import problem
from flq_fed_v3 import federate

STEP = np.float32(0.02)


def laq(**changes):
    return quadratic_with(**dict(dict(mode="laq", update="gradient", lr=0.02, dim=50, max_rounds=40), **changes))


def silences(rounds):
    """Return a string of u (upload) and s (skip) per round for each worker."""
    return ["".join("u" if m in done.uploads else "s" for done in rounds) for m in range(4)]


@pytest.mark.parametrize("bits", [1, 4, 32])
def test_the_model_steps_along_the_sum_of_all_stored_gradients(bits):
    settings = laq(b_up=bits)
    layout, codec = make_task(settings).layout, QUANTIZERS[rules_from_settings(settings).codec_up]
    model, running = start_values(layout, 42), np.zeros(50)
    stored = [np.zeros(50, np.float32) for _ in range(4)]
    for done in federate(settings):
        for m, payload in done.uploads.items():
            innovation = decode(codec, payload, layout)
            stored[m] = stored[m] + innovation
            running += innovation  # the server's sum, as the paper has it
        total = np.zeros(50, np.float32)
        for gradient in stored:
            total = total + gradient
        np.testing.assert_allclose(running, total, rtol=0, atol=1e-5 * np.abs(stored).max())
        model = model + -STEP * total
        assert model.tobytes() == done.server.model.tobytes()


def test_with_exact_uploads_and_no_silence_it_is_gradient_descent():
    settings = laq(b_up=32, thr_scale=0.0)
    trainers = [build_trainer(settings, m) for m in range(4)]
    model = start_values(make_task(settings).layout, 42).astype(np.float64)
    for done in federate(settings):
        gradients = [trainer.local_update(model.astype(np.float32), done.index).update for trainer in trainers]
        model -= float(STEP) * np.sum(gradients, axis=0, dtype=np.float64)
        np.testing.assert_allclose(done.server.model, model, rtol=0, atol=2e-6)
        assert len(done.uploads) == 4


def test_everybody_speaks_in_the_first_round():
    first = next(federate(laq(ck=1e6)))
    assert sorted(first.uploads) == [0, 1, 2, 3]


@pytest.mark.parametrize("max_silence", [0, 1, 3])
def test_no_worker_skips_more_than_c_rounds_in_a_row(max_silence):
    patterns = silences(list(federate(laq(ck=1e6, C=max_silence, max_rounds=13))))
    assert patterns == [(("u" + "s" * max_silence) * 13)[:13]] * 4


def test_the_worker_skips_as_published():
    """Equation (7a) in float64, from differences of the model and the gradients themselves."""
    settings = laq(b_up=4, C=10**6)
    trainers = [build_trainer(settings, m) for m in range(4)]
    layout, codec = make_task(settings).layout, QUANTIZERS[20]
    models, shared, n_skips = [start_values(layout, 42)], start_values(layout, 42), 0
    stored, errors = [np.zeros(50, np.float32) for _ in range(4)], [0.0] * 4
    for done in federate(settings):
        steps = np.diff(np.array(models[-11:], np.float64), axis=0)
        movement = 0.8 / 10 * (steps**2).sum() / (float(STEP) ** 2 * 4**2)
        for m, trainer in enumerate(trainers):
            gradient = trainer.local_update(shared, done.index).update
            innovation = decode(codec, codec.encode(gradient - stored[m], layout), layout)
            error = ((gradient - stored[m] - innovation).astype(np.float64) ** 2).sum()
            change = (innovation.astype(np.float64) ** 2).sum()
            if done.index > 1 and abs(change / (movement + 3 * (error + errors[m])) - 1) > 1e-4:
                assert (m in done.skipped) == (change < movement + 3 * (error + errors[m]))
            if m in done.uploads:
                stored[m], errors[m] = stored[m] + innovation, error
        n_skips += len(done.skipped)
        models.append(done.server.model)
        shared = done.server.shared
    assert 40 < n_skips < 150


def test_it_converges_and_saves_more_than_half_of_the_uploads():
    settings = laq(max_rounds=250, lr=0.01)
    rounds = list(federate(settings))
    problems = [problem(settings, m) for m in range(4)]
    optimum = sum(curvature * centre for curvature, centre in problems) / sum(curvature for curvature, _ in problems)
    np.testing.assert_allclose(rounds[-1].server.model, optimum, rtol=0, atol=1e-5)  # of the sum, not of the mean
    assert sum(len(done.uploads) for done in rounds) < 500
