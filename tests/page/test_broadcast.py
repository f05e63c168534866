"""Messages are made once for all viewers, when they are due and somebody looks; streams end when they shall."""

import itertools
import json

import pytest

from flq.master.live.broadcast import HEARTBEAT_S, Broadcast


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


class Counted:
    """A source that counts its calls."""

    def __init__(self):
        self.n_asked, self.value = 0, "a"

    def __call__(self):
        self.n_asked += 1
        return {"value": self.value}


def kinds(messages):
    return [message.kind for message in messages]


def no_more():
    """Replace the function that a stream calls before each piece."""


def test_nothing_is_computed_without_viewers(clock):
    source = Counted()
    Broadcast({"state": source}, clock)
    clock.now = 1000.0
    assert source.n_asked == 0


def test_a_message_is_made_once_for_all_viewers_until_the_next_is_due(clock):
    source = Counted()
    broadcast = Broadcast({"state": source}, clock)
    assert [broadcast.since(0) for _ in range(5)] == [broadcast.since(0)] * 5 and source.n_asked == 1
    clock.now, source.value = 0.9, "b"
    assert broadcast.since(0)[0].text == '{"value":"a"}' and source.n_asked == 1
    clock.now = 1.0
    assert broadcast.since(0)[0].text == '{"value":"b"}' and source.n_asked == 2


def test_a_viewer_gets_only_newer_values(clock):
    state, rounds = Counted(), Counted()
    broadcast = Broadcast({"state": state, "rounds": rounds}, clock)
    messages = broadcast.since(0)
    assert kinds(messages) == ["state", "rounds"]
    assert broadcast.since(messages[-1].number) == []
    clock.now = 10.0
    assert broadcast.since(messages[-1].number) == []  # they are the same
    clock.now, rounds.value = 20.0, "b"
    assert kinds(broadcast.since(messages[-1].number)) == ["rounds"]


def test_a_snapshot_has_another_tag_when_something_is_new(clock):
    source = Counted()
    broadcast = Broadcast({"state": source, "log": lambda: {"items": []}}, clock)
    tag, text = broadcast.snapshot()
    assert json.loads(text) == {"state": {"value": "a"}, "log": {"items": []}}
    clock.now = 5.0
    assert broadcast.snapshot() == (tag, text)
    clock.now, source.value = 10.0, "b"
    assert broadcast.snapshot()[0] != tag


def test_a_new_run_replaces_earlier_values(clock):
    broadcast = Broadcast({"state": lambda: "STARTING"}, clock)
    number = broadcast.since(0)[0].number
    broadcast.follow({"state": lambda: "LOBBY"})
    assert [message.text for message in broadcast.since(number)] == ['"LOBBY"']


def pieces(broadcast, last_seen=""):
    return broadcast.stream(last_seen, no_more)


def test_a_stream_is_server_sent_events(clock):
    stream = pieces(Broadcast({"state": lambda: {"text": "a\nb\u2028\u202e"}, "log": lambda: 1}, clock))
    assert next(stream) == b"retry: 3000\n\n"
    first, second, rest = next(stream).split(b"\n\n")
    assert rest == b"" and second.split(b"\n")[1:] == [b"event: log", b"data: 1"]
    assert first.split(b"\n")[1:] == [b"event: state", b'data: {"text":"a\\nb\\u2028\\u202e"}']
    assert first.startswith(b"id: ")


def test_a_stream_without_news_sends_a_sign_of_life(clock):
    broadcast = Broadcast({"state": lambda: 1}, clock)
    broadcast.closing.wait = lambda seconds: setattr(clock, "now", clock.now + seconds)
    stream = pieces(broadcast)
    next(stream), next(stream)
    assert next(stream) == b": still here\n\n" and clock.now >= HEARTBEAT_S


def test_a_viewer_that_reconnects_gets_only_newer_events(clock):
    numbers = itertools.count()
    broadcast = Broadcast({"state": lambda: next(numbers), "log": lambda: 0}, clock)
    stream = pieces(broadcast)
    next(stream)
    last_seen = next(stream).decode().split("\n\n")[1].split("\n")[0][len("id: ") :]
    clock.now = 10.0
    again = pieces(broadcast, last_seen)
    next(again)
    assert [line for line in next(again).split(b"\n") if line.startswith(b"event")] == [b"event: state"]


@pytest.mark.parametrize("name", ["", "x", "0-1", "-", "01234567-9", "\u0661-\u0661", "-1", "9" * 5000])
def test_an_unknown_id_gets_everything(clock, name):
    stream = pieces(Broadcast({"state": lambda: 1}, clock), name)
    next(stream)
    assert b"data: 1" in next(stream)


def test_a_stream_sends_the_newest_events_before_it_ends(clock):
    source = Counted()
    broadcast = Broadcast({"state": source}, clock)
    stream = pieces(broadcast)
    next(stream), next(stream)
    source.value = "the last"
    broadcast.close()  # within the same second
    assert [piece.split(b"\n")[-3] for piece in stream] == [b'data: {"value":"the last"}', b"data:"]


def test_time_is_allowed_before_each_piece(clock):
    said = []
    broadcast = Broadcast({"state": lambda: 1}, clock)
    stream = broadcast.stream("", lambda: said.append("allowed"))
    said.append(next(stream))
    said.append(next(stream))
    broadcast.close()
    for piece in stream:
        said.append(piece)
    assert said[::2] == ["allowed"] * 3 and b"allowed" not in said[1::2] and len(said) == 6
