"""The command line of deploy_jetson.sh: a subcommand and a cluster."""

import argparse
import os
import sys
from typing import Any, Dict, List, NoReturn, Optional

from ..errors import ConfigError, FlqError
from ..flags import Flags, within
from . import commands
from .cluster import Cluster, cluster_of, load_cluster
from .fleet import Fleet
from .hosts import hosts_of

USAGE = 100  # exit code, above the largest number of failed hosts
COMMANDS = {
    "check": "inspect every host: ssh, disk, clock, L4T, Python; change nothing",
    "deploy": "install code, packages, settings and units, start the programs, wait for every worker",
    "start": "start programs that are not running; the master resumes the unfinished run or starts a new one",
    "stop": "stop the programs; the run can be resumed",
    "restart": "restart everything; the run is resumed",
    "status": "show the run and every program",
    "logs": "show the newest logs of a host, or of all",
    "collect": "fetch results and logs",
    "uninstall": "remove everything except results, state and logs",
    "manifest": "show the number of samples per class at each worker",
}


class DeployFlags(Flags):
    """An argument parser with an exit code that differs from those of failed hosts."""

    def error(self, message: str) -> NoReturn:
        """Exit with a message."""
        self.exit(USAGE, "%s: error: %s; --help shows the flags\n" % (self.prog, message))


def parse_flags(argv: Optional[List[str]]) -> argparse.Namespace:
    """Read the command line."""
    flags = DeployFlags(
        prog="deploy_jetson.sh",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Deploy FLQ on a cluster by ssh.\n\n" + "\n".join("  %-10s %s" % item for item in COMMANDS.items()),
    )
    flags.add_argument(
        "command",
        nargs="?",
        default="deploy",
        choices=list(COMMANDS),
        metavar="command",
        help="one of these (default: deploy)",
    )
    flags.add_argument("host", nargs="?", metavar="HOST", help="for logs: one host of the cluster")
    flags.add_argument("--cluster", metavar="FILE", help="cluster file (see cluster.example.yaml)")
    flags.add_argument(
        "--dry-run", "--dry_run", action="store_true", help="print the remote commands without running them"
    )
    flags.add_argument(
        "--no-systemd",
        "--no_systemd",
        action="store_true",
        help="start plain background processes, which do not survive a reboot",
    )
    flags.add_argument("--wheelhouse", metavar="DIR", help="install packages from this folder, without internet access")
    flags.add_argument("--jobs", type=within(int, 1, 256), default=16, help="hosts in parallel (default: %(default)s)")
    flags.add_argument(
        "--wait_s",
        type=within(float, 0.0, 1e5),
        default=300.0,
        help="seconds that deploy waits for workers (default: %(default)g)",
    )
    flags.add_argument(
        "--follow", choices=("yes", "no"), default="yes", help="logs: follow until Ctrl-C (default: %(default)s)"
    )
    flags.add_argument(
        "--lines",
        type=within(int, 1, 10**6),
        default=50,
        help="logs: number of lines to show first (default: %(default)s)",
    )
    flags.add_argument("--out", metavar="DIR", default="collected", help="collect: folder (default: %(default)s)")
    plain = flags.add_argument_group("without a cluster file; set at the top of deploy_jetson.sh")
    plain.add_argument("--master_ip", default="", metavar="IP")
    plain.add_argument("--worker_ips", default="", metavar="'IP IP ...'")
    plain.add_argument("--username", default="", metavar="NAME")
    plain.add_argument("--project_dir", default="", metavar="DIR")
    plain.add_argument("--ssh_key", default="", metavar="FILE")
    args = flags.parse_args(argv)
    if args.host is not None and args.command != "logs":
        flags.error("unknown argument %s" % args.host)
    return args


def cluster_from(args: argparse.Namespace) -> Cluster:
    """Return the cluster given on the command line.

    Raises
    ------
    ConfigError
        If there is none, or it is invalid.
    """
    if args.cluster is not None:
        cluster = load_cluster(args.cluster)
    elif args.master_ip and args.worker_ips.split():
        content: Dict[str, Any] = {
            "master": {"address": args.master_ip},
            "workers": [{"host": address} for address in args.worker_ips.split()],
        }
        given = {"user": args.username, "project_dir": args.project_dir, "ssh_key": args.ssh_key}
        cluster = cluster_of(
            dict(content, **{key: value for key, value in given.items() if value}), "the top of deploy_jetson.sh"
        )
    else:
        raise ConfigError(
            "no machines are given",
            "set MASTER_IP and WORKER_IPS at the top of deploy_jetson.sh, or use --cluster cluster.yaml",
        )
    if args.no_systemd:
        none = {"systemd": "none"}
        cluster = cluster.model_copy(
            update={
                "master": cluster.master.model_copy(update=none),
                "workers": [worker.model_copy(update=none) for worker in cluster.workers],
            }
        )
    return cluster


def main(argv: Optional[List[str]] = None) -> int:
    """Run a subcommand.

    Returns
    -------
    int
        The number of failed hosts, at most 99; 100 for an error in the command line or the cluster file; 130 after
        Ctrl-C.
    """
    args = parse_flags(argv)
    project_dir = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        cluster = cluster_from(args)
        if args.wheelhouse is not None and not os.path.isdir(args.wheelhouse):
            raise ConfigError("--wheelhouse must be a folder, got %s" % args.wheelhouse)
        with Fleet(hosts_of(cluster), project_dir, args.jobs, args.dry_run) as fleet:
            _run(args, cluster, fleet, project_dir)
            return fleet.exit_code
    except KeyboardInterrupt:
        return 130
    except FlqError as error:
        print("deploy_jetson.sh: error: %s" % error, file=sys.stderr)
        return USAGE


def _run(args: argparse.Namespace, cluster: Cluster, fleet: Fleet, project_dir: str) -> None:
    if args.command == "deploy":
        commands.deploy(fleet, cluster, project_dir, args.wheelhouse, args.wait_s)
    elif args.command == "logs":
        commands.logs(fleet, args.host, args.lines, args.follow == "yes")
    elif args.command == "collect":
        commands.collect(fleet, args.out)
    elif args.command in ("stop", "status", "manifest"):
        getattr(commands, args.command)(fleet, cluster)
    else:
        getattr(commands, args.command)(fleet)
