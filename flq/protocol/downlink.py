"""The frames that keep the shared copy in step at the workers: encoded once, sent to all.

Delta frames are kept while their chain is cheaper than a keyframe; a keyframe is made only
when somebody needs it, once per version.
"""

from typing import Iterable, List, NamedTuple, Optional, Tuple

from ..core.params import Vector, fingerprint
from ..core.quantize import FLOAT32, QUANTIZERS, Payload
from .messages import Kind, ModelFrame
from .wire import Buffers, Link, encode, size_of


class Chain(NamedTuple):
    """Frames that lead from one version to the newest, one after the other."""

    frames: List[Buffers]
    payload_bits: int


class Downlink:
    """The shared copy as the workers get it.

    Attributes
    ----------
    version, crc : int
        Of the newest shared copy.
    """

    def __init__(self, start: Vector, link: Link) -> None:
        self.version = 0
        self.crc = fingerprint(start)
        self._link = link
        self._shared = start
        self._deltas: List[Buffers] = []  # the newest last; their versions are consecutive
        self._delta_bits = 0
        self._keyframe: Optional[Buffers] = None

    def restart(self, version: int, shared: Vector, codec_id: int, deltas: Iterable[Tuple[int, Payload]]) -> None:
        """Begin at a version; ``deltas`` are those that lead to it, ascending, as far back as they are known."""
        self._deltas = []
        for to_version, delta in deltas:
            self.push(to_version, shared, codec_id, delta)
        self.version, self.crc, self._shared = version, fingerprint(shared), shared

    def push(self, version: int, shared: Vector, codec_id: int, delta: Payload) -> None:
        """Move on to the next version, the one after :attr:`version`."""
        self.version = version
        self.crc = fingerprint(shared)
        self._shared, self._keyframe, self._delta_bits = shared, None, 8 * delta.size
        self._deltas.append(encode(ModelFrame(Kind.DELTA, self.version, codec_id, delta), self._link))
        while len(self._deltas) > 1 and sum(map(size_of, self._deltas)) > shared.nbytes:
            del self._deltas[0]

    @property
    def oldest(self) -> int:
        """The version from which the deltas that are kept lead on."""
        return self.version - len(self._deltas)

    def since(self, have: int) -> Chain:
        """Return the frames that lead on from version ``have``: deltas, or one keyframe; -1 has nothing."""
        behind = self.version - have
        if have >= 0 and 0 <= behind <= len(self._deltas):
            return Chain(self._deltas[len(self._deltas) - behind:], behind * self._delta_bits)
        layout = self._link.layout
        if self._keyframe is None:
            exact = QUANTIZERS[FLOAT32].encode(self._shared, layout)
            self._keyframe = encode(ModelFrame(Kind.KEYFRAME, self.version, FLOAT32, exact), self._link)
        return Chain([self._keyframe], FLOAT32 * layout.n_params)
