"""The master program: from the command line to the exit code."""

import argparse
import logging
import os
import queue
import secrets
import signal
import sys
import threading
import time
from typing import List, Optional

from ..config import Config
from ..config_file import load_config
from ..config_hash import config_hash
from ..core.params import Layout, Vector
from ..errors import FlqError, Unavailable
from ..flags import Flags, within
from ..logfile import log_trace, set_up_logging
from ..protocol.master_machine import MasterMachine
from ..protocol.options import run_options
from ..training.datasets import resolve_dataset
from ..training.models import is_custom, model_layout
from ..training.trainer import begin, check
from .app import create_app
from .evaluator import Evaluator
from .meter import Meter
from .results import config_text, without_address
from .server import Server
from .service import MasterService
from .start import Switch, starting_app

logger = logging.getLogger(__name__)

BUILD_S = 600.0  # how long a user's own model may take, TensorFlow's start and all
LINGER_AFTER_SIGNAL_S = 5.0


def parse_flags(argv: Optional[List[str]], project_dir: str) -> argparse.Namespace:
    """Read the command line."""
    flags = Flags(prog="flq_master.py", description="The FLQ master: holds the global model.")
    flags.add_argument("--config", metavar="F", help="configuration file (default: flq_config.json)",
                       default=os.path.join(project_dir, "flq_config.json"))
    flags.add_argument("--host", default="0.0.0.0", help="address to listen on (default: %(default)s)")
    flags.add_argument("--port", type=within(int, 0, 65535), default=5000,
                       help="port to listen on (default: %(default)s; 0 = any)")
    flags.add_argument("--set", metavar="section.key=value", action="append", default=[], dest="overrides",
                       help="override a setting; may be given again")
    flags.add_argument("--keep_serving", action="store_true", help="go on answering after the run, until stopped")
    flags.add_argument("--print_config", "--print-config", action="store_true",
                       help="write the whole configuration to stdout and its hash to stderr, and end")
    flags.add_argument("--verbose", action="store_true", help="log more")
    return flags.parse_args(argv)


def main(argv: Optional[List[str]], project_dir: str) -> int:
    """Run a master until its run has ended.

    Returns
    -------
    int
        0 the run has ended; 1 something failed; 2 usage or configuration; 128 + n after signal n.
    """
    args = parse_flags(argv, project_dir)
    stamp = time.strftime("%Y%m%d_%H%M%S")
    try:
        if args.print_config:
            return _print_config(load_config(args.config, args.overrides))
        set_up_logging(os.path.join(project_dir, "logs", "master_%s.log" % stamp), args.verbose)
        return _serve(args, load_config(args.config, args.overrides), project_dir, stamp)
    except Unavailable as error:
        logger.error("%s", error)
        return 1
    except FlqError as error:
        logger.error("%s", error)
        return 2
    except KeyboardInterrupt:  # before there is a run that could be stopped
        return 128 + signal.SIGINT
    except OSError as error:
        logger.error("%s: %s", error.strerror or "failed", error.filename or error)
        return 1
    except Exception as error:  # a bug, or memory that does not suffice
        logger.error("the master can not go on: %s: %s", type(error).__name__,
                     (str(error) or "no message").splitlines()[0])
        log_trace(logger, error)
        return 1


def _print_config(config: Config) -> int:
    """Write what a run would go by, unless it would be refused: stdout is a configuration file."""
    settings = resolve_dataset(config.settings())
    check(settings)
    if not is_custom(config.model.name):
        run_options("", settings, model_layout(settings))
    sys.stdout.write(config_text(settings))
    sys.stderr.write("configuration %s\n" % config_hash(settings))
    return 0


def _serve(args: argparse.Namespace, config: Config, project_dir: str, stamp: str) -> int:
    settings = resolve_dataset(config.settings())
    run_id = "%s_%s" % (stamp, secrets.token_hex(2))
    check(settings)  # before anything is bound: data that no worker could train on

    def machine_of(layout: Layout, start: Vector) -> MasterMachine:
        for_workers = {section: values for section, values in without_address(settings).items() if section != "report"}
        return MasterMachine(run_options(run_id, for_workers, layout), start)

    machine = None if is_custom(config.model.name) else machine_of(*begin(settings))
    meter = Meter()
    results_dir = os.path.join(project_dir, config.report.results_dir)
    run_dir = os.path.join(results_dir, run_id)
    evaluator = Evaluator(settings, config.report.evaluation_backlog_mb * 10 ** 6)
    try:
        switch = Switch(starting_app(run_id, settings, config_hash(settings)))
        server = Server(switch, args.host, args.port, config.system.total_workers, meter)
        try:
            if machine is None:
                server.start()
                logger.info("listening on port %d; model %s is being built", server.port, config.model.name)
                machine = machine_of(*evaluator.described(BUILD_S))
            service = MasterService(machine, settings, evaluator, meter, results_dir, run_dir, stamp)
            os.makedirs(run_dir, exist_ok=True)
            service.results.save_config()
            switch.app = create_app(service)
            return _until_the_end(args, service, server, config)
        finally:
            server.stop()  # its threads would keep the process alive
    finally:
        evaluator.close()


def _until_the_end(args: argparse.Namespace, service: MasterService, server: Server, config: Config) -> int:
    """Serve until the run has ended, was stopped, or a signal came."""
    signals: List[int] = []
    came: queue.SimpleQueue = queue.SimpleQueue()  # a handler may put into it, whatever it interrupts

    def on_signal(number, frame) -> None:
        signals.append(number)
        if len(signals) > 1:
            os._exit(128 + number)  # the second one means it
        came.put(number)

    # The handler runs within whatever the main thread is doing, which may hold a lock: it leaves
    # everything to this thread.
    threading.Thread(target=lambda: _stop_after_signal(service, came.get()), name="signals", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    service.start()
    server.start()
    logger.info("run %s, configuration %s", service.machine.options.run_id, service.config_hash)
    print("FLQ master ready on http://%s:%d (run %s)"
          % (args.host, server.port, service.machine.options.run_id), flush=True)
    logger.info("waiting for %d workers; model %s with %d parameters", config.system.min_workers,
                config.model.name, service.machine.options.layout.n_params)

    service.saved.wait()
    service.heard.wait(min(config.system.linger_s, threading.TIMEOUT_MAX))
    if args.keep_serving:
        service.released.wait()
    service.wait_for_evaluator()
    server.stop()
    service.finish()  # after the last byte
    service.close()
    if not os.path.exists(service.results.workbook):
        return 1
    print("results: %s" % service.results.workbook, flush=True)
    return 1 if service.failed else 128 + signals[0] if signals else 0


def _stop_after_signal(service: MasterService, number: int) -> None:
    """End the run, and do not wait for long until all workers have heard of it."""
    patience = threading.Timer(LINGER_AFTER_SIGNAL_S, service.heard.set)
    patience.daemon = True  # nobody waits for it when all have heard
    patience.start()
    service.released.set()
    try:
        service.stop("stopped by signal %d" % number)
    except FlqError as error:
        logger.error("%s", error)
