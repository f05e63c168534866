"""The master's doctor: checks this machine, its packages, the configuration, port, tokens and certificates."""

import argparse
import errno
import http.client
import json
import os
import socket
import ssl
import sys
from typing import Any, Dict, List, Mapping, Tuple

from ..addresses import is_loopback
from ..device.board import find_board
from ..device.checks import FAIL, OK, WARN, Line, show
from ..device.disk_checks import disk_lines, sd_card_lines
from ..device.files import system_root
from ..device.machine_checks import machine_lines
from ..device.python_checks import Interpreter, packages_line, python_lines, this_interpreter
from ..device.tensorflow_probe import Probe, probe_tensorflow, tensorflow_lines
from ..errors import FlqError

LOWEST_PYTHON = (3, 9)
PACKAGES = ("numpy", "flask", "cheroot", "pydantic", "xlsxwriter", "prometheus_client")
TIMEOUT_S = 5.0


def run(args: argparse.Namespace, project_dir: str) -> int:
    """Examine this master and write the findings; return the number of failures, 99 at most."""
    root, interpreter = system_root(), this_interpreter(os.environ)
    return show(examine(args, project_dir, root, interpreter, probe_tensorflow()), args.json, sys.stdout)


def examine(
    args: argparse.Namespace, project_dir: str, root: str, interpreter: Interpreter, probe: Probe
) -> List[Line]:
    """Return the findings for a master with these arguments."""
    board = find_board(root)
    lines = machine_lines(root, board) + sd_card_lines(root) + python_lines(interpreter, board, LOWEST_PYTHON)
    packages = packages_line(PACKAGES, "master.txt")
    computer = board._replace(kind="pc")  # evaluation does not need the GPU of a Jetson
    lines += [packages] + tensorflow_lines(probe, computer, WARN, "worker.txt")
    if packages.status == FAIL or "numpy" not in probe.facts:
        return lines + [
            Line(FAIL, "configuration", "not checked: packages are missing or do not work", "fix the problems above")
        ]
    configuration, results_dir = _configuration(args, project_dir)
    folders = [os.path.join(project_dir, name) for name in ("logs", results_dir, "state")]
    return (
        lines
        + disk_lines(project_dir, folders)
        + [configuration, port_line(args.host, args.port), tokens_line(args.token_file, project_dir)]
        + [_tls_line(args), notifications_line(os.environ, project_dir)]
    )


def _configuration(args: argparse.Namespace, project_dir: str) -> Tuple[Line, str]:
    """Load the configuration and check whether a worker could train with it; return the finding and results_dir."""
    from ..config_file import load_config  # packages_line has checked their imports
    from ..sinks.trackers import check_installed
    from ..training.datasets import resolve_dataset
    from ..training.frameworks import make_task

    path = args.config or os.path.join(project_dir, "flq_config.json")
    try:
        config = load_config(path, args.overrides)
        settings = resolve_dataset(config)
        make_task(settings).check()
        check_installed(config.report.trackers)
    except FlqError as error:
        return Line(FAIL, "configuration", error.detail, error.hint or "see docs/configuration.md"), "results"
    except OSError as error:
        return Line(
            FAIL, "configuration", "%s: %s" % (error.filename or path, error.strerror), "see docs/configuration.md"
        ), "results"
    return Line(
        OK,
        "configuration",
        "%s: %d workers, %s on %s, mode %s"
        % (path, config.system.total_workers, config.model.name, settings.dataset.name, config.flq_algorithm.mode),
    ), config.report.results_dir


def port_line(host: str, port: int) -> Line:
    """Return the finding whether a master can listen there; say if another master already does."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            sock.bind(address)
    except (OSError, UnicodeError) as error:
        reason = "%s port %d: %s" % (host, port, getattr(error, "strerror", None) or error)
        code = getattr(error, "errno", None)
        if code == errno.EADDRINUSE and _is_master(host, port):
            return Line(
                WARN, "port", "an FLQ master already answers at port %d" % port, "stop it first, or use another --port"
            )
        if code == errno.EADDRINUSE:
            return Line(
                FAIL, "port", reason, "use another --port; sudo ss -ltnp 'sport = :%d' shows the program" % port
            )
        if code == errno.EACCES:
            return Line(FAIL, "port", reason, "use a --port from 1024 on")
        return Line(FAIL, "port", reason, "--host must be an address of this machine, or 0.0.0.0")
    return Line(OK, "port", "any that is free" if port == 0 else "%s port %d is free" % (host, port))


def _is_master(host: str, port: int) -> bool:
    """Return whether FLQ answers there, by HTTP or HTTPS."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # no secret is sent
    for connection in (
        http.client.HTTPConnection(name, port, timeout=TIMEOUT_S),
        http.client.HTTPSConnection(name, port, timeout=TIMEOUT_S, context=context),
    ):
        try:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            body: Dict[str, Any] = json.loads(response.read(1 << 16))
        except (OSError, http.client.HTTPException, ValueError, RecursionError):
            continue
        finally:
            connection.close()
        if isinstance(body, dict) and (body.get("ok") is True or {"error", "detail", "hint"} <= set(body)):
            return True
    return False


def tokens_line(path: str, project_dir: str) -> Line:
    """Return the finding whether the tokens are valid, and readable by their owner only."""
    from ..tokens import default_path, is_open_to_others, read_tokens  # they import numpy

    path = path or default_path(project_dir)
    if not os.path.exists(path):
        return Line(OK, "tokens", "%s is made at the first start" % path)
    try:
        n_tokens = len(read_tokens(path))
        is_open = is_open_to_others(path)
    except FlqError as error:
        return Line(FAIL, "tokens", error.detail, error.hint)
    except OSError as error:
        return Line(FAIL, "tokens", "%s cannot be read: %s" % (path, error.strerror), "sudo chown $USER %s" % path)
    text = "%d in %s" % (n_tokens, path)
    if is_open:
        return Line(WARN, "tokens", text + ", which other users can read", "chmod 600 %s" % path)
    return Line(OK, "tokens", text)


def notifications_line(environment: Mapping[str, str], project_dir: str) -> Line:
    """Return the finding whether notifications are configured; send none."""
    from ..sinks.notify.secrets import FILE, read_secrets  # packages_line has checked its imports

    path = os.path.join(project_dir, FILE)
    try:
        secrets = read_secrets(environment, path)
    except FlqError as error:
        return Line(WARN, "notifications", error.detail, error.hint or "see docs/notifications.md")
    if not secrets.urls:
        return Line(OK, "notifications", "none: neither FLQ_NOTIFY nor %s has an address" % path)
    through = "" if secrets.proxy is None else ", through a proxy"
    return Line(
        OK,
        "notifications",
        "to %d address%s%s; python -m flq.sinks.notify --test sends one message"
        % (len(secrets.urls), "es" if len(secrets.urls) > 1 else "", through),
    )


def _tls_line(args: argparse.Namespace) -> Line:
    from .http.tls import TlsAdapter  # packages_line has checked its imports

    if args.tls_cert is None:
        if is_loopback(args.host):
            return Line(OK, "tls", "plain HTTP, within this machine")
        return Line(
            WARN,
            "tls",
            "plain HTTP: anyone on the network path can read models, updates and tokens",
            "--tls_cert and --tls_key encrypt it (docs/security.md)",
        )
    try:
        TlsAdapter(args.tls_cert, args.tls_key)
    except FlqError as error:
        return Line(FAIL, "tls", error.detail, error.hint)
    return Line(OK, "tls", "certificate %s and key %s match" % (args.tls_cert, args.tls_key))
