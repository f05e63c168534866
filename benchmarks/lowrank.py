"""Measures the codec of mode lowrank: encode and decode, relative to a local epoch on the same core.

    FLQ_DATA_DIR=DATA OPENBLAS_NUM_THREADS=1 .venv/bin/python -m benchmarks.lowrank

Times are CPU seconds of one process. The update of cnn_small is real, from an epoch on a tenth of Fashion-MNIST. The
updates of the larger models are synthetic: they have the models' layouts, and decreasing singular values.
"""

import statistics
import time
from typing import Callable, List, Tuple

import numpy as np

from flq.config_file import load_config
from flq.core import rng
from flq.core.codecs import LOWRANK, QUANTIZERS, decode, lowrank_payload
from flq.core.layout import Layout, Tensor, Vector
from flq.core.lowrank_budget import sizes
from flq.core.settings import rules_from_settings
from flq.training.datasets import resolve_dataset
from flq.training.frameworks import make_task
from flq.training.task import Trainer

SETTINGS = ("dataset=fashion_mnist", "model=cnn_small", "total_workers=10", "min_workers=10", "lr=0.1", "l2=0")
TURNS = 7
RESNET18 = (
    [(3, 3, 3, 64)]
    + [(3, 3, 64, 64)] * 4
    + [(3, 3, 64, 128)]
    + [(3, 3, 128, 128)] * 3
    + [(3, 3, 128, 256)]
    + [(3, 3, 256, 256)] * 3
    + [(3, 3, 256, 512)]
    + [(3, 3, 512, 512)] * 3
    + [(512, 100), (100,)]
)
FLQ_CNN = [
    (3, 3, 1, 32),
    (32,),
    (3, 3, 32, 32),
    (32,),
    (3, 3, 32, 64),
    (64,),
    (3, 3, 64, 64),
    (64,),
    (3136, 128),
    (128,),
    (128, 10),
    (10,),
]


def cpu_s(action: Callable[..., object], *arguments: object) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    action(*arguments)
    return time.process_time() - began


def made_up(shapes: List[Tuple[int, ...]]) -> Tuple[Layout, Vector]:
    """Return a layout, and a vector whose matrices have 20 components of decreasing size, plus noise."""
    layout = Layout(tuple(Tensor("t%d" % i, shape) for i, shape in enumerate(shapes)))
    random, parts = rng.stream(1, 99), []
    for tensor in layout.tensors:
        shape = lowrank_payload.matrix_shape(tensor)
        noise = rng.uniform(tensor.size, random)
        if shape is not None:
            left, right = (rng.uniform(20 * length, random).reshape(20, length) for length in shape)
            noise = 0.2 * noise + (left.T * np.geomspace(1, 0.05, 20)).dot(right).astype(np.float32).ravel()
        parts.append(0.003 * noise)
    return layout, np.concatenate(parts).astype(np.float32)


def measure(name: str, layout: Layout, vector: Vector, epoch_s: float = 0.0) -> None:
    """Print the times of encoding and decoding, also as a share of an epoch."""
    codec = QUANTIZERS[LOWRANK]
    limit = sizes(0.0, 0.0, 10, layout, rules_from_settings(load_config(None))).up
    payloads = [
        codec.encode(vector, layout, limit=limit - 5 * i) for i in range(TURNS)
    ]  # distinct, so that none is cached
    encode_s = statistics.median(cpu_s(lambda: codec.encode(vector, layout, limit=limit)) for _ in range(TURNS))
    decode_s = statistics.median(cpu_s(decode, codec, payload, layout) for payload in payloads)
    share = ""
    if epoch_s:
        share = "; %.2f %% and %.2f %% of an epoch" % (100 * encode_s / epoch_s, 100 * decode_s / epoch_s)
    print(
        "%s: %d parameters, %d bytes, encode %.0f ms, decode %.0f ms%s"
        % (name, layout.n_params, payloads[0].size, 1e3 * encode_s, 1e3 * decode_s, share),
        flush=True,
    )


def main() -> None:
    """Measure."""
    settings = resolve_dataset(load_config(None, SETTINGS))
    task = make_task(settings)
    layout, start = task.layout, task.start()
    trainer = Trainer(task, 0)
    update = trainer.local_update(start, 1).update  # TensorFlow traces
    epoch_s = statistics.median(cpu_s(lambda: trainer.local_update(start, 2)) for _ in range(3))
    measure("cnn_small", layout, update, epoch_s)
    measure("FLQ's cnn", *made_up(FLQ_CNN))
    measure("as ResNet-18", *made_up(RESNET18))


if __name__ == "__main__":
    main()
