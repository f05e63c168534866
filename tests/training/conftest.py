"""Settings for the tests of flq.training."""

import copy
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "device"))  # trees

SETTINGS = {
    "system": {"total_workers": 4, "seed": 42, "deterministic": True, "threads": 1},
    "dataset": {
        "name": "digits",
        "batch_size": 32,
        "partition": "iid",
        "dir_alpha": 0.5,
        "shards_per_worker": 2,
        "input_shape": None,
        "n_classes": None,
        "test_fraction": 0.1,
        "data_dir": None,
    },
    "model": {
        "name": "mlp",
        "lr": 0.1,
        "lr_schedule": "constant",
        "lr_decay": 0.1,
        "lr_decay_rounds": 100,
        "l2": 0.0,
        "local_optimizer": "sgd",
        "local_momentum": 0.9,
        "mu": 0.0,
        "logit_adjustment": 0.0,
        "local_epochs": 1,
        "local_steps": 0,
        "dim": 1000,
    },
    "flq_algorithm": {"update": "delta"},
    "jetson_optimization": {
        "gpu_memory_limit_mb": None,
        "enable_mixed_precision": False,
        "prefetch_size": 2,
        "num_parallel_calls": 2,
        "cuda_cache_mb": None,
        "telemetry_s": 10.0,
    },
}


@pytest.fixture
def make_settings():
    """Return a function that copies SETTINGS and replaces the given keys, in whatever section they are."""

    def make(**changes):
        settings = copy.deepcopy(SETTINGS)
        for key, value in changes.items():
            section = next(name for name in settings if key in settings[name] and (name, key) != ("dataset", "name"))
            settings[section][key] = value
        return settings

    return make
