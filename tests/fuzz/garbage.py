"""Invalid HTTP requests from a given generator: a function of its seed.

None of them may change the run, so three valid requests are left out: the operator's POST /stop, which ends the run (it
is in many bodies, where it must not be read as a request); an answer to the open round with the token of a worker that
has not answered; and a worker's valid join, which would change the weights. Requests with the token of a worker that
trains are of another epoch, or have an old number. The other workers (``IDLE``) never join: they may send anything, but
their registrations are incomplete.
"""

import json
from typing import NamedTuple, Optional
from urllib.parse import unquote_to_bytes

from damage import EPOCH, ROUND, SEQ, WORKER, put, seal
from frames import Frames
from odd_values import (
    AUTHORIZATIONS,
    BROKEN,
    CODINGS,
    FRAMES_TYPE,
    HEADERS,
    JSON_TEXTS,
    LENGTHS,
    METHODS,
    NUMBERS,
    PATHS,
    READ,
    TRICKS,
    VALUES,
)
from reports import REPORT

from flq.core.data_report import to_json
from flq.protocol.wire import VERSION

TRAINING, IDLE = (0, 1, 2, 3), (4, 5)
OVER = ("0", "2", "-1", "9" * 30, "", "x", "1.0")  # epochs that workers who train are not in


class Request(NamedTuple):
    """The bytes sent on a connection.

    Attributes
    ----------
    kind : str
        Its name in counts.
    data : bytes
    method : str
        Method in the first line, as far as readable: responses to HEAD have no body.
    path : str or None
        The path of the description that its response is checked against.
    is_whole : bool
        Whether there is a response, and the connection may be used again; otherwise the sender closes its side.
    is_one : bool
        Whether the bytes after the head must not be read as another request.
    """

    kind: str
    data: bytes
    method: str = "GET"
    path: Optional[str] = None
    is_whole: bool = False
    is_one: bool = True


class Garbage:
    """Makes requests for one master.

    Parameters
    ----------
    random : random.Random
    tokens : dict
        Token by name: operator, worker0, ...
    link : Link
        Of the run.
    """

    def __init__(self, random, tokens, link):
        self._random, self._tokens, self._link = random, tokens, link
        self._frames = Frames(random, (link,))
        self._stop = head("POST", "/stop", [self._authorization("operator"), ("Content-Length", "0")])
        self._whole_kinds = (self.path, self.query, self.query, self.json, self.json, self.frame, self.frame, self.poll)
        self._kinds = self._whole_kinds + (self.broken, self.length, self.coding, self.cut, self.mutated)

    def next(self):
        """Return a request."""
        return self._random.choice(self._kinds)()

    # -- whole requests ----------------------------------------------------------------------

    def path(self):
        """Make any method on any path, with any body."""
        random = self._random
        path = random.choice(TRICKS + tuple(PATHS) * 3)
        target = path.replace("{name}", random.choice(("config.json", "x")))
        body = random.choice((b"", b"{}", self._stop, bytes(100)))
        name = self._someone("worker4" if path == "/stop" else "operator")
        return self._whole("path", random.choice(METHODS), target, body, name, path)

    def query(self):
        """A path that people read, with a query."""
        random, path = self._random, self._random.choice(READ)
        names = {"/history": ("since", "limit"), "/get_global_model": ("format",)}.get(path, ())
        pairs = [
            (random.choice(names + ("x",)), random.choice(NUMBERS + ("json", "npz", "keras", "h5")))
            for _ in range(random.randrange(4))
        ]
        target = path.replace("{name}", random.choice(("config.json", "model.npz", "x")))
        target += "?" + "&".join("%s=%s" % pair for pair in pairs) if pairs else ""
        return self._whole("query", random.choice(("GET", "GET", "HEAD")), target, b"", self._someone("operator"), path)

    def json(self):
        """Make JSON that is no valid registration or heartbeat."""
        random, worker_id = self._random, self._random.choice(TRAINING + IDLE)
        path = random.choice(("/register", "/heartbeat"))
        body = random.choice(JSON_TEXTS) if random.random() < 0.4 else json.dumps(self._fields(worker_id)).encode()
        return self._whole("json", "POST", path, body, self._someone("worker%d" % worker_id), path)

    def frame(self):
        """Make a damaged frame, mostly of the worker whose token is sent."""
        random, worker_id = self._random, self._random.choice(TRAINING + IDLE + IDLE)
        path, name = random.choice(("/offer", "/upload_update")), self._someone("worker%d" % worker_id)
        frame = self._frames.valid(self._link)
        if random.random() < 0.7:
            put(frame, WORKER, worker_id)
        if random.random() < 0.7:
            frame = self._frames.damaged(self._link, frame)
        if name not in ["worker%d" % idle for idle in IDLE]:
            self._make_harmless(frame)
        named = worker_id if random.random() < 0.9 else random.choice(NUMBERS)
        have = "&have=%s" % random.choice(NUMBERS) if random.random() < 0.7 else ""
        return self._whole("frame", "POST", "%s?worker=%s%s" % (path, named, have), bytes(frame), name, path)

    def poll(self):
        """Make a poll of a worker for an epoch that does not exist."""
        random, worker_id = self._random, self._random.choice(TRAINING + IDLE)
        numbers = {name: random.choice(NUMBERS) for name in ("epoch", "have", "answered") if random.random() < 0.9}
        numbers["epoch"] = random.choice(OVER if worker_id in TRAINING else NUMBERS)
        query = "&".join(["worker=%s" % worker_id] + ["%s=%s" % item for item in numbers.items()])
        return self._whole(
            "poll",
            "GET",
            "/get_global_model?" + query,
            b"",
            self._someone("worker%d" % worker_id),
            "/get_global_model",
            [("Accept", FRAMES_TYPE)],
        )

    def _fields(self, worker_id):
        """Return an object with an error, or with nothing but its epoch wrong."""
        random = self._random
        named = random.choice((worker_id,) * 3 + (random.choice((-1, 0, 5, 6, 2**31, 2**70)),))
        fields = {
            "worker_id": named,
            "wire": VERSION,
            "instance": "fuzz%d" % random.randrange(3),
            "n_samples": random.randrange(1, 99),
            "layout_crc": self._link.layout.crc ^ 1,
            "epoch": random.choice((-1, 0, 2, 7, 2**40)),
            "data": random.choice((None, self._report())),
        }
        for name in random.sample(sorted(fields), random.randrange(4)):
            fields[name] = self._value(3)
        if random.random() < 0.3:
            fields.update(n_samples=random.choice((0, -1, [], "x", None)), layout_crc=self._link.layout.crc)
        for name in random.sample(sorted(fields), random.choice((0, 0, 1, 2))):
            del fields[name]
        return fields

    def _report(self):
        """Return a report of data, mostly with a wrong value."""
        random, report = self._random, to_json(REPORT)
        name = random.choice(sorted(report))
        report[name] = self._value(2) if random.random() < 0.8 else report[name]
        return report

    def _value(self, depth):
        """Return any JSON value, and some that are not JSON."""
        random = self._random
        if depth and random.random() < 0.3:
            values = [self._value(depth - 1) for _ in range(random.randrange(4))]
            return values if random.random() < 0.5 else {"%.20r" % (value,): value for value in values}
        return random.choice(VALUES)

    def _make_harmless(self, frame):
        """Make sure that a frame is no answer to the open round."""
        random = self._random
        if random.random() < 0.5:
            put(frame, EPOCH, random.choice((0, 2, 7, 2**32 - 1)))
        else:
            put(frame, EPOCH, 1)
            put(frame, *random.choice(((SEQ, 0), (ROUND, 2**32 - 1))))
        seal(frame)

    def _someone(self, name):
        """Return a name, mostly the given one; None has no token."""
        return name if self._random.random() < 0.75 else self._random.choice(("operator", "worker0", "worker4", None))

    def _authorization(self, name):
        return "Authorization", "Bearer " + self._tokens[name]

    def _whole(self, kind, method, target, body, name, path, headers=()):
        """Return a request that is HTTP, perhaps with odd headers."""
        random = self._random
        if method == "POST" and b"stop" in unquote_to_bytes(target).lower() and name == "operator":
            name = None
        headers = list(headers) + random.sample(HEADERS, random.choice((0, 0, 0, 1, 2)))
        if name is not None:
            headers.append(self._authorization(name))
        elif random.random() < 0.5:
            headers.append(("Authorization", random.choice(AUTHORIZATIONS)))
        if body or random.random() < 0.2:
            headers.append(("Content-Length", str(len(body))))
        is_described = method == PATHS.get(path) or method == "HEAD" and PATHS.get(path) == "GET"
        return Request(kind, head(method, target, headers) + body, method, path if is_described else None, True)

    # -- broken ones -------------------------------------------------------------------------

    def broken(self):
        """Make bytes that are no request."""
        random = self._random
        if random.random() < 0.7:
            return Request("broken", random.choice(BROKEN))
        data = bytes(random.randrange(256) for _ in range(random.randrange(300)))
        return Request("broken", data + random.choice((b"", b"\r\n\r\n", b" / HTTP/1.1\r\n\r\n")), is_one=False)

    def length(self):
        """Make a body whose length is no number, duplicate or huge."""
        random, headers = self._random, [self._authorization("worker4")]
        path = random.choice(("/register", "/heartbeat", "/offer?worker=4", "/upload_update?worker=4", "/status"))
        draw = random.random()
        if draw < 0.6:
            headers.append(("Content-Length", random.choice(LENGTHS)))
        elif draw < 0.8:
            headers += [("Content-Length", value) for value in random.sample(("0", str(len(self._stop))), 2)]
        else:
            headers.append(("Content-Length", str(random.choice((10**5, 10**9, 10**12, 2**63, 10**30)))))
        return Request("length", head("POST", path, headers) + self._stop, "POST")

    def coding(self):
        """Make a body in chunks, or in an unknown coding."""
        random, stop, version = self._random, self._stop, self._random.choice(("1.1", "1.0"))
        headers = [self._authorization("worker4"), ("Transfer-Encoding", random.choice(CODINGS))]
        if version == "1.0":
            headers.append(("Connection", "Keep-Alive"))
        if random.random() < 0.3:
            headers.append(("Content-Length", random.choice(("0", "5", str(len(stop))))))
        body = random.choice(
            (
                stop,
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(stop), stop),
                b"fffffffff\r\n",
                b"-5\r\n",
                b"zz\r\n" + stop,
                b"0\r\n\r\n" + stop,
            )
        )
        path = random.choice(("/register", "/heartbeat", "/offer?worker=4", "/status"))
        return Request("coding", head("POST", path, headers, version) + body, "POST")

    def cut(self):
        """Make a request that is truncated."""
        request = self._random.choice(self._whole_kinds)()
        return Request("cut", request.data[: self._random.randrange(len(request.data))], request.method)

    def mutated(self):
        """Make a request with changed bytes in its head."""
        random = self._random
        request = random.choice(self._whole_kinds)()
        data = bytearray(request.data.replace(self._stop, b""))
        end = data.find(b"\r\n\r\n") + 4
        for _ in range(random.randrange(1, 6)):
            place = random.randrange(end)
            data[place : place + random.randrange(2)] = random.choice((b"", b"\0", b"\r", b"\n", b" ", b":", b"\xff"))
        return Request("mutated", bytes(data), request.method, is_one=False)


def head(method, target, headers, version="1.1"):
    """Return the head of a request."""
    lines = ["%s %s HTTP/%s" % (method, target, version), "Host: x"] + ["%s: %s" % header for header in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
