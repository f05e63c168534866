"""A master's machine on the bench: a virtual clock, hand-made events, replies read back from their bytes."""

import json
from functools import partial

import factory
import numpy as np

from flq.core.codecs import QUANTIZERS
from flq.core.layout import Layout, Tensor, fingerprint
from flq.core.rng import ROUNDING, stream
from flq.errors import FlqError
from flq.protocol import events
from flq.protocol.journal_codec import from_entry, to_entry
from flq.protocol.master_machine import MasterMachine, State
from flq.protocol.master_state import capture
from flq.protocol.messages import Answer, Kind, Outcome, Verdict
from flq.protocol.options import run_options
from flq.protocol.wire import decode, decode_at, decode_stream, encode, size_of

LAYOUT = Layout((Tensor("w", (3,)), Tensor("b", (1,))))
SETTINGS = factory.settings_with(min_workers=2, max_rounds=100, mode="fedavg", coding="none")
settings_with = partial(factory.settings_with, SETTINGS)


def vector(*values):
    return np.array(values, np.float32)


def frozen(value):
    """Return a comparable value with all fields of a record except its lease."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [frozen(item) for item in value]
    if hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        return {
            name: frozen(item)
            for name, item in vars(value).items()
            if name not in ("lease_until", "last_seen", "_effects", "_handlers", "options")
        }
    return repr(value)


def joined(buffers):
    """Return the bytes of consecutive buffers."""
    return b"".join(bytes(buffer) for buffer in buffers)


class Bench:
    """The master's machine, and its effects.

    Attributes
    ----------
    replies : dict
        Ticket -> body of the machine's reply.
    reports, notes : list
    reason : str or None
        Why the run has ended.
    """

    def __init__(self, layout=LAYOUT, start=None, parts=None, **changes):
        self.settings = settings_with(**changes)
        start = np.zeros(layout.n_params, np.float32) if start is None else start
        self.layout, self.start = layout, start
        self.options, self.parts = run_options("run", self.settings, layout), parts or {}
        self.quorum_from = 0, self.settings.system.quorum
        self.machine = self.new_machine()
        self.link = self.machine.link
        self.now = 0.0
        self.n_tickets = 0
        self.journal, self.encoded = [], {}
        self.replies, self.reports, self.notes, self.reason = {}, [], [], None
        self.epochs, self.sent = {}, {}

    def new_machine(self):
        """Return a machine at the start of the run; ``parts`` replaces some of its own."""
        return MasterMachine(self.options, self.start, **self.parts)

    # -- time and events -----------------------------------------------------------------

    def tell(self, event):
        for effect in self.machine.handle(event, self.now):
            if isinstance(effect, events.Reply):
                assert effect.ticket not in self.replies, "a ticket is answered once"
                self.replies[effect.ticket] = effect.body
            elif isinstance(effect, events.RoundClosed):
                self.reports.append(effect.report)
            elif isinstance(effect, events.RunEnded):
                assert self.reason is None, "a run ends once"
                self.reason = effect.reason
            elif isinstance(effect, events.Journalled):
                self.journal.append(to_entry(effect.event))
            elif isinstance(effect, events.Encoded):
                self.encoded[effect.round_index] = effect.payload
            else:
                self.notes.append(effect.text)

    def ask(self, make_event):
        self.n_tickets += 1
        self.tell(make_event(self.n_tickets))
        return self.n_tickets

    def wait(self, seconds):
        """Let time pass, with a Tick at every deadline on the way."""
        until = self.now + seconds
        while True:
            due = self.machine.next_deadline(self.now)
            if due is None or due > until:
                break
            self.now = due
            self.tell(events.Tick())
        self.now = until
        self.tell(events.Tick())

    # -- requests ------------------------------------------------------------------------

    def register(self, worker_id, n_samples=None, layout_crc=None, instance="one", **claim):
        """Return the reply: a body or an error."""
        ticket = self.ask(lambda ticket: events.Register(ticket, worker_id, instance, n_samples, layout_crc, **claim))
        return self.replies[ticket]

    def come_back(self, worker_id, epoch, seq, n_samples=None, undecided=True, **options):
        """Join with a claim, like :meth:`join`, by default with a pending answer; return the reply."""
        n_samples = 10 * (worker_id + 1) if n_samples is None else n_samples
        body = self.register(
            worker_id, n_samples, self.layout.crc, claimed_epoch=epoch, claimed_seq=seq, undecided=undecided, **options
        )
        self.epochs[worker_id] = body["epoch"]
        return body

    def join(self, *worker_ids, **options):
        """Register in both steps, with 10 samples times (id + 1)."""
        for worker_id in worker_ids:
            self.register(worker_id, **options)
            body = self.register(worker_id, 10 * (worker_id + 1), self.layout.crc, **options)
            assert isinstance(body, dict), body
            self.epochs[worker_id] = body["epoch"]

    def poll(self, worker_id, have=0, answered=0, epoch=None):
        """Return the ticket."""
        epoch = self.epochs[worker_id] if epoch is None else epoch
        return self.ask(lambda ticket: events.Poll(ticket, worker_id, epoch, have, answered))

    def answer(self, worker_id, kind=Kind.UPLOAD, values=(1, 1, 1, 1), seq=None, have=None, may_wait=True, **changes):
        """Send a skip, offer or upload of the open round; return the ticket."""
        rules = self.machine.options.rules
        payload = QUANTIZERS[rules.codec_up].encode(np.array(values, np.float32), self.layout, stream(1, ROUNDING))
        answer = Answer(
            kind,
            worker_id,
            self.epochs[worker_id],
            self._next_seq(worker_id) if seq is None else seq,
            self.machine.round_index,
            loss=1.0,
            energy=4.0,
            training_s=2.0,
            waiting_s=1.0,
        )
        if kind is not Kind.SKIP:
            answer = answer._replace(cost_bits=8 * payload.size)
        if kind is Kind.UPLOAD:
            answer = answer._replace(codec_id=rules.codec_up, payload=payload)
        return self.send(answer._replace(**changes), have, may_wait)

    def _next_seq(self, worker_id):
        """Return the number of an answer to the open round: that of the previous answer plus one."""
        key = worker_id, self.epochs[worker_id]
        round_index, seq = self.sent.get(key, (0, 0))
        self.sent[key] = self.machine.round_index, seq + (self.machine.round_index != round_index)
        return self.sent[key][1]

    def send(self, answer, have=None, may_wait=True, session=""):
        """Send an answer, encoded and decoded; return the ticket."""
        frame = joined(encode(answer, self.link))
        return self.ask(
            lambda ticket: events.Answered(ticket, decode(frame, self.link, Answer), frame, may_wait, have, session)
        )

    # -- replies -------------------------------------------------------------------------

    def is_parked(self, ticket):
        return ticket not in self.replies

    def outcome(self, ticket):
        """Return the outcome of a verdict, or the error's class."""
        body = self.replies[ticket]
        if isinstance(body, FlqError):
            return type(body)
        return decode_at(joined(body), 0, self.link, Verdict)[0].outcome

    def verdict(self, worker_id, *args, **kwargs):
        """Send an answer and return its outcome."""
        return self.outcome(self.answer(worker_id, *args, **kwargs))

    def plan(self, ticket):
        """Return the plan and model frames of a poll's reply."""
        return decode_stream(joined(self.replies[ticket]), self.link)

    def both(self, ticket):
        """Return the outcome, and the plan and model frames that follow it, or None."""
        body = joined(self.replies[ticket])
        verdict, end = decode_at(body, 0, self.link, Verdict)
        return verdict.outcome, decode_stream(body[end:], self.link) if end < len(body) else None

    def all_upload(self, *worker_ids):
        for worker_id in worker_ids:
            assert self.verdict(worker_id) is Outcome.APPLIED

    # -- what it holds -------------------------------------------------------------------

    @property
    def state(self):
        return self.machine.state.value

    @property
    def round(self):
        return self.machine.round_index

    @property
    def model(self):
        return self.machine.model.state.model.tolist()

    def snapshot(self):
        return frozen(self.machine)

    def set_quorum(self, min_workers):
        """Change the quorum; until now it was the number of workers that the run waited for."""
        self.quorum_from = len(self.journal), min_workers
        self.machine.rounds.quorum = min_workers

    def replayed(self):
        """Return a new machine that has replayed the journal."""
        machine = self.new_machine()
        for number, entry in enumerate(self.journal):
            if number == self.quorum_from[0]:
                machine.rounds.quorum = self.quorum_from[1]
            machine.replay(
                from_entry(entry.kind, json.loads(json.dumps(entry.body)), entry.frame, self.link, -1 - number),
                self.encoded,
            )
        return machine


def lasting(machine):
    """Return the durable state of a machine, for comparison."""
    going = machine.open_round
    meta, arrays = capture(machine)
    if machine.state in (State.CLOSING, State.FINISHED):  # later events are no part of the run
        meta["state"] = "ended"
        for member in meta["members"]:
            del member["gone"]
    return frozen(
        {
            "captured": [meta, arrays],
            "tallies": [record.tally for _, record in sorted(machine.rounds.attendance.items())],
            "deltas": machine.model.downlink.since(machine.model.downlink.oldest).frames,
            "crc": machine.model.downlink.crc,
            "round": None
            if going is None
            else [
                going.index,
                going.n_samples,
                going.status,
                going.uploads,
                going.granted,
                going.is_due,
                going.offers_are_due,
                going.answers,
                going.offers,
            ],
        }
    )


__all__ = ["Bench", "LAYOUT", "fingerprint", "frozen", "joined", "lasting", "settings_with", "size_of", "vector"]
