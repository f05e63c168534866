"""One master at work: everything that a run needs is put together here, and taken apart in order."""

import argparse
import logging
import os
import queue
import signal
import threading
import time
from contextlib import nullcontext, suppress
from typing import Any, Dict, List, Optional

import numpy as np

from ...addresses import is_loopback, url_of
from ...config import Config
from ...config_hash import config_hash
from ...console import FOR_A_BAR
from ...core.layout import Layout, Vector
from ...logfile import say
from ...protocol.master_machine import MasterMachine
from ...protocol.options import run_options
from ...report.names import stamp_of, without_address
from ...systemd import Watchdog
from ...tokens import is_open_to_others, make_tokens
from ...training.datasets import resolve_dataset
from ...training.models import is_custom
from ...training.trainer import begin, check
from ..http.auth import Gate
from ..http.descriptors import n_connections, n_open, raise_limit
from ..http.server import Server, n_threads
from ..http.tls import TlsAdapter
from ..live.broadcast import Broadcast
from ..live.sources import sources_before, sources_of
from ..records.wire_meter import Meter
from ..routes.app import create_app
from ..routes.starting import STARTING, Switch, starting_app
from ..storage.resume import Past, begin_journal, check_may_go_on, hold
from ..storage.run_index import claimed, make_run_folder
from ..storage.store import Store
from .configured_sinks import watchers_of
from .evaluator import Evaluator
from .run import MasterService

logger = logging.getLogger(__name__)

BUILD_S = 600.0  # how long a user's own model may take, TensorFlow's start and all
WAKE_S = 1.0  # how late a signal is handled at the latest
MASTERS_OWN = ("report", "notify", "security")  # sections that workers do not get


def serve(args: argparse.Namespace, config: Config, project_dir: str, past: Optional[Past] = None) -> int:
    """Serve a new run, or one that goes on, until it has ended; return the exit code.

    Raises
    ------
    FlqError, OSError
        If it can not begin.
    """
    settings = resolve_dataset(config.settings())
    if past is not None:
        check_may_go_on(past, settings)
    tls = TlsAdapter(args.tls_cert, args.tls_key) if args.tls_cert else None
    max_connections = n_connections(
        config.system.total_workers, config.security.max_connections, raise_limit(), n_open()
    )
    began = time.monotonic()
    logger.info("start=reading_data dataset=%s", settings["dataset"]["name"], extra=FOR_A_BAR)
    check(settings)  # before anything is bound: data that no worker could train on
    read_s = time.monotonic() - began
    results_dir = os.path.join(project_dir, config.report.results_dir)
    with claimed(results_dir) if past is None else nullcontext(past.run_dir) as run_dir:
        return _serve(args, config, project_dir, settings, run_dir, past, tls, max_connections, read_s)


def _serve(
    args: argparse.Namespace,
    config: Config,
    project_dir: str,
    settings: Dict[str, Dict[str, Any]],
    run_dir: str,
    past: Optional[Past],
    tls: Optional[TlsAdapter],
    max_connections: int,
    read_s: float,
) -> int:
    """Assemble a run, serve it, and close it."""
    run_id = os.path.basename(run_dir) if past is None else past.run_id
    results_dir = os.path.join(project_dir, config.report.results_dir)

    def machine_of(layout: Layout, start: Vector) -> MasterMachine:
        for_workers = {
            section: values for section, values in without_address(settings).items() if section not in MASTERS_OWN
        }
        return MasterMachine(run_options(run_id, for_workers, layout), start)

    machine = None
    if past is not None:
        machine = machine_of(past.layout, np.zeros(past.layout.n_params, np.float32))  # until the snapshot is read
    elif not is_custom(config.model.name):
        machine = machine_of(*begin(settings))
    meter = Meter()
    watchers = watchers_of(config, os.environ, project_dir, results_dir)  # before there are other children
    logger.info("start=starting_the_evaluator model=%s", settings["model"]["name"], extra=FOR_A_BAR)
    evaluator = Evaluator(settings, config.report.evaluation_backlog_mb * 10**6)
    try:
        gate = Gate(_tokens(args, config), settings["security"], n_threads(config.system.total_workers))
        broadcast = Broadcast(sources_before(run_id, settings, config_hash(settings), STARTING))
        switch = Switch(starting_app(run_id, settings, config_hash(settings), gate, broadcast))
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
        try:
            if machine is None:
                server.start()
                logger.info("listening on port %d; model %s is being built", server.port, config.model.name)
                machine = machine_of(*evaluator.described(BUILD_S))
            make_run_folder(run_dir)
            with hold(run_dir) if past is None else nullcontext():
                journal = (
                    begin_journal(run_dir, run_id, settings, machine.options.layout) if past is None else past.journal
                )
                store = Store(run_dir, journal, config.system.snapshot_every, config.system.snapshots_kept)
                try:
                    service = MasterService(
                        machine, settings, evaluator, meter, results_dir, run_dir, stamp_of(run_id), store, watchers
                    )
                    if past is None:
                        service.begin()
                    else:
                        service.go_on(journal)
                    if args.start_once is not None:
                        with suppress(FileNotFoundError):
                            os.remove(args.start_once)  # what it has asked for is on disk
                    service.results.save_config()
                    broadcast.follow(sources_of(service, settings))
                    switch.app = create_app(service, gate, broadcast)
                    logger.info("data=ready dataset=%s seconds=%.2f", settings["dataset"]["name"], read_s)
                    try:
                        return until_the_end(args, service, server, config, broadcast)
                    finally:
                        service.close()
                finally:
                    store.close()
        finally:
            broadcast.close()
            server.stop()  # its threads would keep the process alive
    finally:
        evaluator.close()


def _tokens(args: argparse.Namespace, config: Config) -> Dict[str, str]:
    """Return the tokens by name."""
    tokens = make_tokens(args.token_file, config.system.total_workers)
    if is_open_to_others(args.token_file):
        logger.warning(
            "others can read the tokens in %s; whoever has done so can do what they allow. Close it with: chmod 600 %s",
            args.token_file,
            args.token_file,
        )
    return tokens


def until_the_end(
    args: argparse.Namespace, service: MasterService, server: Server, config: Config, broadcast: Broadcast
) -> int:
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
    threading.Thread(
        target=lambda: service.interrupt("interrupted by signal %d, it can go on" % came.get()),
        name="signals",
        daemon=True,
    ).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    watchdog = Watchdog(os.environ)
    service.alive = watchdog.feed
    service.start()
    server.start()
    watchdog.ready()
    logger.info("run %s, configuration %s", service.machine.options.run_id, service.config_hash)
    say(
        "FLQ master ready on %s (run %s)"
        % (url_of("https" if args.tls_cert else "http", args.host, server.port), service.machine.options.run_id)
    )
    logger.info("the tokens of the operator and the workers are in %s", args.token_file)
    if not args.tls_cert and not is_loopback(args.host):
        logger.warning(
            "plain HTTP: whoever sees the traffic reads models, updates and tokens; --tls_cert and "
            "--tls_key encrypt it (docs/security.md)"
        )
    logger.info(
        "waiting for %d workers; model %s with %d parameters",
        config.system.min_workers,
        config.model.name,
        service.machine.options.layout.n_params,
    )

    _wait_for(service.saved)
    service.heard.wait(min(config.system.linger_s, threading.TIMEOUT_MAX))
    if args.keep_serving:
        _wait_for(service.released)
    service.wait_for_evaluator()
    if service.was_interrupted:
        service.close()  # whoever waits is told to try again
    broadcast.close()
    server.stop()
    service.finish()  # after the last byte
    service.close()
    service.close_watchers()
    return service.conclude() or (128 + signals[0] if signals else 0)


def _wait_for(event: threading.Event) -> None:
    """Wait without an end, but not in one piece: a signal that comes just before a wait is handled only after it."""
    while not event.wait(WAKE_S):
        pass
