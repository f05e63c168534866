"""HTTPS: the server's certificate, and sockets whose handshake does not occupy a thread.

A thread of the pool continues a handshake whenever bytes have arrived; in between, the connection
waits among the silent ones.
"""

import ssl

from cheroot.makefile import MakeFile
from cheroot.ssl import Adapter

from ...errors import ConfigError
from .connection import Metered, refusal

NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class MeteredTlsSocket(Metered, ssl.SSLSocket):
    """A TLS socket; counts the bytes inside the encryption."""

    is_encrypted = False  # the handshake is done

    def has_head(self) -> bool:
        """As the base class, after the handshake."""
        if not self.is_encrypted and not self._shake_hands():
            return False
        return super().has_head()

    def is_not_yet(self, error: OSError) -> bool:
        """Return whether an error only means that nothing has arrived."""
        return isinstance(error, NOT_YET)

    def recv_into(self, *args, **kwargs):
        """Receive and count bytes; a TLS error is a ConnectionResetError."""
        try:
            return super().recv_into(*args, **kwargs)
        except ssl.SSLError as error:
            raise ConnectionResetError(*error.args) from None

    def send(self, *args, **kwargs):
        """Send and count bytes, likewise."""
        try:
            return super().send(*args, **kwargs)
        except ssl.SSLError as error:
            raise ConnectionResetError(*error.args) from None

    def _shake_hands(self) -> bool:
        self.note_begin()
        self.settimeout(0.0)
        try:
            self.do_handshake()
            self.is_encrypted = True
        except NOT_YET:
            pass
        except OSError as error:
            self.has_ended = True
            if getattr(error, "reason", None) == "HTTP_REQUEST":
                self._say_that_it_is_https()
        finally:
            self.settimeout(self.patience_s)
        return self.is_encrypted

    def _say_that_it_is_https(self) -> None:
        """Answer a plain HTTP request in plain HTTP, if possible."""
        try:
            super(ssl.SSLSocket, self).send(
                refusal(
                    "400 Bad Request",
                    "this master speaks HTTPS only: use https://",
                    "start workers with --tls, or with --ca FILE if the certificate is your own; docs/security.md",
                )
            )
        except OSError:
            pass


class TlsAdapter(Adapter):
    """A certificate and its key, for cheroot.

    Parameters
    ----------
    certificate, private_key : str
        PEM files; the first may hold a chain.

    Raises
    ------
    ConfigError
        If they cannot be used.
    """

    def __init__(self, certificate: str, private_key: str) -> None:
        super().__init__(certificate, private_key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.sslsocket_class = MeteredTlsSocket
        for path in (certificate, private_key):
            try:
                open(path, "rb").close()
            except OSError as error:
                raise ConfigError("%s cannot be read: %s" % (path, error.strerror), "see docs/security.md") from None
        try:
            self.context.load_cert_chain(certificate, private_key, password=lambda: b"")  # else OpenSSL would prompt
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                "certificate %s and key %s cannot be used together: %s"
                % (certificate, private_key, getattr(error, "reason", None) or error),
                "both are PEM files, the key is not encrypted; docs/security.md shows how to make them",
            ) from None

    def bind(self, sock):
        """Return the listening socket unchanged: only accepted sockets are wrapped."""
        return sock

    def wrap(self, sock):
        """Wrap an accepted socket without sending or receiving; raise OSError if the peer has gone."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, self.get_environ()

    def get_environ(self):
        """Return the WSGI environment's entries on TLS."""
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock, mode="r", bufsize=-1):
        """Return a stream on a socket."""
        return MakeFile(sock, mode, bufsize)
