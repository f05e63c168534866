"""The worker's doctor: checks this board, its Python and TensorFlow, and the way to the master.

Nothing here imports numpy before a child process has: on a Nano, that import may crash a program.
"""

import argparse
import os
import statistics
import sys
import time
from email.utils import parsedate_to_datetime
from typing import Any, Dict, List, NamedTuple, Optional
from urllib.parse import urlsplit

from ..addresses import host_in
from ..device.board import GPU_MEMORY_MB_OF_A_NANO, Board, find_board
from ..device.checks import FAIL, OK, WARN, Line, show
from ..device.disk_checks import disk_lines, sd_card_lines
from ..device.files import system_root
from ..device.machine_checks import gpu_memory_line, machine_lines
from ..device.python_checks import Interpreter, packages_line, python_lines, requirements_for, this_interpreter
from ..device.reach_checks import reach_lines
from ..device.tensorflow_probe import Probe, probe_tensorflow, tensorflow_lines
from ..errors import ConfigError

LOWEST_PYTHON = (3, 6)
PACKAGES = ("numpy", "requests", "threadpoolctl", "PIL")
N_TRIPS = 5
TIMEOUT_S = 10.0
SLOW_S = 1.0  # round trip
SKEW_S, TLS_SKEW_S = 5.0, 60.0  # of the clocks: a warning; certificates may look invalid
TOKEN_FIX = (
    "bring the worker's line of state/tokens from the master's machine: in a file for --token_file, or its "
    "token in the environment variable FLQ_TOKEN (docs/security.md)"
)


class Surroundings(NamedTuple):
    """What the doctor looks at besides the arguments; tests substitute another machine."""

    root: str
    interpreter: Interpreter
    probe: Probe


def run(args: argparse.Namespace, project_dir: str) -> int:
    """Examine this worker and print the findings; return the number of failures, 99 at most."""
    here = Surroundings(system_root(), this_interpreter(os.environ), probe_tensorflow())
    return show(examine(args, project_dir, here), args.json, sys.stdout)


def examine(args: argparse.Namespace, project_dir: str, here: Surroundings) -> List[Line]:
    """Return the findings about a worker that would be started with these arguments."""
    board = find_board(here.root)
    state_dir = args.state_dir or os.path.join(project_dir, "state", "worker%d" % args.worker_id)
    lines = machine_lines(here.root, board) + sd_card_lines(here.root)
    lines += disk_lines(project_dir, [os.path.join(project_dir, "logs"), state_dir])
    lines += python_lines(here.interpreter, board, LOWEST_PYTHON)
    packages = packages_line(PACKAGES, requirements_for(board))
    lines += [packages] + tensorflow_lines(here.probe, board, FAIL, requirements_for(board))
    if packages.status == FAIL or "numpy" not in here.probe.facts:
        return lines + [Line(FAIL, "master", "not checked: this Python has no working numpy", "fix the failures above")]
    return lines + _settings_lines(args, project_dir, here.root, board)


def _settings_lines(args: argparse.Namespace, project_dir: str, root: str, board: Board) -> List[Line]:
    """Return the findings about this worker's own settings, and then about its master."""
    from ..tokens import worker_token_source  # these import numpy
    from .own_settings import master_url, read_own_file, trusted_file

    try:
        own = read_own_file(args.config)
        limit_mb = args.gpu_memory_limit_mb or own.device.get("gpu_memory_limit_mb")
        if limit_mb is None and board.kind == "nano":
            limit_mb = GPU_MEMORY_MB_OF_A_NANO
        lines = [gpu_memory_line(root, board, limit_mb)]
        url, ca = master_url(args, own), trusted_file(args)
    except ConfigError as error:
        return [Line(FAIL, "settings", error.detail, error.hint or "--help shows the flags")]
    try:
        token, problem = worker_token_source(args.worker_id, args.token_file, os.environ, project_dir)(), None
    except ConfigError as error:
        token, problem = None, Line(FAIL, "token", error.detail, error.hint or TOKEN_FIX)
    if token is None and problem is None:
        problem = Line(FAIL, "token", "this worker has none", TOKEN_FIX)
    lines += master_lines(url, ca, args.worker_id, token)
    if problem is None and lines[-1].name != "token":
        problem = Line(OK, "token", "this worker has one; the master was not asked")
    return lines + ([] if problem is None else [problem])


def master_lines(url: str, ca: Optional[str], worker_id: int, token: Optional[str]) -> List[Line]:
    """Return whether the master can be reached and accepts the token; the run does not change."""
    import requests  # packages_line has checked that it is there

    from .http_adapter import Adapter, cause_of
    from .proxies import proxy_for  # here: these modules import requests

    parts, is_tls = urlsplit(url), url.startswith("https:")
    with requests.Session() as session:
        found = session.merge_environment_settings(url, {}, None, True if ca is None else ca, None)
        try:
            proxy = proxy_for(url, found["proxies"], os.environ)
        except ConfigError as error:
            return [Line(FAIL, "proxy", error.detail, error.hint)]
        session.mount(parts.scheme + "://", Adapter())
        if proxy is None:
            cafile = found["verify"] if isinstance(found["verify"], str) else requests.certs.where()
            lines, is_usable = reach_lines(host_in(url), parts.port, cafile if is_tls else None)
            if not is_usable:
                return lines
        else:
            lines = [
                Line(
                    OK,
                    "address",
                    "through the proxy %s, which the environment variable %s names" % (proxy.where, proxy.variable),
                )
            ]
        session.trust_env, session.proxies, session.verify = False, found["proxies"], found["verify"]
        try:
            answers = _ask_health(session, url)
            last = answers[-1]
            if not _is_master(last):
                return lines + [
                    Line(
                        FAIL,
                        "master",
                        "the server at %s is not an FLQ master (%d %.80s)"
                        % (url, last.response.status_code, last.response.reason),
                        _fix_of(last, url, proxy),
                    )
                ]
            lines += [_trip_line(url, answers), skew_line(answers[-1], is_tls)]
            return lines + ([] if token is None else [_token_line(session, url, worker_id, token)])
        except requests.RequestException as error:
            return lines + [
                Line(
                    FAIL,
                    "master",
                    "no answer from %s: %s" % (url, cause_of(error)),
                    "try again; the master's log may tell more" if proxy is None else proxy.words(url),
                )
            ]


class HealthReply(NamedTuple):
    """An answer of some server, with its times by this clock."""

    response: Any
    body: Dict[str, Any]
    asked: float
    answered: float
    trip_s: float


def _ask_health(session: Any, url: str) -> List[HealthReply]:
    """Ask once to connect, and once per round trip; stop if the server is not a master."""
    answers = []  # type: List[HealthReply]
    for _ in range(1 + N_TRIPS):
        asked, began = time.time(), time.monotonic()
        response = session.get(url + "/healthz", timeout=TIMEOUT_S)
        trip_s = time.monotonic() - began
        answers.append(HealthReply(response, _object(response), asked, time.time(), trip_s))
        if not _is_master(answers[-1]):
            break
    return answers


def _object(response: Any) -> Dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {}


def _is_master(answer: HealthReply) -> bool:
    """Return whether FLQ has answered, possibly that this peer may not ask, or not so often."""
    return answer.body.get("ok") is True or (
        answer.response.status_code in (401, 403, 429, 503) and {"error", "detail", "hint"} <= set(answer.body)
    )


def _fix_of(answer: HealthReply, url: str, proxy: Any) -> str:
    """Return the hint of a master that speaks HTTPS only, or one about another server."""
    from .proxies import HINTS

    detail, hint = (str(answer.body.get(key, "")) for key in ("detail", "hint"))
    if not detail:
        return (
            proxy.words(url)
            if proxy is not None
            else (HINTS.get(answer.response.status_code) or "--master_ip and --port must be those of flq_master.py")
        )
    return "%s (%s)" % (detail, hint) if hint else detail


def _trip_line(url: str, answers: List[HealthReply]) -> Line:
    trip_s = statistics.median(answer.trip_s for answer in answers[1:])
    text = "%s answers in %.1f ms (median of %d)" % (url, trip_s * 1e3, N_TRIPS)
    if trip_s > SLOW_S:
        return Line(WARN, "master", text, "use a better link: every round takes two or more round trips")
    return Line(OK, "master", text)


def skew_line(answer: HealthReply, is_tls: bool) -> Line:
    """Return the difference of the clocks; the master's Date lies between question and answer."""
    try:
        theirs = parsedate_to_datetime(answer.response.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return Line(OK, "clock skew", "not known: the answer has no Date")
    ahead = max(0.0, answer.asked - (theirs + 1.0)) - max(0.0, theirs - answer.answered)
    text = "%.0f s %s the master" % (abs(ahead), "ahead of" if ahead > 0 else "behind") if abs(ahead) >= 1 else "none"
    if abs(ahead) <= SKEW_S:
        return Line(OK, "clock skew", text)
    is_bad = is_tls and abs(ahead) > TLS_SKEW_S
    return Line(
        FAIL if is_bad else WARN,
        "clock skew",
        text + ("; its certificate may look invalid" if is_bad else ""),
        "sudo timedatectl set-ntp true, on both machines",
    )


def _token_line(session: Any, url: str, worker_id: int, token: str) -> Line:
    """Send an incomplete request: the master checks its token before it rejects it."""
    from ..protocol.wire import MEDIA_TYPE  # it imports numpy

    response = session.get(
        "%s/get_global_model?worker=%d" % (url, worker_id),
        timeout=TIMEOUT_S,
        headers={"Authorization": "Bearer " + token, "Accept": MEDIA_TYPE},
    )
    detail = str(_object(response).get("detail", response.reason))
    if response.status_code == 422 and "epoch" in detail:
        return Line(OK, "token", "the master knows it as that of worker %d" % worker_id)
    if response.status_code == 503:
        return Line(OK, "token", "the master knows it; %s" % detail)
    if response.status_code == 429:
        return Line(WARN, "token", detail, "try again in a moment")
    if response.status_code == 422:
        return Line(
            FAIL,
            "token",
            "the master takes no worker %d: %s" % (worker_id, detail),
            "use another --worker_id, or start the master with more system.total_workers",
        )
    return Line(FAIL, "token", detail, TOKEN_FIX)
