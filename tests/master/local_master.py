"""A master in this process, on a free loopback port, without an evaluator process."""

import http.client
import json
import os
import random
import re
import socket
import time
from contextlib import suppress

from waits import WAIT_S

from flq.config_file import load_config
from flq.core.rng import start_values
from flq.errors import DataError, FlqError
from flq.master.http.auth import Gate
from flq.master.http.server import Server, n_threads
from flq.master.live.broadcast import Broadcast
from flq.master.live.sources import sources_of
from flq.master.records.artifacts import Results
from flq.master.records.round_log import Evaluated
from flq.master.records.wire_meter import Meter
from flq.master.routes.app import create_app
from flq.master.runtime.run import Run
from flq.master.storage.resume import begin_journal
from flq.master.storage.store import Store
from flq.protocol import worker_events
from flq.protocol.exchange import Local, methods_of
from flq.protocol.master_machine import MasterMachine
from flq.protocol.options import run_options
from flq.protocol.wire import VERSION
from flq.protocol.worker_machine import WorkerMachine
from flq.training.frameworks import build_trainer, make_task
from flq.worker.http_client import MasterClient

N_TOKENS = 310
TOKENS = {"operator": "the-operators-token"}
TOKENS.update(("worker%d" % worker_id, "the-token-of-worker-%d" % worker_id) for worker_id in range(N_TOKENS))


class InstantEvaluator:
    """Evaluates at once; the loss of round k is k."""

    def evaluate(self, round_index, vectors, done):
        done(round_index, Evaluated(loss=float(round_index)))

    def begin_export(self, path, model):
        raise AssertionError("a quadratic run exports no file")

    def export(self, path, model, timeout_s):
        raise DataError("the quadratic problem has no Keras model to save as %s" % path)

    def wait_until_idle(self, timeout_s):
        return True


class LocalMaster:
    """A complete master without the program around it."""

    def __init__(self, folder, *overrides, tls=None, evaluator=None):
        self.settings = load_config(
            None, ("mode=bbit", "model.name=quadratic", "model.lr=0.05", "model.dim=40") + overrides
        )
        self.layout = make_task(self.settings).layout
        self.machine = MasterMachine(
            run_options("local", self.settings, self.layout), start_values(self.layout, self.settings.system.seed)
        )
        self.meter = Meter()
        os.makedirs(folder, exist_ok=True)
        self.store = Store(
            folder,
            begin_journal(folder, "local", self.settings, self.layout),
            self.settings.system.snapshot_every,
            self.settings.system.snapshots_kept,
        )
        results = Results(self.settings, self.layout, folder, folder, "stamp", os.path.join(folder, "figures", "local"))
        self.evaluator = evaluator or InstantEvaluator()
        self.run = Run(self.machine, self.store, results, self.evaluator, self.meter)
        self.run.begin()
        self.run.results.save_config()
        total_workers = self.settings.system.total_workers
        self.gate = Gate(TOKENS, self.settings.security, n_threads(total_workers))
        self.broadcast = Broadcast(sources_of(self.run))
        self.server = Server(
            create_app(self.run, self.gate, self.broadcast),
            "127.0.0.1",
            0,
            total_workers,
            self.meter,
            self.settings.security.max_connections,
            tls,
        )
        self.port = self.server.port
        self.url = "%s://127.0.0.1:%d" % ("http" if tls is None else "https", self.port)
        self.run.start()
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with suppress(FlqError):  # a test has broken it
            self.run.stop("the test is over")  # which answers waiting requests
        self.broadcast.close()
        self.server.stop()
        self.run.close()
        self.store.close()

    def client(self, worker_id, kind=MasterClient):
        """Return a client with the worker's token."""
        return kind(self.url, worker_id, lambda: token_of_worker(worker_id))

    def send(self, method, target, body=None, headers=(), token=""):
        """Send one request on a connection of its own; return status, headers and body.

        ``token``: None sends no token; "" sends the token that the request needs.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        headers = dict(headers)
        if token == "":
            token = token_for(target, body, headers)
        if token is not None:
            headers["Authorization"] = "Bearer " + token
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def send_raw(self, data, half_close=True):
        """Send bytes, then read until the master closes; return the bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def status(self):
        """Return GET /status."""
        code, _, body = self.send("GET", "/status", token=None)
        assert code == 200
        return json.loads(body)

    def sheets(self):
        """Return the rows of each sheet of the workbook, with the values of formulas."""
        from openpyxl import load_workbook

        return {
            sheet.title: [tuple(row) for row in sheet.iter_rows(values_only=True)]
            for sheet in load_workbook(self.run.results.workbook, data_only=True)
        }

    def table(self, sheet):
        """Return a sheet's rows by the headings of their columns, without totals."""
        heading, *rows = self.sheets()[sheet]
        return [dict(zip(heading, row)) for row in rows if row[0] != "total"]

    def summary(self):
        """Return the sheet Summary."""
        return dict(row[:2] for row in self.sheets()["Summary"])


def registration(worker_id, instance="a", **more):
    """Return the JSON object with which a worker registers."""
    return dict(more, wire=VERSION, worker_id=worker_id, instance=instance)


def token_of_worker(worker_id):
    return TOKENS["worker%d" % worker_id]


def write_tokens(project_dir):
    """Write the tokens to the file of a master that runs in the folder."""
    os.makedirs(os.path.join(project_dir, "state"))
    path = os.path.join(project_dir, "state", "tokens")
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.writelines("%s %s\n" % item for item in TOKENS.items())


def token_for(target, body, headers):
    """Return the token for a request: of the worker that it names, of worker 0, or the operator's."""
    path = target.partition("?")[0]
    if not (path in ("/register", "/heartbeat", "/offer", "/upload_update") or "x-flq" in headers.get("Accept", "")):
        return TOKENS["operator"]
    text = target if "worker=" in target else "".join(map(chr, body or b"")) if not isinstance(body, str) else body
    named = re.search(r'worker=(\d+)|"worker_id": (\d+)', text)
    worker_id = int(named.group(1) or named.group(2)) if named else 0
    return token_of_worker(worker_id if "worker%d" % worker_id in TOKENS else 0)


def head(method, target, **headers):
    """Return the head of a raw request, with the token that it needs."""
    headers = dict({"Host": "x", "Authorization": "Bearer " + token_for(target, None, headers)}, **headers)
    lines = ["%s: %s" % (name.replace("_", "-"), value) for name, value in headers.items()]
    return "\r\n".join(["%s %s HTTP/1.1" % (method, target)] + lines + ["", ""]).encode()


def read_all(sock):
    """Read until the peer closes."""
    data = b""
    while True:
        piece = sock.recv(65536)
        if not piece:
            return data
        data += piece


class HttpWorker(Local):
    """A worker's machine, trainer and HTTP client; takes one action at a time and never pauses.

    One that does not wait gets the next round only by a poll: for workers that act in turn.
    """

    CLIENT = MasterClient

    def __init__(self, master, worker_id, client=None, waits=True):
        super().__init__(lambda settings: build_trainer(settings, worker_id), lambda: 0.0, lambda seconds: None)
        self.waits = waits
        self.methods = methods_of(self)
        self.machine = WorkerMachine(worker_id, "instance%d" % worker_id, random.Random(worker_id), 60)
        self.client = client or master.client(worker_id, self.CLIENT)
        self.worker_id = worker_id
        self.action = self.machine.start(time.monotonic())

    def call(self, action):
        if isinstance(action, worker_events.CallAnswer) and not self.waits:
            action = action._replace(have=None)
        return self.client.do(action)

    def step(self):
        """Perform the next action; return whether there is another one."""
        if isinstance(self.action, worker_events.Exit):
            return False
        event = self.methods.get(type(self.action), self.call)(self.action)
        self.action = self.machine.handle(event, time.monotonic())
        return True

    def run(self):
        """Run to the end."""
        deadline = time.monotonic() + WAIT_S
        while self.step():
            assert time.monotonic() < deadline, self.machine.notes
