"""Layouts, vectors, and the scalars that are computed from them."""

import math
import struct
import zlib

import numpy as np
import pytest

from flq.core.layout import (
    BLOCK,
    Layout,
    Tensor,
    blocks,
    energy,
    fingerprint,
    flatten,
    glorot_limit,
    layout_from_json,
    unflatten,
)
from flq.errors import DataError

LAYOUT = Layout((Tensor("w", (2, 3)), Tensor("b", (3,)), Tensor("s", ())))
ARRAYS = [np.array([[1, 2, 3], [4, 5, 6]]), np.array([7.0, 8.0, 9.0]), np.array(10, np.float16)]


def test_sizes_and_slices_follow_the_shapes():
    assert [tensor.size for tensor in LAYOUT.tensors] == [6, 3, 1]
    assert LAYOUT.n_params == 10
    assert list(LAYOUT.slices()) == [slice(0, 6), slice(6, 9), slice(9, 10)]


def test_flatten_lays_the_arrays_end_to_end_as_float32():
    vector = flatten(ARRAYS, LAYOUT)
    assert vector.dtype == np.float32
    assert vector.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_unflatten_undoes_flatten_without_copying():
    vector = flatten(ARRAYS, LAYOUT)
    parts = unflatten(vector, LAYOUT)
    assert [part.tolist() for part in parts] == [[[1, 2, 3], [4, 5, 6]], [7, 8, 9], 10]
    assert all(np.shares_memory(part, vector) for part in parts)


def test_flatten_copies():
    source = [np.zeros(4, np.float32)]
    vector = flatten(source, Layout((Tensor("w", (4,)),)))
    vector[0] = 1
    assert source[0][0] == 0


@pytest.mark.parametrize("arrays", [ARRAYS[:2], ARRAYS + [np.zeros(1)], [ARRAYS[0].T] + ARRAYS[1:]])
def test_arrays_of_another_number_or_shape_are_refused(arrays):
    with pytest.raises(DataError, match="shapes"):
        flatten(arrays, LAYOUT)


def test_layout_crc_is_that_of_the_compact_json():
    assert LAYOUT.crc == zlib.crc32(b'[["w",[2,3]],["b",[3]],["s",[]]]')


@pytest.mark.parametrize(
    "other",
    [
        Layout((Tensor("w", (3, 2)),) + LAYOUT.tensors[1:]),
        Layout((Tensor("v", (2, 3)),) + LAYOUT.tensors[1:]),
        Layout(LAYOUT.tensors[::-1]),
        Layout(LAYOUT.tensors[:2]),
    ],
)
def test_layout_crc_sees_shapes_names_order_and_number(other):
    assert other.crc != LAYOUT.crc


def test_layout_survives_json():
    assert layout_from_json(LAYOUT.to_json()) == LAYOUT


@pytest.mark.parametrize("row", [["w"], ["w", 3], ["w", ["x"]], ["w", [0]], ["w", [2, -1]], None, 7])
def test_impossible_layout_rows_are_refused(row):
    with pytest.raises(DataError):
        layout_from_json([["ok", [1]], row])


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_blocks_cover_the_range_once_and_in_order(size):
    parts = list(blocks(size))
    assert [i for part in parts for i in (part.start, part.stop)] == sorted(
        2 * list(range(BLOCK, size, BLOCK)) + ([0, size] if size else [])
    )
    assert all(0 < part.stop - part.start <= BLOCK for part in parts)


def test_energy_is_the_squared_norm():
    assert energy(np.array([3, -4], np.float32)) == 25.0
    assert energy(np.zeros(0, np.float32)) == 0.0


def test_energy_sums_in_float64_over_all_blocks():
    vector = np.full(2 * BLOCK + 1, 3.0, np.float32)
    vector[-1] = 1e-3
    assert energy(vector) == 2 * BLOCK * 9.0 + float(np.float32(1e-3)) ** 2
    assert energy(np.full(2, 3e38, np.float32)) == 2 * float(np.float32(3e38)) ** 2  # float32 would overflow


def test_the_fingerprint_of_a_short_vector_is_the_crc_of_its_little_endian_bytes():
    vector = np.array([1.0, -2.5, 0.0], np.float32)
    assert fingerprint(vector) == zlib.crc32(struct.pack("<3f", 1.0, -2.5, 0.0))
    assert fingerprint(np.repeat(vector, 2)[::2]) == fingerprint(vector)  # not contiguous
    assert fingerprint(np.array([1.0, -2.5, -0.0], np.float32)) != fingerprint(vector)  # bits, not values


def test_a_fingerprint_is_the_crc_of_column_sums_row_sums_and_the_rest():
    size = BLOCK + 2 * 1024 + 3
    vector = np.random.Generator(np.random.Philox(7)).standard_normal(size).astype(np.float32)
    stream = b""
    for block in (vector[:BLOCK], vector[BLOCK:]):
        words = struct.unpack("<%dQ" % (block.size // 1024 * 512), block[: block.size // 1024 * 1024].tobytes())
        rows = [words[i : i + 512] for i in range(0, len(words), 512)]
        sums = [sum(column) % 2**64 for column in zip(*rows)] + [sum(row) % 2**64 for row in rows]
        stream += struct.pack("<%dQ" % len(sums), *sums) + block[block.size // 1024 * 1024 :].tobytes()
    assert fingerprint(vector) == zlib.crc32(stream)


def test_a_fingerprint_sees_opposite_changes_in_one_row_or_in_one_column():
    vector = np.ones(4096, np.float32)
    known, up, down = (
        {fingerprint(vector)},
        np.nextafter(np.float32(1), np.float32(2)),
        np.nextafter(np.float32(1), np.float32(0)),
    )
    for changes in (
        [(5, up)],
        [(5, up), (7, down)],
        [(5, up), (5 + 1024, down)],
        [(5, up), (7, down), (1029, down)],
        [(4095, -0.0)],
    ):
        changed = vector.copy()
        for index, value in changes:
            changed[index] = value
        known.add(fingerprint(changed))
    assert len(known) == 6


@pytest.mark.parametrize("shape, fans", [((200, 10), 210), ((5, 5, 1, 16), 25 * 17), ((3, 4, 7), 3 * 11)])
def test_glorot_limit_counts_inputs_outputs_and_receptive_field(shape, fans):
    assert glorot_limit(shape) == pytest.approx(math.sqrt(6 / fans), rel=1e-15)


def test_a_changed_layout_recomputes_derived_values():
    layout = Layout((Tensor("w", (2, 3)), Tensor("mean", (4,))), 1)
    assert (layout.n_params, layout.n_trained, layout.trained) == (10, 6, Layout((Tensor("w", (2, 3)),)))
    changed = layout._replace(n_statistics=0)
    assert (changed.n_trained, changed.trained) == (10, changed) and changed.crc != layout.crc


def test_constants_come_before_the_statistics_and_have_their_kind_in_json():
    layout = Layout((Tensor("w", (2, 3)), Tensor("table", (4,)), Tensor("mean", (5,))), 1, 1)
    assert (layout.n_params, layout.n_trained, layout.n_exact) == (15, 6, 5)
    assert (layout.constants, layout.statistics) == (slice(6, 10), slice(10, 15))
    assert layout.trained == Layout((Tensor("w", (2, 3)),))
    assert layout.to_json() == [["w", [2, 3]], ["table", [4], "constant"], ["mean", [5], "statistic"]]
    assert layout_from_json(layout.to_json()) == layout
    assert (
        len({layout.crc, layout._replace(n_constants=0).crc, layout._replace(n_constants=0, n_statistics=2).crc}) == 3
    )


@pytest.mark.parametrize(
    "kinds, text",
    [
        (["statistic", "constant"], "must be the last tensors of a layout, got .*'constant'"),
        (["constant", None], "must be the last tensors"),
        (["frozen"], "must be .name, .extent"),
    ],
)
def test_kinds_in_another_order_or_unknown_are_refused(kinds, text):
    rows = [["t%d" % i, [2]] + ([kind] if kind else []) for i, kind in enumerate(kinds)]
    with pytest.raises(DataError, match=text):
        layout_from_json(rows)
