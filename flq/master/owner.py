"""The one thread that owns the master's machine; everybody else hands it events.

It takes an event, lets the machine decide, and has done what the machine says. What goes wrong
in one effect keeps no other from being done. A request on which the machine fails is told so;
if the machine fails without one, or the run can not end, nothing can go on: the thread ends,
``failed`` is set, and every request is refused at once.
"""

import itertools
import logging
import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from ..errors import FlqError, Unavailable
from ..protocol.events import Effect, Effects, Event, Reply, RunEnded, Tick, Ticket
from ..protocol.master_machine import POLL_S, MasterMachine

logger = logging.getLogger(__name__)

REPLY_S = POLL_S + 15.0     # longer than anything that the machine lets wait
IDLE_S = 1.0                # how often time passes for the machine when nothing else happens
GOING_DOWN = "the master is shutting down"


class Call(NamedTuple):
    """Somebody wants to know something that only this thread may look at."""

    function: Callable[[], Any]


class Owner:
    """Takes events from :meth:`start` to :meth:`close`.

    Parameters
    ----------
    machine : MasterMachine
    perform : callable(effect)
        Does everything but replies, in this thread.
    after_event : callable(is_idle)
        Called in this thread after each event; idle = no other event waits yet.
    at_end : callable()
        Called when the thread ends, however it does.
    """

    def __init__(self, machine: MasterMachine, perform: Callable[[Effect], None],
                 after_event: Callable[[bool], None], at_end: Callable[[], None]) -> None:
        self.failed = False
        self._machine = machine
        self._perform_one, self._after_event, self._at_end = perform, after_event, at_end
        self._queue: queue.Queue = queue.Queue()
        self._tickets = itertools.count(1)
        self._waiting: Dict[Ticket, Future] = {}
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="owner", daemon=True)

    # -- for any thread ------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take events."""
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Hand in an event that nobody waits for."""
        self._queue.put((event, None, None))

    def ask(self, make_event: Callable[[Ticket], Any]) -> Any:
        """Hand in an event and wait for the reply.

        Raises
        ------
        FlqError
            If the machine refuses the event, or this thread has ended.
        """
        future: Future = Future()
        ticket = next(self._tickets)
        self._queue.put((make_event(ticket), ticket, future))
        if self._ended and not future.done():  # it may have come too late to be refused
            raise Unavailable(GOING_DOWN)
        try:
            body = future.result(REPLY_S)
        except FutureTimeout:
            raise Unavailable("the master did not answer in time", "try again") from None
        if isinstance(body, FlqError):
            raise body
        return body

    def close(self) -> None:
        """End the thread; requests that still wait are told so."""
        self._queue.put((None, None, None))
        self._thread.join(REPLY_S)

    # -- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                event, ticket, future = self._next()
                if future is not None:
                    self._waiting[ticket] = future
                if event is None:
                    return
                self._handle(event, ticket)
                self._after_event(self._queue.empty())
        except Exception:
            logger.exception("the run can not go on")
            self.failed = True
        finally:
            self._ended = True
            self._refuse_all()
            self._at_end()

    def _next(self) -> Tuple[Any, Optional[Ticket], Optional[Future]]:
        """Return the next event, or a Tick when one is due."""
        now = time.monotonic()
        deadline = self._machine.next_deadline(now)
        try:
            return self._queue.get(timeout=IDLE_S if deadline is None else min(deadline - now, IDLE_S))
        except queue.Empty:
            return Tick(), None, None

    def _handle(self, event: Any, ticket: Optional[Ticket]) -> None:
        effects: Effects = ()
        try:
            if isinstance(event, Call):
                effects = (Reply(ticket, event.function()),)
            else:
                effects = self._machine.handle(event, time.monotonic())
        except Exception:
            if not isinstance(event, Call):
                self._perform(self._machine.effects)  # decided before it failed: others wait for them
            if ticket is None:
                raise  # time itself fails, and would again
            logger.exception("the master failed on %s", type(event).__name__)
            effects = (Reply(ticket, Unavailable("the master failed on this request", "see its log")),)
        self._perform(effects)

    def _perform(self, effects: Effects) -> None:
        """Have done all that can be done; only that the run can not end is a failure of the thread."""
        fatal = None
        for effect in effects:
            try:
                if isinstance(effect, Reply):
                    self._reply(effect)
                else:
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
