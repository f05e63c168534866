"""Authorizes requests; docs/security.md has the table.

The gate checks a request before its body is read. The token decides what is allowed; without one,
a peer may read the status and, on the master's own machine, stop the run and download the model.
"""

import hashlib
import hmac
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from flask import request

from ...addresses import is_loopback
from ...core.settings import SecuritySettings
from ...errors import BadValues, Forbidden, Unauthorized
from ...protocol.wire import KEY_MARK, MEDIA_TYPE
from ...tokens import OPERATOR, worker_name
from .limits import Buckets, Places, group_of
from .server import FILE_THREADS
from .token_bucket import Rate

OPEN = ("/healthz", "/status", "/feed", "/events")
OF_WORKERS = ("/register", "/offer", "/upload_update", "/heartbeat")
OF_THIS_MACHINE = ("/stop", "/get_global_model")
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
OWN_SITES = ("same-origin", "none")  # requested by a page of this master, or by the user
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
LONGEST_KEY = 64
PLACES_OF_A_WORKER = 8  # concurrent requests: a long poll, a heartbeat, and those of broken connections
STRANGERS_RATE = Rate(50, 200)  # of requests without a valid token, from one address
BURST_S = 2.0  # size of a burst, in seconds of the allowed rate

NO_OPERATOR = (
    'send the header "Authorization: Bearer TOKEN" with the operator\'s token, which is the first line of '
    "state/tokens on the master's machine; docs/security.md shows how"
)
NO_WORKER = (
    "copy the worker's line of state/tokens from the master's machine into a file for --token_file, or its "
    "token into the environment variable FLQ_TOKEN; docs/security.md shows how; if the file has no line of this id, "
    "use an id in range, or raise system.total_workers on the master"
)


class _Known(NamedTuple):
    name: str
    token: bytes


class Gate:
    """Admits or rejects requests.

    Parameters
    ----------
    tokens : dict
        By name.
    security : SecuritySettings
    n_threads : int
        Of the server: peers without a worker's token use at most half of them.
    """

    def __init__(self, tokens: Mapping[str, str], security: SecuritySettings, n_threads: int) -> None:
        self._known: Dict[bytes, _Known] = {}
        for name, token in tokens.items():
            encoded = token.encode("ascii")
            self._known[hashlib.sha256(encoded).digest()] = _Known(name, encoded)
        self._open_status = security.open_status
        self._local_operator = security.local_operator
        per_s = security.requests_per_s
        self._by_name = Buckets(Rate(per_s, max(1.0, BURST_S * per_s)))
        self._by_address = Buckets(STRANGERS_RATE if per_s else Rate(0, 0))
        self._places, self._page_places = Places(), Places()
        self._n_for_others = max(1, n_threads // 4)
        n_workers = sum(name != OPERATOR for name in tokens)  # their ids begin with 0
        self._workers = "; this master has tokens of workers 0 to %d" % (n_workers - 1) if security.open_status else ""

    def admit(self) -> str:
        """Return the name of the current request's token, "" without one.

        Raises
        ------
        Unauthorized, Forbidden
            If the request is not allowed.
        TooManyRequests
            If the peer exceeds its rate or number of concurrent requests.
        """
        shown = request.headers.get("Authorization")
        known = self._known_by(shown) if shown is not None else None
        name = known.name if known is not None else ""
        is_worker = name not in ("", OPERATOR)
        if known is not None:
            self._by_name.take(name)
            request.environ.get("flq.is_known", _nothing)(name)
        else:
            self._by_address.take(group_of(request.remote_addr or ""))
        self._take_places(name, is_worker)
        if shown is not None and known is None:
            if _is_worker_route():
                raise Unauthorized("this master does not know the token" + self._workers, NO_WORKER)
            raise Unauthorized("this master does not know the token", NO_OPERATOR)
        self._judge(name, is_worker)
        return name

    def require_worker(self, name: str, worker_id: int) -> None:
        """Check that the worker that a request names is the one that its token names.

        Raises
        ------
        Forbidden
            If it is another worker.
        """
        if name != worker_name(worker_id):
            raise Forbidden(
                "the token is that of %s, but the request is of worker %d" % (name, worker_id),
                "each worker has its own token",
            )

    def _take_places(self, name: str, is_worker: bool) -> None:
        """Count the request as in progress until its response is sent."""
        at_end: List[Callable[[], None]] = request.environ.setdefault("flq.at_end", [])
        if is_page():  # its files have their own number of threads
            at_end.append(self._page_places.enter((group_of(request.remote_addr or ""),), FILE_THREADS * 3 // 4))
            at_end.append(self._page_places.enter("", FILE_THREADS))
            return
        if not name:
            group = group_of(request.remote_addr or "")
            at_end.append(self._places.enter((group,), (self._n_for_others + 1) // 2))
        at_end.append(self._places.enter(name, PLACES_OF_A_WORKER if is_worker else self._n_for_others))

    def _known_by(self, shown: str) -> Optional[_Known]:
        """Return the owner of the token in a header, without leaking tokens by timing."""
        scheme, _, credentials = shown.partition(" ")
        encoded = credentials.partition(KEY_MARK)[0].strip().encode("latin-1", "replace")
        known = self._known.get(hashlib.sha256(encoded).digest())
        if known is None or scheme.lower() != "bearer" or not hmac.compare_digest(known.token, encoded):
            return None
        return known

    def _judge(self, name: str, is_worker: bool) -> None:
        if is_page() or self._open_status and request.path in OPEN:
            return
        for_worker = _is_worker_route()
        if name:
            if for_worker != is_worker:
                raise Forbidden(
                    "%s %s is for %s, but the token is that of %s"
                    % (request.method, _path(), "workers" if for_worker else "the operator", name),
                    NO_WORKER if for_worker else NO_OPERATOR,
                )
        elif for_worker:
            raise Unauthorized("%s %s needs the worker's token" % (request.method, _path()) + self._workers, NO_WORKER)
        elif not (request.path in OF_THIS_MACHINE and self._local_operator and is_from_this_machine()):
            raise Unauthorized("%s %s needs the operator's token" % (request.method, _path()), NO_OPERATOR)


def session_of_request() -> str:
    """Return the hash of the session key after the token of the current request, "" without one; keep no key.

    Raises
    ------
    BadValues
        If it is too long.
    """
    key = request.headers.get("Authorization", "").partition(KEY_MARK)[2].strip()
    if len(key) > LONGEST_KEY:
        raise BadValues("the session key has %d characters, expected at most %d" % (len(key), LONGEST_KEY))
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32] if key else ""


def is_from_this_machine() -> bool:
    """Return whether the current request was made on this machine, without a proxy, and not by another site's page.

    A link, form or image on another site makes a browser send requests without Origin; Sec-Fetch-Site reveals them.
    Source: W3C, Fetch Metadata Request Headers.
    """
    if any(name in request.headers for name in FORWARDED):
        return False
    if request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITES:
        return False
    host = request.headers.get("Host", "")
    origin = request.headers.get("Origin")
    if origin is not None and origin != "%s://%s" % (request.scheme, host):
        return False
    return is_loopback(request.remote_addr or "") and _name_of(host) in LOCAL_NAMES


def _name_of(host: str) -> Optional[str]:
    """Return the name in a Host header, without the port."""
    try:
        parts = urlsplit("//" + host)
        _ = parts.port  # raises if it is invalid
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _is_worker_route() -> bool:
    """Return whether the current request is one that workers make."""
    return request.path in OF_WORKERS or (
        request.path == "/get_global_model" and MEDIA_TYPE in request.headers.get("Accept", "")
    )


def is_page() -> bool:
    """Return whether the current request is for a file of the live page; these contain no data."""
    return request.path == "/" or request.path.startswith("/page/")


def _path() -> str:
    return "%.200s" % ascii(request.path)[1:-1]


def _nothing(name: str) -> None:
    """Do nothing; used without a :class:`Server`."""
