"""Measures the speed of the codecs, in GB/s of float32 and relative to copying in the same run.

    python -m benchmarks.codec                        all codecs, 10 million parameters in 4 tensors
    python -m benchmarks.codec --codecs 1 2 4 8       some
    python -m benchmarks.codec --json codec.json      the numbers, for another program

Each turn times np.copyto and then, for each codec, ``encode``, ``encode`` with the resulting residual, ``add_to``
(decode and accumulate) and ``check`` (the validation by the receiver). Codec 9 is laq8, 16 + b is laq with b bits, 32
is float32, the others are numbers of bits; benchmarks.lowrank measures lowrank. The result is the median, over the
turns, of the ratio of the copy time to the codec's time in the same turn, because other load on the machine slows both.
Times are CPU times of a single thread.
"""

import argparse
import json
import statistics
from typing import Any, Callable, Dict, List

import numpy as np

from benchmarks.timing import median_ratio, table, take_turns
from flq.core.codecs import QUANTIZERS, Codec
from flq.core.layout import Layout, Tensor, Vector
from flq.core.rng import ROUNDING, stream

COPY = "np.copyto"
TENSORS = 4
# Ratios to copying that blocked numpy reached in one thread on another machine (encode, decode and accumulate).
AIMS = {"1": (6.6, 12.3), "2": (5.0, 9.3), "4": (4.0, 7.0), "8": (6.7, 8.0)}
COPY_OF_AIMS = 13.8


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure the speed of the codecs.")
    flags.add_argument("--dim", type=int, default=10**7, help="number of parameters (default: %(default)s)")
    flags.add_argument("--repeats", type=int, default=9, help="timed turns (default: %(default)s)")
    codecs = sorted(codec_id for codec_id, codec in QUANTIZERS.items() if codec.bits)  # lowrank needs a limit
    flags.add_argument("--codecs", type=int, nargs="*", choices=codecs, default=codecs)
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    return flags.parse_args()


def measure(dim: int, repeats: int, codecs: List[int]) -> List[Dict[str, Any]]:
    """Return one row per codec and action: GB/s at best and in the median, and the ratio to copying."""
    layout = Layout(tuple(Tensor("t%d" % i, (dim // TENSORS,)) for i in range(TENSORS)))
    vector = np.random.default_rng(1).standard_normal(layout.n_params, np.float32)
    target = np.zeros_like(vector)
    contestants = {COPY: lambda: np.copyto(target, vector)}
    for codec_id in codecs:
        contestants.update(actions(QUANTIZERS[codec_id], vector, target, layout))
    seconds = take_turns(contestants, repeats)
    gigabytes = vector.nbytes / 1e9
    return [
        {
            "name": name,
            "best_gb_s": gigabytes / min(times),
            "median_gb_s": gigabytes / statistics.median(times),
            "to_copy": median_ratio(times, seconds[COPY]),
        }
        for name, times in seconds.items()
    ]


def actions(codec: Codec, vector: Vector, target: Vector, layout: Layout) -> Dict[str, Callable[[], object]]:
    """Return the timed actions of a codec; only stochastic rounding spends time on random numbers."""
    payload = codec.encode(vector, layout, stream(1, ROUNDING))
    return {
        "%d encode" % codec.codec_id: lambda: codec.encode(vector, layout, stream(1, ROUNDING)),
        "%d encode+residual" % codec.codec_id: lambda: codec.encode(vector, layout, stream(1, ROUNDING), target),
        "%d decode-add" % codec.codec_id: lambda: codec.add_to(target, payload, layout, 0.25),
        "%d check" % codec.codec_id: lambda: codec.check(payload, layout),
    }


def aim_of(name: str) -> float:
    """Return the ratio to copying to aim for; NaN = none."""
    codec, _, action = name.partition(" ")
    encode, decode = AIMS.get(codec, (float("nan"),) * 2)
    return {"encode": encode, "decode-add": decode}.get(action, float("nan")) / COPY_OF_AIMS


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    rows = measure(args.dim, args.repeats, args.codecs)
    print("d = %d in %d tensors, %d turns, numpy %s" % (args.dim, TENSORS, args.repeats, np.__version__))
    print(
        table(
            ["codec", "GB/s best", "GB/s median", "to copy", "aim", "of aim"],
            [
                [
                    row["name"],
                    row["best_gb_s"],
                    row["median_gb_s"],
                    row["to_copy"],
                    aim_of(row["name"]),
                    row["to_copy"] / aim_of(row["name"]),
                ]
                for row in rows
            ],
        )
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
