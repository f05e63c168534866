"""Broadcasts messages to viewers: each is made once for all of them, and only while there are viewers.

Each message is complete, so a viewer that has missed some needs only the newest of each kind. The threads of the
viewers make the messages when they are due; the run's own threads are not involved.
"""

import json
import secrets
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from ..http.limits import StreamPlaces

PERIODS_S = {"state": 1.0, "rounds": 2.0, "log": 1.0}  # minimum between two messages of a kind
LOOK_S = 0.5  # between two checks of a stream for new messages
HEARTBEAT_S = 15.0  # an idle stream sends a heartbeat
RETRY_MS = 3000  # before a viewer reconnects a broken stream

Sources = Mapping[str, Callable[[], Any]]


class Message(NamedTuple):
    """The newest message of its kind; the number increases with every message that differs from the previous one."""

    number: int
    kind: str
    text: str


class Broadcast:
    """The newest message of each kind. Safe to use from any thread.

    Parameters
    ----------
    sources : dict
        By kind, a function that returns the value: JSON, without NaN.
    clock : callable()
        Monotonic seconds.

    Attributes
    ----------
    closing : Event
        When set, streams send the last messages, and end.
    places : StreamPlaces
        Limits the streams of all applications together.
    """

    def __init__(self, sources: Sources, clock: Callable[[], float] = time.monotonic) -> None:
        self.closing = threading.Event()
        self.places = StreamPlaces()
        self._life = secrets.token_hex(4)  # of this process: numbers of an earlier one are not valid
        self._sources, self._clock = sources, clock
        self._lock = threading.Lock()
        self._made_at: Dict[str, float] = {}
        self._newest: Dict[str, Message] = {}
        self._number = 0

    def follow(self, sources: Sources) -> None:
        """Make messages of other sources from now on."""
        with self._lock:
            self._sources = sources
            self._made_at.clear()

    def since(self, number: int) -> List[Message]:
        """Return the messages after a number, in their order."""
        with self._lock:
            now = self._clock()
            for kind, make in self._sources.items():
                made_at = self._made_at.get(kind)
                if made_at is None or now - made_at >= PERIODS_S[kind] or self.closing.is_set():
                    self._take(kind, json.dumps(make(), allow_nan=False, separators=(",", ":")))
                    self._made_at[kind] = self._clock()
            return sorted(message for message in self._newest.values() if message.number > number)

    def snapshot(self) -> Tuple[str, str]:
        """Return a tag, which changes with the messages, and all messages as one JSON object."""
        messages = self.since(0)
        parts = ['"%s":%s' % (message.kind, message.text) for message in messages]
        return self._name_of(max(message.number for message in messages)), "{%s}" % ",".join(sorted(parts))

    def stream(self, last_seen: str, before_each: Callable[[], Any]) -> Iterator[bytes]:
        """Yield server-sent events until the broadcast closes.

        Parameters
        ----------
        last_seen : str
            The id of the last event that the viewer has received, if any.
        before_each : callable()
            Called before each piece.
        """
        before_each()
        yield b"retry: %d\n\n" % RETRY_MS
        number, said_at, is_last = self._number_of(last_seen), self._clock(), False
        while not is_last:
            is_last = self.closing.is_set()
            messages = self.since(number)
            if messages or self._clock() - said_at >= HEARTBEAT_S:
                before_each()
                yield b"".join(map(self._event, messages)) or b": still here\n\n"
                number, said_at = max((message.number for message in messages), default=number), self._clock()
            self.closing.wait(LOOK_S)
        before_each()
        yield b"event: end\ndata:\n\n"

    def close(self) -> None:
        """Let streams end; further calls do nothing."""
        self.closing.set()

    def _take(self, kind: str, text: str) -> None:
        known = self._newest.get(kind)
        if known is None or known.text != text:
            self._number += 1
            self._newest[kind] = Message(self._number, kind, text)

    def _event(self, message: Message) -> bytes:
        # json.dumps writes no line breaks, and only ASCII
        return ("id: %s\nevent: %s\ndata: %s\n\n" % (self._name_of(message.number), message.kind, message.text)).encode(
            "ascii"
        )

    def _name_of(self, number: int) -> str:
        return "%s-%d" % (self._life, number)

    def _number_of(self, name: str) -> int:
        """Return the number in an id, or 0 if the id is not of this process."""
        life, _, digits = name.partition("-")
        return int(digits) if life == self._life and digits.isdecimal() and len(digits) < 19 else 0
