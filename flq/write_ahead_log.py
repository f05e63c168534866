"""Detects damage in the write-ahead log of a journal.

SQLite checks the log's checksums, but silently drops everything from the first wrong one on, committed transactions
included. The format is that of https://www.sqlite.org/fileformat2.html, section 4.
"""

import struct
import sys
from typing import BinaryIO, List, NamedTuple, Optional, Tuple

import numpy as np

from .errors import FlqError

LOG = "-wal"  # suffix of the log's file
LOG_HEAD, FRAME_HEAD = 32, 24
MAGIC = 0x377F0682  # the last bit says how checksums read the words: 0 = little-endian, 1 = big-endian
PAGE_SIZES = [1 << i for i in range(9, 17)]
USUAL_PAGE = 4096
BLOCK_BYTES = 1 << 23  # size of one read of the log


class _Head(NamedTuple):
    """The head of a log; ``is_whole`` if SQLite accepts it."""

    is_whole: bool
    page_size: int
    is_big_endian: bool
    salts: Tuple[int, int]
    checksum: Tuple[int, int]


class _Frames(NamedTuple):
    """Flags per frame of a log: it is used, it ends a transaction, it has the head's salts, its checksum is right."""

    is_used: np.ndarray
    commits: np.ndarray
    is_salted: np.ndarray
    follows: np.ndarray


def check_log(path: str) -> Optional[str]:
    """Verify that the write-ahead log of a journal holds all committed transactions.

    A transaction begins only when the previous one is on disk, so a power failure can cut short only the last one. A
    wrong frame followed by a complete transaction is damage.

    Parameters
    ----------
    path : str
        Of the journal.

    Returns
    -------
    str or None
        A warning if the last transaction is incomplete and therefore left out.

    Raises
    ------
    FlqError
        If the log is damaged, so that committed transactions would be lost.
    """
    try:
        with open(path + LOG, "rb") as stream:
            for is_last in (False, False, True):  # a master may restart the log meanwhile, or append to it
                head = _head_of(stream)
                if head is None:
                    return None
                frames = _frames_of(stream, head)
                if _head_of(stream) == head:
                    try:
                        return _verdict(path, head, frames)
                    except FlqError:
                        if is_last:
                            raise
    except FileNotFoundError:
        pass
    return None


def _verdict(path: str, head: _Head, frames: _Frames) -> Optional[str]:
    is_good = frames.is_salted & frames.follows & head.is_whole
    wrong = int(np.argmin(is_good)) if not is_good.all() else is_good.size  # the first frame that SQLite rejects
    ours = frames.is_salted[wrong:].copy()  # frames from before the log's last restart have other salts
    if head.is_whole and ours.size:
        ours[0] |= frames.follows[wrong]
    if not ours.any():
        return (
            None
            if head.is_whole or not frames.is_used.any()
            else ("the head of the log %s is incomplete: the log is ignored" % (path + LOG))
        )
    ends = np.flatnonzero(frames.commits[wrong:] & ours) + wrong
    later = [end for end in ends[1:] if frames.follows[end]]
    if later if head.is_whole else ends.size:
        raise FlqError(
            "the log %s is damaged at byte %d, and later transactions cannot be read"
            % (path + LOG, LOG_HEAD + wrong * (FRAME_HEAD + head.page_size) if head.is_whole else 0),
            "restore the folder of the run from a backup; or delete this file, and the run resumes from its "
            "newest snapshot, without later changes",
        )
    return (
        "the last transaction in the log %s is incomplete and left out: the power failed while it was written, before "
        "any reply; or the file is damaged" % (path + LOG)
    )


def _head_of(stream: BinaryIO) -> Optional[_Head]:
    stream.seek(0)
    raw = stream.read(LOG_HEAD)
    if len(raw) < LOG_HEAD:
        return None
    magic, version, page_size, _, *salts_and_sums = struct.unpack(">8I", raw)
    is_big_endian = bool(magic & 1) if magic | 1 == MAGIC | 1 else sys.byteorder == "big"
    words = np.frombuffer(raw[:24], ">u4" if is_big_endian else "<u4").astype(np.uint32)
    first, second = _weights(3) @ words
    is_whole = (
        magic | 1 == MAGIC | 1 and page_size in PAGE_SIZES and (int(first), int(second)) == tuple(salts_and_sums[2:])
    )
    return _Head(
        is_whole,
        page_size if page_size in PAGE_SIZES else USUAL_PAGE,
        is_big_endian,
        tuple(salts_and_sums[:2]),
        tuple(salts_and_sums[2:]),
    )


def _frames_of(stream: BinaryIO, head: _Head) -> _Frames:
    """Read all complete frames; each checksum is compared given the previous frame's, as stored in the file."""
    size = FRAME_HEAD + head.page_size
    n_steps = (8 + head.page_size) // 8
    weights, start = _weights(n_steps), _powers(n_steps)[-1]
    before = np.array([head.checksum], np.uint32)
    parts: List[Tuple[np.ndarray, ...]] = []
    stream.seek(LOG_HEAD)
    while True:
        block = stream.read(max(1, BLOCK_BYTES // size) * size)
        n_frames = len(block) // size
        if not n_frames:
            break
        raw = np.frombuffer(block, np.uint8, n_frames * size).reshape(n_frames, size)
        fields = np.ascontiguousarray(raw[:, :FRAME_HEAD]).view(">u4").astype(np.uint32)
        covered = np.concatenate((raw[:, :8], raw[:, FRAME_HEAD:]), axis=1)
        words = covered.view(">u4" if head.is_big_endian else "<u4").astype(np.uint32)
        sums = fields[:, 4:]
        before = np.concatenate((before, sums))
        expected = before[:-1] @ start.T + words @ weights.T
        is_same = fields[:, 2:4] == np.array(head.salts, np.uint32)
        is_used = fields[:, 0] != 0  # the number of its page
        parts.append(
            (
                is_used,
                fields[:, 1] != 0,
                is_used & (is_same.all(axis=1) if head.is_whole else is_same.any(axis=1)),
                (expected == sums).all(axis=1),
            )
        )
        before = before[-1:]
    return (
        _Frames(*(np.concatenate(columns) for columns in zip(*parts)))
        if parts
        else _Frames(*(np.zeros(0, bool) for _ in _Frames._fields))
    )


def _powers(n_steps: int) -> np.ndarray:
    """Return the powers 0 .. n_steps of the step's matrix, (s, t) -> (s + t, s + 2 t), modulo 2**32."""
    powers: List[Tuple[int, ...]] = [(1, 0, 0, 1)]
    for _ in range(n_steps):
        a, b, c, d = powers[-1]
        powers.append(tuple(value & 0xFFFFFFFF for value in (a + c, b + d, a + 2 * c, b + 2 * d)))
    return np.array(powers, np.uint32).reshape(-1, 2, 2)


def _weights(n_steps: int) -> np.ndarray:
    """Return the weight of each of the 2 n_steps words in both sums, shape (2, 2 n_steps).

    A step reads two words x, y: s += x + t, then t += y + s.
    """
    per_step = _powers(n_steps)[:-1][::-1] @ np.array([[1, 0], [1, 1]], np.uint32)  # (steps, sums, words)
    return np.ascontiguousarray(per_step.transpose(1, 0, 2).reshape(2, -1))
