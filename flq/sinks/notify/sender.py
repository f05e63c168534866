"""Sends notifications with one thread per service, so that no service delays another; retries failures."""

import threading
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Tuple

from .notice import Notice
from .service import SendResult, Service

PAUSES_S = (2.0, 10.0, 60.0)  # before each retry of a message
LAST_PAUSE_S = 2.0  # longest such pause when the process is ending
MOST_WAITING = 5  # queued messages; the oldest are dropped


class Sender:
    """Sends the messages of one service, in order.

    Parameters
    ----------
    service : Service
    timeout_s : float
        Time for one attempt; its thread is abandoned after that.
    say : callable(str)
        Logs a problem.
    pauses_s : sequence of float
        Pauses before each retry.
    """

    def __init__(
        self, service: Service, timeout_s: float, say: Callable[[str], None], pauses_s: Sequence[float] = PAUSES_S
    ) -> None:
        self._service, self._timeout_s, self._say, self._pauses_s = service, timeout_s, say, pauses_s
        self._waiting: Deque[Tuple[Notice, Optional[bytes]]] = deque()
        self._changed = threading.Condition()
        self._is_closing = threading.Event()
        self._abandoned: Optional[threading.Thread] = None  # its attempt took too long
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def send(self, notice: Notice, picture: Optional[bytes]) -> None:
        """Queue a message; never blocks."""
        with self._changed:
            self._waiting.append((notice, picture))
            has_too_many = len(self._waiting) > MOST_WAITING
            if has_too_many:
                self._waiting.popleft()
            self._changed.notify()
        if has_too_many:
            self._say("a message to %s was dropped: newer ones are waiting" % self._service.name)

    def begin_closing(self) -> None:
        """Announce that no more messages follow; shorten long pauses."""
        with self._changed:
            self._is_closing.set()
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait until all messages are sent or dropped; return whether they were in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing.is_set())
                if not self._waiting:
                    return
                notice, picture = self._waiting.popleft()
            self._deliver(notice, picture)

    def _deliver(self, notice: Notice, picture: Optional[bytes]) -> None:
        outcome = self._try(notice, picture)
        for n_failed, pause_s in enumerate(self._pauses_s, 1):
            if not outcome.why:
                return
            if outcome.is_final:
                if picture is None or not self._service.takes_pictures:
                    break
                picture = None  # perhaps the service rejects the picture
            else:
                self._rest(pause_s)
                picture = picture if n_failed < len(self._pauses_s) else None
            outcome = self._try(notice, picture)
        if outcome.why:
            self._say("a message to %s was not sent: %s" % (self._service.name, outcome.why))

    def _try(self, notice: Notice, picture: Optional[bytes]) -> SendResult:
        if self._abandoned is not None and self._abandoned.is_alive():
            return SendResult("an earlier attempt is still running")
        outcomes: List[SendResult] = []
        thread = threading.Thread(
            target=lambda: outcomes.append(self._service.send(notice, picture)), name="sending", daemon=True
        )
        thread.start()
        thread.join(self._timeout_s)
        if outcomes:
            return outcomes[0]
        self._abandoned = thread
        return SendResult("no answer after %.0f s" % self._timeout_s)

    def _rest(self, seconds: float) -> None:
        """Wait before a retry; only briefly when the process is ending."""
        if self._is_closing.wait(seconds):
            time.sleep(min(seconds, LAST_PAUSE_S))
