"""The body of an answer while it arrives; if it breaks off, it is resumed there.

The master names a large body by an ETag. The next request asks for the bytes after those that have arrived, provided
that the ETag is still the same: Range and If-Range of HTTP (RFC 9110, sections 13.1.5 and 14). A proxy may send
the body in chunks, without a length, or in gzip.
"""

import re
import zlib
from typing import Dict, Optional

import requests

from .http_adapter import cause_of

HTTPError = requests.packages.urllib3.exceptions.HTTPError  # urllib3's: requests does not wrap all of them

PIECE = 1 << 20
FIRST_BUFFER = 1 << 24  # of a body; it grows as bytes arrive
MOST_DIGITS = 15  # of a length in bytes
ETAG = re.compile(r'"[\x21\x23-\x7e]{1,64}"\Z')
RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})\Z")
GZIP = ("gzip", "x-gzip")


class Download:
    """A body; memory is allocated for what arrives, not for what is declared.

    Parameters
    ----------
    response : Response
        Its head has been read, its body has not.

    Attributes
    ----------
    size : int or None
        In bytes, as declared; None = unknown.
    n_read : int
        How many bytes have arrived.

    Raises
    ------
    requests.ConnectionError
        If the length or the encoding is not valid.
    """

    def __init__(self, response: requests.Response) -> None:
        self._is_gzip = _is_gzip(response)
        self.size, self.n_read = None if self._is_gzip else declared_size(response), 0
        self._etag = response.headers.get("ETag", "")
        self._body = bytearray(PIECE if self.size is None else min(self.size, FIRST_BUFFER))

    @property
    def can_resume(self) -> bool:
        """Whether the rest of a body that broke off can be requested."""
        return (
            0 < self.n_read
            and (self.size is None or self.n_read < self.size)
            and not self._is_gzip
            and ETAG.match(self._etag) is not None
        )

    def rest(self) -> Dict[str, str]:
        """Return the headers that request the rest."""
        return {"Range": "bytes=%d-" % self.n_read, "If-Range": self._etag}

    def accept_rest(self, response: requests.Response) -> bool:
        """Return whether an answer is exactly the rest; if so, set the size."""
        said = RANGE.match(response.headers.get("Content-Range", ""))
        if said is None or response.headers.get("ETag", self._etag) != self._etag or _is_gzip(response):
            return False
        first, last, size = map(int, said.groups())
        if (
            (first, last) != (self.n_read, size - 1)
            or self.size not in (None, size)
            or (declared_size(response) not in (None, size - first))
        ):
            return False
        self.size = size
        return True

    def read(self, response: requests.Response) -> bytearray:
        """Read the missing bytes; return the body.

        Raises
        ------
        requests.ConnectionError
            If it breaks off; the bytes that have arrived are kept.
        """
        has_length = declared_size(response) is not None
        try:
            if self._is_gzip:
                self._unzip(response)
            else:
                while not (has_length and self.n_read == self.size) and self._read_on(response):
                    pass
            if self.n_read != self.size and (self.size is not None or not self.n_read):
                raise OSError("the peer closed the connection")
        except (OSError, HTTPError, zlib.error) as error:
            of_all = "" if self.size is None else " of %d" % self.size
            raise requests.ConnectionError(
                "the answer broke off after %d%s bytes: %s" % (self.n_read, of_all, cause_of(error))
            ) from None
        finally:
            response.close()
        del self._body[self.n_read :]
        return self._body

    def take(self, n_bytes: int) -> bytearray:
        """Remove and return the first ``n_bytes``; the remainder becomes the body of this download."""
        taken = self._body[:n_bytes]
        del self._body[:n_bytes]
        self.size, self.n_read = None if self.size is None else self.size - n_bytes, self.n_read - n_bytes
        return taken

    def so_far(self) -> bytearray:
        """Return the bytes that have arrived."""
        return self._body[: self.n_read]

    def _read_on(self, response: requests.Response) -> int:
        """Read some bytes; return how many, 0 at the end of the answer."""
        if self.n_read == len(self._body):
            # One byte more than declared reveals a body that is too long.
            left = PIECE if self.size is None else self.size - self.n_read + 1
            self._body.extend(bytes(min(max(self.n_read, PIECE), left)))
        with memoryview(self._body) as whole, whole[self.n_read : self.n_read + PIECE] as piece:
            n_bytes = response.raw.readinto(piece)
        self.n_read += n_bytes
        return n_bytes

    def _unzip(self, response: requests.Response) -> None:
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
        del self._body[:]
        for packed in iter(lambda: response.raw.read(PIECE), b""):
            self._body += unpacking.decompress(packed)
            self.n_read = len(self._body)
        if not unpacking.eof:
            raise OSError("the peer closed the connection")


def declared_size(response: requests.Response) -> Optional[int]:
    """Return the length of a body in bytes, None if it is sent without one or in chunks.

    Raises
    ------
    requests.ConnectionError
        If it declares no valid length.
    """
    declared = response.headers.get("Content-Length")
    if declared is None or "Transfer-Encoding" in response.headers:
        return None
    if not declared.isdecimal() or len(declared) > MOST_DIGITS:
        response.close()
        raise requests.ConnectionError("the server is not an FLQ master")
    return int(declared)


def _is_gzip(response: requests.Response) -> bool:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in GZIP + ("identity", ""):
        response.close()
        raise requests.ConnectionError("the answer is encoded as %.20r, expected no encoding, or gzip" % encoding)
    return encoding in GZIP
