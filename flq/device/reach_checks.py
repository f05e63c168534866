"""Checks the route to a server: its name, a connection, its certificate."""

import socket
import ssl
import time
from typing import Any, List, Optional, Tuple

from .checks import FAIL, OK, WARN, Line

CONNECT_S = 5.0
SOON_S = 14 * 86400.0


def reach_lines(host: str, port: int, cafile: Optional[str]) -> Tuple[List[Line], bool]:
    """Connect to a server; return the findings, and whether the connection is usable.

    Parameters
    ----------
    host, port : str, int
    cafile : str or None
        Trusted certificates of a server that uses TLS; None for plain HTTP.
    """
    try:
        addresses = sorted({item[4][0] for item in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)})
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return [
            Line(
                FAIL,
                "address",
                "the name %s cannot be resolved: %s" % (host, reason),
                "use the master's IP address for --master_ip",
            )
        ], False
    lines = [Line(OK, "address", ", ".join(map(str, addresses)))]
    where = "%s port %d" % (host, port)
    try:
        connection = socket.create_connection((host, port), CONNECT_S)
    except ConnectionRefusedError:
        return lines + [
            Line(
                FAIL,
                "connection",
                "nothing listens at %s" % where,
                "start the master there: ./start_master.sh --port %d" % port,
            )
        ], False
    except OSError as error:
        reason = "no answer within %g s" % CONNECT_S if isinstance(error, socket.timeout) else error.strerror
        return lines + [
            Line(
                FAIL,
                "connection",
                "%s: %s" % (where, reason),
                "check that both are in one network, and that the master's firewall allows the port",
            )
        ], False
    with connection:
        if cafile is None:
            return lines, True
        line = _certificate_line(connection, host, cafile)
    return lines + [line], line.status != FAIL


def _certificate_line(connection: socket.socket, host: str, cafile: str) -> Line:
    """Report a TLS handshake that trusts the certificates in a file."""
    try:
        context = ssl.create_default_context(cafile=cafile)
        with context.wrap_socket(connection, server_hostname=host.partition("%")[0]) as encrypted:
            ends = ssl.cert_time_to_seconds(str(encrypted.getpeercert()["notAfter"]))
    except (OSError, ssl.CertificateError) as error:  # CertificateError is no OSError in Python 3.6
        return Line(FAIL, "certificate", _reason_of(error), _fix_of(_reason_of(error)))
    text = "trusted by %s, until %s" % (cafile, time.strftime("%Y-%m-%d", time.gmtime(ends)))
    if ends - time.time() < SOON_S:
        return Line(WARN, "certificate", text, "create a new one for the master soon (docs/security.md)")
    return Line(OK, "certificate", text)


def _reason_of(error: Any) -> str:
    """Return a short description of a failed handshake."""
    return (
        getattr(error, "verify_message", "")
        or getattr(error, "reason", "")
        or getattr(error, "strerror", "")
        or str(error)
        or "no answer to the handshake"
    )


def _fix_of(reason: str) -> str:
    if "WRONG_VERSION_NUMBER" in reason or "UNKNOWN_PROTOCOL" in reason or "HTTP_REQUEST" in reason:
        return "the master uses plain HTTP: omit --tls and --ca, or start it with --tls_cert and --tls_key"
    if "expired" in reason or "not yet valid" in reason:
        return "compare the clocks of both machines; if they are correct, create a new certificate (docs/security.md)"
    return (
        "--ca must name the certificate of the authority that signed the master's, --master_ip a name or "
        "address in it (docs/security.md)"
    )
