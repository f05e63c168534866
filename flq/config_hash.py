"""Hashes the settings that affect the model: runs whose hashes are equal make the same model.

Example
-------
>>> config_hash({"model": {"lr": 3, "dim": 8}}) == config_hash({"model": {"dim": 8.0, "lr": 3.0}})
True
>>> config_hash({"system": {"linger_s": 1}}) == config_hash({"system": {"linger_s": 2}})
True
"""

import hashlib
import json
from typing import Any, Dict, Mapping, Tuple

# Settings that the hash leaves out, and why they cannot change the model; "*" = every key of the section. All others
# count, also those that act only on which workers take part in a round (quorum, deadlines, leases).
NOT_HASHED: Dict[Tuple[str, str], str] = {
    ("system", "max_rounds"): "a round does not depend on later ones; a run may be extended",
    ("system", "linger_s"): "begins after the last round",
    ("system", "max_samples"): "limits which workers may join, which is journalled; may be raised on resume",
    ("system", "snapshot_every"): "where a resume begins, not its result",
    ("system", "snapshots_kept"): "how far back a resume may begin, not its result",
    ("system", "give_up_s"): "counts while there is no master, and so no round",
    ("system", "master_url"): "the master does not read it",
    ("dataset", "data_dir"): "the place of the files, not their content; differs from worker to worker",
    ("jetson_optimization", "gpu_memory_limit_mb"): "a limit of the device; the arithmetic is the same",
    ("jetson_optimization", "prefetch_size"): "when batches are read, not their content or order",
    ("jetson_optimization", "num_parallel_calls"): "how many batches are read at a time, not their content or order",
    ("jetson_optimization", "cuda_cache_mb"): "size of a cache of compiled code",
    ("jetson_optimization", "telemetry_s"): "telemetry, which nothing that affects the model reads",
    ("security", "*"): "access, not the content of replies",
    ("notify", "*"): "notifications, which nothing that affects the model reads",
    ("report", "*"): "views of the run, which nothing that affects the model reads",
}

# Keys that older journals lack: left out if they have these values, so that such runs can still be resumed.
ADDED: Dict[Tuple[str, str], Any] = {
    ("dataset", "scale"): None,
    ("dataset", "channels"): None,
    ("dataset", "channels_first"): False,
    ("dataset", "label_column"): None,
    ("flq_algorithm", "aggregator"): "auto",
    ("flq_algorithm", "aggregator_options"): {},
    ("model", "server_options"): {},
}


def config_hash(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the SHA-256 of the settings that affect the model, as 64 hexadecimal digits.

    The order of the keys does not matter, and 3 and 3.0 are the same. Null and the number that it
    stands for, as in ``b_down``, have different hashes.

    Parameters
    ----------
    settings : mapping
        ``{section: {key: value}}``, JSON values without NaN. Hashes can be compared only if the
        same sections are missing.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.
    """
    text = json.dumps(affecting(settings), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def affecting(settings: Mapping[str, Mapping[str, Any]]) -> Dict[str, Dict[str, Any]]:
    """Return the settings that affect the model; whole numbers are int, also those written as 3.0."""
    kept = {
        section: {
            key: _canonical(value)
            for key, value in values.items()
            if not is_left_out(section, key) and not _is_added((section, key), value)
        }
        for section, values in settings.items()
    }
    return {section: values for section, values in kept.items() if values}


def is_left_out(section: str, key: str) -> bool:
    """Return whether the hash leaves out a key."""
    return (section, "*") in NOT_HASHED or (section, key) in NOT_HASHED


def _is_added(at: Tuple[str, str], value: Any) -> bool:
    return at in ADDED and value == ADDED[at]


def _canonical(value: Any) -> Any:
    """Return the value with each whole number as int, also those written as 3.0."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
