"""The codec interface, the modes of the settings, and helpers that all codecs share."""

from typing import Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import CodecError
from ..layout import BLOCK, Layout, Vector, blocks

Payload = np.ndarray  # (n_bytes,) uint8
Weighted = Sequence[Tuple[Payload, float]]  # payloads and their weights
Noise = Optional[np.random.Philox]


class Codec:
    """A float32 vector <-> the payload bytes of a frame; see ``codecs/__init__.py``.

    Attributes
    ----------
    codec_id : int
        Number on the wire.
    bits : int
        Bits per parameter; 0 = not fixed.
    """

    codec_id: int
    bits: int

    def payload_size(self, layout: Layout) -> int:
        """Return the size in bytes of the largest payload."""
        raise NotImplementedError

    def encode(
        self, vector: Vector, layout: Layout, noise: Noise = None, residual: Optional[Vector] = None, limit: int = 0
    ) -> Payload:
        """Return the payload, uint8.

        Parameters
        ----------
        noise : Philox, optional
            Raw integers of the round and worker, for stochastic rounding.
        residual : ndarray of shape (n_params,), float32, optional
            Set to ``vector`` minus the decoded payload; may be ``vector`` itself. Its values are undefined
            after an error.
        limit : int
            Largest payload in bytes, for codecs without a fixed number of bits.

        Raises
        ------
        CodecError
            If a value is NaN or infinite.
        """
        raise NotImplementedError

    def check(self, payload: Payload, layout: Layout) -> None:
        """Raise CodecError unless some vector encodes to the payload."""
        raise NotImplementedError

    def read(self, payload: Payload, layout: Layout, weight: float, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
        """Yield slice after slice of the trained part, each with weight * its decoded values, float32.

        Payloads of one codec and layout have the same slices. The values lie in ``scratch`` or are read-only, and are
        valid until the next ones are requested.

        Parameters
        ----------
        scratch : ndarray of float32
            As long as the longest slice, and a multiple of 8 unless no tensor is longer.
        """
        raise NotImplementedError

    def add_to(
        self, out: Vector, payload: Payload, layout: Layout, weight: float = 1.0, base: Optional[Vector] = None
    ) -> None:
        """Set ``out`` to ``base`` + ``weight`` * the decoded vector; ``base`` None is ``out`` itself."""
        self.add_all(out, [(payload, weight)], layout, base)

    def add_all(self, out: Vector, weighted: Weighted, layout: Layout, base: Optional[Vector] = None) -> None:
        """Add several payloads, one after the other, in one pass; see :meth:`add_to`."""
        source = out if base is None else base
        scratch = np.empty(min(BLOCK, layout.n_trained), np.float32)
        readers = [self.read(payload, layout, weight, scratch) for payload, weight in weighted]
        for part, values in readers[0]:
            total = np.add(source[part], values, out=out[part])
            for reader in readers[1:]:
                np.add(total, next(reader)[1], out=total)
        if layout.n_constants:
            self._add_constants(
                out[layout.constants], weighted, layout, None if base is None else base[layout.constants]
            )
        if layout.n_statistics:
            exact = [(statistics_of(payload, layout), weight) for payload, weight in weighted]
            add_exact(out[layout.statistics], exact, None if base is None else base[layout.statistics])

    def _add_constants(self, out: Vector, weighted: Weighted, layout: Layout, base: Optional[Vector]) -> None:
        """Add the constants of several payloads; only those of Float32 have any."""
        if base is not None:
            out[:] = base


class Mode(NamedTuple):
    """A value of ``flq_algorithm.mode``: a codec for each ``b_up``, and what goes with them.

    Attributes
    ----------
    meaning : str
        For the documentation, after "Compression of updates: ".
    codecs : mapping
        ``b_up`` -> codec of an upload. With None as the only key, the mode has no ``b_up``; else None is the default.
    memories : tuple of str
        The memories that it admits, the default first; with update gradient flq comes before residual.
    why : str
        Why it admits no others, after "mode ..".
    down : int or None
        Codec of a delta frame if ``b_down`` is null; None = that of uploads.
    is_lazy : bool
        Whether the lazy rule is defined for it.
    aggregator : str
        The default aggregator.
    """

    meaning: str
    codecs: Mapping[Optional[int], Codec]
    memories: Tuple[str, ...] = ("residual", "flq", "mirror", "none")
    why: str = ""
    down: Optional[int] = None
    is_lazy: bool = True
    aggregator: str = "mean"


def statistics_of(payload: Payload, layout: Layout) -> Vector:
    """Return the moving statistics of a payload, float32; every codec puts them last."""
    return payload[payload.size - 4 * layout.n_exact :].view("<f4")


def check_length(payload: Payload, expected: int) -> None:
    """Raise CodecError unless the payload has ``expected`` bytes."""
    if payload.size != expected:
        raise CodecError("the payload has %d bytes, expected %d" % (payload.size, expected))


def check_exact(values: Vector) -> None:
    """Raise CodecError unless every value is finite."""
    is_finite = np.empty(min(BLOCK, values.size), bool)
    for part in blocks(values.size):
        if not np.isfinite(values[part], out=is_finite[: part.stop - part.start]).all():
            raise CodecError("the vector holds NaN or infinite values, expected finite ones")


def add_exact(out: Vector, weighted: Sequence[Tuple[Vector, float]], base: Optional[Vector] = None) -> None:
    """Set ``out`` to ``base`` + weight * values + ..., elementwise in float32; ``base`` None is ``out`` itself."""
    scratch = np.empty(min(BLOCK, out.size), np.float32)
    for part in blocks(out.size):
        total = (out if base is None else base)[part]
        for values, weight in weighted:
            summand = values[part]
            if weight != 1.0:
                summand = np.multiply(summand, np.float32(weight), out=scratch[: summand.size])
            total = np.add(total, summand, out=out[part])
