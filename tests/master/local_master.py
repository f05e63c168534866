"""A master in this process, on a free loopback port, without an evaluator process."""

import http.client
import json
import os
import random
import socket
import time
from contextlib import suppress

from flq.config_file import load_config
from flq.core.draws import start_values
from flq.errors import DataError, Unavailable
from flq.master.app import create_app
from flq.master.meter import Meter
from flq.master.record import Evaluated
from flq.master.server import Server
from flq.master.service import MasterService
from flq.protocol import worker_events
from flq.protocol.master_machine import MasterMachine
from flq.protocol.options import run_options
from flq.protocol.worker_machine import WorkerMachine
from flq.training.models import model_layout
from flq.training.trainer import build_trainer
from flq.worker.http_client import MasterClient

WAIT_S = 20.0  # far beyond what anything takes: a test that fails must end


class InstantEvaluator:
    """Evaluates at once; the loss of round k is k."""

    def evaluate(self, round_index, vectors, done):
        done(round_index, Evaluated(loss=float(round_index)))

    def save_keras(self, path, model):
        raise AssertionError("a quadratic run has no Keras file")

    def export(self, path, model, timeout_s):
        raise DataError("the quadratic problem has no Keras model to save as %s" % path)

    def wait_until_idle(self, timeout_s):
        return True


class LocalMaster:
    """A whole master but for the program around it."""

    def __init__(self, folder, *overrides):
        self.settings = load_config(None, ("model.name=quadratic", "model.lr=0.05", "model.dim=40") + overrides
                                    ).settings()
        self.layout = model_layout(self.settings)
        self.machine = MasterMachine(run_options("local", self.settings, self.layout),
                                     start_values(self.layout, self.settings["system"]["seed"]))
        self.meter = Meter()
        os.makedirs(folder, exist_ok=True)
        self.service = MasterService(self.machine, self.settings, InstantEvaluator(), self.meter, folder, folder,
                                     "stamp")
        self.service.results.save_config()
        self.server = Server(create_app(self.service), "127.0.0.1", 0, self.settings["system"]["total_workers"],
                             self.meter)
        self.port = self.server.port
        self.url = "http://127.0.0.1:%d" % self.port
        self.service.start()
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with suppress(Unavailable):  # a test has broken it
            self.service.stop("the test is over")  # which answers whoever waits
        self.server.stop()
        self.service.close()

    def send(self, method, target, body=None, headers=()):
        """Send one request on a connection of its own; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def send_raw(self, data, half_close=True):
        """Send bytes, then read until the master closes; return what it said."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def status(self):
        """Return GET /status."""
        code, _, body = self.send("GET", "/status")
        assert code == 200
        return json.loads(body)

    def sheets(self):
        """Return the rows of each sheet of the workbook."""
        from openpyxl import load_workbook

        return {sheet.title: [tuple(row) for row in sheet.iter_rows(values_only=True)]
                for sheet in load_workbook(self.service.results.workbook)}

    def table(self, sheet):
        """Return a sheet's rows by the headings of their columns."""
        heading, *rows = self.sheets()[sheet]
        return [dict(zip(heading, row)) for row in rows]

    def summary(self):
        """Return the sheet Summary."""
        return dict(row[:2] for row in self.sheets()["Summary"])


def read_all(sock):
    """Read until the other end closes."""
    data = b""
    while True:
        piece = sock.recv(65536)
        if not piece:
            return data
        data += piece


class HttpWorker:
    """A worker's machine, trainer and HTTP client; takes one action at a time and never pauses."""

    CLIENT = MasterClient

    def __init__(self, master, worker_id, client=None):
        self.machine = WorkerMachine(worker_id, "instance%d" % worker_id, random.Random(worker_id), 60)
        self.client = client or self.CLIENT(master.url, worker_id)
        self.worker_id = worker_id
        self.action = self.machine.start(time.monotonic())
        self.trainer = None

    def step(self):
        """Do the next action; return whether there is another one."""
        action = self.action
        if isinstance(action, worker_events.Exit):
            return False
        if isinstance(action, worker_events.Pause):
            event = worker_events.Paused()
        elif isinstance(action, worker_events.Build):
            self.trainer = build_trainer(action.settings, self.worker_id)
            event = worker_events.Built(self.trainer.n_samples, self.trainer.layout)
        elif isinstance(action, worker_events.Train):
            done = self.trainer.local_update(action.shared, action.round_index)
            event = worker_events.Trained(done.update, done.loss, 0.0)
        else:
            event = self.client.do(action)
        self.action = self.machine.handle(event, time.monotonic())
        return True

    def run(self):
        """Go on to the end."""
        deadline = time.monotonic() + WAIT_S
        while self.step():
            assert time.monotonic() < deadline, self.machine.notes
