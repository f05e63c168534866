"""Measures the memory of a worker on a small board, relative to that of TensorFlow alone.

    FLQ_DATA_DIR=FOLDER python -m benchmarks.small_board          as root

A real worker runs in a cgroup with 2 GB of memory and half a CPU, and its real master outside. The reference trains the
same model on the same batches, with the same packages imported, in such a cgroup (small_board_bare.py).
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from typing import Dict, List, Sequence

from benchmarks.cgroups import SmallBoard
from flq.config_file import load_config
from flq.core.settings import to_json
from flq.training.datasets import resolve_dataset
from flq.training.frameworks import make_task

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODES = {
    "lowrank": ("mode=lowrank",),
    "bbit, 4 bits": ("mode=bbit", "b_up=4"),
    "bbit, mirror": ("mode=bbit", "b_up=4", "memory=mirror"),
    "float32": ("mode=fedavg",),
}
COMMON = ("model.lr=0.1", "partition=iid", "system.total_workers=10", "system.min_workers=1")


def peak_mb(command: Sequence[str], board: SmallBoard) -> float:
    """Run a command on the board to its end; return its peak resident memory in MB."""
    environment = dict(os.environ, PYTHONPATH=PROJECT, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    process = subprocess.Popen(
        board.command(command),
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.stdout.close()
    process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    if process.returncode:
        sys.exit("%s ended with %d:\n%s" % (" ".join(command), process.returncode, output))
    return usage.ru_maxrss * 1024 / 1e6


def worker_peak_mb(overrides: Sequence[str], n_rounds: int, board: SmallBoard) -> float:
    """Run a master, and one worker on the board; return the worker's peak resident memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "flq_master.py",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--token_file",
            os.path.join(folder, "tokens"),
        ]
        for override in (*overrides, "report.results_dir=%s" % folder, "system.max_rounds=%d" % n_rounds):
            command += ["--set", override]
        master = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = re.search(r":(\d+) \(run", master.stdout.readline()).group(1)
            return peak_mb(
                [
                    sys.executable,
                    "flq_worker.py",
                    "--worker_id",
                    "0",
                    "--master_ip",
                    "127.0.0.1",
                    "--port",
                    port,
                    "--state_dir",
                    os.path.join(folder, "state"),
                    "--token_file",
                    os.path.join(folder, "tokens"),
                ],
                board,
            )
        finally:
            master.terminate()
            master.communicate()


def main(argv: List[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="cnn_small")
    parser.add_argument("--dataset", default="fashion_mnist", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--memory_mb", type=int, default=2048)
    parser.add_argument("--cpus", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="steps per round")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    common = COMMON + (
        "model.name=" + args.model,
        "dataset.name=" + args.dataset,
        "batch_size=%d" % args.batch,
        "local_steps=%d" % args.steps,
    )
    settings = resolve_dataset(load_config(None, common))
    height, width, channels = settings.dataset.input_shape
    model_mb = 4 * make_task(settings).layout.n_params / 1e6
    batch_mb = 4 * args.batch * height * width * channels / 1e6
    peaks: Dict[str, List[float]] = {}
    with SmallBoard(args.memory_mb, args.cpus) as board:
        for _ in range(args.repeats):
            for name, overrides in {"TensorFlow alone": None, **MODES}.items():
                peaks.setdefault(name, []).append(
                    peak_mb(
                        [
                            sys.executable,
                            "-m",
                            "benchmarks.small_board_bare",
                            str(args.rounds),
                            json.dumps(to_json(settings)),
                        ],
                        board,
                    )
                    if overrides is None
                    else worker_peak_mb(common + overrides, args.rounds, board)
                )
    bare = statistics.median(peaks["TensorFlow alone"])
    print(
        "%s on %s, batch %d: a model of %.1f MB, a batch of %.2f MB; %d MB of memory, %.1f CPU; medians of %d"
        % (args.model, args.dataset, args.batch, model_mb, batch_mb, args.memory_mb, args.cpus, args.repeats)
    )
    for name, values in peaks.items():
        beyond = statistics.median(values) - bare
        print(
            "%-18s peak %.1f MB (%.1f..%.1f)%s"
            % (
                name,
                statistics.median(values),
                min(values),
                max(values),
                ""
                if values is peaks["TensorFlow alone"]
                else ", beyond TensorFlow %.1f MB = %.1f models and a batch" % (beyond, (beyond - batch_mb) / model_mb),
            )
        )


if __name__ == "__main__":
    main(sys.argv[1:])
