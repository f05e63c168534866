"""The worker's requests: one kept-alive connection to the master.

Every request may be sent again: the master answers the same registration, poll, offer or
upload in the same way. The client itself never retries: the worker's machine does. The received
part of a plan and frames that broke off is kept for the next poll (downloads.py).
"""

import json
import os
import threading
from typing import Any, Callable, Dict, Optional, Union, cast
from urllib.parse import urlencode

import requests

from ..errors import ConfigError
from ..protocol import worker_events as events
from ..protocol.wire import (
    CRC_HEADER,
    KEY_MARK,
    MAGIC,
    MEDIA_TYPE,
    PREFIX_SIZE,
    VERDICT,
    VERSION,
    Buffers,
    size_of,
    text_crc,
)
from .downloads import Download, HTTPError
from .http_adapter import CONNECT_S, READ_S, Adapter, cause_of
from .proxies import Proxy, foreign_answer, proxy_for

UNSET = getattr(requests.packages.urllib3.util, "SKIP_HEADER", None)  # keeps urllib3 from adding its own header

JSON = {"Content-Type": "application/json"}
LONGEST_RETRY_AFTER_S = 60.0  # whatever answers in the master's place
PROGRESS_BYTES = 1 << 14  # arrived bytes after which a request that broke off is repeated at once
UNKNOWN_TOKEN = "invalid_token"  # in a challenge to a token that was sent; RFC 6750, section 3.1
LONGEST_ERROR = 1 << 16  # in bytes; the master's errors are far shorter
VERDICT_SIZE = PREFIX_SIZE + VERDICT.size
_TLS_HINT = (
    "--ca must name the certificate of the authority that signed the master's, --master_ip a name or address "
    "that stands in it, and the master must run with --tls_cert; docs/security.md"
)
REGISTRATION = {  # the keys that the worker's machine reads
    "wire": int,
    "run_id": str,
    "ended": bool,
    "resumed": bool,
    "epoch": int,
    "lease_s": (int, float),
    "start_crc": int,
    "layout": list,
    "settings": dict,
    "codings": list,
    "joined": bool,
    "n_sessions": int,
}
OF_ANY_VERSION = "run_id", "settings", "layout", "start_crc"  # by these a master of another wire version is recognized


class MasterClient:
    """HTTP to one master.

    Parameters
    ----------
    url : str
        Such as ``http://192.168.1.10:5000``.
    worker_id : int
    find_token : callable(), optional
        Returns this worker's token, or None; called before each registration and heartbeat.
    ca : str, optional
        File of certificates to trust for https; by default the system's.
    session_key : str, optional
        Proves that a request comes from the process that has joined; sent with every request.
    """

    def __init__(
        self,
        url: str,
        worker_id: int,
        find_token: Callable[[], Optional[str]] = lambda: None,
        ca: Optional[str] = None,
        session_key: str = "",
    ) -> None:
        self._url = url
        self._worker_id = worker_id
        self._session_key = KEY_MARK + session_key if session_key else ""
        self._was_answered = False  # by any server
        self._proxy: Optional[Proxy] = None
        self._find_token = find_token
        self._verify = True if ca is None else ca  # type: Union[bool, str]
        self._token = None  # type: Optional[str]
        self._template = None  # type: Optional[requests.PreparedRequest]
        self._preparing = threading.Lock()
        self._partial = None  # type: Optional[Download]
        self._partial_from = 0  # the worker's version at that time
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, Adapter())
        self._session.hooks["response"].append(self._note_answer)
        self._session.headers.clear()
        self._session.headers.update({"User-Agent": UNSET, "Accept-Encoding": UNSET})

    def do(self, action: events.Action) -> events.Event:
        """Perform one of the machine's calls and return its outcome.

        Raises
        ------
        ConfigError
            If the URL, or the proxy of the environment, is not valid: a retry would not help.
        """
        n_before = self._n_kept()
        try:
            if isinstance(action, events.CallRegister):
                return self._register(action)
            if isinstance(action, events.CallPoll):
                return self._poll(action)
            return self._answer(action)  # type: ignore[arg-type]
        except (requests.RequestException, HTTPError) as error:
            cause = cause_of(error)
            if self._proxy and isinstance(
                error, (requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema)
            ):
                raise ConfigError(
                    "the proxy %s of the environment variable %s cannot be used: %s"
                    % (self._proxy.where, self._proxy.variable, cause),
                    self._proxy.fix(self._url),
                ) from None
            if self._is_fault_of_the_url(error):
                raise ConfigError(
                    "%s cannot be the address of a master: %s" % (self._url, cause),
                    "--master_ip takes a name or an IP address, without http:// and port",
                ) from None
            if isinstance(error, requests.exceptions.SSLError) and not self._was_answered:
                raise ConfigError(
                    "no safe connection to the master at %s: %s" % (self._url, cause),
                    self._proxy.words(self._url) if self._proxy else _TLS_HINT,
                ) from None
            through = " (%s)" % self._proxy.words(self._url) if self._proxy else ""
            return events.Unreachable(
                "no answer from the master at %s: %s%s" % (self._url, cause, through),
                made_progress=self._n_kept() - n_before >= PROGRESS_BYTES,
            )

    def heartbeat(self, epoch: int, device: Optional[Dict[str, Any]] = None, renews: bool = True) -> Optional[str]:
        """Send a heartbeat that this worker is alive, or only a report on its device.

        Returns
        -------
        str or None
            A sentence on what has answered for the master; no other outcome matters.
        """
        try:
            self._show_token()
            body = {"worker_id": self._worker_id, "epoch": epoch}  # type: Dict[str, Any]
            if device is not None:
                body["device"] = device
            if not renews:
                body["renews"] = False
            response = self._request("POST", "/heartbeat", body=_json(body), headers=JSON)
            reply = _json_of(_beginning(response))  # read in full, so that the connection can be used again
            is_masters = isinstance(reply, dict) if response.status_code == 200 else _error_of(reply) is not None
            return None if is_masters else self._foreign_answer(response).detail
        except (requests.RequestException, HTTPError, ConfigError):
            return None  # the next regular request reports it

    def _is_fault_of_the_url(self, error: Exception) -> bool:
        """Return whether our own URL is malformed."""
        return not self._was_answered and isinstance(
            error,
            (
                requests.exceptions.InvalidURL,
                requests.exceptions.MissingSchema,
                requests.packages.urllib3.exceptions.LocationValueError,
            ),
        )

    def _note_answer(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._was_answered = True

    def _register(self, action: events.CallRegister) -> events.Event:
        self._show_token()
        response = self._request("POST", "/register", body=_json(action.body), headers=JSON)
        if response.status_code != 200:
            return self._problem(response)
        text = Download(response).read(response)
        if response.headers.get(CRC_HEADER, "") not in ("", text_crc(text)):
            return events.Unreachable("the master's reply to the registration is corrupted: its CRC32 does not match")
        body = _json_of(text)
        return events.Registered(body) if _is_registration(body) else self._foreign_answer(response)

    def _poll(self, action: events.CallPoll) -> events.Event:
        query = {"worker": self._worker_id, "epoch": action.epoch, "have": action.have, "answered": action.answered}
        headers, partial = {"Accept": MEDIA_TYPE}, self._partial if self._partial_from == action.have else None
        if partial is not None:
            headers.update(partial.rest())
        response = self._request("GET", "/get_global_model", query, headers=headers)
        if response.status_code not in (200, 204, 206):
            problem = self._problem(response)
            if problem.by_master and problem.status < 500:
                self._partial = None
            return problem
        self._partial = None
        if response.status_code == 204:
            _ = response.content  # empty; now the connection can be used again
            return events.NothingNew(_retry_after(response))
        download = Download(response) if response.status_code == 200 else partial
        if response.status_code == 206 and (partial is None or not partial.accept_rest(response)):
            response.close()
            raise requests.ConnectionError("the answer is not the rest that was requested")
        stream = self._read(download, response, action.have)
        return events.Polled(stream) if stream.startswith(MAGIC) else self._foreign_answer(response)

    def _answer(self, action: events.CallAnswer) -> events.Event:
        query, self._partial = {"worker": self._worker_id}, None
        if action.have is not None:
            query["have"] = action.have
        response = self._request("POST", action.path, query, action.frame)
        if response.status_code != 200:
            return self._problem(response)
        download = Download(response)
        try:
            frames = download.read(response)
            return events.VerdictReceived(frames) if frames.startswith(MAGIC) else self._foreign_answer(response)
        except requests.ConnectionError:
            if download.n_read < VERDICT_SIZE:  # a whole verdict is useful by itself
                raise
        verdict = download.take(VERDICT_SIZE)
        return events.VerdictReceived(verdict if self._keep(download, action.have) else verdict + download.so_far())

    def _read(self, download: Download, response: requests.Response, have: int) -> bytearray:
        try:
            return download.read(response)
        except requests.ConnectionError:
            self._keep(download, have)
            raise

    def _keep(self, download: Download, have: Optional[int]) -> bool:
        """Keep a download that broke off, in place of an earlier one, if it can be resumed."""
        if have is None or not download.can_resume:
            return False
        self._partial, self._partial_from = download, have
        return True

    def _n_kept(self) -> int:
        return 0 if self._partial is None else self._partial.n_read

    def _problem(self, response: requests.Response) -> events.Problem:
        """Return an error as an event; the master's errors are JSON of one form."""
        detail = _error_of(_json_of(_beginning(response)))
        if detail is None:
            return self._foreign_answer(response)
        challenge = response.headers.get("WWW-Authenticate", UNKNOWN_TOKEN)
        if response.status_code == 401 and self._token is not None and UNKNOWN_TOKEN not in challenge:
            detail = (
                "the token of this worker does not reach the master at %s (a proxy on the way must pass the "
                "header Authorization, or let the worker connect directly)" % self._url
            )
        return events.Problem(response.status_code, detail, _retry_after(response))

    def _foreign_answer(self, response: requests.Response) -> events.Problem:
        return events.Problem(
            response.status_code,
            foreign_answer(response.url.split("?")[0], response, self._proxy),
            _retry_after(response),
            by_master=False,
        )

    def _show_token(self) -> None:
        self._token = self._find_token()

    def _request(
        self,
        method: str,
        path: str,
        query: Optional[Dict[str, Any]] = None,
        body: Union[bytes, Buffers] = b"",
        headers: Optional[Dict[str, str]] = None,
    ) -> requests.Response:
        """Send a request, with token and CRC32; return when the head of the answer has arrived.

        The CRC32 is that of query and JSON; a frame, a list of buffers, has its own. Cookies are not sent back.
        """
        request, text = self._new_request(), urlencode(query or {})
        request.method, request.body = method, cast(Any, body or None)
        request.url = request.url.rstrip("/") + path + "?" * bool(text) + text
        request.headers.update(headers or {})
        if body:
            request.headers["Content-Length"] = str(len(body) if isinstance(body, bytes) else size_of(body))
        if self._token is not None:
            request.headers["Authorization"] = "Bearer " + self._token + self._session_key
        request.headers[CRC_HEADER] = text_crc(text.encode("ascii"), body if isinstance(body, bytes) else b"")
        return self._session.send(
            request, stream=True, timeout=(CONNECT_S, READ_S), verify=self._verify, proxies=self._session.proxies
        )

    def _new_request(self) -> requests.PreparedRequest:
        """Return a copy of a request to the master that is prepared once.

        Preparing it, with the address and the environment (proxies, certificates), takes a third of an
        exchange. ~/.netrc does not replace the token.
        """
        with self._preparing:
            if self._template is None:
                template = self._session.prepare_request(requests.Request("GET", self._url, auth=lambda made: made))
                # verify is passed here: the environment would take precedence over the session's.
                found = self._session.merge_environment_settings(template.url, {}, None, self._verify, None)
                self._session.proxies, self._verify = found["proxies"], found["verify"]
                self._session.trust_env = False
                self._proxy = proxy_for(template.url, found["proxies"], os.environ)
                self._template = template
        return self._template.copy()


class _Session(requests.Session):
    """Follows no redirects: no master sends one, and a worker's requests are for the master only."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: no redirect is followed."""


def _json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8")


def _is_registration(body: Any) -> bool:
    """Return whether a JSON value is a master's reply to a registration, of any wire version."""
    if not isinstance(body, dict):
        return False
    keys = REGISTRATION if body.get("wire") == VERSION else OF_ANY_VERSION
    return all(isinstance(body.get(key), REGISTRATION[key]) for key in keys)  # type: ignore[arg-type]


def _json_of(body: Union[bytes, bytearray]) -> Any:
    """Return the JSON value of a body, None if it is not JSON."""
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _error_of(body: Any) -> Optional[str]:
    """Return the sentence of a master's error, None if it is not a master's."""
    texts = [body.get(key) for key in ("error", "detail", "hint")] if isinstance(body, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        return None
    return "%s (%s)" % tuple(texts[1:]) if texts[2] else texts[1]


def _beginning(response: requests.Response) -> bytes:
    """Return the body, cut where it exceeds any error of the master."""
    body = b""
    for piece in response.iter_content(LONGEST_ERROR):
        body += piece
        if len(body) >= LONGEST_ERROR:
            response.close()
            break
    return body


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "0")
    return min(float(value), LONGEST_RETRY_AFTER_S) if value.isdecimal() else 0.0
