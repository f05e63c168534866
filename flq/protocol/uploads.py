"""What an upload must be before it counts."""

from ..core.settings import Rules
from ..errors import BadValues, Conflict
from .messages import Answer
from .records import OpenRound


def check_upload(answer: Answer, going: OpenRound, rules: Rules) -> None:
    """Refuse an upload that the plan and the grants do not admit.

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
