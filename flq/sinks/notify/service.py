"""Sends notifications through apprise, without leaking addresses.

An address contains tokens, and so may any message of apprise, requests or a proxy. Therefore only the HTTP status and
the name of the service leave this module.
"""

import logging
import re
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import apprise
from apprise.attachment.memory import AttachMemory

from .notice import Notice

PICTURE = "accuracy.png"
_STATUS = re.compile(r"\berror=(\d{3})\b")  # the end of apprise's log line on a failed request
_AGAIN = (408, 425, 429)  # a retry may succeed, as with 500 and above
_WHY = {
    400: "the address or the text is wrong: check the chat id, and that the chat has a conversation with the bot",
    401: "the token is wrong",
    403: "it has no permission to write there",
    404: "the token or the address is wrong",
    407: "the proxy requires a password",
    413: "the message is too long",
    429: "too many messages",
}


class SendResult(NamedTuple):
    """The result of a message: ``why`` is empty on success; ``is_final``: a retry would not help."""

    why: str
    is_final: bool = False


class Service:
    """One address.

    Parameters
    ----------
    plugin : apprise.NotifyBase
    name : str
        Its name in logs.
    timeout_s : float
        Timeout of connecting, and of each wait for bytes.
    """

    def __init__(self, plugin: Any, name: str, timeout_s: float) -> None:
        self.name = name
        self.takes_pictures = bool(plugin.attachment_support)
        plugin.socket_connect_timeout = plugin.socket_read_timeout = timeout_s
        self._all = apprise.Apprise(asset=plugin.asset)
        self._all.add(plugin)

    def send(self, notice: Notice, picture: Optional[bytes]) -> SendResult:
        """Send a message now, with the picture if the service accepts images."""
        attached = AttachMemory(picture, PICTURE, "image/png") if picture and self.takes_pictures else None
        try:
            result = self._all.notify(
                notice.body, notice.title, notice.level, body_format=apprise.NotifyFormat.TEXT, attach=attached
            )
            return SendResult("") if result else _outcome("\n".join(entry.message for entry in result.logs()))
        except Exception as error:  # of a library; its text may contain the address
            return SendResult("internal error (%s)" % type(error).__name__, True)


def services_of(urls: Sequence[str], timeout_s: float) -> Tuple[List[Service], List[str]]:
    """Return the services of the valid addresses, and a sentence for each invalid one."""
    silence()
    services, problems = [], []
    for number, url in enumerate(urls, 1):
        asset = apprise.AppriseAsset(
            app_id="FLQ",
            app_desc="FLQ",
            app_url="",
            service_timeout=0,
            image_path_mask=False,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
        )
        try:
            plugin = apprise.Apprise.instantiate(url, asset=asset)
        except Exception:  # plugins raise anything for an invalid address
            plugin = None
        if plugin is None:
            problems.append(
                (
                    "address %d of %d for notifications is unknown to apprise or incomplete; docs/notifications.md "
                    "has examples"
                )
                % (number, len(urls))
            )
        else:
            services.append(Service(plugin, "%s (address %d)" % (plugin.service_name, number), timeout_s))
    return services, problems


def silence() -> None:
    """Silence the logging of libraries, which may contain secrets."""
    logging.getLogger().addHandler(logging.NullHandler())  # without a handler, warnings go to stderr


def _outcome(log: str) -> SendResult:
    found = _STATUS.search(log)
    if found is None:
        return SendResult("it is unreachable, or its answer was invalid")
    status = int(found.group(1))
    why = "it answered with status %d" % status
    return SendResult(why + ": " + _WHY[status] if status in _WHY else why, status < 500 and status not in _AGAIN)
