"""Reads the secret addresses of notifications from the environment or from a private file.

The environment takes precedence over the file ``state/notify``, which has one address per line::

    # my phone
    tgram://123456789:AAF.../987654321
    proxy = socks5h://127.0.0.1:1080

No message, error or log line contains any of it.
"""

import os
import re
from typing import Dict, List, Mapping, NamedTuple, Optional

from ...errors import ConfigError
from ...tokens import is_open_to_others

URLS, PROXY = "FLQ_NOTIFY", "FLQ_NOTIFY_PROXY"  # variables of the environment
FILE = os.path.join("state", "notify")
_PROXY_LINE = re.compile(r"proxy\s*=\s*(.*)", re.IGNORECASE)
_PROXY_URL = re.compile(r"(socks5h?|socks4a?|https?)://[^\s/]+/?\Z")
_HERE = "localhost,127.0.0.1,::1"  # addresses reached without the proxy
_MOST_BYTES = 1 << 20  # of the file


class Secrets(NamedTuple):
    """The addresses of services in apprise's form, and the proxy; either may be missing."""

    urls: List[str]
    proxy: Optional[str]


def read_secrets(environment: Mapping[str, str], path: str) -> Secrets:
    """Return the configured addresses; empty if there are none.

    Parameters
    ----------
    environment : mapping
        Takes precedence over the file.
    path : str
        The file, which may be missing.

    Raises
    ------
    ConfigError
        If others can read the file, or the file or the proxy is invalid. The message contains no secret.
    """
    urls, proxy = environment.get(URLS, "").split(), environment.get(PROXY, "").strip() or None
    if not urls and os.path.exists(path):
        urls, of_file = _read_file(path)
        proxy = proxy or of_file
    if urls and proxy and not _PROXY_URL.match(proxy):
        raise ConfigError(
            "the proxy for notifications must be socks5h://HOST:PORT or http://HOST:PORT", "see docs/notifications.md"
        )
    return Secrets(urls, proxy if urls else None)


def environment_of(secrets: Secrets, environment: Mapping[str, str]) -> Dict[str, str]:
    """Return the environment variables that pass the addresses and the proxy to a process."""
    variables = {URLS: "\n".join(secrets.urls), PROXY: ""}
    if secrets.proxy is not None:
        names = ("http_proxy", "https_proxy", "all_proxy")
        variables.update((name, secrets.proxy) for lower in names for name in (lower, lower.upper()))
        configured = environment.get("no_proxy") or environment.get("NO_PROXY")
        variables.update(dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, (_HERE, configured)))))
    return variables


def _read_file(path: str) -> Secrets:
    if is_open_to_others(path):
        raise ConfigError("others can read %s, which contains secrets, so it is not used" % path, "chmod 600 %s" % path)
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.read(_MOST_BYTES).splitlines()
    except OSError as error:
        raise ConfigError("%s cannot be read: %s" % (path, error.strerror)) from None
    except UnicodeDecodeError:
        raise ConfigError("%s is not a text file of addresses" % path, "see docs/notifications.md") from None
    urls, proxy = [], None
    for number, line in enumerate(map(str.strip, lines), 1):
        named = _PROXY_LINE.match(line)
        if named:
            proxy = named.group(1) or None
        elif line and not line.startswith("#"):
            if len(line.split()) > 1 or "://" not in line:
                raise ConfigError(
                    "line %d of %s must be one address such as tgram://TOKEN/CHAT, or proxy = ADDRESS" % (number, path),
                    "write white space in an address as %20",
                )
            urls.append(line)
    return Secrets(urls, proxy)
