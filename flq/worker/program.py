"""The worker program: from its flags to the exit code."""

import argparse
import logging
import os
import random
import signal
import sys
import threading
import time
from typing import Any

from ..errors import FlqError
from ..logfile import log_trace, set_up_logging
from ..protocol import worker_events as events
from ..protocol.worker_machine import WorkerMachine
from ..tokens import worker_token_source
from ..training.trainer import build_trainer
from . import instance, state_file
from .http_client import MasterClient
from .own_settings import Settings, effective_settings, master_url, read_own_file, trusted_file

logger = logging.getLogger(__name__)

SHORTEST_BEAT_S, LONGEST_BEAT_S = 0.01, 600.0  # between two heartbeats, whatever lease the master names
LAST_BEAT_S = 2.0  # how long the answer of a round waits for one: beyond that it takes a connection of its own


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
        set_up_logging(os.path.join(project_dir, "logs", "worker%d_%s.log"
                                    % (args.worker_id, time.strftime("%Y%m%d_%H%M%S"))), args.verbose)
        own = read_own_file(args.config)
        url, ca = master_url(args, own), trusted_file(args)
        find_token = worker_token_source(args.worker_id, args.token_file, os.environ, project_dir)
        client = MasterClient(url, args.worker_id, find_token, ca)
        name, lock = instance.take(state_dir)
        with lock:
            return Worker(args, name, client, own, state_dir).run()
    except FlqError as error:
        logger.error("%s", error)
        return 2
    except OSError as error:
        logger.error("%s: %s", error.strerror or "failed", error.filename or error)
        return 1
    except Exception as error:  # TensorFlow raises what it likes, and a master of another version sends what it likes
        message = (str(error) or "no message").splitlines()[0]
        logger.error("worker %d can not go on: %s: %s", args.worker_id, type(error).__name__, message)
        log_trace(logger, error)
        return 1


def beat_s(lease_s: float) -> float:
    """Return the seconds between two heartbeats: a third of the lease, within what a thread can wait."""
    # Compared in this order, NaN becomes the longest; divided last, a huge integer does not overflow.
    return max(3 * SHORTEST_BEAT_S, min(3 * LONGEST_BEAT_S, lease_s)) / 3


class Worker:
    """Does what the machine says, one action after the other."""

    def __init__(self, args: argparse.Namespace, name: str, client: MasterClient, own: Settings,
                 state_dir: str) -> None:
        self._args, self._own, self._state_dir = args, own, state_dir
        self._machine = WorkerMachine(args.worker_id, name, random.Random(), args.give_up_s, state_file.load(state_dir))
        self._client = client
        self._trainer: Any = None

    def run(self) -> int:
        """Go on until the machine says exit, or a signal comes; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        action = self._machine.start(time.monotonic())
        while not isinstance(action, events.Exit):
            event = self._do(action)
            action = self._machine.handle(event, time.monotonic())
            for note in self._machine.notes:
                logger.info("worker %d: %s", self._args.worker_id, note)
            del self._machine.notes[:]
        (logger.info if action.code == 0 else logger.error)("worker %d: %s", self._args.worker_id, action.sentence)
        return action.code

    def _do(self, action: events.Action) -> events.Event:
        if isinstance(action, events.Pause):
            time.sleep(action.seconds)
            return events.Paused()
        if isinstance(action, events.Build):
            settings = effective_settings(action.settings, self._own, self._args)
            self._trainer = build_trainer(settings, self._args.worker_id)
            for note in self._trainer.notes:
                logger.info("worker %d: %s", self._args.worker_id, note)
            logger.info("worker %d: %d samples, %d parameters", self._args.worker_id, self._trainer.n_samples,
                        self._trainer.layout.n_params)
            return events.Built(self._trainer.n_samples, self._trainer.layout)
        if isinstance(action, events.Train):
            return self._train(action)
        if isinstance(action, events.Keep):
            state_file.save(self._state_dir, action.standing)
            return events.Kept()
        return self._client.do(action)

    def _train(self, action: events.Train) -> events.Event:
        """Train locally, while another thread keeps the lease."""
        began, done = time.monotonic(), threading.Event()

        def keep_lease() -> None:
            while not done.wait(beat_s(self._machine.lease_s)):
                self._client.heartbeat(self._machine.epoch)

        beating = threading.Thread(target=keep_lease, name="heartbeat", daemon=True)
        beating.start()
        try:
            local = self._trainer.local_update(action.shared, action.round_index)
        finally:
            done.set()
            beating.join(LAST_BEAT_S)  # while a beat is under way it has the connection
        return events.Trained(local.update, local.loss, time.monotonic() - began, local.held_back)

    def _on_signal(self, number: int, frame: Any) -> None:
        logger.info("worker %d: ended by signal %d", self._args.worker_id, number)
        sys.exit(128 + number)
