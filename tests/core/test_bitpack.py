"""Codes <-> packed bytes, against a bit string kept as one Python integer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core.codecs.bitpack import has_all_ones, pack, packed_size, unpack
from flq.core.layout import BLOCK

BITS = range(1, 9)


def as_bit_string(codes, bits):
    """Code i is the bits i*b .. i*b+b-1 of a little-endian number."""
    number = sum(int(code) << (i * bits) for i, code in enumerate(codes))
    return number.to_bytes((len(codes) * bits + 7) // 8, "little")


@pytest.mark.parametrize(
    "codes, bits, packed",
    [
        ([1, 0, 1, 1, 0, 0, 0, 1, 1], 1, [0b10001101, 0b1]),
        ([0, 1, 2, 3, 2], 2, [0b11100100, 0b10]),
        ([1, 2, 3], 3, [0b11010001, 0b0]),
        ([1, 2, 3], 4, [0x21, 0x03]),
        ([31, 0, 31], 5, [0b00011111, 0b01111100]),
        ([63, 1], 6, [0b01111111, 0b0000]),
        ([127, 1], 7, [0b11111111, 0b0]),
        ([255, 1], 8, [255, 1]),
    ],
)
def test_literal_bytes(codes, bits, packed):
    assert pack(np.array(codes, np.uint8), bits).tolist() == packed


@given(bits=st.sampled_from(BITS), raw=st.binary(max_size=70))
def test_packing_is_the_little_endian_bit_string_and_unpacking_undoes_it(bits, raw):
    codes = np.frombuffer(raw, np.uint8) & np.uint8(2**bits - 1)
    before = codes.copy()
    packed = pack(codes, bits)
    assert packed.dtype == np.uint8
    assert packed.tobytes() == as_bit_string(codes, bits)
    unpacked = unpack(packed, codes.size, bits)
    assert unpacked.dtype == np.uint8 and unpacked.tolist() == codes.tolist()
    assert codes.tolist() == before.tolist() and packed.tobytes() == as_bit_string(codes, bits)  # inputs as they were


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("n_codes", [0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, BLOCK - 1, BLOCK, BLOCK + 1])
def test_all_lengths_around_words_and_blocks(bits, n_codes):
    codes = (np.arange(n_codes, dtype=np.int64) * 2654435761 >> 7).astype(np.uint8) & np.uint8(2**bits - 1)
    packed = pack(codes, bits)
    assert packed.size == packed_size(n_codes, bits) == -(-n_codes * bits // 8)
    assert np.array_equal(unpack(packed, n_codes, bits), codes)
    tail = codes[n_codes // 8 * 8 :]  # eight codes end on a byte: the rest is packed on its own
    assert packed[n_codes // 8 * bits :].tobytes() == as_bit_string(tail, bits)


@pytest.mark.parametrize("bits", BITS)
def test_largest_codes_fill_every_bit(bits):
    assert pack(np.full(16, 2**bits - 1, np.uint8), bits).tolist() == [255] * (2 * bits)


@pytest.mark.parametrize("bits", BITS)
def test_packing_returns_new_memory(bits):
    codes = np.ones(16, np.uint8)
    packed = pack(codes, bits)
    unpacked = unpack(packed, 16, bits)
    assert not np.shares_memory(packed, codes) and not np.shares_memory(unpacked, packed)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("n_codes", [1, 2, 5, 8, 11, 64])
def test_a_code_of_ones_is_found_wherever_it_is_and_neighbours_are_not_taken_for_one(bits, n_codes):
    largest = 2**bits - 1
    for others in {0, largest >> 1, largest - 1}:  # ones up to a neighbour's border, on either side
        codes = np.full(n_codes, others, np.uint8)
        assert has_all_ones(pack(codes, bits), n_codes, bits) == (others == largest)
        for place in range(n_codes):
            codes[:] = others
            codes[place] = largest
            assert has_all_ones(pack(codes, bits), n_codes, bits)
