"""Master and workers that can be killed at any point, their disks, and a bag of messages between them.

A message is in the bag until it is delivered or lost. Only bytes and JSON text pass between the machines, or to the
disks and back.
"""

import json
import math
import random
import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "protocol"))

from master_bench import lasting  # noqa: E402

from flq.core.rng import start_values  # noqa: E402
from flq.engines.virtual_worker import VirtualWorker  # noqa: E402
from flq.errors import FlqError  # noqa: E402
from flq.protocol import events  # noqa: E402
from flq.protocol import worker_events as worker  # noqa: E402
from flq.protocol.exchange import to_master, to_worker  # noqa: E402
from flq.protocol.journal_codec import from_entry, to_entry  # noqa: E402
from flq.protocol.master_machine import MasterMachine, State  # noqa: E402
from flq.protocol.master_state import capture, is_between_rounds, resume  # noqa: E402
from flq.protocol.messages import FINAL, Answer, Kind, Outcome, Verdict  # noqa: E402
from flq.protocol.options import run_options  # noqa: E402
from flq.protocol.wire import decode, decode_at  # noqa: E402
from flq.protocol.worker_machine import WorkerMachine  # noqa: E402
from flq.protocol.worker_state import from_state, to_state  # noqa: E402
from flq.training.frameworks import build_trainer, make_task  # noqa: E402

TIMEOUT_S, RESTART_S, LONGEST_S = 60.0, 20.0, 1000.0
STATUS_OF = {Outcome.NOTED: "skipped", Outcome.APPLIED: "uploaded", Outcome.REFUSED: "refused"}
MOST_STEPS = 20000  # a run that takes more never ends


def joined(buffers):
    return b"".join(bytes(buffer) for buffer in buffers)


class Request:
    """A call on its way to the master."""

    def __init__(self, peer, number, action):
        self.peer, self.number, self.session = peer, number, peer.session
        self.action = action
        if isinstance(action, worker.CallAnswer):
            self.action = action._replace(frame=[joined(action.frame)])

    def event(self, ticket, link):
        """Return the event for the master."""
        return to_master(self.action, ticket, self.peer.worker_id, link, self.session)


class Response:
    """A reply, as the event for the worker."""

    def __init__(self, request, body):
        self.request, self.event = request, to_worker(request.action, body)


class Peer(VirtualWorker):
    """A worker: its process, and its disk.

    Attributes
    ----------
    call : Request or None
        The call that it waits for.
    disk : tuple or None
        JSON text and arrays that it has saved last.
    may_start_over : bool
        Whether an event may have made its memories useless.
    """

    def __init__(self, worker_id, world):
        self.worker_id, self.n_folders, self.disk = worker_id, 1, None
        self.world, self.n_processes = world, 0
        self.may_start_over = False
        self.begin()

    def begin(self):
        """Start the process."""
        self.n_processes += 1
        self.session = "process %d" % self.n_processes
        pending = None
        if self.disk is not None:
            text, arrays = self.disk
            pending = from_state(json.loads(text), {name: array.copy() for name, array in arrays.items()})
        machine = WorkerMachine(
            self.worker_id, "folder%d" % self.n_folders, random.Random(self.worker_id), 1e9, pending
        )
        super().__init__(machine, build_trainer, lambda: self.world.now)
        self.call, self.has_left = None, False

    def save(self, action):
        answer, if_not = action.pending.answer, action.pending.if_not
        assert answer.kind is Kind.UPLOAD or if_not.clock <= self.world.options.rules.max_silence, "it skips for ever"
        meta, arrays = to_state(action.pending)
        self.disk = json.dumps(meta), {name: np.array(array) for name, array in arrays.items()}
        return super().save(action)

    def report(self, event):
        """Report the result of an action to the machine, and check its reaction."""
        call, self.call = self.call, None
        if isinstance(event, worker.Problem):
            is_register = isinstance(call.action, worker.CallRegister)
            assert event.status == 409 and (not is_register or self.n_folders > 1), event
        before = self.machine.epoch, self.machine._seq
        super().report(event)
        if self.machine.epoch != before[0] and before[1]:
            assert self.may_start_over, "memories are lost without need"
            self.world.is_undisturbed = self.may_start_over = False
        if isinstance(self.action, worker.Exit):
            self.has_left = True
            if self.action.code == 0:
                assert self.world.master.state in (State.CLOSING, State.FINISHED)
            else:  # its old folder has the id until the lease ends; it is started again
                assert self.action.code == 2 and self.n_folders > 1, self.action
                self.due = self._clock() + RESTART_S, None

    def is_idle(self):
        return not (self.has_left or self.is_waiting or self.due)


class World:
    """One run; every step ends with :meth:`check`."""

    def __init__(self, run_settings):
        self.layout = make_task(run_settings).layout
        self.options = run_options("run", run_settings, self.layout)
        self.start = start_values(self.layout, run_settings.system.seed)
        self.master, self.shadow = self.new_master(), self.new_master()
        self.link = self.master.link
        self.journal, self.deltas, self.snapshots = [], [], []
        self.now, self.n_tickets = 0.0, 0
        self.bag, self.sent = [], []
        self.callers = {}  # ticket -> the request that waits for its reply
        self.verdicts = {}  # (worker, epoch, seq) -> final outcome
        self.told = []  # (worker, round, outcome): final verdicts
        self.applied = {}  # (round, worker) -> (epoch, seq)
        self.costs = {}  # round -> worker -> bits of the upload that counts
        self.members_of = {}  # round -> members when it opened
        self.roll_calls = {}
        self.is_undisturbed = True  # nothing has happened that may change the model
        self.is_saved = self.is_checked = False
        self.peers = [Peer(worker_id, self) for worker_id in range(run_settings.system.total_workers)]

    def new_master(self):
        return MasterMachine(self.options, self.start)

    # -- the master ----------------------------------------------------------------------

    def tell(self, event, crash=None):
        """Pass an event to the master, which may die before its journal is written or before any reply."""
        self.is_checked = False
        effects = self.master.handle(event, self.now)
        if crash == "before the journal":
            return self.restart_master()
        self.commit(effects)
        if crash is not None:
            return self.restart_master()
        for effect in effects:
            if isinstance(effect, events.Reply) and effect.ticket in self.callers:
                self.reply(self.callers.pop(effect.ticket), effect.body)
            elif isinstance(effect, events.Reply):
                assert event.ticket == effect.ticket, "a ticket is answered once"
        return None

    def commit(self, effects):
        """Journal the events that have changed the run."""
        written = []
        for effect in effects:
            if isinstance(effect, events.Journalled):
                entry = to_entry(effect.event)
                written.append((entry.kind, json.dumps(entry.body), entry.frame))
                if not isinstance(effect.event, (events.Register, events.Answered)):
                    self.is_undisturbed = False  # a deadline, an end of a lease, a stop
                if isinstance(effect.event, events.LeaseEnded) and self.options.rules.has_mirrors:
                    self.peers[effect.event.worker_id].may_start_over = True  # its mirror leaves the weights
            elif isinstance(effect, events.Encoded):
                self.deltas.append((effect.version, effect.round_index, bytes(effect.payload)))
            elif isinstance(effect, events.RoundClosed):
                self.round_closed(effect.report)
        self.journal += written
        self.replay(self.shadow, written, self.encoded(0))
        if any(isinstance(effect, events.RoundClosed) and effect.report.round_index % 2 == 0 for effect in effects):
            self.take_snapshot()

    def encoded(self, version):
        return {index: np.frombuffer(payload, np.uint8) for at, index, payload in self.deltas if at > version}

    def replay(self, machine, entries, encoded):
        for kind, body, frame in entries:
            effects = machine.replay(from_entry(kind, json.loads(body), frame, self.link, -1), encoded)
            for effect in effects:
                assert not (isinstance(effect, events.Reply) and isinstance(effect.body, FlqError)), effect.body
                if isinstance(effect, events.RoundClosed):
                    assert effect.report.roll_call == self.roll_calls[effect.report.round_index]

    def round_closed(self, report):
        """Check a closed round."""
        assert report.round_index not in self.roll_calls
        self.roll_calls[report.round_index] = roll_call = report.roll_call
        members = self.members_of.get(report.round_index)
        assert members is None or sorted(roll_call) == members, "each member has an entry, and nobody else"
        rules, n_uploads = self.options.rules, sum(status == "uploaded" for status in roll_call.values())
        assert not rules.sel_clients or n_uploads <= rules.sel_clients

    def restart_master(self):
        """Kill the process: its replies are lost, and the next process starts from the disk."""
        self.callers, self.is_saved, self.is_checked = {}, False, False
        self.master = self.rebuilt()
        self.master.restart_clocks(self.now)

    def rebuilt(self):
        """Return the machine of the newest snapshot and the later journal entries."""
        machine, n_entries, version = self.new_master(), 0, 0
        if self.snapshots:
            n_entries, text, arrays, copies, oldest = self.snapshots[-1]
            meta = json.loads(text)
            version = meta["version"]
            assert all(arrays[name].tobytes() == copy.tobytes() for name, copy in copies.items())
            resume(
                machine,
                meta,
                {name: copy.copy() for name, copy in copies.items()},
                [(at, np.frombuffer(payload, np.uint8)) for at, _, payload in self.deltas if oldest < at <= version],
            )
        self.replay(machine, self.journal[n_entries:], self.encoded(version))
        return machine

    def take_snapshot(self):
        """Capture the machine, if possible now."""
        if is_between_rounds(self.master):
            meta, arrays = capture(self.master)
            copies = {name: np.array(array) for name, array in arrays.items()}
            self.snapshots.append(
                (len(self.journal), json.dumps(meta), arrays, copies, self.master.model.downlink.oldest)
            )

    def save(self):
        """Save the results if the run has ended."""
        if self.master.state is State.CLOSING and not self.is_saved:
            self.is_saved = True
            self.tell(events.ResultsSaved())

    # -- messages ------------------------------------------------------------------------

    def deliver(self, message, crash=None):
        """Deliver a message."""
        if isinstance(message, Response):
            peer = message.request.peer
            if message.request is peer.call:  # which may have waited too long for it
                peer.report(message.event if self.now < peer.due[0] else peer.due[1])
            return
        if message is not message.peer.call and self.is_like_a_new_one(message):
            self.is_undisturbed = False
            message.peer.may_start_over = True
        self.n_tickets += 1
        self.callers[self.n_tickets] = message
        self.tell(message.event(self.n_tickets, self.link), crash)

    def is_like_a_new_one(self, message):
        """Return whether an old registration looks like that of a worker with an older or a new disk."""
        if not isinstance(message.action, worker.CallRegister):
            return False
        body, member = message.action.body, self.master.members.get(message.peer.worker_id)
        if "n_samples" not in body or member is None or not member.epoch:
            return False
        if message.session != member.session and body["known_sessions"] != member.n_sessions:
            return False  # others have joined since it was sent
        return not member.has_lease or body["instance"] != member.instance

    def reply(self, request, body):
        response = Response(request, body)
        if isinstance(response.event, worker.VerdictReceived):
            answer = decode(joined(request.action.frame), self.link, Answer)
            self.judged(answer, decode_at(response.event.frame, 0, self.link, Verdict)[0].outcome)
        self.bag.append(response)

    def judged(self, answer, outcome):
        """Check a verdict of the master."""
        assert outcome is not Outcome.RESYNC, "no mirrors differ"
        who, part = (answer.worker_id, answer.epoch, answer.seq), (answer.round_index, answer.worker_id)
        if outcome in FINAL:
            assert self.verdicts.setdefault(who, outcome) is outcome, "a verdict stands for good"
            self.told.append(part + (outcome,))
        if outcome is Outcome.APPLIED:
            assert self.applied.setdefault(part, who) == who, "one upload of a worker counts in a round"
            costs = self.costs.setdefault(answer.round_index, {})
            costs[answer.worker_id] = answer.cost_bits
            assert sum(costs.values()) <= (self.options.rules.up_budget_bits or math.inf)

    # -- the workers ---------------------------------------------------------------------

    def act(self, peer):
        """Perform a worker's action."""
        peer.act(partial(self.send, peer))

    def send(self, peer, action):
        """Put a call into the bag."""
        peer.call = Request(peer, len(self.sent), action)
        peer.due = self.now + TIMEOUT_S, worker.Unreachable("no answer")
        self.sent.append(peer.call)
        self.bag.append(peer.call)

    def restart(self, peer):
        """Kill a worker's process; the next one starts from its disk."""
        peer.begin()

    def sleep(self, peer, seconds):
        """Delay a worker's next action."""
        peer.due = self.now + seconds, None

    def lose_state(self, peer, with_identity):
        """Kill a worker that loses its disk, or only its state."""
        self.is_undisturbed = False
        peer.disk, peer.may_start_over = None, True
        peer.n_folders += with_identity
        self.restart(peer)

    # -- time ----------------------------------------------------------------------------

    def pass_time(self):
        """Move the clock to the next event; return whether there is one."""
        times = [peer.due[0] for peer in self.peers if peer.due is not None]
        deadline = self.master.next_deadline(self.now)
        times += [deadline] if deadline is not None else []
        if not times or min(times) > self.now + LONGEST_S:
            return False
        self.now = max(self.now, min(times))
        self.tell(events.Tick())
        for peer in self.peers:
            if peer.due is not None and peer.due[0] <= self.now:
                if peer.has_left:
                    self.restart(peer)
                elif peer.due[1] is None:
                    peer.due = None
                else:
                    peer.report(peer.due[1])
        return True

    def step(self):
        """Perform the next event, as on a perfect network; return whether there was one."""
        idle = [peer for peer in self.peers if peer.is_idle()]
        if self.bag:
            self.deliver(self.bag.pop(0))
        elif idle:
            self.act(idle[0])
        else:
            return self.pass_time()
        return True

    def is_over(self):
        return all(peer.has_left and peer.due is None for peer in self.peers)

    def finish(self):
        """From now on there are no faults: the run ends, and all workers exit."""
        self.bag = [message for message in self.bag if self.is_current(message)]
        for _ in range(MOST_STEPS):
            self.save()
            if self.is_over():
                break
            assert self.step(), "somebody waits for ever"
            self.check()
        assert self.is_over(), "the run never ends"
        assert all(peer.action.code == 0 for peer in self.peers)
        assert self.master.state is State.FINISHED
        assert lasting(self.rebuilt()) == lasting(self.master)
        for round_index, worker_id, outcome in self.told:  # verdicts agree with the rounds
            status = self.roll_calls.get(round_index, {}).get(worker_id)
            if round_index in self.roll_calls and outcome in STATUS_OF:
                assert status == STATUS_OF[outcome]
            assert not (outcome is Outcome.LATE and status == "uploaded")

    @staticmethod
    def is_current(message):
        request = message.request if isinstance(message, Response) else message
        return request is request.peer.call

    # -- invariants ----------------------------------------------------------------------

    def check(self):
        """Compare the machines with each other and with their disks."""
        master, rules = self.master, self.options.rules
        if not self.is_checked:
            assert lasting(self.shadow) == lasting(master), "the journal makes the run again"
            self.is_checked = True
        going = master.open_round
        if going is not None and going.index not in self.members_of:
            self.members_of[going.index] = sorted(going.n_samples)
            for worker_id, n_samples in going.n_samples.items():
                member = master.members[worker_id]
                assert going.status.get(worker_id) == "lost" or (member.has_lease and n_samples == member.n_samples)
        for peer in self.peers:
            member, machine = master.members.get(peer.worker_id), peer.machine
            if member is None:
                continue
            assert master.rounds.attendance_of(peer.worker_id).passed_over <= rules.max_silence + len(self.peers), (
                "nobody is passed over for ever"
            )
            is_in_step = (
                rules.has_mirrors
                and machine.memory is not None
                and machine._pending is None
                and not member.is_forgotten
                and machine.epoch == member.epoch > 0
            )
            if is_in_step:
                held = master.model.mirror_of(member.worker_id)
                mirror = np.zeros_like(machine.memory.mirror) if held is None else held
                assert machine.memory.mirror.tobytes() == mirror.tobytes(), "both ends hold the same mirror"


__all__ = ["State", "World", "events"]
