"""The settings that a worker gets from a master, as far as local training reads them."""

import copy

SETTINGS = {
    "system": {"total_workers": 4, "max_rounds": 30, "seed": 42, "deterministic": True, "threads": 1, "give_up_s": 5.0},
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
        "gpu_memory_limit_mb": 2000,
        "enable_mixed_precision": False,
        "prefetch_size": 2,
        "num_parallel_calls": 2,
        "cuda_cache_mb": None,
        "telemetry_s": 10.0,
    },
}


def settings_with(path, value):
    """Return a copy of SETTINGS with one value, at section.key, replaced."""
    settings = copy.deepcopy(SETTINGS)
    section, _, key = path.partition(".")
    settings[section][key] = value
    return settings


def settings_without(path):
    """Return a copy of SETTINGS that lacks a section, or section.key."""
    settings = copy.deepcopy(SETTINGS)
    section, _, key = path.partition(".")
    del (settings[section] if key else settings)[key or section]
    return settings
