"""An entropy coder (rANS): symbols of known distributions <-> about as many bits as they carry.

Range asymmetric numeral systems. Each symbol is one of 16 and has a distribution of its own, a row of integers that
sum to 4096, which both ends know. Nothing adapts, so that the order of the symbols does not matter and many can be
coded at a time. A lane is a 32-bit state that takes every n-th symbol and emits 16-bit words. Up to 131,071 symbols use
one lane, on which plain Python is faster than numpy; more use one lane per 4096 symbols, and numpy processes all lanes
together.

Only integers are involved, so that every machine makes the same bytes. A stream is the final
states of the lanes (u32), then the words in the order in which they are read (u16), all little-endian.

Source: Duda 2013, arXiv:1311.2540; interleaved lanes as in Giesen 2014, arXiv:1402.3392.

>>> tables = tables_of(np.array([[4000, 32] + [4] * 13 + [12]]))
>>> stream = encode(np.array([0, 0, 1, 0], np.uint8), np.zeros(4, np.uint8), tables)
>>> stream.size
4
>>> decode(stream, np.zeros(4, np.uint8), tables)[0]
array([0, 0, 1, 0], dtype=uint8)
"""

from typing import List, NamedTuple, Tuple

import numpy as np

from ...errors import CodecError

N_SYMBOLS = 16
SCALE_BITS = 12  # a distribution sums to 2**12
LOW = 1 << 16  # a state is in LOW .. 2**32 - 1
SYMBOLS_PER_LANE = 4096
MOST_IN_ONE_LANE = 2**17 - 1


class Tables(NamedTuple):
    """Symbol distributions.

    Attributes
    ----------
    frequencies, sums : ndarray of shape (n_tables, 16), int64
        The frequency of each symbol, and of all before it together.
    symbols : ndarray of shape (n_tables, 4096), uint8
        The symbol of each slot.
    """

    frequencies: np.ndarray
    sums: np.ndarray
    symbols: np.ndarray


def tables_of(frequencies: np.ndarray) -> Tables:
    """Return the tables of the distributions.

    Parameters
    ----------
    frequencies : ndarray of shape (n_tables, 16), integers
        Each at least 1; each row sums to 4096.
    """
    frequencies = np.asarray(frequencies, np.int64)
    symbols = np.array([np.repeat(np.arange(N_SYMBOLS, dtype=np.uint8), row) for row in frequencies])
    return Tables(frequencies, np.cumsum(frequencies, axis=1) - frequencies, symbols)


def n_lanes(n_symbols: int) -> int:
    """Return the number of lanes, which follows from the number of symbols."""
    return 1 if n_symbols <= MOST_IN_ONE_LANE else n_symbols // SYMBOLS_PER_LANE


def encode(symbols: np.ndarray, which: np.ndarray, tables: Tables) -> np.ndarray:
    """Encode symbols.

    Parameters
    ----------
    symbols : ndarray of shape (n,), uint8
        Each below 16.
    which : ndarray of shape (n,), integers
        The table of each symbol.
    tables : Tables

    Returns
    -------
    ndarray of uint8
    """
    frequencies, sums = tables.frequencies[which, symbols], tables.sums[which, symbols]
    if n_lanes(symbols.size) == 1:
        states, words = _encode_in_one_lane(frequencies.tolist(), sums.tolist())
    else:
        states, words = _encode_in_lanes(frequencies, sums, n_lanes(symbols.size))
    return np.concatenate([np.asarray(states, "<u4").view(np.uint8), np.asarray(words, "<u2").view(np.uint8)])


def _encode_in_one_lane(frequencies: List[int], sums: List[int]) -> Tuple[np.ndarray, np.ndarray]:
    state, words = LOW, []
    for frequency, below in zip(reversed(frequencies), reversed(sums)):
        if state >= frequency << (32 - SCALE_BITS):
            words.append(state & 0xFFFF)
            state >>= 16
        state = (state // frequency << SCALE_BITS) + state % frequency + below
    words.reverse()
    return np.array([state], "<u4"), np.array(words, "<u2")


def _encode_in_lanes(frequencies: np.ndarray, sums: np.ndarray, lanes: int) -> Tuple[np.ndarray, np.ndarray]:
    states, pieces = np.full(lanes, LOW, np.int64), []
    for start in reversed(range(0, frequencies.size, lanes)):
        frequency, below = frequencies[start : start + lanes], sums[start : start + lanes]
        now = states[: frequency.size]  # the last step may not fill all lanes
        is_full = now >= frequency << (32 - SCALE_BITS)
        pieces.append(now[is_full] & 0xFFFF)
        now[is_full] >>= 16
        quotient, rest = np.divmod(now, frequency)
        now[:] = (quotient << SCALE_BITS) + rest + below
    return states, np.concatenate(pieces[::-1])


def decode(stream: np.ndarray, which: np.ndarray, tables: Tables) -> Tuple[np.ndarray, int]:
    """Decode one symbol per entry of ``which``.

    Parameters
    ----------
    stream : ndarray of uint8
        The result of :func:`encode`; more may follow.
    which : ndarray of shape (n,), integers
        The table of each symbol.
    tables : Tables

    Returns
    -------
    symbols : ndarray of shape (n,), uint8
    end : int
        Number of bytes read.

    Raises
    ------
    CodecError
        If the stream is truncated, or no symbols encode to it.
    """
    lanes = n_lanes(which.size)
    if stream.size < 4 * lanes:
        raise CodecError(
            "the coded symbols are truncated: got %d bytes, expected at least %d" % (stream.size, 4 * lanes)
        )
    states = stream[: 4 * lanes].view("<u4").astype(np.int64)
    n_words = min((stream.size - 4 * lanes) // 2, which.size)  # a symbol reads at most one
    words = stream[4 * lanes : 4 * lanes + 2 * n_words].view("<u2").astype(np.int64)
    symbols, n_words, states = (_decode_in_one_lane if lanes == 1 else _decode_in_lanes)(states, words, which, tables)
    if (states != LOW).any():
        raise CodecError("the coded symbols are corrupted: the decoder does not end in the encoder's initial state")
    return symbols, 4 * lanes + 2 * n_words


def _decode_in_one_lane(
    states: np.ndarray, words: np.ndarray, which: np.ndarray, tables: Tables
) -> Tuple[np.ndarray, int, np.ndarray]:
    state, symbols, at, words = int(states[0]), bytearray(which.size), 0, words.tolist()
    frequencies, sums = tables.frequencies.tolist(), tables.sums.tolist()
    symbol_of = memoryview(tables.symbols.ravel())
    for i, table in enumerate(which.tolist()):
        slot = state & (1 << SCALE_BITS) - 1
        symbol = symbols[i] = symbol_of[table << SCALE_BITS | slot]
        state = frequencies[table][symbol] * (state >> SCALE_BITS) + slot - sums[table][symbol]
        if state < LOW:
            if at == len(words):
                raise _truncated()
            state = state << 16 | words[at]
            at += 1
    return np.frombuffer(symbols, np.uint8), at, np.array([state])


def _decode_in_lanes(
    states: np.ndarray, words: np.ndarray, which: np.ndarray, tables: Tables
) -> Tuple[np.ndarray, int, np.ndarray]:
    symbols, at, lanes = np.empty(which.size, np.uint8), 0, states.size
    for start in range(0, which.size, lanes):
        table = which[start : start + lanes]
        now = states[: table.size]
        slot = now & (1 << SCALE_BITS) - 1
        symbol = tables.symbols[table, slot]
        symbols[start : start + lanes] = symbol
        now[:] = tables.frequencies[table, symbol] * (now >> SCALE_BITS) + slot - tables.sums[table, symbol]
        is_empty = np.flatnonzero(now < LOW)
        if at + is_empty.size > words.size:
            raise _truncated()
        now[is_empty] = now[is_empty] << 16 | words[at : at + is_empty.size]
        at += is_empty.size
    return symbols, at, states


def _truncated() -> CodecError:
    return CodecError("the coded symbols are truncated: words are missing at the end")
