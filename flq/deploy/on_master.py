"""The program that a deployment runs on the master's machine: python -m flq.deploy.on_master tokens|status|wait ...

It prints JSON. It reads the operator's token and sends it to the master only. If no master responds, it reports the
last run from its journal.
"""

import argparse
import json
import os
import ssl
import sys
import time
import urllib.request
from http.client import HTTPException
from typing import Any, Dict, List, Optional

from ..errors import FlqError
from ..flags import Flags, within
from ..output import make_output_safe
from ..tokens import OPERATOR, default_path, make_tokens, read_tokens

ANSWER_S = 10.0  # timeout of a request to the master
PAUSE_S = 0.5  # between two requests


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command line; return the exit code."""
    args = parse_flags(argv)
    path = default_path(args.project)
    try:
        if args.command == "tokens":
            print(json.dumps(make_tokens(path, args.total_workers)))
            return 0
        status = status_of(args) if args.command == "status" else wait_for(args)
        if "run_id" not in status:
            status["last"] = last_of(os.path.join(args.project, args.results_dir))
        print(json.dumps(status))
        return 0
    except FlqError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print("%s: %s" % (error.strerror or "failed", error.filename or error), file=sys.stderr)
    return 1


def parse_flags(argv: Optional[List[str]]) -> argparse.Namespace:
    """Read the command line."""
    flags = Flags(prog="on_master", description="Query the master of this machine, or create its tokens.")
    flags.add_argument("command", choices=("tokens", "status", "wait"))
    flags.add_argument("--project", required=True, help="folder of the installation")
    flags.add_argument("--total_workers", type=within(int, 1, 4096), default=1)
    flags.add_argument("--url", help="address of the master")
    flags.add_argument("--ca", help="certificates to trust, PEM, in the project's folder")
    flags.add_argument("--results_dir", default="results", help="folder of the runs, in the project's folder")
    flags.add_argument("--workers", type=within(int, 0, 4095), nargs="*", default=[], help="ids to wait for")
    flags.add_argument("--seconds", type=within(float, 0.0, 1e6), default=0.0, help="how long to wait")
    return flags.parse_args(argv)


def status_of(args: argparse.Namespace) -> Dict[str, Any]:
    """Return the master's status; {"problem": reason} if it does not answer."""
    request = urllib.request.Request(args.url + "/status")
    path = default_path(args.project)
    if os.path.exists(path):
        request.add_header("Authorization", "Bearer " + read_tokens(path)[OPERATOR])
    ca = None if args.ca is None else os.path.join(args.project, args.ca)
    context = ssl.create_default_context(cafile=ca) if args.url.startswith("https:") else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=ANSWER_S) as answer:
            return json.loads(answer.read().decode("utf-8"))
    except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
        reason = getattr(error, "reason", error)
        return {
            "problem": "the master does not answer at %s: %s" % (args.url, getattr(reason, "strerror", None) or reason)
        }


def last_of(results_dir: str) -> Optional[Dict[str, Any]]:
    """Return name, reason of the end, and workbook of the last run, from its journal.

    Returns
    -------
    dict or None
        None if there is no run, or the last one cannot be determined. ``ended`` is None for a run that can be resumed.
    """
    # Imported here, because they need packages that the other commands do not.
    from ..master.storage.run_index import last_run
    from ..report.names import workbook_name_of

    try:
        run = last_run(results_dir)
    except FlqError:
        return None
    if run is None:
        return None
    workbook = os.path.join(results_dir, workbook_name_of(run.about))
    return {
        "run_id": run.about["run_id"],
        "ended": run.end.reason if run.end.is_over else None,
        "workbook": workbook if os.path.exists(workbook) else None,
    }


def wait_for(args: argparse.Namespace) -> Dict[str, Any]:
    """Poll until all ``workers`` are connected or, in a run that has ended, had joined; return the last status.

    Polling stops after ``seconds``. The key ``missing`` of the status has the ids of the other workers.
    """
    deadline = time.monotonic() + args.seconds
    while True:
        status = status_of(args)
        status["missing"] = missing_in(status, args.workers)
        if "run_id" in status and not status["missing"] or time.monotonic() >= deadline:
            return status
        time.sleep(PAUSE_S)


def missing_in(status: Dict[str, Any], worker_ids: List[int]) -> List[int]:
    """Return the ids of workers that are not connected; in a run that has ended, those that never joined."""
    shown = status.get("worker_status", {})
    return [
        worker_id
        for worker_id in worker_ids
        if str(worker_id) not in shown or not (shown[str(worker_id)]["connected"] or status["state"] == "FINISHED")
    ]


if __name__ == "__main__":
    make_output_safe()
    sys.exit(main())
