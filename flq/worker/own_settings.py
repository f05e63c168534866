"""What this worker's owner says in place of the master: a file, flags, and how they are put together.

For device settings and data_dir the order is: the command line, the worker's own file, the
master. Where all of them leave data_dir null, the data layer looks into the environment, see
``training.sources.published``. Everything else is the master's, except what code may run here:
that is never the network's to say. Nor is it what lies outside of a data_dir of the worker's own.

The file is JSON. It may be a whole configuration, such as the master's, in sections or flat;
only section jetson_optimization, dataset.data_dir and system.master_url are taken from it.
"""

import argparse
import json
import os
import ssl
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from ..addresses import host_in, host_of, url_of
from ..errors import ConfigError, DataError
from ..training.custom_model import require_allowed
from ..training.datasets import FILES
from ..training.models import is_custom

Settings = Dict[str, Dict[str, Any]]


class Kind(NamedTuple):
    """What a value may be: its types, and bounds where it is a number. ``words`` says it to people."""

    types: Tuple[type, ...]
    words: str
    lowest: float = -sys.float_info.max
    highest: float = sys.float_info.max
    may_be_null: bool = False

    def fits(self, value: Any) -> bool:
        """Say whether a value of a JSON file is one of this kind."""
        if value is None:
            return self.may_be_null
        if isinstance(value, bool) and bool not in self.types or not isinstance(value, self.types):
            return False
        return not isinstance(value, (int, float)) or self.lowest <= value <= self.highest


def _whole(lowest: int, highest: int, may_be_null: bool = False) -> Kind:
    words = "a whole number in %d..%d%s" % (lowest, highest, " or null" if may_be_null else "")
    return Kind((int,), words, lowest, highest, may_be_null)


TEXT, TEXT_OR_NULL = Kind((str,), "a text"), Kind((str,), "a text or null", may_be_null=True)
NUMBER, FLAG = Kind((int, float), "a number"), Kind((bool,), "true or false")
COUNT = _whole(0, 2**63 - 1)

OWN: Dict[str, Dict[str, Kind]] = {
    "jetson_optimization": {
        "gpu_memory_limit_mb": _whole(1, 10**6, may_be_null=True),
        "enable_mixed_precision": FLAG,
        "prefetch_size": _whole(0, 10000),
        "num_parallel_calls": _whole(1, 1024),
        "cuda_cache_mb": _whole(0, 4096, may_be_null=True),
        "telemetry_s": Kind((int, float), "a number in 0..1e9", 0, 1e9),
    },
    "dataset": {"data_dir": TEXT_OR_NULL},
    "system": {"master_url": TEXT_OR_NULL},
}

# What local training reads of the master's settings.
TRAINING: Dict[str, Dict[str, Kind]] = {
    "system": {
        "total_workers": COUNT,
        "max_rounds": COUNT,
        "seed": COUNT,
        "deterministic": FLAG,
        "threads": _whole(1, 1024),
    },
    "dataset": {
        "name": TEXT,
        "partition": TEXT,
        "batch_size": _whole(0, 10**6),
        "dir_alpha": NUMBER,
        "shards_per_worker": COUNT,
        "test_fraction": NUMBER,
        "data_dir": TEXT_OR_NULL,
        "input_shape": Kind((list,), "a list or null", may_be_null=True),
        "n_classes": _whole(2, 10**6, may_be_null=True),
    },
    "model": {
        "name": TEXT,
        "lr": NUMBER,
        "lr_schedule": TEXT,
        "lr_decay": NUMBER,
        "lr_decay_rounds": _whole(1, 10**9),
        "l2": NUMBER,
        "local_optimizer": TEXT,
        "local_momentum": NUMBER,
        "mu": NUMBER,
        "logit_adjustment": NUMBER,
        "local_epochs": COUNT,
        "local_steps": COUNT,
        "dim": COUNT,
    },
    "flq_algorithm": {"update": TEXT},
    "jetson_optimization": OWN["jetson_optimization"],
}


def read_own_file(path: Optional[str]) -> Settings:
    """Return what a worker takes from its own file, in sections; nothing for None.

    Raises
    ------
    ConfigError
        If it can not be read, is no JSON object, or a value that is taken is of the wrong kind.
    """
    own: Settings = {section: {} for section in OWN}
    if path is None:
        return own
    content = _read_object(path)
    for section, kinds in OWN.items():
        inner = content.get(section, {})
        if isinstance(inner, str) and section == "dataset":
            inner = {}  # a plain text under dataset is its name, the master's business
        if not isinstance(inner, dict):
            raise ConfigError("%s: section %s must be an object of keys" % (path, section))
        unknown = sorted(set(inner) - set(kinds)) if section == "jetson_optimization" else []
        if unknown:
            raise ConfigError(
                "%s: unknown key %r in section %s, expected one of %s"
                % (path, unknown[0], section, ", ".join(sorted(kinds)))
            )
        for key, kind in kinds.items():
            if key in inner and key in content:
                raise ConfigError("%s: %s.%s is given twice; keep one" % (path, section, key))
            for found in (inner, content):
                if key in found:
                    own[section][key] = _checked(found[key], kind, "%s: %s.%s" % (path, section, key))
    return own


def master_url(args: argparse.Namespace, own: Settings) -> str:
    """Return where the master is: --master_ip and --port, or the file's system.master_url; https with --tls or --ca.

    Raises
    ------
    ConfigError
        If neither says it, or the file's is no http://host:port.
    """
    if args.master_ip is not None:
        return url_of("https" if args.tls or args.ca is not None else "http", args.master_ip, args.port)
    url = own["system"].get("master_url")
    if url is None:
        raise ConfigError("where the master is must be said, by --master_ip or by system.master_url in a --config file")
    if not _is_address(url):
        raise ConfigError("system.master_url must be http://host:port, got %r" % url)
    if (args.tls or args.ca is not None) and not url.startswith("https:"):
        raise ConfigError("system.master_url must be https://host:port with --tls or --ca, got %r" % url)
    return url_of(urlsplit(url).scheme, host_in(url), urlsplit(url).port)


def trusted_file(args: argparse.Namespace) -> Optional[str]:
    """Return the file of certificates that --ca names, or None.

    Raises
    ------
    ConfigError
        If it holds none.
    """
    if args.ca is not None:
        try:
            ssl.create_default_context(cafile=args.ca)
        except OSError as error:
            raise ConfigError(
                "--ca must name a file of certificates, PEM; %s is none: %s" % (args.ca, error.strerror or error)
            ) from None
    return args.ca


def effective_settings(settings: Settings, own: Settings, args: argparse.Namespace) -> Settings:
    """Return the master's settings with what comes before them on this worker.

    Parameters
    ----------
    settings : dict
        As the master sent them; not modified.
    own : dict
        From :func:`read_own_file`.
    args : Namespace
        Read: data_dir, gpu_memory_limit_mb, model.

    Raises
    ------
    ConfigError
        If the master's settings lack something or hold something else than expected.
    DataError
        If the master asks for a model whose code the command line does not name, or for a file
        outside of this worker's own data_dir.
    """
    settings = dict(settings)
    for section, kinds in TRAINING.items():
        given = settings.get(section)
        missing = [key for key in kinds if not isinstance(given, dict) or key not in given]
        if missing:
            raise ConfigError(
                "the master's settings lack %s.%s" % (section, missing[0]), "are master and worker of the same version?"
            )
        settings[section] = dict(
            given,
            **{key: _checked(given[key], kind, "the master's %s.%s" % (section, key)) for key, kind in kinds.items()},
        )
    if is_custom(settings["model"]["name"]):
        require_allowed(settings["model"]["name"], args.model)
    said = [os.path.abspath(path) for path in (args.data_dir, own["dataset"].get("data_dir")) if path is not None]
    if said:
        _require_inside(settings["dataset"]["name"], said[0])
    jetson = dict(settings["jetson_optimization"], **own["jetson_optimization"])
    if args.gpu_memory_limit_mb is not None:
        jetson["gpu_memory_limit_mb"] = args.gpu_memory_limit_mb
    dataset = dict(settings["dataset"], data_dir=said[0] if said else settings["dataset"]["data_dir"])
    return dict(settings, dataset=dataset, jetson_optimization=jetson)


def _require_inside(name: str, data_dir: str) -> None:
    """Refuse a data set's file, npz:FILE and so on, that may lie outside of this worker's own folder."""
    prefix, _, path = name.partition(":")
    if prefix in FILES and (os.path.isabs(path) or path.startswith("~") or ".." in path.replace("\\", "/").split("/")):
        raise DataError(
            "the master asks for the data set %s, but this worker's data lie in %s" % (name, data_dir),
            hint="the master's dataset.name must be a relative path without .., or start this worker "
            "without a data_dir of its own",
        )


def _read_object(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as stream:
            content = json.load(stream)
    except OSError as error:
        raise ConfigError("the worker's file %s can not be read: %s" % (path, error.strerror)) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError("the worker's file %s is not JSON: %s" % (path, str(error).split("\n")[0])) from None
    if not isinstance(content, dict):
        raise ConfigError("the worker's file %s must hold one JSON object" % path)
    return content


def _checked(value: Any, kind: Kind, name: str) -> Any:
    """Return the value if it is of its kind; 3.0 counts as 3, since JSON has one kind of number only."""
    if int in kind.types and float not in kind.types and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not kind.fits(value):
        raise ConfigError("%s must be %s, got %.60r" % (name, kind.words, value))
    return value


def _is_address(url: str) -> bool:
    """Say whether a text is http://host:port, or https, and nothing more."""
    try:
        parts = urlsplit(url)
        has_port = parts.port is not None
        host_of(host_in(url))
    except ValueError:
        return False
    rest: List[str] = [parts.path.strip("/"), parts.query, parts.fragment]
    return (
        parts.scheme in ("http", "https")
        and has_port
        and "@" not in parts.netloc
        and not any(rest)
        and not any(letter.isspace() for letter in url)
    )
