"""Products of matrices by one thread."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from flq.core.blas import one_thread
from flq.core.codecs import lowrank_encoder
from flq.core.layout import Layout, Tensor


def n_threads():
    """Return the number of threads of numpy's BLAS, by library."""
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def two_threads():
    if not n_threads():
        pytest.skip("numpy's BLAS here is none that threadpoolctl knows")
    with threadpool_limits(2, "blas"):
        yield


def test_within_there_is_one_thread_and_afterwards_as_many_as_before(two_threads):
    assert set(n_threads()) == {2}
    with one_thread():
        assert set(n_threads()) == {1}
    assert set(n_threads()) == {2}


def test_a_payload_of_lowrank_is_made_with_one_thread(two_threads, monkeypatch):
    seen, decompose = [], lowrank_encoder._piece
    monkeypatch.setattr(lowrank_encoder, "_piece", lambda *args: seen.append(n_threads()) or decompose(*args))
    vector = np.linspace(-1, 1, 8000).astype(np.float32) ** 3
    lowrank_encoder.fit(vector, Layout((Tensor("w", (80, 100)),)), 500)
    assert [set(one) for one in seen] == [{1}] and set(n_threads()) == {2}
