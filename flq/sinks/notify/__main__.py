"""The process that sends notifications: ``python -m flq.sinks.notify``, a sink of the master.

python -m flq.sinks.notify --test     sends one message now and reports for each service whether it was accepted
"""

import argparse
import os
import queue
import sys
import threading
import time
import warnings
from contextlib import suppress
from typing import BinaryIO, Iterator, List, Optional, Sequence, Tuple

from ...errors import FlqError, WireError
from ...flags import Flags
from ..messages import Began, Message, read
from .notice import INFO, Notice
from .picture import draw
from .policy import Policy
from .secrets import FILE, Secrets, environment_of, read_secrets
from .sender import Sender
from .service import Service, services_of

FINISH_S = 40.0  # time for the last messages; the master waits a little longer
TEST_TIMEOUT_S = 20.0
TEST_NOTICE = Notice("FLQ: a test", "If you can read this, FLQ can reach you.", INFO)


def main(argv: Optional[List[str]] = None) -> int:
    """Send notifications until the master's stream ends, or one test; return the exit code."""
    args = parse_flags(argv)
    warnings.simplefilter("ignore")  # warnings of libraries may contain an address
    sys.excepthook = lambda kind, error, trace: say("notifications have failed: %s" % kind.__name__)
    threading.excepthook = lambda failed: say("notifications have failed: %s" % failed.exc_type.__name__)
    try:
        secrets = read_secrets(os.environ, args.file)
    except FlqError as error:
        say(str(error))
        return 2
    os.environ.update(environment_of(secrets, os.environ))
    if args.test:
        return try_out(secrets, args.file)
    return watch(sys.stdin.buffer, secrets.urls)


def parse_flags(argv: Optional[List[str]]) -> argparse.Namespace:
    """Read the command line."""
    flags = Flags(
        prog="python -m flq.sinks.notify",
        description="Notifications about a run; without --test, the master's messages come from stdin.",
    )
    flags.add_argument(
        "--test",
        action="store_true",
        help=(
            "send one message now and report for each service whether it was accepted; exit code: the number "
            "of failures"
        ),
    )
    flags.add_argument(
        "--file",
        metavar="F",
        default=FILE,
        help="file of the addresses, unless the environment variable FLQ_NOTIFY is set (default: %(default)s)",
    )
    return flags.parse_args(argv)


def try_out(secrets: Secrets, path: str) -> int:
    """Send one message to every service; return the number of failures."""
    if not secrets.urls:
        say("no address is configured: set FLQ_NOTIFY, or write one to %s (docs/notifications.md)" % path)
        return 1
    services, problems = services_of(secrets.urls, TEST_TIMEOUT_S)
    for problem in problems:
        say(problem)
    n_failed = len(problems)
    for service in services:
        why = service.send(TEST_NOTICE, None).why
        n_failed += bool(why)
        say("%s: %s" % (service.name, why or "sent"))
    return min(n_failed, 99)


def watch(stream: BinaryIO, urls: Sequence[str]) -> int:
    """Send the notifications for a stream of messages until it ends; return the exit code."""
    messages: "queue.SimpleQueue[Optional[Message]]" = queue.SimpleQueue()
    threading.Thread(target=_read_all, args=(stream, messages), name="reader", daemon=True).start()
    began = messages.get()
    if not isinstance(began, Began):
        return 0
    settings = began.settings.notify
    services, problems = services_of(urls, settings.timeout_s)
    for problem in problems:
        say(problem)
    if services:
        say("messages are sent to %s" % ", ".join(service.name for service in services))
    senders = [Sender(service, settings.timeout_s, say) for service in services]
    policy = Policy(settings, began, time.monotonic())
    wants_pictures = settings.figure and any(service.takes_pictures for service in services)
    for notice in _notices(policy, messages):
        picture = _picture(policy) if wants_pictures else None
        for sender in senders:
            sender.send(notice, picture)
    _close(list(zip(services, senders)))
    return 0


def _notices(policy: Policy, messages: "queue.SimpleQueue[Optional[Message]]") -> Iterator[Notice]:
    """Yield each notification when it is due, until the stream ends."""
    is_over = False
    while not is_over:
        next_at = policy.next_at()
        try:
            message = messages.get(timeout=None if next_at is None else max(0.0, next_at - time.monotonic()))
        except queue.Empty:
            pass
        else:
            is_over = message is None
            if message is None:
                policy.vanish(time.monotonic())
            else:
                policy.take(message, time.monotonic())
        notice = policy.due(time.monotonic())
        if notice is not None:
            yield notice


def _read_all(stream: BinaryIO, messages: "queue.SimpleQueue[Optional[Message]]") -> None:
    """Queue the messages of a stream as fast as the master writes them."""
    try:
        for message in read(stream):
            messages.put(message)
    except WireError as error:
        say("a message of the master is invalid: %s" % error)
    finally:
        messages.put(None)


def _picture(policy: Policy) -> Optional[bytes]:
    try:
        return draw(policy.rounds, policy.about)
    except Exception as error:  # the text is sent anyway
        say("no figure is attached: %s" % type(error).__name__)
        return None


def _close(pairs: Sequence[Tuple[Service, Sender]]) -> None:
    until = time.monotonic() + FINISH_S
    for _, sender in pairs:
        sender.begin_closing()
    for service, sender in pairs:
        if not sender.join(max(0.0, until - time.monotonic())):
            say("the last messages to %s were not sent in time" % service.name)


def say(text: str) -> None:
    """Write a line to stderr, which the master logs if it still runs."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
