"""The worker program: from its flags to the exit code."""

import argparse
import logging
import os
import random
import secrets
import signal
import sys
import time
from typing import Any, List, Optional

from ..console import FOR_A_BAR
from ..core.settings import Settings
from ..device.files import system_root
from ..device.telemetry import Telemetry
from ..errors import FlqError
from ..logfile import log_trace, set_up_logging
from ..protocol import worker_events as events
from ..protocol.exchange import Local, run_worker
from ..protocol.worker_machine import WorkerMachine
from ..reasons import named_reason
from ..systemd import Watchdog
from ..tokens import worker_token_source
from ..training.dataset_flags import check_data_dir
from ..training.frameworks import build_trainer
from ..training.sources.seen import told
from . import instance, state_file
from .heartbeat import HeartbeatThread
from .http_client import MasterClient
from .own_settings import OwnFile, check_name, effective_settings, master_url, read_own_file, trusted_file

logger = logging.getLogger(__name__)

KEY_BYTES = 9  # random bytes of this process's session key, which stays in memory


def run(args: argparse.Namespace, project_dir: str) -> int:
    """Run a worker until the run has ended.

    Returns
    -------
    int
        0 the run has ended; 1 something failed; 2 usage, or the master refuses this worker;
        128 + n after signal n.
    """
    state_dir = args.state_dir or os.path.join(project_dir, "state", "worker%d" % args.worker_id)
    try:
        set_up_logging(
            os.path.join(project_dir, "logs", "worker%d_%s.log" % (args.worker_id, time.strftime("%Y%m%d_%H%M%S"))),
            args.verbose,
        )
        own = read_own_file(args.config)
        url, ca = master_url(args, own), trusted_file(args)
        check_data_dir(args.data_dir)
        if not args.stay:  # a service waits, also for the network
            check_name(url)
        find_token = worker_token_source(args.worker_id, args.token_file, os.environ, project_dir)
        client = MasterClient(url, args.worker_id, find_token, ca, secrets.token_urlsafe(KEY_BYTES))
        name, lock = instance.take(state_dir)
        logger.info("worker %d: start=connecting master=%s", args.worker_id, url, extra=FOR_A_BAR)
        with lock:
            return Worker(args, name, client, own, state_dir).run()
    except FlqError as error:
        logger.error("%s", error)
        return 2
    except OSError as error:
        logger.error("%s: %s", error.strerror or "failed", error.filename or error)
        return 1
    except Exception as error:  # from TensorFlow, or a reply of a master of another version
        logger.error("worker %d failed: %s", args.worker_id, named_reason(error))
        log_trace(logger, error)
        return 1


def restart_process(worker_id: int) -> None:
    """Replace this process by a new one, which finds the run in progress.

    TensorFlow keeps its settings and its memory until a process ends.
    """
    logger.info("worker %d: the run has other settings: restarting", worker_id)
    logging.shutdown()  # flushes the last lines
    os.execv(sys.executable, [sys.executable] + sys.argv)


class Worker(Local):
    """Does the actions of a worker's machine; a thread beside it sends heartbeats."""

    def __init__(self, args: argparse.Namespace, name: str, client: MasterClient, own: OwnFile, state_dir: str) -> None:
        super().__init__(self._new_trainer, time.monotonic, time.sleep)
        self._args, self._own, self._state_dir = args, own, state_dir
        self._machine = WorkerMachine(
            args.worker_id, name, random.Random(), args.give_up_s, state_file.load(state_dir), stays=args.stay
        )
        self._client = client
        self._watchdog = Watchdog(os.environ)
        self._heartbeat = HeartbeatThread(client.heartbeat, Telemetry(system_root(), name=args.name), self._watchdog)
        self._last_round = 0

    def run(self) -> int:
        """Run until the machine says exit or a signal arrives; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._heartbeat.start()
        self._watchdog.ready()
        try:
            call = self._heartbeat.calling()(self._client.do)  # each call in a context of its own
            end = run_worker(self._machine, self, call, time.monotonic, self._follow)
        finally:
            self._heartbeat.close()
        (logger.info if end.code == 0 else logger.error)("worker %d: %s", self._args.worker_id, end.sentence)
        return end.code

    def _new_trainer(self, offered: Settings) -> Any:
        """Build the trainer from the master's settings and the worker's own."""
        settings = effective_settings(offered, self._own, self._args)
        if self.trainer is not None and self._args.stay:
            restart_process(self._args.worker_id)
        logger.info(
            "worker %d: start=reading_data dataset=%.80s model=%.80s",
            self._args.worker_id,
            settings.dataset.name,
            settings.model.name,
            extra=FOR_A_BAR,
        )
        with self._heartbeat.calling():  # it may download a data set
            trainer = build_trainer(settings, self._args.worker_id)
        self._last_round = settings.system.max_rounds
        self._heartbeat.report_s = settings.jetson_optimization.telemetry_s
        for words, is_warning in told(trainer.seen, settings.dataset.scale is not None):
            logger.log(logging.WARNING if is_warning else logging.INFO, "worker %d: %s", self._args.worker_id, words)
        self._say(trainer.notes)
        logger.info(
            "worker %d: %d samples, %d parameters", self._args.worker_id, trainer.n_samples, trainer.layout.n_params
        )
        logger.info("worker %d: start=waiting_for_the_first_round rounds=%d", self._args.worker_id, self._last_round)
        return trainer

    def train(self, action: events.Train) -> Optional[events.Event]:
        """Train, and keep the lease during that time."""
        try:
            with self._heartbeat.training():
                event = super().train(action)
        finally:
            self._say(self.trainer.notes)
        if isinstance(event, events.Trained):
            self._heartbeat.n_samples += event.n_trained
        self._heartbeat.problem = event.reason if isinstance(event, events.Unable) else ""
        if isinstance(event, events.Unable) or action.round_index == self._last_round:
            self._heartbeat.tell()
        return event

    def save(self, action: events.Save) -> events.Event:
        """Save the answer and the two states that it may lead to."""
        state_file.save(self._state_dir, action.pending)
        return events.Saved()

    def _follow(self) -> None:
        """Pass the machine's state to the heartbeats, and log its notes."""
        self._heartbeat.follow(self._machine.epoch if self._machine.lease_s else 0, self._machine.lease_s)
        self._watchdog.feed()
        self._say(self._machine.notes)
        self._say(self._heartbeat.notes)

    def _say(self, notes: List[str]) -> None:
        """Log notes, and remove them."""
        while notes:  # another thread may add notes meanwhile
            logger.info("worker %d: %s", self._args.worker_id, notes.pop(0))

    def _on_signal(self, number: int, frame: Any) -> None:
        logger.info("worker %d: ended by signal %d", self._args.worker_id, number)
        sys.exit(128 + number)
