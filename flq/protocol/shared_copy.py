"""A worker's copy of w, and its version: model frames bring it up to date."""

from typing import Iterable

from ..core.codecs import QUANTIZERS
from ..core.codecs import decode as decode_payload
from ..core.layout import Layout, Vector, fingerprint
from .messages import Kind, ModelFrame, Plan

UNKNOWN = -1  # the version of a copy that needs a keyframe


class SharedCopy:
    """The shared copy of one worker.

    Parameters
    ----------
    start : ndarray of shape (n_params,), float32
        w^0; delta frames are added in place.
    layout : Layout
    start_crc : int
        Fingerprint of the master's w^0.

    Attributes
    ----------
    vector : ndarray of shape (n_params,), float32
    version : int
        -1 if the master's differs: a keyframe is needed.
    """

    def __init__(self, start: Vector, layout: Layout, start_crc: int) -> None:
        self.vector, self._layout = start, layout
        self.version = 0 if fingerprint(start) == start_crc else UNKNOWN

    def follow(self, frames: Iterable[ModelFrame], plan: Plan) -> bool:
        """Apply the frames; return whether the copy is now that of the plan, without which its version is unknown."""
        is_right = self._apply(frames) and self.version == plan.version and fingerprint(self.vector) == plan.model_crc
        if not is_right:
            self.version = UNKNOWN
        return is_right

    def _apply(self, frames: Iterable[ModelFrame]) -> bool:
        """Apply the frames; return whether they fit together."""
        for frame in frames:
            if frame.kind is Kind.KEYFRAME:
                self.vector = decode_payload(QUANTIZERS[frame.codec_id], frame.payload, self._layout)
            elif self.version >= 0 and frame.version == self.version + 1:
                QUANTIZERS[frame.codec_id].add_to(self.vector, frame.payload, self._layout)
            else:
                return False
            self.version = frame.version
        return True
