"""What a stranger may put into a request: methods, paths, numbers, headers, JSON texts, and what is no HTTP."""

from damage import FLOATS

FRAMES_TYPE = "application/x-flq"
READ = ("/healthz", "/status", "/history", "/results", "/results/{name}", "/metrics", "/openapi.json",
        "/get_global_model", "/", "/page/{name}", "/feed")  # but not /events, which has no end
WORKERS = ("/register", "/heartbeat", "/offer", "/upload_update")
PATHS = dict([(path, "GET") for path in READ] + [(path, "POST") for path in WORKERS + ("/stop",)])

METHODS = ("GET", "GET", "HEAD", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
           "PROPFIND", "get", "G\0T", "X" * 99)

TRICKS = (
    "/nope", "/", "//", "/status/", "//status", "/./status", "/%2e%2e/status", "/status%00", "/STATUS", "/status;x",
    "/results/../../../etc/passwd", "/results/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/results/..%5c", "/results/%00",
    "/results/config.json%00", "/results/config.json/", "/static/x", "/" + "a" * 3000, "/" + "../" * 500, "/%zz",
    "/%ff%fe", "/\u00e9", "http://[", "//[", "//[::1", "http://x/status", "x", "*", "/status#x", "?", "/status?[",
    "/status%0d%0aX: y", "/%73tatus", "/get_global_model/", "/\\", "/register?worker_id=0", "/openapi.json/..")

NUMBERS = ("", "0", "1", "-1", "4", "6", "2147483648", "9" * 30, "9" * 5000, "1e3", "0x1", "1_0", " 1", "1.0", "NaN",
           "\u0661", "%ff", "%00", "null", "[]", "a" * 2000)

VALUES = (None, True, False, "", "x" * 65, "\ud800", "\0", "0", "-1", 0, -1, 2 ** 64, -10 ** 400) + FLOATS

LENGTHS = ("-1", "-9999", "+5", "1_0", "0x10", "1e3", "5 5", "5, 6", "", " ", "\u0661", "9" * 5000, "five", "5;", "--5")

CODINGS = ("chunked", "Chunked", "gzip", "identity", "chunked, chunked", "gzip, chunked", "x", "", " ", "chunked\x0b",
           "\xff")

JSON_TEXTS = (
    b"", b"[]", b"5", b"null", b'"x"', b"{", b"{}", b"{}{}", b'{"worker_id": 4', b"[" * 60000, b'{"a":' * 13000,
    b"9" * 60000, b"\xff\xfe", b"\xef\xbb\xbf{}", '{"worker_id": 4}'.encode("utf-16"), b'{"worker_id": NaN}', b"true",
    b'{"worker_id": 1e999}', b'{"worker_id": 4, "worker_id": []}', b'{"worker_id": "\\ud800"}', b"{'a': 1}",
    b'{"worker_id": 4,}', b" " * 65536, b"\0" * 100, b'{"worker_id": -0, "instance": "\\u0000"}', b" " * 70000)

HEADERS = (
    ("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=_"), ("Expect", "100-continue"), ("Connection", "close"),
    ("Range", "bytes=0-0,5-"), ("If-None-Match", "*"), ("If-None-Match", '"\xff'), ("If-Modified-Since", "x"),
    ("Cookie", "a=b; " * 50), ("Content-Encoding", "gzip"), ("Content-Type", "multipart/form-data"),
    ("Content-Type", "application/json; charset=x"), ("Accept", "*/*;q=x"), ("Accept", FRAMES_TYPE), ("Upgrade", "h2c"),
    ("Host", "[::1"), ("X-Long", "y" * 9000), ("Accept-Encoding", "\xff"), ("Origin", "null"), ("X_Under", "1"))

AUTHORIZATIONS = ("Bearer x", "Bearer", "", "Basic eDp5", "Bearer \xff", "Bearer " + "x" * 5000, "bearer\t" + "x" * 20)

BROKEN = (
    b"\r\n\r\n", b"\n\n", b"\0" * 64 + b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /status\r\n\r\n", b"GET  /status HTTP/1.1\r\n\r\n",
    b"GET /status HTTP/1.1\nHost: x\n\n", b"GET /status HTTP/1.1\r\nHost x\r\n\r\n", b"GET /status HTTP/9.9\r\n\r\n",
    b"GET /status HTTP/0.9\r\n\r\n", b"GET /status HTTP/x.y\r\n\r\n", b"GET /status HTTP/1\r\n\r\n",
    b"GET /status HTTP/-1.1\r\n\r\n", b"GET /status ABCD/1.1\r\n\r\n", b"GET /status HTTP/1.1\r\n: x\r\n\r\n",
    b"GET /status HTTP/1.1\r\n folded: x\r\n\r\n", b"GET /status HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    b"GET /status HTTP/1.1\r\nA\0: b\r\n\r\n", b"GET /status HTTP/1.1\r\nA: b\rc\r\n\r\n",
    b"GET /status HTTP/1.1\r\n" + b"X: y\r\n" * 6000 + b"\r\n", b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n\r\n",
    b"GET /status HTTP/1.1\r\nX: " + b"y" * 40000 + b"\r\n\r\n", b"GET /status HTTP/1.1 HTTP/1.1\r\n\r\n")
