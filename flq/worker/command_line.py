"""The worker's command line. Slow imports wait until it is parsed, so that --help answers at once."""

import argparse
from typing import List, Optional

from ..flags import Flags, host, within


def parse_flags(argv: Optional[List[str]]) -> argparse.Namespace:
    """Read the command line."""
    flags = Flags(prog="flq_worker.py", description="An FLQ worker: trains on its own data.")
    flags.add_argument(
        "--worker_id", type=within(int, 0, 2**31 - 1), required=True, help="0 .. total_workers-1, each id once"
    )
    flags.add_argument(
        "--master_ip",
        type=host,
        default=None,
        help="address or name of the master (default: system.master_url of --config)",
    )
    flags.add_argument(
        "--port",
        type=within(int, 1, 65535),
        default=5000,
        help="port of the master at --master_ip (default: %(default)s)",
    )
    flags.add_argument(
        "--config",
        default=None,
        help="this worker's own settings, a JSON file: of section jetson_optimization, "
        "dataset.data_dir and system.master_url; anything else in it is ignored",
    )
    flags.add_argument(
        "--data_dir",
        default=None,
        help="folder of this worker's data set (default: that of --config, then the master's)",
    )
    flags.add_argument(
        "--gpu_memory_limit_mb",
        type=within(int, 1, 10**6),
        default=None,
        help="memory that TensorFlow may take on the GPU (default: that of --config, then the master's)",
    )
    flags.add_argument(
        "--model",
        default=None,
        metavar="PACKAGE.MODULE:FUNCTION",
        help="a model of your own that the master may ask for: its code then runs here",
    )
    flags.add_argument(
        "--name",
        default="",
        help="your name for this worker: shown in /status, on the master's page and in the workbook",
    )
    flags.add_argument("--state_dir", default=None, help="folder of this worker's state (default: state/worker<ID>)")
    flags.add_argument(
        "--token_file",
        default=None,
        metavar="F",
        help="this worker's token, or a file of tokens (default: the environment variable FLQ_TOKEN, "
        "then state/tokens)",
    )
    flags.add_argument("--tls", action="store_true", help="speak HTTPS with the master at --master_ip")
    flags.add_argument(
        "--ca", default=None, metavar="F", help="certificates to trust, PEM; implies HTTPS (default: the system's)"
    )
    flags.add_argument(
        "--give_up_s",
        type=within(float, 0.0, 1e9),
        default=3600.0,
        help="seconds without the master before exiting, until it sets another limit (default: %(default)s)",
    )
    flags.add_argument("--stay", action="store_true", help="wait for the next run after the end of one; for services")
    flags.add_argument(
        "--doctor",
        action="store_true",
        help="check whether this machine is fit to be a worker, and how to fix it if not; exit code: the number of "
        "failures",
    )
    flags.add_argument(
        "--manifest", action="store_true", help="show how many samples of each class --data_dir holds, and exit"
    )
    flags.add_argument(
        "--dataset",
        default=None,
        metavar="NAME",
        help="with --manifest: npz:FILE, images:FOLDER, csv:FILE, or own (default)",
    )
    flags.add_argument("--json", action="store_true", help="with --doctor and --manifest: as JSON")
    flags.add_argument("--verbose", action="store_true", help="log more")
    args = flags.parse_args(argv)
    if args.json and not (args.doctor or args.manifest):
        flags.error("--json goes with --doctor or --manifest")
    if args.dataset is not None and not args.manifest:
        flags.error("--dataset goes with --manifest: in a run the master sets it")
    return args


def main(argv: Optional[List[str]], project_dir: str) -> int:
    """Run the worker program; return the exit code."""
    args = parse_flags(argv)
    if args.doctor:
        from .doctor import run as examine  # works without numpy, which may be broken

        return examine(args, project_dir)
    if args.manifest:
        from .manifest import run as describe

        return describe(args)
    from .program import run  # late: with its packages it takes most of a second

    return run(args, project_dir)
