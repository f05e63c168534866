"""Messages about proxies, and other servers that answer in the master's place."""

import re
from typing import Any, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from ..addresses import with_port
from ..errors import ConfigError

PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
REDIRECTS = (301, 302, 303, 307, 308)
LONGEST_WORDS = 60  # letters of a foreign text that are shown
_ROUTES = "/register, /heartbeat, /get_global_model, /offer and /upload_update"
_REFUSES = "a proxy on the way refuses the request: have it pass %s, or let the worker connect directly" % _ROUTES
_WRONG = "--master_ip and --port must be those of flq_master.py; a proxy on the way must pass %s" % _ROUTES
_AWAY = "a proxy on the way does not reach the master: is the master running?"
_LOGIN = "a login page, or another server: log in to the network first, or give the worker the master's own address"
HINTS = {
    401: _REFUSES,
    403: _REFUSES,
    451: _REFUSES,
    404: _WRONG,
    405: _WRONG,
    501: _WRONG,
    407: "a proxy on the way wants a password: let the worker connect directly",
    413: "a proxy on the way takes no request of this size: raise its limit (nginx: client_max_body_size), or let "
    "the worker connect directly",
    502: _AWAY,
    503: _AWAY,
    504: _AWAY,
    511: _LOGIN,
}


class Proxy(NamedTuple):
    """A proxy named by an environment variable; ``where`` is its host and port, without a password."""

    variable: str
    where: str

    def fix(self, url: str) -> str:
        """Return how to reach the master at a URL without the proxy."""
        return "unset it, or set no_proxy=%s" % urlsplit(url).hostname

    def words(self, url: str) -> str:
        """Return a sentence about the proxy, for a failed request to this URL."""
        return "the request went to the proxy %s, which the environment variable %s names: %s" % (
            self.where,
            self.variable,
            self.fix(url),
        )


def proxy_for(url: str, proxies: Mapping[str, str], environment: Mapping[str, str]) -> Optional[Proxy]:
    """Return the proxy for requests to a URL, None if they go there directly.

    Parameters
    ----------
    url : str
    proxies : mapping
        Scheme, or "all", -> proxy, as requests reads the environment for this URL.
    environment : mapping
        The environment, to find the variable's name.

    Raises
    ------
    ConfigError
        If the variable holds no proxy. Its value is not shown: it may hold a password.
    """
    scheme = urlsplit(url).scheme
    kind = next((kind for kind in (scheme, "all") if proxies.get(kind)), None)
    if kind is None:
        return None
    names = [
        name
        for name in sorted(environment, reverse=True)  # lower case comes first
        if name.lower() == kind + "_proxy" and environment[name] == proxies[kind]
    ]
    variable, text = names[0] if names else kind + "_proxy", proxies[kind]
    try:
        parts = urlsplit(text if "://" in text else "http://" + text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not re.match(r"[^\s/\\]+\Z", host) or parts.scheme.lower() not in PROXY_SCHEMES:
        raise ConfigError(
            "the environment variable %s must be http://host:port of a proxy, and is not" % variable,
            Proxy(variable, "").fix(url),
        )
    return Proxy(variable, host if port is None else with_port(host, port))


def foreign_answer(url: str, response: Any, proxy: Optional[Proxy]) -> str:
    """Return a sentence about an answer that is not the master's: status, likely cause, remedy."""
    status = response.status_code
    said, hint = ("%d %s" % (status, _plain(response.reason or ""))).strip(), HINTS.get(status, "")
    if status in REDIRECTS:
        to = _target(url, response.headers.get("Location", ""))
        said += ", which leads to %s" % to if to else ""
        hint = _LOGIN
        if to.startswith("https:") and url.startswith("http:") and urlsplit(to).hostname == urlsplit(url).hostname:
            hint = "start the worker with --tls, or --ca FILE, and the port of HTTPS"
    elif status < 300:
        said, hint = "%s, but no message of FLQ" % said, _LOGIN
    words = [hint] if hint else []
    if proxy is not None:
        words.append(proxy.words(url))
    return "the server at %s is not an FLQ master: %s%s" % (url, said, " (%s)" % "; ".join(words) if words else "")


def _plain(text: Any) -> str:
    """Return the beginning of a foreign text, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:LONGEST_WORDS])


def _target(url: str, location: str) -> str:
    """Return the target of a redirect without query and password, which may be secret."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2] or urlsplit(url).netloc
        return _plain("%s://%s%s" % (parts.scheme or urlsplit(url).scheme, host, parts.path)) if location else ""
    except ValueError:
        return ""
