"""What an upload must be before it counts."""

import numpy as np

from ..core.codecs import plus
from ..core.layout import Layout, Vector
from ..core.settings import Rules
from ..errors import BadValues, Conflict
from .messages import Answer
from .records import Member, OpenRound


def check_upload(answer: Answer, going: OpenRound, longest: int, rules: Rules) -> None:
    """Refuse an upload that the plan and the grants do not admit.

    Parameters
    ----------
    longest : int
        Bytes that a payload may have; 0 where the codec alone says it.

    Raises
    ------
    BadValues, Conflict
    """
    if answer.codec_id != rules.codec_up:
        raise BadValues("the upload has codec %d, expected %d" % (answer.codec_id, rules.codec_up))
    if rules.needs_offers:
        if going.granted is None or answer.worker_id not in going.granted:
            raise Conflict(
                "round %d has not granted worker %d an upload" % (going.index, answer.worker_id), "send an offer first"
            )
        if answer.cost_bits > going.offers[answer.worker_id].cost_bits:
            raise BadValues(
                "the upload has %d payload bits, expected the offered %d at most"
                % (answer.cost_bits, going.offers[answer.worker_id].cost_bits)
            )
    if longest and answer.payload.size > longest:
        raise BadValues(
            "the payload has %d bytes, expected the %d of the plan at most" % (answer.payload.size, longest)
        )


def mirror_after(answer: Answer, member: Member, layout: Layout) -> Vector:
    """Return the member's mirror with the upload, float32 (n_params,), new.

    Raises
    ------
    BadValues
        If it is not finite.
    """
    is_new = member.mirror is None or member.mirror_is_stale
    with np.errstate(over="ignore", invalid="ignore"):  # the outcome is checked
        mirror = plus(
            np.zeros(layout.n_params, np.float32) if is_new else member.mirror, answer.codec_id, answer.payload, layout
        )
    if not (np.isfinite(mirror.max()) and np.isfinite(mirror.min())):
        raise BadValues("the mirror of worker %d would no longer be finite" % member.worker_id, "lower model.lr")
    return mirror
