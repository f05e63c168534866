"""The journal: what is written is read back, and a batch is written completely or not at all."""

import sqlite3

import numpy as np
import pytest

from flq.core.layout import Layout, Tensor
from flq.errors import ConfigError, FlqError
from flq.master.storage.journal import FORMAT, NAME, Batch, create, open_journal
from flq.protocol.events import Answered, LeaseEnded, Register, RoundDue, Stop
from flq.protocol.journal_codec import from_entry, to_entry
from flq.protocol.messages import Answer, Kind
from flq.protocol.wire import VERSION, encode, link_of

LINK = link_of("run", Layout((Tensor("w", (5,)),)))
PAYLOAD = np.arange(20, dtype=np.uint8)
UPLOAD = Answer(Kind.UPLOAD, 1, 1, 7, 3, 0.5, 4.0, cost_bits=160, codec_id=32, payload=PAYLOAD)
FRAME = b"".join(map(bytes, encode(UPLOAD, LINK)))
EVENTS = [
    Register(1, 0, "one", 10, 99, None, None),
    Answered(2, UPLOAD, FRAME),
    LeaseEnded(0),
    RoundDue(3),
    Stop("enough"),
]


def batch_of(entries=(), **changes):
    batch = Batch([(seq, to_entry(event)) for seq, event in entries], [], [], [], {})
    return batch._replace(**changes)


@pytest.fixture
def journal(tmp_path):
    made = create(str(tmp_path), {"run_id": "run", "ended": None})
    yield made
    made.close()


def read_back(journal, after=0):
    return [(seq, from_entry(kind, body, frame, LINK, -seq)) for seq, kind, body, frame in journal.entries(after)]


def test_every_kind_of_event_is_read_back_in_order(journal):
    journal.write(batch_of(enumerate(EVENTS, start=1)))
    back = read_back(journal)
    assert [seq for seq, _ in back] == [1, 2, 3, 4, 5] and journal.last_seq() == 5
    assert back[0][1] == EVENTS[0]._replace(ticket=-1)
    answered = back[1][1]
    assert answered.answer._replace(payload=None) == UPLOAD._replace(payload=None)
    assert answered.answer.payload.tolist() == PAYLOAD.tolist() and not answered.may_wait
    assert [event for _, event in back[2:]] == EVENTS[2:]
    assert read_back(journal, after=4) == [(5, Stop("enough"))]


def test_another_process_reads_the_committed_rows(journal, tmp_path):
    journal.write(
        batch_of(
            [(1, RoundDue(1))],
            rounds=[(1, {"loss": 0.5})],
            tested=[(1, [0.1, 0.9])],
            deltas=[(1, 1, PAYLOAD)],
            about={"counted": [1, 2]},
        )
    )
    other = open_journal(str(tmp_path))
    assert read_back(other) == [(1, RoundDue(1))]
    assert (other.rounds(), other.tested()) == ([(1, {"loss": 0.5})], [(1, [0.1, 0.9])])
    ((version, index, payload),) = other.deltas()
    assert (version, index, payload.tolist()) == (1, 1, PAYLOAD.tolist())
    assert other.about() == {"run_id": "run", "ended": None, "counted": [1, 2], "format": FORMAT}
    other.close()


def test_a_batch_that_fails_leaves_nothing(journal):
    journal.write(batch_of([(1, RoundDue(1))]))
    with pytest.raises(sqlite3.IntegrityError):
        journal.write(batch_of([(2, RoundDue(2)), (1, RoundDue(3))], rounds=[(1, {})]))
    assert read_back(journal) == [(1, RoundDue(1))] and journal.rounds() == []
    journal.write(batch_of([(2, RoundDue(2))]))  # and writing continues
    assert journal.last_seq() == 2


def test_deleted_entries_are_gone_and_numbers_continue(journal, tmp_path):
    answered = Answered(0, UPLOAD, FRAME)
    journal.write(
        batch_of(
            [(1, EVENTS[0]), (2, answered), (3, answered)], deltas=[(1, 1, PAYLOAD), (2, 2, PAYLOAD), (3, 3, PAYLOAD)]
        )
    )
    journal.forget(2, 1)
    assert [seq for seq, _ in read_back(journal, after=2)] == [3]
    assert [version for version, _, _ in journal.deltas()] == [2, 3]
    with pytest.raises(FlqError, match="entry 2 is damaged or missing"):
        read_back(journal, after=1)
    journal.forget(3, 3)
    journal.close()
    other = open_journal(str(tmp_path))
    assert (other.last_seq(), read_back(other, after=3), other.deltas()) == (3, [], [])
    other.write(batch_of([(4, EVENTS[0])]))
    assert [seq for seq, _ in read_back(other, after=3)] == [4]
    other.close()


def test_an_answer_without_its_frame_is_named():
    with pytest.raises(FlqError, match="lost its frame"):
        from_entry("answered", {}, None, LINK, 0)


def test_the_file_does_not_grow_with_joins_that_no_snapshot_needs(journal, tmp_path):
    def size():
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    seq = 0
    for turn in range(20):
        joins = [(seq + i, EVENTS[0]._replace(instance="%032x" % (seq + i))) for i in range(1, 501)]
        journal.write(batch_of(joins))
        seq += len(joins)
        journal.forget(seq, 0)
        journal.checkpoint()
        if turn == 4:
            after_a_few = size()
    assert size() <= after_a_few


def test_the_file_does_not_grow_while_frames_are_forgotten(journal, tmp_path):
    payload = np.zeros(20000, np.uint8)
    for seq in range(1, 601):
        journal.write(batch_of(deltas=[(seq, seq, payload)]))
        if seq > 10:
            journal.forget(seq - 10, seq - 10)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 6e6  # 600 of them would take 12 MB


def test_it_is_written_through_to_the_disk(journal):
    assert journal._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


@pytest.mark.parametrize("content, words", [(None, "has no journal"), (b"not a database" * 100, "cannot be read")])
def test_a_file_that_is_no_journal_is_named(tmp_path, content, words):
    if content is not None:
        (tmp_path / NAME).write_bytes(content)
    with pytest.raises(FlqError, match=words):
        open_journal(str(tmp_path))


def test_a_journal_of_a_later_version_is_refused(journal, tmp_path):
    journal.write(batch_of(about={"format": FORMAT + 1}))
    with pytest.raises(
        ConfigError, match="format %d, expected %d .resume with the version of FLQ" % (FORMAT + 1, FORMAT)
    ):
        open_journal(str(tmp_path))


def test_the_format_goes_up_with_that_of_frames():
    assert FORMAT >= VERSION  # a journal holds frames


def test_an_entry_of_an_unknown_kind_is_named():
    with pytest.raises(FlqError, match="unknown kind 'later'"):
        from_entry("later", {}, None, LINK, 0)
