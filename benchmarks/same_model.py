"""Checks whether two commits train the same models, bit for bit, in 22 configurations, simulated and over HTTP.

    python -m benchmarks.same_model BEFORE AFTER             two commits, or folders with a checkout
    python -m benchmarks.same_model BEFORE AFTER --only laq  those whose name contains a word

Each commit is checked out into a separate folder and runs there, with this Python. The fingerprint of a model is the
SHA-256 of its float32 bytes. The exit code is 1 if any differ. This is not a test: a version may change models on
purpose, and its change log then says so.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from typing import Dict, List, Sequence

import numpy as np

from benchmarks.timing import table

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN_S = 600.0
N_WORKERS = 4
QUADRATIC = ("mode=bbit", "model.name=quadratic", "model.lr=0.05", "system.max_rounds=12")
DIGITS = ("mode=bbit", "dataset.name=digits", "system.max_rounds=3")
GRADIENTS = ("update=gradient", "server_optimizer=adam", "lr=0.01")

CONFIGURATIONS = {
    "fedavg": QUADRATIC + ("mode=fedavg",),
    "fedavg, two of four": QUADRATIC + ("mode=fedavg", "sel_clients=2"),
    "fedavg, gradients, momentum, average": QUADRATIC
    + ("mode=fedavg", "update=gradient", "server_optimizer=momentum", "ema=0.9"),
    "laq8, momentum": QUADRATIC + ("mode=laq8", "server_optimizer=momentum", "server_lr=0.5"),
    "laq8, gradients, adam": QUADRATIC + ("mode=laq8",) + GRADIENTS,
    "bbit 2, mirror, lazy": QUADRATIC + ("b_up=2", "memory=mirror", "thr_scale=10", "C=3"),
    "bbit 3, gradients, mirror, lazy": QUADRATIC
    + ("b_up=3", "update=gradient", "memory=mirror", "thr_scale=10", "C=3"),
    "bbit 4, residual, down 8, lazy": QUADRATIC + ("b_up=4", "b_down=8", "thr_scale=10", "warmup=2", "C=2"),
    "bbit 4, mirror, budget": QUADRATIC + ("b_up=4", "memory=mirror", "up_budget_bits=8300", "C=4"),
    "bbit 4, momentum, local adam, mu": QUADRATIC
    + ("b_up=4", "server_optimizer=momentum", "server_lr=0.6", "local_optimizer=adam", "local_steps=3", "mu=0.1")
    + ("lr=0.01",),
    "bbit 4, gradients, flq, adam, budget": QUADRATIC
    + ("b_up=4", "b_down=8", "scale_by_selected=1", "up_budget_bits=9000")
    + GRADIENTS,
    "bbit 8, no memory, adam, schedule": QUADRATIC
    + ("b_up=8", "memory=none", "server_optimizer=adam", "server_lr=0.01", "lr_schedule=cosine", "lr_decay_rounds=10"),
    "bin, residual, down float32, budget": QUADRATIC + ("mode=bin", "b_down=0", "up_budget_bits=3400"),
    "bin, mirror, lazy, budget": QUADRATIC + ("mode=bin", "memory=mirror", "thr_scale=3", "C=3", "up_budget_bits=2400"),
    "bin, gradients, flq, adam, clip": QUADRATIC + ("mode=bin", "b_down=8", "clip_global=1") + GRADIENTS,
    "lowrank, momentum, average": QUADRATIC + ("mode=lowrank", "server_optimizer=momentum", "server_lr=0.6", "ema=0.8"),
    "lowrank, two of four, budget": QUADRATIC + ("mode=lowrank", "sel_clients=2", "up_budget_bits=6000"),
    "laq, lazy": QUADRATIC + ("mode=laq", "update=gradient", "lr=0.02", "C=3"),
    "mlp, bbit 4, mirror, lazy, budget": DIGITS
    + ("model.name=mlp", "b_up=4", "memory=mirror", "thr_scale=1", "C=3", "up_budget_bits=61000"),
    "mlp, lowrank, two of four": DIGITS
    + ("model.name=mlp", "mode=lowrank", "logit_adjustment=1", "partition=non_iid", "sel_clients=2"),
    "cnn_small, bbit 4, residual": DIGITS + ("model.name=cnn_small", "b_up=4", "partition=non_iid"),
    "cnn_small, gradients, laq8, adam": DIGITS + ("model.name=cnn_small", "mode=laq8") + GRADIENTS,
}

# Runs in a checkout of any version; the module of the simulation depends on the version.
SIMULATE = """
import hashlib, importlib, importlib.util, json, sys
from flq.config_file import load_config
name = "flq.engines.simulation" if importlib.util.find_spec("flq.engines") else "flq.simulate.loopback"
config = load_config(None, tuple(json.loads(sys.argv[1])))
settings = config.settings() if hasattr(config, "settings") else config
simulated = importlib.import_module(name).simulate(settings)
print(hashlib.sha256(simulated.model.tobytes()).hexdigest())
"""


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Check whether two commits train the same models, bit for bit.")
    flags.add_argument("before", help="a commit, or a folder with a checkout")
    flags.add_argument("after", help="likewise")
    flags.add_argument("--only", metavar="WORD", default="", help="configurations whose name contains it")
    flags.add_argument("--json", metavar="FILE", help="write the fingerprints here")
    return flags.parse_args()


def simulated(checkout: str, overrides: Sequence[str]) -> str:
    """Return the fingerprint of the model that a checkout's simulation trains."""
    command = [sys.executable, "-c", SIMULATE, json.dumps(overrides)]
    environment = dict(os.environ, PYTHONPATH=checkout)
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, timeout=RUN_S)
    done.check_returncode()
    return done.stdout.split()[-1]


def over_http(checkout: str, overrides: Sequence[str], folder: str) -> str:
    """Return the fingerprint of the model that a checkout's master and workers train."""
    results, tokens = os.path.join(folder, "results"), os.path.join(folder, "tokens")
    settings = [
        word for override in ("report.results_dir=" + results,) + tuple(overrides) for word in ("--set", override)
    ]
    environment = dict(os.environ, PYTHONPATH=checkout)

    def start(*arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, *arguments, "--token_file", tokens]
        return subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    programs = [start("flq_master.py", "--host", "127.0.0.1", "--port", "0", *settings)]
    try:
        lines: List[str] = []
        for line in programs[0].stdout:
            lines.append(line)
            found = re.search(r"FLQ master ready on http://.*:(\d+) ", line)
            if found is not None:
                break
        else:
            raise RuntimeError("the master of %s did not start:\n%s" % (checkout, "".join(lines)))
        for i in range(N_WORKERS):
            programs.append(
                start(
                    *("flq_worker.py", "--worker_id", str(i), "--master_ip", "127.0.0.1", "--port", found.group(1)),
                    *("--state_dir", os.path.join(folder, "state%d" % i)),
                )
            )
        for program in reversed(programs):
            output = program.communicate(timeout=RUN_S)[0]
            if program.returncode != 0:
                raise RuntimeError("%s of %s failed:\n%s" % (program.args[1], checkout, output))
    finally:
        for program in programs:
            if program.poll() is None:
                program.kill()
                program.wait()
    (path,) = [os.path.join(at, name) for at, _, names in os.walk(results) for name in names if name == "model.npz"]
    digest = hashlib.sha256()
    with np.load(path, allow_pickle=False) as tensors:
        for name in tensors.files:
            digest.update(name.encode("utf-8"))
            digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def checkout_of(name: str, folder: str, stack: ExitStack) -> str:
    """Return a folder with a commit's files, which exists until the stack is closed."""
    if os.path.isdir(name):
        return os.path.abspath(name)
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, name], cwd=PROJECT, check=True)
    stack.callback(subprocess.run, ["git", "worktree", "remove", "--force", folder], cwd=PROJECT, check=True)
    return folder


def main() -> int:
    """Compare the commits, and print a table; return the exit code."""
    args = parse_flags()
    found: Dict[str, Dict[str, List[str]]] = {}
    rows: List[List[object]] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        checkouts = [
            checkout_of(name, os.path.join(folder, kind), stack)
            for name, kind in ((args.before, "before"), (args.after, "after"))
        ]
        for name, overrides in CONFIGURATIONS.items():
            if args.only not in name:
                continue
            by_way = {"simulation": [simulated(checkout, overrides) for checkout in checkouts], "HTTP": []}
            for checkout in checkouts:
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    by_way["HTTP"].append(over_http(checkout, overrides, place))
            found[name] = by_way
            is_same = all(len(set(both)) == 1 for both in by_way.values())
            rows.append([name, by_way["simulation"][1][:12], by_way["HTTP"][1][:12], "yes" if is_same else "NO"])
            print("%s: %s" % (name, rows[-1][3]), file=sys.stderr, flush=True)
    print(table(["configuration", "simulation", "HTTP", "same"], rows))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as stream:
            json.dump(found, stream, indent=1)
    return 1 if any(row[3] == "NO" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
