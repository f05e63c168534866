"""The body of an answer as it comes; one that breaks off is gone on with where it broke off.

The master names what is long enough by an ETag; the next request asks for the bytes behind those that have come, if
what it would get is still called so: Range and If-Range of HTTP (RFC 9110, sections 13.1.5 and 14).
"""

import re
from typing import Dict

import requests

from .connection import cause_of

HTTPError = requests.packages.urllib3.exceptions.HTTPError  # of urllib3: requests lets some of them through

PIECE = 1 << 20
FIRST_BUFFER = 1 << 24  # of a body; it grows with what has arrived
MOST_DIGITS = 15  # of a length in bytes
ETAG = re.compile(r'"[\x21\x23-\x7e]{1,64}"\Z')


class Download:
    """A body of declared length; memory is taken for what arrives, not for what is declared.

    Parameters
    ----------
    response : Response
        Its head is there, its body is not read yet.

    Attributes
    ----------
    size : int
        In bytes, as declared.
    n_read : int
        How many have come.

    Raises
    ------
    requests.ConnectionError
        If no length is declared: what answers is no master.
    """

    def __init__(self, response: requests.Response) -> None:
        self.size, self.n_read = declared_size(response), 0
        self._etag = response.headers.get("ETag", "")
        self._body = bytearray(min(self.size, FIRST_BUFFER))

    @property
    def can_go_on(self) -> bool:
        """Whether the rest can be asked for."""
        return 0 < self.n_read < self.size and ETAG.match(self._etag) is not None

    def rest(self) -> Dict[str, str]:
        """Return the headers that ask for the rest."""
        return {"Range": "bytes=%d-" % self.n_read, "If-Range": self._etag}

    def goes_on_in(self, response: requests.Response) -> bool:
        """Return whether an answer is the rest, all of it."""
        return (response.headers.get("ETag", self._etag) == self._etag
                and response.headers.get("Content-Range")
                == "bytes %d-%d/%d" % (self.n_read, self.size - 1, self.size)
                and declared_size(response) == self.size - self.n_read)

    def read(self, response: requests.Response) -> bytearray:
        """Read what is missing; return the body.

        Raises
        ------
        requests.ConnectionError
            If it breaks off; what has come is kept.
        """
        try:
            while self.n_read < self.size:
                self._read_on(response)
        except (OSError, HTTPError) as error:
            raise requests.ConnectionError("the answer broke off after %d of %d bytes: %s"
                                           % (self.n_read, self.size, cause_of(error))) from None
        finally:
            response.close()
        return self._body

    def take(self, n_bytes: int) -> bytearray:
        """Take so many bytes off the beginning; what remains is the body of a download of its own."""
        taken = self._body[:n_bytes]
        del self._body[:n_bytes]
        self.size, self.n_read = self.size - n_bytes, self.n_read - n_bytes
        return taken

    def so_far(self) -> bytearray:
        """Return what has come."""
        return self._body[:self.n_read]

    def _read_on(self, response: requests.Response) -> None:
        if self.n_read == len(self._body):
            self._body.extend(bytes(min(self.n_read, self.size - self.n_read)))
        with memoryview(self._body) as whole, whole[self.n_read:self.n_read + PIECE] as piece:
            n_bytes = response.raw.readinto(piece)
        if not n_bytes:
            raise OSError("the peer closed the connection")
        self.n_read += n_bytes


def declared_size(response: requests.Response) -> int:
    """Return the length of a body in bytes.

    Raises
    ------
    requests.ConnectionError
        If none is declared.
    """
    declared = response.headers.get("Content-Length", "")
    if not declared.isdecimal() or len(declared) > MOST_DIGITS:
        response.close()
        raise requests.ConnectionError("what answers there is not an FLQ master")
    return int(declared)
