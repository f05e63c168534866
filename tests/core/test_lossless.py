"""Lossless coding of payloads: round trips, and rejection of all other bytes."""

import zlib

import numpy as np
import pytest

from flq.core.codecs import QUANTIZERS, lossless
from flq.core.codecs.lossless import SMALL, ZLIB, ZSTD, Coded, choose, code, common, known, sent_size, uncode
from flq.core.layout import Layout, Tensor
from flq.errors import CodecError, Conflict

BITS = [1, 2, 3, 4, 5, 6, 7, 8, 32]
zstd = pytest.mark.skipif("zstd" not in known(), reason="zstandard is not installed")
each_coding = pytest.mark.parametrize("name", ["zlib", pytest.param("zstd", marks=zstd)])


def payload(bits, n=20000):
    """The payload of an update most of which is near zero, as they are."""
    layout = Layout((Tensor("kernel", (n - 17,)), Tensor("bias", (17,))))
    vector = np.random.Generator(np.random.Philox(bits)).standard_normal(n).astype(np.float32) ** 3
    return QUANTIZERS[bits].encode(vector, layout)


@each_coding
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("n", [18, 20000, 90001])
def test_a_coded_payload_decodes_to_itself(name, bits, n):
    before = payload(bits, n)
    coded = code(before, bits, (name,))
    if coded is None:
        assert sent_size(before, bits, (name,)) == before.size
    else:
        assert coded.coding == lossless.NUMBERS[name]
        assert sent_size(before, bits, (name,)) == coded.data.size < before.size
        assert uncode(coded, before.size, bits).tobytes() == before.tobytes()


@each_coding
@pytest.mark.parametrize("bits, most", [(2, 0.2), (3, 0.3), (4, 0.35), (5, 0.6), (8, 0.65), (32, 0.97)])
def test_codes_near_zero_take_few_bytes(name, bits, most):
    before = payload(bits)
    assert sent_size(before, bits, (name,)) < most * before.size


@each_coding
def test_a_payload_is_coded_only_if_that_makes_it_smaller(name):
    noise = np.random.Generator(np.random.Philox(1)).bytes(5000)
    assert code(np.frombuffer(noise, np.uint8), 4, (name,)) is None


def test_nothing_is_coded_without_a_common_coding_or_twice():
    assert code(payload(4), 4, ()) is None and code(payload(4), 0, ("zlib", "zstd")) is None
    with pytest.raises(CodecError, match="coded twice"):
        uncode(code(payload(4), 4, ("zlib",)), payload(4).size, 0)


@pytest.mark.parametrize(
    "n_bytes, names, number",
    [
        (SMALL, ("zlib", "zstd"), ZLIB),
        (SMALL + 1, ("zlib", "zstd"), ZSTD),
        (SMALL + 1, ("zlib",), ZLIB),
        (1, ("zstd",), ZSTD),
        (SMALL + 1, (), 0),
    ],
)
def test_large_payloads_are_coded_fast_where_both_ends_can(n_bytes, names, number):
    assert choose(n_bytes, 4, names) == number


@pytest.mark.parametrize(
    "theirs, auto", [((), ()), (("zlib",), ("zlib",)), (("zstd", "zlib", "lzma"), known()), (("lzma", 5, None), ())]
)
def test_both_ends_use_codings_known_to_both(theirs, auto):
    assert common("auto", theirs) == auto
    assert common("zlib", theirs) == tuple(name for name in auto if name == "zlib")
    assert common("none", theirs) == ()


# -- untrusted input ----------------------------------------------------------------------------


@each_coding
@pytest.mark.parametrize("bits, n", [(4, 2000), (3, 200000)])
def test_only_exactly_the_payload_is_accepted(name, bits, n):
    before = payload(bits, n)
    coded = code(before, bits, (name,))
    extra = np.zeros(1, np.uint8)
    for data in (
        coded.data[:0],
        coded.data[:5],
        coded.data[:-1],
        np.concatenate([coded.data, extra]),
        np.concatenate([coded.data, coded.data]),
        before,
    ):
        with pytest.raises(CodecError):
            uncode(coded._replace(data=data), before.size, bits)
    for n_bytes in (before.size - 1, before.size + 1, 2 * before.size):
        with pytest.raises(CodecError):
            uncode(coded, n_bytes, bits)


@pytest.mark.parametrize("n_bytes", [999, 1000, 1001, 65536])
def test_a_deflate_bomb_is_refused(n_bytes):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = np.frombuffer(compressor.compress(bytes(10**7)) + compressor.flush(), np.uint8)
    with pytest.raises(CodecError, match="to exactly %d bytes" % n_bytes):
        uncode(Coded(ZLIB, bomb), n_bytes, 4)


@zstd
def test_a_zstd_bomb_is_refused():
    block = bytearray.fromhex("020010") + b"\0"  # 128 KiB of zeros, and not the last
    for head in ("28b52ffd a0 e8030000", "28b52ffd a0 00ca9a3b"):  # it says 1000 bytes, or 10^9
        bomb = np.frombuffer(bytearray.fromhex(head.replace(" ", "")) + 1000 * block + b"\1\0\0", np.uint8)
        with pytest.raises(CodecError):
            uncode(Coded(ZSTD, bomb), 1000, 4)


@zstd
def test_a_zstd_frame_that_needs_a_large_window_is_refused():
    import zstandard

    parameters = zstandard.ZstdCompressionParameters(window_log=24, compression_level=1, force_max_window=True)
    large = np.zeros(1 << 25, np.uint8)
    frame = np.frombuffer(zstandard.ZstdCompressor(compression_params=parameters).compress(large), np.uint8)
    with pytest.raises(CodecError):
        uncode(Coded(ZSTD, frame), large.size, 4)


def test_a_coding_that_is_not_installed_is_a_conflict(monkeypatch):
    monkeypatch.setattr(lossless, "_zstandard", lambda: None)
    assert known() == ("zlib",)
    with pytest.raises(Conflict, match="zstd"):
        uncode(Coded(ZSTD, np.zeros(9, np.uint8)), 9, 4)
