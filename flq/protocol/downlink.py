"""The frames that keep the workers' shared copies up to date: encoded once, sent to all.

Delta frames are kept while their chain is smaller than a keyframe; a keyframe is made on demand, once per version.
Each frame is coded on demand, once per coding.
"""

from typing import Collection, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..core.codecs import FLOAT32, QUANTIZERS, Payload
from ..core.codecs.lossless import choose, code
from ..core.layout import Vector, fingerprint
from .messages import Kind, ModelFrame
from .wire import PREFIX_SIZE, Buffers, Link, encode


class Chain(NamedTuple):
    """Frames that lead from one version to the newest, in order."""

    frames: List[Buffers]
    payload_bits: int


class _Step:
    """A model frame, and its encodings."""

    def __init__(self, message: ModelFrame, link: Link) -> None:
        self.size = PREFIX_SIZE + message.payload.size
        self._message, self._link = message, link
        self._made: Dict[int, Tuple[Buffers, int]] = {}  # by coding

    def frame(self, codings: Collection[str]) -> Tuple[Buffers, int]:
        """Return the frame for a worker that reads these codings, and the bits of its payload."""
        payload, bits = self._message.payload, QUANTIZERS[self._message.codec_id].bits
        coding = choose(payload.size, bits, codings)
        if coding not in self._made:
            message = self._message._replace(coded=code(payload, bits, codings))
            self._made[coding] = encode(message, self._link), 8 * message.sent.size
        return self._made[coding]


class Downlink:
    """The shared copy, and the frames that lead to it.

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
        self._deltas: List[_Step] = []  # the newest last; their versions are consecutive
        self._keyframe: Optional[_Step] = None

    def resume(self, version: int, shared: Vector, codec_id: int, deltas: Iterable[Tuple[int, Payload]]) -> None:
        """Restore a version; ``deltas`` are the known ones that lead to it, ascending."""
        self._deltas = []
        for to_version, delta in deltas:
            self.push(to_version, shared, codec_id, delta)
        self.version, self.crc, self._shared = version, fingerprint(shared), shared

    def push(self, version: int, shared: Vector, codec_id: int, delta: Payload) -> None:
        """Move to the next version, the one after :attr:`version`."""
        self.version = version
        self.crc = fingerprint(shared)
        self._shared, self._keyframe = shared, None
        self._deltas.append(_Step(ModelFrame(Kind.DELTA, self.version, codec_id, delta), self._link))
        while len(self._deltas) > 1 and sum(step.size for step in self._deltas) > shared.nbytes:
            del self._deltas[0]

    @property
    def oldest(self) -> int:
        """The version from which the kept deltas lead on."""
        return self.version - len(self._deltas)

    def since(self, have: int, codings: Collection[str] = ()) -> Chain:
        """Return the frames from version ``have`` (-1: none) to the newest: deltas, or one keyframe.

        Parameters
        ----------
        codings : collection of str
            The codings that the worker reads.
        """
        behind = self.version - have
        if have >= 0 and 0 <= behind <= len(self._deltas):
            steps = self._deltas[len(self._deltas) - behind :]
        else:
            if self._keyframe is None:
                exact = QUANTIZERS[FLOAT32].encode(self._shared, self._link.layout)
                self._keyframe = _Step(ModelFrame(Kind.KEYFRAME, self.version, FLOAT32, exact), self._link)
            steps = [self._keyframe]
        made = [step.frame(codings) for step in steps]
        return Chain([frame for frame, _ in made], sum(bits for _, bits in made))
