"""Parses the master's command line before any slow import, so that --help answers at once."""

import argparse
from typing import List, Optional

from ..flags import Flags, host, within


def parse_flags(argv: Optional[List[str]]) -> argparse.Namespace:
    """Parse the command line."""
    flags = Flags(prog="flq_master.py", description="Start the FLQ master, which holds the global model.")
    flags.add_argument(
        "--config", metavar="F", help="configuration file (default: flq_config.json; with --resume, that of the run)"
    )
    flags.add_argument(
        "--host",
        type=host,
        default="0.0.0.0",
        help="address to listen on (default: %(default)s, all of IPv4; :: is all of IPv4 and IPv6)",
    )
    flags.add_argument(
        "--port", type=within(int, 0, 65535), default=5000, help="port to listen on (default: %(default)s; 0 = any)"
    )
    flags.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        dest="overrides",
        help="override a setting; can be repeated",
    )
    flags.add_argument("--token_file", metavar="F", help="token file, made at the first start (default: state/tokens)")
    flags.add_argument("--tls_cert", metavar="F", help="certificate for HTTPS, PEM; without it, plain HTTP")
    flags.add_argument("--tls_key", metavar="F", help="its private key, PEM")
    flags.add_argument(
        "--resume",
        metavar="RUN",
        nargs="?",
        const="",
        help="resume a run, named by its folder in results/ (default: the newest unfinished run)",
    )
    flags.add_argument(
        "--start_once",
        metavar="F",
        help="for services: resume the newest unfinished run; if there is none, begin one if the "
        "file F exists, and remove F when the run is on disk; otherwise exit with 0",
    )
    flags.add_argument("--keep_serving", action="store_true", help="keep serving after the run, until stopped")
    flags.add_argument(
        "--print_config",
        "--print-config",
        action="store_true",
        help="write the complete configuration to stdout and its hash to stderr, and exit",
    )
    flags.add_argument(
        "--doctor",
        action="store_true",
        help="check whether this machine can run a master, give advice, and exit with the number of failures",
    )
    flags.add_argument("--json", action="store_true", help="with --doctor: write JSON")
    flags.add_argument("--verbose", action="store_true", help="log more")
    args = flags.parse_args(argv)
    if (args.tls_cert is None) != (args.tls_key is None):
        flags.error("--tls_cert and --tls_key go together")
    if args.json and not args.doctor:
        flags.error("--json goes with --doctor")
    if args.start_once is not None and args.resume is not None:
        flags.error("--start_once and --resume do not go together")
    return args


def main(argv: Optional[List[str]], project_dir: str) -> int:
    """Run the master program; return the exit code."""
    args = parse_flags(argv)
    if args.doctor:
        from .doctor import run as examine  # works without numpy, which may be broken

        return examine(args, project_dir)
    from .program import run  # takes a second, so only after --help and wrong flags are handled

    return run(args, project_dir)
