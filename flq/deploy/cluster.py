"""The cluster file: YAML in, checked values or one sentence out.

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
from ..config import JetsonOptimization, Section
from ..errors import ConfigError

# What ssh and systemd can not misread: no leading dash, no blanks, no quotes.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:\[][A-Za-z0-9_.:%@\[\]-]*$", max_length=255)]
SshHost = Annotated[Name, AfterValidator(without_brackets)]
Address = Annotated[Name, AfterValidator(host_of)]
Path = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./~+][A-Za-z0-9_./~+@=:-]*$", max_length=1000)]
Port = Annotated[int, Field(ge=1, le=65535)]
Memory = Annotated[int, Field(ge=64, le=10**7)]

Manager = Literal["auto", "user", "system", "none"]
LOCAL = "local"


class Access(Section):
    """How a machine is reached, and what is used there; the workers' entries may differ from the top level."""

    user: Optional[Name] = Field(None, description="Name to log in with; null = as ~/.ssh/config says.")
    ssh_port: Optional[Port] = Field(None, description="Port of its ssh server.")
    ssh_key: Optional[Path] = Field(None, description="File with the private key.")
    ssh_config: Optional[Path] = Field(None, description="File to read in place of ~/.ssh/config.")
    jump_host: Optional[Name] = Field(None, description="[user@]host[:port] through which it is reached.")
    project_dir: Path = Field("flq", description="Folder of the installation, relative to the home folder.")
    python: Optional[Path] = Field(None, description="Interpreter that the environment is made with.")
    environment: Path = Field("auto", description="auto, or the Python of a virtual environment that is there.")
    systemd: Manager = Field(
        "auto",
        description="Who starts the programs: the system's systemd, that of the user, or "
        "none of them; auto = the first that may be used.",
    )
    memory_max_mb: Optional[Memory] = Field(
        None, description="Memory that a program may take; null = by what the machine has."
    )


class MasterEntry(Access):
    """The master: where it runs and what it is started with."""

    address: Address = Field(description="What workers connect to: a name or an IP address.")
    port: Port = Field(5000, description="Port that it listens on.")
    host: Optional[SshHost] = Field(
        None,
        description="local, or its address for ssh; null = local if the address is "
        "one of this machine, otherwise the address.",
    )
    config: Optional[str] = Field(None, min_length=1, description="Configuration to send; null = flq_config.json.")
    set: List[str] = Field([], description="Settings on top of it, section.key=value.")
    tls_cert: Optional[str] = Field(None, min_length=1, description="Certificate to send, PEM; with it, HTTPS.")
    tls_key: Optional[str] = Field(None, min_length=1, description="Its private key to send, PEM.")


class WorkerEntry(Access):
    """One worker."""

    host: SshHost = Field(description="Its address for ssh, or local.")
    worker_id: int = Field(ge=0, le=4095, description="0, 1, 2, ...; null = the position in the list.")
    name: Optional[Name] = Field(None, description="What it is called on the master's page, in /status and results.")
    data_dir: Optional[Path] = Field(None, description="Where its data lie on that machine.")
    model: Optional[Name] = Field(None, description="A model of your own that it may run, package.module:function.")
    settings: JetsonOptimization = Field(JetsonOptimization(), description="Its own jetson_optimization.")


class Cluster(Access):
    """All machines."""

    master: MasterEntry
    workers: List[WorkerEntry] = Field(min_length=1, max_length=4096)
    ca: Optional[str] = Field(None, min_length=1, description="Certificates that the workers trust, PEM.")


def load_cluster(path: str) -> Cluster:
    """Read a cluster file.

    Raises
    ------
    ConfigError
        With one sentence on the first thing that is wrong.
    """
    hint = "cluster.example.yaml shows a whole file"
    try:
        with open(path, encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=_OnceLoader)
    except OSError as error:
        raise ConfigError("the cluster file %s can not be read: %s" % (path, error.strerror), hint) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError("%s is not YAML: %s" % (path, " ".join(str(error).split())), hint) from None
    if not isinstance(content, dict):
        raise ConfigError("%s must hold keys such as master and workers" % path, hint)
    return cluster_of(content, path)


def cluster_of(content: Mapping[str, Any], place: str) -> Cluster:
    """Check what a cluster file holds; ``place`` is named in what is wrong.

    Raises
    ------
    ConfigError
    """
    try:
        cluster = Cluster.model_validate(_spread(content))
    except ValidationError as error:
        # A misspelt key first: that another is missing only follows from it.
        details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise ConfigError(_sentence(details[0]), place) from None
    worker_ids = [worker.worker_id for worker in cluster.workers]
    twice = sorted({worker_id for worker_id in worker_ids if worker_ids.count(worker_id) > 1})
    if twice:
        raise ConfigError("two workers have the worker_id %d; each needs its own" % twice[0], place)
    if (cluster.master.tls_cert is None) != (cluster.master.tls_key is None):
        raise ConfigError("master.tls_cert and master.tls_key go together", place)
    if cluster.ca is not None and cluster.master.tls_cert is None:
        raise ConfigError("ca is for a master with tls_cert and tls_key", place)
    return cluster


def _spread(content: Mapping[str, Any]) -> Dict[str, Any]:
    """Give each entry what the top level says for all, and each worker an id."""
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
    """Say in our words what pydantic found."""
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
    said = detail["msg"][0].lower() + detail["msg"][1:]
    return "%s can not be used: %s, got %.60r" % (path, said, detail["input"])


def _fields_at(location: Sequence[Any]) -> List[str]:
    """Return the keys that may stand at a place of the file."""
    models: Dict[str, Type[BaseModel]] = {"master": MasterEntry, "workers": WorkerEntry, "settings": JetsonOptimization}
    names = [part for part in location if part in models]
    return list((models[names[-1]] if names else Cluster).model_fields)


class _OnceLoader(yaml.SafeLoader):
    """YAML without surprises: a key that stands twice in one place is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        """Build one mapping."""
        for key in _repeated(key.value for key, _ in node.value):
            raise yaml.constructor.ConstructorError(None, None, "key %s stands twice" % key, node.start_mark)
        return super().construct_mapping(node, deep)


def _repeated(keys: Iterator[Any]) -> Iterator[Any]:
    seen: List[Tuple[Any, ...]] = []
    for key in keys:
        if key in seen:
            yield key
        seen.append(key)
