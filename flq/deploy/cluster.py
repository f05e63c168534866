"""Reads and checks the cluster file; every error is one sentence.

Example
-------
>>> cluster = cluster_of({"master": {"address": "10.0.0.1"}, "workers": [{"host": "10.0.0.2"}]}, "cluster.yaml")
>>> cluster.workers[0].worker_id, cluster.project_dir
(0, 'flq')
"""

import difflib
from typing import Annotated, Any, Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Tuple, Type

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from ..addresses import host_of, without_brackets
from ..config import JetsonOptimization, Section, device_settings
from ..errors import ConfigError

# Strings that ssh and systemd cannot misread: no leading dash, no blanks, no quotes.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:\[][A-Za-z0-9_.:%@\[\]-]*$", max_length=255)]
SshHost = Annotated[Name, AfterValidator(without_brackets)]
Address = Annotated[Name, AfterValidator(host_of)]
Path = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./~+][A-Za-z0-9_./~+@=:-]*$", max_length=1000)]
Port = Annotated[int, Field(ge=1, le=65535)]
Memory = Annotated[int, Field(ge=64, le=10**7)]

Manager = Literal["auto", "user", "system", "none"]
LOCAL = "local"


class Access(Section):
    """Access to a machine and its environment; an entry of a machine overrides the top level."""

    user: Optional[Name] = Field(None, description="Login name; null = from ~/.ssh/config.")
    ssh_port: Optional[Port] = Field(None, description="Port of the ssh server.")
    ssh_key: Optional[Path] = Field(None, description="File with the private key.")
    ssh_config: Optional[Path] = Field(None, description="File to read instead of ~/.ssh/config.")
    jump_host: Optional[Name] = Field(None, description="[user@]host[:port] through which the machine is reached.")
    project_dir: Path = Field("flq", description="Folder of the installation, relative to the home folder.")
    python: Optional[Path] = Field(None, description="Interpreter for the environment.")
    environment: Path = Field("auto", description="auto, or the Python of an existing virtual environment.")
    systemd: Manager = Field(
        "auto", description="Service manager: systemd of the system, of the user, or none; auto = the first available."
    )
    memory_max_mb: Optional[Memory] = Field(
        None, description="Memory limit of a program; null = from the machine's memory."
    )


class MasterEntry(Access):
    """The master: its machine and its settings."""

    address: Address = Field(description="Address that workers connect to: a name or an IP address.")
    port: Port = Field(5000, description="Port that it listens on.")
    host: Optional[SshHost] = Field(
        None,
        description="local, or its address for ssh; null = local if the address is "
        "one of this machine, otherwise the address.",
    )
    config: Optional[str] = Field(None, min_length=1, description="Configuration to send; null = flq_config.json.")
    set: List[str] = Field([], description="Settings that override it, section.key=value.")
    tls_cert: Optional[str] = Field(None, min_length=1, description="Certificate to send, PEM; with it, HTTPS.")
    tls_key: Optional[str] = Field(None, min_length=1, description="Its private key to send, PEM.")


class WorkerEntry(Access):
    """One worker."""

    host: SshHost = Field(description="Its address for ssh, or local.")
    worker_id: int = Field(ge=0, le=4095, description="0, 1, 2, ...; null = the position in the list.")
    name: Optional[Name] = Field(None, description="Its name on the live page, in /status and in results.")
    data_dir: Optional[Path] = Field(None, description="Folder of its data on that machine.")
    model: Optional[Name] = Field(None, description="Your own model, which it may run, package.module:function.")
    settings: Annotated[Dict[str, Any], AfterValidator(device_settings)] = Field(
        {}, description="Its own jetson_optimization."
    )


class Cluster(Access):
    """All machines."""

    master: MasterEntry
    workers: List[WorkerEntry] = Field(min_length=1, max_length=4096)
    ca: Optional[str] = Field(None, min_length=1, description="Certificates that the workers trust, PEM.")


def load_cluster(path: str) -> Cluster:
    """Read and check a cluster file.

    Raises
    ------
    ConfigError
        With one sentence on the first error.
    """
    hint = "see cluster.example.yaml for a complete file"
    try:
        with open(path, encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=_OnceLoader)
    except OSError as error:
        raise ConfigError("the cluster file %s cannot be read: %s" % (path, error.strerror), hint) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError("%s is not YAML: %s" % (path, " ".join(str(error).split())), hint) from None
    if not isinstance(content, dict):
        raise ConfigError("%s must contain keys such as master and workers" % path, hint)
    return cluster_of(content, path)


def cluster_of(content: Mapping[str, Any], place: str) -> Cluster:
    """Check the content of a cluster file; errors name ``place``.

    Raises
    ------
    ConfigError
        With one sentence on the first error.
    """
    try:
        cluster = Cluster.model_validate(_spread(content))
    except ValidationError as error:
        # Unknown keys first: a misspelt key also makes the right one missing.
        details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise ConfigError(_sentence(details[0]), place) from None
    worker_ids = [worker.worker_id for worker in cluster.workers]
    twice = sorted({worker_id for worker_id in worker_ids if worker_ids.count(worker_id) > 1})
    if twice:
        raise ConfigError("two workers have the worker_id %d; each needs its own" % twice[0], place)
    if (cluster.master.tls_cert is None) != (cluster.master.tls_key is None):
        raise ConfigError("master.tls_cert and master.tls_key must be set together", place)
    if cluster.ca is not None and cluster.master.tls_cert is None:
        raise ConfigError("ca requires a master with tls_cert and tls_key", place)
    return cluster


def _spread(content: Mapping[str, Any]) -> Dict[str, Any]:
    """Copy the shared top-level keys to all entries, and give each worker an id."""
    shared = {key: content[key] for key in Access.model_fields if key in content}
    spread = dict(content)
    if isinstance(content.get("master"), dict):
        spread["master"] = {**shared, **content["master"]}
    if isinstance(content.get("workers"), list):
        spread["workers"] = [
            {"worker_id": position, **shared, **entry} if isinstance(entry, dict) else entry
            for position, entry in enumerate(content["workers"])
        ]
    return spread


def _sentence(detail: Mapping[str, Any]) -> str:
    """Return a sentence for an error of pydantic."""
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        return "%s is missing" % path
    if detail["type"] == "extra_forbidden":
        known = _fields_at(detail["loc"][:-1])
        close = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
        return "unknown key %s; %s" % (path, "the nearest is " + close[0] if close else "known are " + ", ".join(known))
    if detail["type"] == "string_pattern_mismatch":
        return "%s must be a plain name or path, without blanks and quotes, got %.60r" % (path, detail["input"])
    if detail["type"] == "value_error":
        return "%s %s" % (path, detail["ctx"]["error"])
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return "%s is invalid: %s, got %.60r" % (path, message, detail["input"])


def _fields_at(location: Sequence[Any]) -> List[str]:
    """Return the keys allowed at a place in the file."""
    models: Dict[str, Type[BaseModel]] = {"master": MasterEntry, "workers": WorkerEntry, "settings": JetsonOptimization}
    names = [part for part in location if part in models]
    return list((models[names[-1]] if names else Cluster).model_fields)


class _OnceLoader(yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        """Build one mapping."""
        for key in _repeated(key.value for key, _ in node.value):
            raise yaml.constructor.ConstructorError(None, None, "duplicate key %s" % key, node.start_mark)
        return super().construct_mapping(node, deep)


def _repeated(keys: Iterator[Any]) -> Iterator[Any]:
    seen: List[Tuple[Any, ...]] = []
    for key in keys:
        if key in seen:
            yield key
        seen.append(key)
