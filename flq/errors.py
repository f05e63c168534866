"""The exceptions of FLQ.

::

    FlqError
     +-- ConfigError        a setting is missing, unknown or impossible
     +-- DataError          a data set or a model cannot be used as asked
     +-- OutOfMemory        the device has too little memory to train
     +-- CodecError         values cannot be encoded, or bytes are not a valid encoding
     +-- WireError          the peer's bytes are not a valid message
     |    +-- TooLarge      the message declares more bytes than allowed
     |    +-- BadValues     the message parses, but its values are impossible
     +-- Conflict           the peer's view of the run differs from ours
     +-- Unavailable        not now; try again later
     +-- Unauthorized       the peer has not authenticated
     +-- Forbidden          the peer has authenticated, but is not allowed to do this
     +-- TooManyRequests    the peer exceeds its rate limit

Each class has an HTTP status, so that the HTTP layer needs no table. A message says
what is wrong, what was given and what was expected; ``hint`` says what to do.
"""


def one_line(text: str, keep_bytes: bool = False) -> str:
    r"""Return a text from a file as it may stand in a sentence: on one line, without control characters.

    Parameters
    ----------
    text : str
    keep_bytes : bool
        Whether undecodable bytes of a file name, which Python keeps as surrogates, stay as they are.

    >>> one_line("a\nb\x1b[2J ")
    'a b?[2J '
    """
    return "".join(
        letter
        if letter.isprintable() or keep_bytes and "\udc80" <= letter <= "\udcff"
        else " "
        if letter.isspace()
        else "?"
        for letter in text
    )


class FlqError(Exception):
    """Base of all errors that FLQ raises.

    Parameters
    ----------
    detail : str
        One sentence: what is wrong, what was given, what was expected.
    hint : str, optional
        One sentence: what to do.
    """

    status_hint = 500

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return "%s (%s)" % (self.detail, self.hint) if self.hint else self.detail


class ConfigError(FlqError):
    """A setting is missing, unknown or impossible."""

    status_hint = 422


class DataError(FlqError):
    """A data set or a model cannot be used as asked; texts from files are shown on one line."""

    status_hint = 422

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(one_line(detail, keep_bytes=True), one_line(hint, keep_bytes=True))


class OutOfMemory(FlqError):
    """The device has too little memory to train."""


class CodecError(FlqError):
    """Values cannot be encoded, or a payload is not a valid encoding."""

    status_hint = 422


class WireError(FlqError):
    """The peer sent bytes that are not a valid message."""

    status_hint = 400


class TooLarge(WireError):
    """The peer declares more bytes than the layout can need."""

    status_hint = 413


class BadValues(WireError):
    """The message parses, but its values are impossible."""

    status_hint = 422


class Conflict(FlqError):
    """The peer's view of the run differs from ours."""

    status_hint = 409


class Unavailable(FlqError):
    """Not now; the peer should try again later."""

    status_hint = 503


class Unauthorized(FlqError):
    """The peer has not authenticated."""

    status_hint = 401


class Forbidden(FlqError):
    """The peer has authenticated, but is not allowed to do this."""

    status_hint = 403


class TooManyRequests(FlqError):
    """The peer exceeds its rate limit.

    Parameters
    ----------
    detail, hint : str
    retry_after_s : int
        Seconds until the peer may ask again.
    """

    status_hint = 429

    def __init__(self, detail: str, hint: str = "", retry_after_s: int = 1) -> None:
        super().__init__(detail, hint)
        self.retry_after_s = retry_after_s
