"""Settings of a run on the quadratic problem, which needs no TensorFlow."""

import copy

SETTINGS = {
    "system": {
        "total_workers": 4,
        "min_workers": 4,
        "max_rounds": 12,
        "seed": 42,
        "deterministic": True,
        "threads": 1,
        "lease_s": 300.0,
        "max_samples": 10**7,
        "round_deadline_s": 0.0,
        "offer_deadline_s": 0.0,
        "give_up_s": 3600.0,
    },
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
        "name": "quadratic",
        "lr": 0.1,
        "lr_schedule": "constant",
        "lr_decay": 0.1,
        "lr_decay_rounds": 100,
        "l2": 0.0,
        "local_optimizer": "sgd",
        "local_momentum": 0.9,
        "mu": 0.0,
        "local_epochs": 1,
        "local_steps": 0,
        "server_optimizer": "sgd",
        "server_lr": 1.0,
        "server_momentum": 0.7,
        "server_beta_1": 0.9,
        "server_beta_2": 0.999,
        "server_epsilon": 1e-7,
        "server_options": {},
        "ema": 0.0,
        "dim": 1000,
    },
    "flq_algorithm": {
        "mode": "bbit",
        "update": "delta",
        "b_up": None,
        "b_down": None,
        "memory": None,
        "scale_by_selected": False,
        "sel_ref": 1,
        "clip_global": 0.0,
        "bytes_up": None,
        "bytes_down": None,
        "coding": "auto",
        "aggregator": "auto",
        "aggregator_options": {},
    },
    "lazy_selection": {"D": 10, "ck": 0.8, "C": 50, "warmup": 0, "thr_scale": None},
    "budget_selection": {"sel_clients": 0, "up_budget_bits": 0, "grant_by": "energy"},
    "jetson_optimization": {
        "gpu_memory_limit_mb": None,
        "enable_mixed_precision": False,
        "prefetch_size": 2,
        "num_parallel_calls": 2,
        "cuda_cache_mb": None,
    },
}


def settings_with(**changes):
    """Return a copy of SETTINGS with the given keys replaced, in whatever section they are."""
    settings = copy.deepcopy(SETTINGS)
    if "total_workers" in changes:
        changes.setdefault("min_workers", changes["total_workers"])
    for key, value in changes.items():
        section = next(name for name in settings if key in settings[name])
        settings[section][key] = value
    return settings
