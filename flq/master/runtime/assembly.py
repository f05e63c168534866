"""Assembles the parts of a master, serves its run to the end, and closes the parts in order."""

import argparse
import logging
import os
import queue
import signal
import threading
import time
from contextlib import ExitStack, suppress
from typing import Dict, List, Optional, Tuple

import numpy as np

from ...addresses import is_loopback, url_of
from ...config_hash import config_hash
from ...console import FOR_A_BAR
from ...core.layout import Layout, Vector
from ...core.settings import Settings, to_json
from ...logfile import say
from ...protocol.master_machine import MasterMachine
from ...protocol.options import run_options
from ...report.names import DEFAULT, named, stamp_of
from ...run_end import Stage
from ...systemd import Watchdog
from ...tokens import is_open_to_others, make_tokens
from ...training.datasets import resolve_dataset
from ...training.frameworks import make_task
from ...training.models import is_custom
from ...training.sources.report import report_of
from ...training.sources.seen import counted, told
from ..http.auth import Gate
from ..http.descriptors import n_connections, n_open, raise_limit
from ..http.server import Server, n_threads
from ..http.tls import TlsAdapter
from ..live.broadcast import Broadcast
from ..live.sources import sources_before, sources_of
from ..records.artifacts import Results
from ..records.wire_meter import Meter
from ..routes.app import create_app
from ..routes.starting import STARTING, Switch, starting_app
from ..storage.resume import Past, begin_journal, check_may_resume, hold
from ..storage.run_index import claimed, make_run_folder
from ..storage.store import Store
from .configured_sinks import sinks_of
from .evaluator import Evaluator
from .run import Run

logger = logging.getLogger(__name__)

BUILD_S = 600.0  # time limit for building a user's own model, including TensorFlow's start


def serve(args: argparse.Namespace, config: Settings, project_dir: str, past: Optional[Past] = None) -> int:
    """Serve a new or resumed run until it has ended; return the exit code.

    Raises
    ------
    FlqError, OSError
        If the run cannot begin.
    """
    settings = resolve_dataset(config)
    if past is not None:
        check_may_resume(past, settings)
    tls = TlsAdapter(args.tls_cert, args.tls_key) if args.tls_cert else None
    max_connections = n_connections(
        config.system.total_workers, config.security.max_connections, raise_limit(), n_open()
    )
    began = time.monotonic()
    logger.info("start=reading_data dataset=%s", settings.dataset.name, extra=FOR_A_BAR)
    task = make_task(settings)
    task.check()  # reject unusable data before listening
    read_s = time.monotonic() - began
    for words, is_warning in told(task.seen, config.dataset.scale is not None):
        logger.log(logging.WARNING if is_warning else logging.INFO, "%s", words)
    results_dir = os.path.join(project_dir, config.report.results_dir)
    with ExitStack() as closing:  # closes in reverse order
        run_dir = closing.enter_context(claimed(results_dir)) if past is None else past.run_dir
        run_id = os.path.basename(run_dir) if past is None else past.run_id
        known = _known_start(settings, past)
        machine = None if known is None else _machine(run_id, settings, *known)  # before there are children
        meter = Meter()
        sinks = sinks_of(config, os.environ, project_dir, results_dir)  # removes secrets before other children start
        logger.info("start=starting_the_evaluator model=%s", settings.model.name, extra=FOR_A_BAR)
        evaluator = Evaluator(settings, config.report.evaluation_backlog_mb * 10**6)
        closing.callback(evaluator.close)
        gate = Gate(_tokens(args, config), settings.security, n_threads(config.system.total_workers))
        broadcast = Broadcast(sources_before(run_id, settings, config_hash(to_json(settings)), STARTING))
        switch = Switch(starting_app(run_id, settings, config_hash(to_json(settings)), gate, broadcast))
        server = Server(
            switch,
            args.host,
            args.port,
            config.system.total_workers,
            meter,
            max_connections,
            tls,
            config.system.lease_s / 2,
        )
        closing.callback(server.stop)  # its threads would keep the process alive
        closing.callback(broadcast.close)
        if machine is None:
            server.start()
            logger.info("listening on port %d; model %s is being built", server.port, config.model.name)
            machine = _machine(run_id, settings, *evaluator.described(BUILD_S))
        machine.data.own = None if task.seen is None else report_of(task.seen)
        layout = machine.options.layout
        make_run_folder(run_dir)
        if past is None:
            closing.enter_context(hold(run_dir))
        journal = begin_journal(run_dir, run_id, settings, layout) if past is None else past.journal
        store = Store(run_dir, journal, config.system.snapshot_every, config.system.snapshots_kept)
        closing.callback(store.close)
        name = named(os.path.abspath(run_dir), os.path.join(project_dir, DEFAULT))
        figures_dir = os.path.join(results_dir, "figures", run_id)
        results = Results(settings, layout, results_dir, run_dir, stamp_of(run_id), figures_dir)
        watchdog = Watchdog(os.environ)
        run = Run(machine, store, results, evaluator, meter, sinks, watchdog.feed)
        if past is None:
            run.begin()
        else:
            run.resume(journal)
        closing.callback(run.close)
        if args.start_once is not None:
            with suppress(FileNotFoundError):
                os.remove(args.start_once)  # the run that it requested is on disk
        results.data = machine.data.stored()
        results.save_config()
        broadcast.follow(sources_of(run))
        switch.app = create_app(run, gate, broadcast)
        logger.info("data=ready dataset=%s seconds=%.2f", settings.dataset.name, read_s)
        return until_the_end(args, run, server, config, broadcast, watchdog, name)


def _machine(run_id: str, settings: Settings, layout: Layout, start: Vector) -> MasterMachine:
    """Return the machine of a run; ConfigError if the settings admit no upload of the model."""
    return MasterMachine(run_options(run_id, settings, layout), start)


def _known_start(settings: Settings, past: Optional[Past]) -> Optional[Tuple[Layout, Vector]]:
    """Return layout and start values of the model; None for a user's own model, which must be built first."""
    if past is not None:
        return past.layout, np.zeros(past.layout.n_params, np.float32)  # the snapshot replaces them
    if is_custom(settings.model.name):
        return None
    task = make_task(settings)
    return task.layout, task.start()


def _tokens(args: argparse.Namespace, config: Settings) -> Dict[str, str]:
    """Return the tokens by name."""
    tokens = make_tokens(args.token_file, config.system.total_workers)
    if is_open_to_others(args.token_file):
        logger.warning(
            "other users can read the tokens in %s and use them; protect the file with: chmod 600 %s",
            args.token_file,
            args.token_file,
        )
    return tokens


def until_the_end(
    args: argparse.Namespace,
    run: Run,
    server: Server,
    config: Settings,
    broadcast: Broadcast,
    watchdog: Watchdog,
    name: str,
) -> int:
    """Serve until the run ends, is stopped, or a signal arrives; return the exit code.

    ``name`` is that of the run for ``--resume``.
    """
    signals: List[int] = []
    came: queue.SimpleQueue = queue.SimpleQueue()  # its put() is safe in a signal handler

    def on_signal(number, frame) -> None:
        signals.append(number)
        if len(signals) > 1:
            os._exit(128 + number)  # the second signal exits at once
        came.put(number)

    # The handler interrupts the main thread, which may hold a lock; so this thread does the work.
    threading.Thread(
        target=lambda: run.interrupt("interrupted by signal %d, it can be resumed" % came.get()),
        name="signals",
        daemon=True,
    ).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    run.start()
    server.start()
    watchdog.ready()
    logger.info("run %s, configuration %s", run.machine.options.run_id, run.config_hash)
    say(
        "FLQ master ready on %s (run %s)"
        % (url_of("https" if args.tls_cert else "http", args.host, server.port), run.machine.options.run_id)
    )
    logger.info("the tokens of the operator and the workers are in %s", args.token_file)
    if not args.tls_cert and not is_loopback(args.host):
        logger.warning(
            "plain HTTP: anyone on the network path can read models, updates and tokens; --tls_cert and --tls_key "
            "encrypt it (docs/security.md)"
        )
    logger.info(
        "waiting for %s; model %s with %d parameters",
        counted(config.system.quorum, "worker"),
        config.model.name,
        run.machine.options.layout.n_params,
    )

    run.ending.wait(Stage.SAVED)
    run.ending.wait(Stage.TOLD, config.system.linger_s)
    if args.keep_serving:
        run.ending.wait_released()
    run.wait_for_evaluations()
    if run.ending.stage is Stage.INTERRUPTED:
        run.close()  # waiting requests get 503
    broadcast.close()
    server.stop()
    run.finish()  # after the last byte is counted
    run.close()
    run.close_sinks()
    return run.conclude(name).say() or (128 + signals[0] if signals else 0)
