"""The files that a program needs beside the code: token, certificates, configuration."""

import hashlib
import json
import os
from typing import Dict, Mapping

from ..tokens import worker_name
from .cluster import Cluster, MasterEntry
from .hosts import Host, Program
from .ssh import Connection, DeployError
from .units import key_of, settings_of


def master_tokens(connection: Connection, project: str, cluster: Cluster, is_dry: bool) -> Dict[str, str]:
    """Create the master's tokens if missing; return them."""
    total = [text.partition("=")[2] for text in settings_of(cluster) if key_of(text) == "total_workers"][-1]
    answer = connection.run("ask", project, "tokens", "--total_workers", total, is_secret=True)
    if is_dry:
        return {worker_name(worker.worker_id): "" for worker in cluster.workers}
    return answer.values()


def settings_files(program: Program, host: Host, cluster: Cluster, tokens: Mapping[str, str]) -> Dict[str, bytes]:
    """Return the files of a program, {path in the project's folder: content}.

    A worker gets its own token only, and never that of another host.
    """
    if isinstance(program.entry, MasterEntry):
        named = {
            "flq_config.json": host.master.config,
            "master.pem": host.master.tls_cert,
            "master.key": host.master.tls_key,
            "ca.pem": cluster.ca,
        }
        return {"settings/" + name: _read(path) for name, path in named.items() if path is not None}
    name = worker_name(program.entry.worker_id)
    if name not in tokens:
        raise DeployError(
            "the master has no token for worker %d: its system.total_workers is too small" % program.entry.worker_id
        )
    files = {"settings/%s.token" % program.log_name: (tokens[name] + "\n").encode("ascii")}
    if cluster.ca is not None:
        files["settings/ca.pem"] = _read(cluster.ca)
    own = program.entry.settings
    if own:
        text = json.dumps({"jetson_optimization": own}, indent=2) + "\n"
        files["settings/%s.json" % program.log_name] = text.encode("utf-8")
    return files


def _read(path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as stream:
            return stream.read()
    except OSError as error:
        raise DeployError("%s cannot be read: %s" % (path, error.strerror)) from None


def fingerprint(release: str, venv: str, unit: str, files: Dict[str, bytes]) -> str:
    """Return a fingerprint of all inputs of a program; if it changes, the program must be restarted."""
    digest = hashlib.sha256()
    for part in [release.encode("utf-8"), venv.encode("utf-8"), unit.encode("utf-8"), *files.values()]:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
