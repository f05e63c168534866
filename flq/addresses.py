"""Converts hosts and ports between flags, URLs and sockets. An IPv6 address may have a zone.

>>> host_of("[fe80::1%eth0]"), host_of("192.168.1.10")
('fe80::1%eth0', '192.168.1.10')
>>> url_of("http", "fe80::1%eth0", 5000)
'http://[fe80::1%25eth0]:5000'
>>> host_in("http://[fe80::1%25eth0]:5000")
'fe80::1%eth0'
>>> split_port("[::1]:22"), split_port("::1"), split_port("board:22")
(('::1', '22'), ('::1', ''), ('board', '22'))
"""

import ipaddress
import re
import socket
from typing import Tuple
from urllib.parse import urlsplit


def host_of(text: str) -> str:
    """Return a name or IP address without brackets.

    Raises
    ------
    ValueError
        If the text is neither, for example because it has a port, begins with http://, or is 300.1.1.1.
    """
    host = without_brackets(text)
    has_odd = not host or any(letter.isspace() or not letter.isprintable() or letter in "/\\?#@[]" for letter in host)
    if has_odd or ":" in host and not is_ipv6(host) or re.match(r"[0-9.]+\Z", host) and not _is_ipv4(host):
        raise ValueError("must be a name or an IP address, without http:// and port, got %r" % text)
    return host


def without_brackets(text: str) -> str:
    """Return a host without the brackets that a URL needs around an IPv6 address."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text


def is_ipv6(host: str) -> bool:
    """Return whether a host is an IPv6 address, with a zone or without."""
    address, percent, zone = host.partition("%")
    try:
        return ipaddress.ip_address(address).version == 6 and bool(zone) == bool(percent)
    except ValueError:
        return False


def _is_ipv4(host: str) -> bool:
    """Return whether the system reads digits and dots as an IPv4 address, also a short one such as 127.1."""
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or localhost."""
    try:
        ip = ipaddress.ip_address(without_brackets(host).partition("%")[0])
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def with_port(host: str, port: int) -> str:
    """Return host:port, with brackets around an IPv6 address."""
    return "%s:%d" % ("[%s]" % host if ":" in host else host, port)


def url_of(scheme: str, host: str, port: int) -> str:
    """Return a URL; the percent sign of a zone is %25 there (RFC 6874)."""
    return "%s://%s" % (scheme, with_port(host.replace("%", "%25"), port))


def host_in(url: str) -> str:
    """Return the host of a URL as a socket takes it; the zone may follow % or %25."""
    address, percent, zone = (urlsplit(url).hostname or "").partition("%")
    return address + percent + (zone[2:] if zone.startswith("25") and len(zone) > 2 and ":" in address else zone)


def split_port(text: str) -> Tuple[str, str]:
    """Return host and port of host, host:port or [host]:port; the port is "" if there is none."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or ":" in host and not host.startswith("["):
        return without_brackets(text), ""
    return without_brackets(host), port
