"""Counts of real traffic: payload bits and frame bytes, both directions, and repeats."""

import operator
from typing import NamedTuple


class Traffic(NamedTuple):
    """Counts of frames. A frame that is sent again counts in ``retransmitted_bytes`` alone."""

    payload_bits_up: int = 0
    payload_bits_down: int = 0
    frame_bytes_up: int = 0
    frame_bytes_down: int = 0
    retransmitted_bytes: int = 0

    def plus(self, other: "Traffic") -> "Traffic":
        """Return the sum of two counts."""
        return Traffic(*map(operator.add, self, other))


def received(frame_bytes: int, payload_bits: int, repeated: bool) -> Traffic:
    """Count a frame from a worker."""
    if repeated:
        return Traffic(retransmitted_bytes=frame_bytes)
    return Traffic(payload_bits_up=payload_bits, frame_bytes_up=frame_bytes)


def sent(frame_bytes: int, payload_bits: int, repeated: bool) -> Traffic:
    """Count frames to a worker."""
    if repeated:
        return Traffic(retransmitted_bytes=frame_bytes)
    return Traffic(payload_bits_down=payload_bits, frame_bytes_down=frame_bytes)
