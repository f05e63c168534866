"""Fuzzes frames guided by coverage: atheris observes which lines of the decoder an input reaches.

It is run by hand, in its own environment (Python 3.11 to 3.13):

    python -m venv /tmp/atheris && /tmp/atheris/bin/pip install atheris==3.0.0 numpy
    nice /tmp/atheris/bin/python tests/fuzz/atheris_frames.py -max_total_time=300 -max_len=400 FOLDER

FOLDER keeps the inputs that reach new lines; it is filled with valid frames first. The first byte of an input selects
the layout, whether it is a stream, and whether its CRC32 and length are corrected before it is decoded, since no fuzzer
guesses a checksum. A crash leaves a file crash-*; the same command with that file instead of FOLDER decodes it again.
"""

import sys
from pathlib import Path
from random import Random

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["flq.protocol.wire", "flq.core", "flq.errors"]):
    import damage
    import frames

IS_STREAM, WITH_CRC, WITH_LENGTH = 4, 8, 16  # above the number of the layout


def decode_one(data):
    """Decode one input; anything that is neither a message nor rejected is a finding."""
    if not data:
        return
    link, frame = frames.LINKS[(data[0] & 3) % len(frames.LINKS)], bytearray(data[1:])
    if data[0] & WITH_LENGTH:
        damage.fix_length(None, frame)
    frames.judge(damage.seal(frame) if data[0] & WITH_CRC else frame, link, bool(data[0] & IS_STREAM))


def fill(folder):
    """Write frames to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    source = frames.Frames(Random(1))
    for number in range(300):
        link = frames.LINKS[number % len(frames.LINKS)]
        is_stream = number % 5 == 0
        data = source.stream(link) if is_stream else source.valid(link)
        first = number % len(frames.LINKS) + WITH_CRC * (number % 2) + IS_STREAM * is_stream
        (folder / ("frame%d" % number)).write_bytes(bytes([first]) + data)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if not argument.startswith("-") and not Path(argument).is_file():
            fill(Path(argument))
    atheris.Setup(sys.argv, decode_one)
    atheris.Fuzz()
