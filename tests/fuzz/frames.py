"""Valid, almost valid and invalid frames, and the expected results of decoding them.

Most damage changes a field and corrects the CRC32, so that the frame passes the checksum and reaches later checks.
Everything here is a function of the generator, so a seed determines the frames.
"""

import numpy as np
from damage import DAMAGE, fix_length, seal

from flq.core.codecs import QUANTIZERS
from flq.core.codecs import decode as decoded
from flq.core.codecs.lossless import code, known
from flq.core.held_back import HeldBack
from flq.core.layout import Layout, Tensor
from flq.errors import FlqError
from flq.protocol.messages import Answer, Kind, ModelFrame, Outcome, Plan, Verdict
from flq.protocol.wire import decode, decode_stream, encode, link_of

LAYOUTS = (
    Layout((Tensor("w", (3,)), Tensor("b", (1,)))),
    Layout((Tensor("scalar", ()),)),
    Layout((Tensor("kernel", (5, 3)), Tensor("bias", (3,)), Tensor("mean", (2,)), Tensor("variance", (2,))), 2),
)
LINKS = tuple(link_of("fuzzed%d" % number, layout) for number, layout in enumerate(LAYOUTS))


def valid_message(random, link):
    """Return a message that a sender may send."""
    kind = random.choice(list(Kind))
    codec_id = random.choice(list(QUANTIZERS))
    number = random.randrange(2**32)
    if kind is Kind.VERDICT:
        return Verdict(random.choice(list(Outcome)), number, random.randrange(9))
    if kind is Kind.PLAN:
        return Plan(
            number,
            random.randrange(9),
            random.randrange(2**32),
            random.random(),
            random.random() < 0.5,
            random.random() < 0.5,
            random.randrange(3),
            random.randrange(2**32),
        )
    if kind in (Kind.DELTA, Kind.KEYFRAME):
        payload = valid_payload(random, codec_id, link.layout)
        return ModelFrame(kind, number, codec_id, payload, valid_coding(random, codec_id, payload))
    held_back = HeldBack(random.random(), random.randrange(5) / 4, random.randrange(1, 99)) if number % 2 else None
    answer = Answer(
        kind,
        random.randrange(6),
        random.randrange(4),
        random.randrange(9),
        random.randrange(9),
        random.choice((random.random(), float("nan"))),
        random.random(),
        random.randrange(2**40),
        random.randrange(2**32),
        held_back=held_back,
    )
    if kind is not Kind.UPLOAD:
        return answer
    payload = valid_payload(random, codec_id, link.layout)
    answer = answer._replace(codec_id=codec_id, payload=payload, coded=valid_coding(random, codec_id, payload))
    return answer._replace(cost_bits=8 * answer.sent.size)


class RawDraws:
    """The random numbers of stochastic rounding."""

    def __init__(self, random):
        self._random = random

    def random_raw(self, size):
        return np.array([self._random.getrandbits(64) for _ in range(size)], np.uint64)


def valid_payload(random, codec_id, layout):
    """Return the payload of some vector."""
    size = random.choice((0, 1))  # payloads of zeros become smaller when they are coded
    vector = np.array([random.gauss(0, size) for _ in range(layout.n_params)], np.float32)
    return QUANTIZERS[codec_id].encode(vector, layout, RawDraws(random), limit=random.randrange(100, 2000))


def valid_coding(random, codec_id, payload):
    """Return a payload in its coded form; None if coding does not make it smaller."""
    return code(payload, QUANTIZERS[codec_id].bits, random.choice(((),) + tuple((name,) for name in known())))


def made(message, link):
    """Return the frame of a message as one mutable buffer."""
    return bytearray().join(encode(message, link))


class Frames:
    """Makes frames, most of them from a stock of valid ones for each layout.

    Parameters
    ----------
    random : random.Random
    links : sequence of Link
    """

    N_KEPT = 100

    def __init__(self, random, links=LINKS):
        self._random, self._links = random, links
        self._kept = {link: [made(valid_message(random, link), link) for _ in range(self.N_KEPT)] for link in links}

    def valid(self, link):
        """Return a valid frame."""
        place = self._random.randrange(self.N_KEPT)
        if self._random.random() < 0.02:
            self._kept[link][place] = made(valid_message(self._random, link), link)
        return bytearray(self._kept[link][place])

    def damaged(self, link, frame):
        """Damage a frame; return it, mostly with a correct CRC, and often with a correct length."""
        random = self._random
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            random.choice(DAMAGE)(random, frame, self._kept[link][random.randrange(self.N_KEPT)])
        if random.random() < 0.6:
            fix_length(random, frame)
        return seal(frame) if random.random() < 0.9 else frame

    def stream(self, link):
        """Return a plan followed by frames, in the announced number or not."""
        random = self._random
        frames = [self.valid(link) for _ in range(random.randrange(4))]
        if random.random() < 0.8:
            count = random.choice((len(frames), len(frames), 0, 65535))
            frames.insert(0, made(Plan(1, 2, 3, 0.5, False, False, count), link))
        return bytearray().join(self.damaged(link, frame) if random.random() < 0.2 else frame for frame in frames)

    def fuzzed(self):
        """Return a link, bytes and whether they are a stream; one in ten is valid."""
        link = self._random.choice(self._links)
        if self._random.random() < 0.15:
            return link, self.stream(link), True
        frame = self.valid(link)
        return link, frame if self._random.random() < 0.1 else self.damaged(link, frame), False


# -- what becomes of it ----------------------------------------------------------------------


def judge(data, link, is_stream=False):
    """Decode; return the name of the message, or of the error.

    A frame that is not rejected with 4xx must be a message that encodes to the same bytes and has finite values.
    """
    try:
        messages = flat(decode_stream(data, link)) if is_stream else [decode(data, link, object)]
    except FlqError as error:
        assert 400 <= error.status_hint < 500, error
        assert error.detail and len(error.detail) < 400 and "\n" not in error.detail, error
        return type(error).__name__
    again = b"".join(bytes(buffer) for message in messages for buffer in encode(message, link))
    assert again == bytes(data), (again.hex(), bytes(data).hex())
    for message in messages:
        payload = getattr(message, "payload", None)
        if payload is not None:
            assert np.isfinite(decoded(QUANTIZERS[message.codec_id], payload, link.layout)).all()
    return "stream" if is_stream else type(messages[0]).__name__


def flat(plan_and_frames):
    """Return a plan and its frames as one list."""
    return [plan_and_frames[0]] + plan_and_frames[1]
