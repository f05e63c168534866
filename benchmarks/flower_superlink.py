"""Flower's SuperLink as a contestant: one flower-superlink, a flower-supernode per worker, and a run by ``flwr run``.

The installed programs run without TLS on 127.0.0.1; the app is flower_apps.py. Flower's state and bundles are in a
temporary folder. The SuperLink starts the ServerApp as a process through a flower-superexec; a SuperNode does the same
for its ClientApp in every round. SuperNode and ServerApp poll every 3 seconds, so a round takes about ten seconds,
independent of its size.

The master is the SuperLink with all processes that it has started: CPU seconds and peak memory are sums over them. The
sum of the peaks is an upper bound of the memory that they used together.
"""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from contextlib import ExitStack, suppress
from typing import Dict, Optional

import numpy as np

from benchmarks.forwarder import Forwarder
from benchmarks.processes import PROJECT, Marks, Started, free_port
from benchmarks.ready import ready_vector

START_S = 120  # limit for the start of a SuperLink
APP = """
[project]
name = "ready"
version = "1.0.0"
description = "Vectors that are ready"
license = "MIT"

[tool.flwr.app]
publisher = "flq"

[tool.flwr.app.components]
serverapp = "flower_apps:server_app"
clientapp = "flower_apps:client_app"

[tool.flwr.app.config]
"""
CONNECTION = """
[superlink]
default = "local"

[superlink.local]
address = "127.0.0.1:%d"
insecure = true
"""


def run_superlink(
    dim: int, n_rounds: int, n_workers: int, python: str, bytes_moved: Optional[Dict[str, int]] = None
) -> Marks:
    """Run it once; return the ServerApp's marks, one per round.

    Parameters
    ----------
    python : str
        Interpreter of Flower's environment.
    bytes_moved : dict, optional
        Receives the bytes between the SuperNodes and the SuperLink, ``up`` and ``down``.
    """
    programs = os.path.dirname(python)
    with tempfile.TemporaryDirectory() as folder:
        # They look up flower-superexec, flwr-serverapp and flwr-clientapp in PATH.
        environment = {"FLWR_HOME": folder, "PATH": programs + os.pathsep + os.environ.get("PATH", os.defpath)}
        with Started(folder, environment) as started, ExitStack() as stack:
            port = free_port()
            superlink = started.start(
                os.path.join(programs, "flower-superlink"),
                "--insecure",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--disable-runtime-dependency-installation",
                has_output=False,
            )
            if not _serves(superlink, port):
                started.give_up(superlink)
            forwarder = None if bytes_moved is None else stack.enter_context(Forwarder(port))
            supernodes = []
            for worker_id in range(n_workers):
                update = os.path.join(folder, "update%d.npy" % worker_id)
                np.save(update, ready_vector(dim, worker_id))
                supernodes.append(
                    started.start(
                        os.path.join(programs, "flower-supernode"),
                        "--insecure",
                        "--superlink",
                        "127.0.0.1:%d" % (forwarder.port if forwarder else port),
                        "--host",
                        "127.0.0.1",
                        "--port",
                        str(free_port()),
                        "--node-config",
                        'update="%s"' % update,
                        has_output=False,
                    )
                )
            marks = os.path.join(folder, "marks.json")
            app = _write_app(
                folder,
                port,
                {
                    "dim": dim,
                    "rounds": n_rounds,
                    "marks": marks,
                    "superlink": superlink.pid,
                    "supernodes": " ".join(str(node.pid) for node in supernodes),
                },
            )
            running = started.start(os.path.join(programs, "flwr"), "run", app, "local", "--stream")
            log = started.output_of(running)
            if not os.path.exists(marks):  # flwr run exits with 0 even if the ServerApp fails
                started.give_up(running, log)
            if forwarder is not None:
                bytes_moved.update(up=forwarder.up, down=forwarder.down)
            with open(marks, encoding="utf-8") as file:
                return json.load(file)


def _serves(superlink: subprocess.Popen, port: int) -> bool:
    """Wait until the SuperLink responds; return whether it does."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(START_S):
        with suppress(OSError):
            direct.open("http://127.0.0.1:%d/health" % port, timeout=START_S).close()
            return True
        with suppress(subprocess.TimeoutExpired):
            superlink.wait(1.0)
            break
    return False


def _write_app(folder: str, port: int, config: Dict[str, object]) -> str:
    """Write the app and the address of its SuperLink; return the app's folder."""
    app = os.path.join(folder, "app")
    os.mkdir(app)
    shutil.copy(os.path.join(PROJECT, "benchmarks", "flower_apps.py"), app)
    with open(os.path.join(app, "pyproject.toml"), "w", encoding="utf-8") as file:
        file.write(APP + "".join("%s = %s\n" % (key, json.dumps(value)) for key, value in config.items()))
    with open(os.path.join(folder, "config.toml"), "w", encoding="utf-8") as file:
        file.write(CONNECTION % port)
    return app
