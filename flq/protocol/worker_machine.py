"""The worker's state machine: an event in, the next action out. No socket, thread, clock or file.

Rules
-----
1. The shell does one action at a time and reports its outcome as the next event; time is
   an argument of both.
2. Memories change only on a verdict: ``if_applied`` on APPLIED, ``if_not`` when it is known
   that the upload does not count. Until then the same bytes are sent again, by this process or
   by the next one: they and both outcomes are saved before the first of them is sent.
3. A worker that is no longer sure registers again, and claims the epoch that its memories belong
   to. If the master knows that epoch, the worker resumes it; otherwise it begins a new epoch with
   empty memories.

States: JOINING -> WAITING -> TRAINING -> ANSWERING -> WAITING -> ... -> DONE.
docs/states.md has the picture.
"""

import math
import random
from enum import Enum
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..core.codecs import QUANTIZERS
from ..core.codecs.lossless import code, known
from ..core.data_report import to_json
from ..core.held_back import HeldBack
from ..core.layout import fingerprint, layout_from_json
from ..core.rng import ROUNDING, start_values, stream
from ..core.settings import Settings, rules_from_settings, settings_from_json
from ..core.worker_step import Proposal, WorkerState, first_state, propose
from ..errors import CodecError, FlqError, WireError
from .backoff import Backoff
from .data_agreement import with_scale
from .messages import FINAL, Answer, Kind, Outcome, Plan, Verdict
from .shared_copy import UNKNOWN, SharedCopy
from .wire import VERSION, check_version, decode_at, decode_stream, encode, link_of
from .worker_events import (
    OUTCOMES,
    Action,
    Build,
    Built,
    CallAnswer,
    CallPoll,
    CallRegister,
    Event,
    Exit,
    NothingNew,
    Pause,
    Paused,
    Polled,
    Problem,
    Registered,
    Save,
    Saved,
    Train,
    Trained,
    Unable,
    Unreachable,
    VerdictReceived,
)
from .worker_state import PendingUpload, fits

BETWEEN_RUNS_S = 10.0  # between two checks for a new run
TRANSIENT_STATUSES = (408, 425, 429)
LARGEST_LOSS = 1e38  # held by a float32 on the wire; a larger one is not reported: the model has diverged
MAX_REJECTIONS = 3  # how often to send the same bytes again if the master could not read them


class State(Enum):
    """The state of the worker."""

    JOINING = "JOINING"
    WAITING = "WAITING"
    TRAINING = "TRAINING"
    ANSWERING = "ANSWERING"
    DONE = "DONE"


class WorkerMachine:
    """One worker, from its first registration to the end of the run.

    Parameters
    ----------
    worker_id : int
    instance : str
        Identifies this worker's state folder: the master gives an id to one instance at a time.
    jitter : random.Random
        Spreads the pauses of many workers; nothing else depends on it.
    give_up_s : float
        How long to try without any reply of the master.
    pending : PendingUpload, optional
        What an earlier process saved last.
    codings : sequence of str, optional
        The codings of payloads for this worker; by default all that this machine knows.
    stays : bool
        Whether it waits for the next run after the end of one, and never gives up on the master.
    """

    def __init__(
        self,
        worker_id: int,
        instance: str,
        jitter: random.Random,
        give_up_s: float,
        pending: Optional[PendingUpload] = None,
        codings: Optional[Sequence[str]] = None,
        stays: bool = False,
    ) -> None:
        self.worker_id = worker_id
        self.instance = instance
        self.state = State.JOINING
        self.notes: List[str] = []  # for the log; the reader empties the list
        if pending is not None and pending.answer.worker_id != worker_id:
            self.notes.append(
                "the state folder holds the memories of worker %d: they are not used" % pending.answer.worker_id
            )
            pending = None
        self.lease_s = 0.0
        self.epoch = 0 if pending is None else pending.answer.epoch
        self.memory: Optional[WorkerState] = None
        self._known_codings = known() if codings is None else codings
        self._codings: Sequence[str] = ()  # that the master knows too
        self._stays = stays
        self._backoff = Backoff(jitter, math.inf if stays else give_up_s)
        self._is_between_runs = False
        self._has_failed = False  # whether the last action failed
        self._rejections = 0
        self._was_refused = False
        self._known_epoch = self._known_sessions = 0  # of this worker, as the master said last
        self._last_action: Optional[Action] = None
        self._current: Optional[Action] = None  # the action in progress, which a pause repeats
        self._settings: Optional[Settings] = None
        self._built: Optional[Built] = None
        self._shared: Optional[SharedCopy] = None
        self._run_id: Optional[str] = None if pending is None else pending.run_id
        self._seq = 0 if pending is None else pending.answer.seq
        self._disputed: Optional[Tuple[type, int]] = None  # the last request that the master rejected with 409
        self._resumed_at = -math.inf
        self._answered_round = 0
        self._answered_at = 0.0
        self._waiting_s = 0.0
        self._plan: Optional[Plan] = None
        self._pending = pending  # while an answer is on its way
        self._upload: Optional[Answer] = None if pending is None else pending.answer
        self._handlers: Dict[type, Callable[[Any, float], Action]] = {
            Registered: self._registered,
            Built: self._was_built,
            Polled: self._polled,
            NothingNew: self._nothing_new,
            Trained: self._trained,
            Unable: self._unable,
            Saved: self._saved,
            VerdictReceived: self._verdict_received,
            Problem: self._problem,
            Unreachable: self._unreachable,
            Paused: self._paused,
        }

    def start(self, now: float) -> Action:
        """Return the first action."""
        self._backoff.last_contact = self._answered_at = now
        self._last_action = self._current = self._registration()
        return self._last_action

    def handle(self, event: Event, now: float) -> Action:
        """Take in the outcome of the last action, and return the next one.

        Raises
        ------
        FlqError
            If the action cannot have this outcome; the machine does not change.
        """
        if type(event) not in OUTCOMES.get(type(self._last_action), ()):
            raise FlqError("the outcome of %s cannot be %s" % (type(self._last_action).__name__, type(event).__name__))
        if isinstance(event, Problem) and event.by_master:
            self._backoff.last_contact = now
        self._has_failed = isinstance(event, (Unreachable, Paused, Problem))
        action = self._handlers[type(event)](event, now)
        if not self._has_failed:
            self._backoff.succeed(now)
            self._was_refused = False
        self._last_action = action
        if not isinstance(action, (Pause, Exit)):
            self._current = action
        return action

    # -- joining -------------------------------------------------------------------------

    def _registered(self, event: Registered, now: float) -> Action:
        body = event.body
        try:
            check_version("the master", body.get("wire"))
        except WireError as error:
            return self._exit(2, str(error))
        if body["ended"]:
            return self._end("the run has ended")
        settings = settings_from_json(body["settings"])
        if not self._stays:
            self._backoff.give_up_s = settings.system.give_up_s
        self._is_between_runs = False
        if body["joined"]:  # otherwise there are no heartbeats
            self.lease_s = body["lease_s"]
        self._known_epoch, self._known_sessions = body["epoch"], body["n_sessions"]
        if body["run_id"] != self._run_id:  # another run: the state is useless
            self._run_id, self.epoch, self._shared = body["run_id"], 0, None
        if body["warning"]:
            self.notes.append(body["warning"])
        if self._built is None or settings != self._settings and not self._has_built_for(settings):
            self._settings, self._built = settings, None
            return Build(settings)
        self._settings = settings
        if not body["joined"]:  # it only asked for the settings, or another process was faster
            return self._join()
        self._enter_run(body)
        if body["resumed"]:
            self._resumed_at = now
        if body["resumed"] and self._upload is not None:
            self.notes.append(
                "resuming epoch %d: the answer of round %d is sent again" % (self.epoch, self._upload.round_index)
            )
            return self._send()
        if not body["resumed"]:
            self._begin_epoch(body["epoch"])
        return self._poll()

    def _has_built_for(self, settings: Settings) -> bool:
        """Return whether new settings differ in the scale of the data only, and lead to the one that is in use."""
        data = self._built.data
        if data is None or with_scale(settings, None) != with_scale(self._settings, None):
            return False
        return (settings.dataset.scale or data.auto_scale) == data.scale

    def _was_built(self, event: Built, now: float) -> Action:
        self._built = event
        return self._join()

    def _join(self) -> Action:
        action = self._registration(
            n_samples=self._built.n_samples,
            layout_crc=self._built.layout.crc,
            known_epoch=self._known_epoch,
            known_sessions=self._known_sessions,
            codings=list(self._known_codings),
        )
        data = self._built.data
        if data is not None:
            scale = self._settings.dataset.scale or data.auto_scale  # a task of the user's own may use none
            action.body["data"] = to_json(data._replace(scale=scale))
        rules = rules_from_settings(self._settings)
        memories = first_state(self._built.layout, rules)
        if self._pending is not None and not fits(self._pending, self._built.layout.n_params, memories):
            self.epoch = 0
        if self.epoch:
            action.body.update(
                claimed_epoch=self.epoch,
                claimed_seq=self._seq,
                undecided=self._upload is not None,
                claimed_round=self._upload.round_index if self._upload else self._answered_round,
            )
        return action

    def _registration(self, **more: Any) -> CallRegister:
        return CallRegister(dict(more, wire=VERSION, worker_id=self.worker_id, instance=self.instance))

    def _enter_run(self, body: Dict[str, Any]) -> None:
        """Take the run from the master's reply; w^0 comes from the seed."""
        layout = layout_from_json(body["layout"])
        self._rules = rules_from_settings(self._settings)
        self._layout = layout
        self._link = link_of(body["run_id"], layout)
        self._codings = [name for name in self._known_codings if name in body["codings"]]
        if self._shared is not None and body["resumed"]:
            return
        self._shared = SharedCopy(start_values(layout, self._settings.system.seed), layout, body["start_crc"])
        if self._shared.version == UNKNOWN:
            self.notes.append("the start values differ from the master's: asking for a keyframe")

    def _begin_epoch(self, epoch: int) -> None:
        """Begin an epoch with empty memories."""
        if self.epoch:
            self.notes.append("the master does not resume epoch %d: the memories are empty" % self.epoch)
        self.epoch, self._seq, self._answered_round = epoch, 0, 0
        self.memory = first_state(self._layout, self._rules)
        self._pending = self._upload = None
        self._disputed = None

    def _rejoin(self, reason: Optional[str]) -> Action:
        self.state = State.JOINING
        if reason is not None:
            self.notes.append("registering again: %s" % reason)
        return self._registration()

    # -- the round -----------------------------------------------------------------------

    def _poll(self) -> Action:
        self.state = State.WAITING
        return CallPoll(self.epoch, self._shared.version, self._answered_round)

    def _nothing_new(self, event: NothingNew, now: float) -> Action:
        return Pause(event.retry_after_s) if event.retry_after_s else self._poll()

    def _polled(self, event: Polled, now: float) -> Action:
        try:
            plan, frames = decode_stream(event.stream, self._link)
        except FlqError as error:
            return self._back_off("the master's plan cannot be read: %s" % error.detail, now)
        if plan.ended:
            return self._end("the run has ended after round %d" % plan.round_index)
        if not self._shared.follow(frames, plan):
            self.notes.append("the shared copy differs from the master's: asking for a keyframe")
            if isinstance(self._current, CallPoll) and self._current.have == UNKNOWN:  # this was the keyframe
                return self._back_off("the master's keyframe does not have the fingerprint of its plan", now)
            return self._poll()
        self._plan = plan
        self._waiting_s = now - self._answered_at
        self.state = State.TRAINING
        return Train(self._shared.vector, plan.round_index)

    def _trained(self, event: Trained, now: float) -> Action:
        plan, loss = self._plan, event.loss if math.isfinite(event.loss) else float("nan")
        held_back = event.held_back if event.held_back and abs(event.held_back.loss) <= LARGEST_LOSS else None
        try:
            noise = stream(self._settings.system.seed, ROUNDING, plan.round_index, self.worker_id)
            proposal = propose(
                self.memory,
                event.update,
                plan.round_index,
                plan.threshold,
                self._layout,
                self._rules,
                noise,
                plan.bytes_up,
            )
        except CodecError as error:
            return self._skip_round(
                "the update of round %d is dropped: %s; lower model.lr" % (plan.round_index, error.detail),
                event.training_s,
                held_back,
            )
        return self._save_answer(proposal, loss, event.training_s, held_back)

    def _unable(self, event: Unable, now: float) -> Action:
        return self._skip_round(
            "cannot train in round %d: %s" % (self._plan.round_index, event.reason),
            event.training_s,
            None,
            is_unable=True,
        )

    def _skip_round(
        self, note: str, training_s: float, held_back: Optional[HeldBack], is_unable: bool = False
    ) -> Action:
        """Skip this round, without a loss; the memories do not change."""
        self.notes.append(note)
        unchanged = self.memory._replace(clock=self.memory.clock + 1)
        nothing = Proposal(None, 0.0, unchanged, unchanged)
        return self._save_answer(nothing, float("nan"), training_s, held_back, is_unable)

    def _save_answer(
        self, proposal: Proposal, loss: float, training_s: float, held_back: Optional[HeldBack], is_unable: bool = False
    ) -> Action:
        """Have the answer of this round saved: the update, or a skip."""
        plan, payload = self._plan, proposal.payload
        self._seq += 1
        answer = Answer(
            Kind.SKIP,
            self.worker_id,
            self.epoch,
            self._seq,
            plan.round_index,
            loss,
            proposal.energy,
            training_s=training_s,
            waiting_s=self._waiting_s,
            held_back=held_back,
            is_unable=is_unable,
        )
        if payload is not None:
            mirror_crc = fingerprint(proposal.if_applied.mirror) if self._rules.has_mirrors else 0
            codec_id = self._rules.codec_up
            coded = code(payload, QUANTIZERS[codec_id].bits, self._codings)
            answer = answer._replace(
                kind=Kind.UPLOAD,
                state_crc=mirror_crc,
                codec_id=codec_id,
                coded=coded,
                payload=payload if coded is None else None,
            )
            answer = answer._replace(cost_bits=8 * answer.sent.size)
        self._upload = answer
        self._pending = PendingUpload(self._run_id, plan.needs_offer, answer, proposal.if_applied, proposal.if_not)
        return Save(self._pending)

    def _saved(self, event: Saved, now: float) -> Action:
        self._answered_at = now
        return self._send()

    def _send(self, is_granted: bool = False) -> Action:
        """Send the answer; with a budget, the offer of an upload until that is granted."""
        self.state = State.ANSWERING
        self._rejections = 0
        path, answer = "/offer", self._upload
        if answer.kind is Kind.UPLOAD:
            if is_granted or not self._pending.needs_offer:
                path = "/upload_update"
            else:
                answer = answer.without_payload(Kind.OFFER)
        return CallAnswer(path, encode(answer, self._link), self._shared.version)

    def _verdict_received(self, event: VerdictReceived, now: float) -> Action:
        try:
            verdict, end = decode_at(event.frame, 0, self._link, Verdict)
            if verdict.outcome not in FINAL and end != len(event.frame):
                raise WireError(
                    "%d bytes follow the verdict %s, expected none"
                    % (len(event.frame) - end, verdict.outcome.name.lower())
                )
        except FlqError as error:
            return self._back_off("the master's verdict cannot be read: %s" % error.detail, now)
        outcome = verdict.outcome
        if outcome is Outcome.END:
            return self._end("the run has ended after round %d" % verdict.round_index)
        if outcome is Outcome.RESYNC:
            self.epoch = 0  # the memories are useless
            return self._rejoin("the mirrors differ")
        if outcome is Outcome.WAIT:
            return Pause(self._backoff.spread())
        if outcome is Outcome.GRANTED:
            return self._send(is_granted=True)
        self.notes.append(
            "round=%d %s loss=%.6g energy=%.4g training_s=%.2f waiting_s=%.2f"
            % (
                self._upload.round_index,
                outcome.name.lower(),
                self._upload.loss,
                self._upload.energy,
                self._upload.training_s,
                self._upload.waiting_s,
            )
        )
        self._commit(outcome is Outcome.APPLIED)
        poll = self._current = self._poll()  # the request that the rest of the reply answers, if there is one
        following = memoryview(event.frame)[end:]
        return self._polled(Polled(following), now) if len(following) else poll

    def _commit(self, applied: bool) -> None:
        """Commit the outcome that is now known."""
        self.memory = self._pending.if_applied if applied else self._pending.if_not
        self._answered_round = self._upload.round_index
        self._pending = self._upload = None

    # -- trouble -------------------------------------------------------------------------

    def _problem(self, event: Problem, now: float) -> Action:
        if not event.by_master:
            return self._intercepted(event, now)
        if event.status in TRANSIENT_STATUSES or event.status >= 500:
            return self._back_off(event.detail, now, event.retry_after_s)
        if event.status == 409 and not isinstance(self._current, CallRegister):
            asked = type(self._current), self._seq
            if self._disputed == asked and now - self._resumed_at < self.lease_s:
                self.epoch = 0  # resuming has not helped, and no lease can have ended since
            self._disputed = asked
            return self._rejoin(event.detail)
        if not isinstance(self._current, CallAnswer) or event.status not in (400, 413, 422):
            if event.status == 409 or self._was_refused:
                return self._exit(2, event.detail)
            self._was_refused = True  # the first time, the request may have been damaged
            return self._back_off(event.detail, now, is_quiet=True)
        self._rejections += 1
        if self._rejections <= MAX_REJECTIONS:
            return self._back_off(event.detail, now)
        if self._upload.kind is Kind.SKIP:
            self.epoch = 0  # the epoch cannot be resumed without this answer
            return self._rejoin(event.detail)
        self.notes.append("giving up the upload of round %d: %s" % (self._upload.round_index, event.detail))
        self._upload = self._as_skip()
        return self._send()

    def _intercepted(self, event: Problem, now: float) -> Action:
        """Try again if something else replies for the master.

        If that keeps rejecting an update, a skip replaces the update. If it rejects the skip too, the update's size or
        content was not the reason: the update is sent again.
        """
        is_gateway = event.status in TRANSIENT_STATUSES or event.status >= 500  # which cannot reach the master, say
        if not isinstance(self._current, CallAnswer) or is_gateway:
            return self._back_off(event.detail, now, event.retry_after_s)
        self._rejections += 1
        if self._upload.blocked:
            self._upload = self._pending.answer
            self._current = self._send()
        elif self._rejections > MAX_REJECTIONS and self._upload.kind is Kind.UPLOAD:
            self.notes.append(
                "the update of round %d does not reach the master: %s" % (self._upload.round_index, event.detail)
            )
            self._upload = self._as_skip()._replace(blocked=event.status)
            return self._send()
        return self._back_off(event.detail, now, event.retry_after_s)

    def _as_skip(self) -> Answer:
        return self._upload.without_payload(Kind.SKIP)._replace(cost_bits=0, state_crc=0)

    def _unreachable(self, event: Unreachable, now: float) -> Action:
        if event.made_progress:
            self._backoff.succeed(now)
        return self._back_off(event.detail, now)

    def _back_off(self, detail: str, now: float, retry_after_s: float = 0.0, is_quiet: bool = False) -> Action:
        """Pause longer each time, with jitter, and then repeat the action: every request is idempotent."""
        if self._backoff.gives_up(now):
            silent_s = now - self._backoff.last_contact
            return self._exit(1, "%s; giving up after %.0f s without the master" % (detail, silent_s))
        self._has_failed = True
        pause = self._backoff.fail(retry_after_s)
        if not (is_quiet or self._is_between_runs):
            self.notes.append("%s; trying again in %.1f s" % (detail, pause))
        return Pause(pause)

    def _paused(self, event: Paused, now: float) -> Action:
        return self._current

    def _end(self, sentence: str) -> Action:
        """Exit at the end of the run, or wait for the next one."""
        if not self._stays:
            return self._exit(0, sentence)
        if not self._is_between_runs:
            self.notes.append("%s; waiting for the next one" % sentence)
        self._is_between_runs = True
        self._run_id, self.epoch, self._pending, self._upload = None, 0, None, None
        self._current = self._rejoin(None)
        return Pause(self._backoff.spread(BETWEEN_RUNS_S))

    def _exit(self, code: int, sentence: str) -> Exit:
        self.state = State.DONE
        return Exit(code, sentence)
