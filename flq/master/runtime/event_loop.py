"""The thread that owns the master's machine; all other threads send it events.

It takes the waiting events, lets the machine handle them one by one, has the changes of the run journalled, and only
then performs the machine's effects. A failure in one effect does not prevent the others. A request on which the machine
fails gets an error. If the machine fails without a request, or the end of the run cannot be performed, the thread
ends, ``failed`` is set, and all requests are rejected at once.
"""

import itertools
import logging
import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ...errors import FlqError, Unavailable
from ...protocol.events import Effect, Effects, Encoded, Event, Journalled, Reply, RunEnded, Tick, Ticket
from ...protocol.master_machine import POLL_S, MasterMachine

logger = logging.getLogger(__name__)

REPLY_S = POLL_S + 15.0  # longer than the machine delays any reply
LARGEST_BATCH = 256  # events that are journalled together
IDLE_S = 1.0  # longest time between two events of the machine
GOING_DOWN = "the master is shutting down"


class Execute(NamedTuple):
    """Execute a function in this thread, which alone may use the machine; its result is the reply."""

    function: Callable[[], Any]


class Close(NamedTuple):
    """Call a function, commit its notes, and end the thread."""

    function: Callable[[], Any]


class EventLoop:
    """Takes events from :meth:`start` to :meth:`close`; independent of files, results and the end of a run.

    Parameters
    ----------
    machine : MasterMachine
    note : callable(effects)
        Called in this thread with the effects of each event, right after it.
    commit : callable() -> bool
        Journals the notes and returns whether it had to wait; effects are performed only afterwards.
    perform : callable(effect)
        Performs an effect other than a reply, in this thread.
    after_events : callable(is_idle)
        Called in this thread after some events; is_idle = no other event waits.
    at_end : callable()
        Called when the thread ends, also after a failure.

    Attributes
    ----------
    failed : bool
        Whether the thread has ended by a failure.
    """

    def __init__(
        self,
        machine: MasterMachine,
        note: Callable[[Effects], None],
        commit: Callable[[], bool],
        perform: Callable[[Effect], None],
        after_events: Callable[[bool], None],
        at_end: Callable[[], None],
    ) -> None:
        self.failed = False
        self._machine = machine
        self._note, self._commit, self._perform_one = note, commit, perform
        self._after_events, self._at_end = after_events, at_end
        self._queue: queue.Queue = queue.Queue()
        self._tickets = itertools.count(1)
        self._waiting: Dict[Ticket, Future] = {}
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="event-loop", daemon=True)

    # -- for any thread ------------------------------------------------------------------

    def start(self) -> None:
        """Take events from now on."""
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Send an event without waiting for a reply."""
        self._queue.put((event, None, None))

    def ask(self, make_event: Callable[[Ticket], Any]) -> Any:
        """Send an event and wait for the reply.

        Raises
        ------
        FlqError
            If the machine rejects the event, or this thread has ended.
        """
        future: Future = Future()
        ticket = next(self._tickets)
        self._queue.put((make_event(ticket), ticket, future))
        if self._ended and not future.done():  # it may have arrived after _refuse_all
            raise Unavailable(GOING_DOWN)
        try:
            body = future.result(REPLY_S)
        except FutureTimeout:
            raise Unavailable("the master did not answer in time", "try again") from None
        if isinstance(body, FlqError):
            raise body
        return body

    def close(self, last: Callable[[], Any]) -> None:
        """Call ``last`` in the thread and end it; waiting requests get Unavailable. Further calls do nothing."""
        if self._thread.is_alive():
            self._queue.put((Close(last), None, None))
            self._thread.join(REPLY_S)

    # -- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            is_open = True
            while is_open:
                decided, batch = [], self._next()
                self._waiting.update((ticket, future) for _, ticket, future in batch if future is not None)
                for event, ticket, _ in batch:
                    if isinstance(event, Close):
                        event.function()
                        is_open = False
                        break
                    decided.append(self._decide(event, ticket))
                if self._commit():  # no event was handled meanwhile: leases and deadlines restart
                    self._machine.restart_clocks(time.monotonic())
                for effects in decided:
                    self._perform(effects)
                self._after_events(self._queue.empty())
        except FlqError as error:  # the journal cannot be written
            logger.error("the run cannot continue: %s", error)
            self.failed = True
        except Exception:
            logger.exception("the run cannot continue")
            self.failed = True
        finally:
            self._ended = True
            self._refuse_all()
            self._at_end()

    def _next(self) -> List[Tuple[Any, Optional[Ticket], Optional[Future]]]:
        """Return the waiting events, or a Tick when one is due."""
        now = time.monotonic()
        deadline = self._machine.next_deadline(now)
        try:
            first = self._queue.get(timeout=IDLE_S if deadline is None else min(deadline - now, IDLE_S))
        except queue.Empty:
            return [(Tick(), None, None)]
        waiting = [first]
        while len(waiting) < LARGEST_BATCH and not self._queue.empty():
            waiting.append(self._queue.get())
        return waiting

    def _decide(self, event: Any, ticket: Optional[Ticket]) -> Effects:
        """Let the machine handle an event; note and return its effects."""
        effects: Effects = ()
        try:
            if isinstance(event, Execute):
                effects = (Reply(ticket, event.function()),)
            else:
                effects = self._machine.handle(event, time.monotonic())
        except Exception:
            if not isinstance(event, Execute):
                effects = self._machine.effects  # those before the failure: others wait for them
            if any(isinstance(effect, Journalled) for effect in effects):
                raise  # the change is incomplete: neither journal nor answer it
            if ticket is None:
                self._note(effects)
                self._commit()
                self._perform(effects)
                raise  # a Tick fails, and would again
            logger.exception("the master failed on %s", type(event).__name__)
            effects += (Reply(ticket, Unavailable("the master failed on this request", "see its log")),)
        self._note(effects)
        return effects

    def _perform(self, effects: Effects) -> None:
        """Perform all effects; raise only if the end of the run cannot be performed."""
        fatal = None
        for effect in effects:
            try:
                if isinstance(effect, Reply):
                    self._reply(effect)
                elif not isinstance(effect, (Journalled, Encoded)):  # these are journalled
                    self._perform_one(effect)
            except Exception as error:
                logger.exception("the master failed to perform %s", type(effect).__name__)
                fatal = error if isinstance(effect, RunEnded) else fatal
        if fatal is not None:
            raise fatal

    def _reply(self, effect: Reply) -> None:
        future = self._waiting.pop(effect.ticket, None)
        if future is not None:
            future.set_result(effect.body)

    def _refuse_all(self) -> None:
        futures = list(self._waiting.values())
        while not self._queue.empty():
            futures.append(self._queue.get()[2])
        for future in futures:
            if future is not None:
                future.set_result(Unavailable(GOING_DOWN))
