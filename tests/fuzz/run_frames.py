"""Decodes any number of fuzzed frames, and prints the outcomes.

    python tests/fuzz/run_frames.py --n 1000000 --seed 1

The exit code is 1 if one was neither a message nor rejected with 4xx; that one is printed in hexadecimal.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import frames  # noqa: E402


def run(n, seed, report=lambda done: None):
    """Return the number of each outcome over ``n`` frames.

    Raises
    ------
    AssertionError
        If an input gives an unexpected result; the message contains the input.
    """
    source, outcomes = frames.Frames(Random(seed)), Counter()
    for number in range(n):
        link, data, is_stream = source.fuzzed()
        try:
            outcomes[frames.judge(data, link, is_stream)] += 1
        except Exception as error:
            kind = "stream" if is_stream else "frame"
            raise AssertionError(
                "%s %d of seed %d, layout %d: %s: %r"
                % (kind, number, seed, frames.LINKS.index(link), data.hex(), error)
            ) from error
        if number % 50000 == 49999:
            report(number + 1)
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    started = time.perf_counter()
    try:
        outcomes = run(args.n, args.seed, lambda done: print("%d frames" % done, flush=True))
    except AssertionError as error:
        print(error)
        return 1
    seconds = time.perf_counter() - started
    for name, count in outcomes.most_common():
        print("%9d %s" % (count, name))
    print("%d frames, none of them crashes; %.0f a second" % (args.n, args.n / seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
