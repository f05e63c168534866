"""Compares the coded size of payloads with the entropy of their codes.

    FLQ_DATA_DIR=DATA .venv/bin/python -m benchmarks.entropy

The updates are real: those of a worker with cnn_small on a tenth of Fashion-MNIST, after one local epoch and after a
second one. The entropy is of order 0, over one histogram of all codes of a payload: a bound for coders without other
knowledge, not counting their table. Scales are excluded on both sides.
"""

from typing import List

import numpy as np

from benchmarks.lowrank import SETTINGS
from benchmarks.timing import table
from flq.config_file import load_config
from flq.core.codecs import LOWRANK, QUANTIZERS, Payload, lowrank_payload
from flq.core.codecs.bitpack import packed_size, unpack
from flq.core.codecs.lossless import code, known
from flq.core.layout import Layout, Vector
from flq.training.datasets import resolve_dataset
from flq.training.frameworks import make_task
from flq.training.task import Trainer

BITS = (1, 2, 3, 4, 8)
SIZES = (1000, 1500, 2000, 4000)  # of lowrank, bytes


def entropy_bytes(numbers: np.ndarray) -> float:
    """Return the order-0 entropy of all numbers together, in bytes."""
    counts = np.unique(numbers, return_counts=True)[1]
    return float(np.sum(counts * np.log2(numbers.size / counts)) / 8)


def codes_of(payload: Payload, layout: Layout, bits: int) -> np.ndarray:
    """Return the codes of a fixed-bit payload, of all tensors together."""
    codes, start = [], 4 * len(layout.tensors)
    for tensor in layout.tensors:
        stop = start + packed_size(tensor.size, bits)
        codes.append(unpack(payload[start:stop], tensor.size, bits))
        start = stop
    return np.concatenate(codes)


def fixed(name: str, update: Vector, layout: Layout) -> List[List[object]]:
    """Return a row for each number of bits and each coding."""
    rows = []
    for bits in BITS:
        payload = QUANTIZERS[bits].encode(update, layout)
        n_scales, least = 4 * len(layout.tensors), entropy_bytes(codes_of(payload, layout, bits))
        for coding in known():
            coded = code(payload, bits, (coding,))
            sent = payload.size if coded is None else coded.data.size
            rows.append(["%s, %d bits, %s" % (name, bits, coding), payload.size, sent, (sent - n_scales) / least])
    return rows


def lowrank(name: str, update: Vector, layout: Layout) -> List[List[object]]:
    """Return a row for each size."""
    rows = []
    for size in SIZES:
        payload = QUANTIZERS[LOWRANK].encode(update, layout, limit=size)
        parts = lowrank_payload.parse(payload, layout)
        numbers = [side.ravel() for part in parts for side in (part.left, part.right) if side is not None]
        n_scales = 4 + sum(2 if part.right is None else 1 + len(part.gammas) for part in parts)
        ratio = (payload.size - n_scales) / entropy_bytes(np.concatenate(numbers))
        rows.append(["%s, lowrank" % name, size, payload.size, ratio])
    return rows


def main() -> None:
    """Measure and print."""
    settings = resolve_dataset(load_config(None, SETTINGS))
    task = make_task(settings)
    layout, start = task.layout, task.start()
    trainer = Trainer(task, 0)
    rows = []
    for round_index in (1, 2):
        update = trainer.local_update(start, round_index).update
        start = start - update
        name = "epoch %d" % round_index
        rows += fixed(name, update, layout) + lowrank(name, update, layout)
    print(table(["", "bytes", "coded", "to entropy"], rows))


if __name__ == "__main__":
    main()
