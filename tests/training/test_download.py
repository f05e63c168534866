"""Downloads over loopback: a file with its final name is complete, whatever the network does."""

import hashlib
import http.server
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading

import pytest
from factory import settings_with
from pseudo import WAIT_S, Pseudo
from published_files import IDX_NAMES, cifar_archive, mnist_arrays, write_mnist

from flq.errors import DataError
from flq.training.datasets import load_dataset
from flq.training.sources import download
from flq.training.sources.download import DownloadFailed, File, download_missing
from flq.training.sources.published import PUBLISHED

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONTENT = bytes(range(256)) * 1000


def file_of(name, content):
    return File(name, len(content), hashlib.sha256(content).hexdigest())


WHOLE = file_of("whole.bin", CONTENT)


class ThreadingServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A threading server; http.server has its own since Python 3.7."""

    daemon_threads = True


class Site:
    """A web server on loopback, with a function of the handler for each path."""

    def __init__(self):
        self.answers, self.asked, site = {}, [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                site.answers.get(self.path, not_found)(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/" % self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def has(self, name, content, length=None):
        """Respond with this content, and declare this length."""

        def send(handler):
            handler.send_response(200)
            if length != "none":
                handler.send_header("Content-Length", str(length or len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        self.answers["/" + name] = send

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def not_found(handler):
    handler.send_error(404)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = Site()
    yield served
    served.close()


def names_in(folder):
    return sorted(name for name in os.listdir(str(folder)) if name != ".lock")


def test_a_file_is_downloaded_once(site, tmp_path):
    site.has("whole.bin", CONTENT)
    for _ in range(2):
        download_missing([WHOLE], [site.url], str(tmp_path / "new" / "folder"))
    assert (tmp_path / "new" / "folder" / "whole.bin").read_bytes() == CONTENT
    assert names_in(tmp_path / "new" / "folder") == ["whole.bin"] and site.asked == ["/whole.bin"]


def test_leftovers_of_a_killed_download_are_removed_by_the_next(site, tmp_path):
    (tmp_path / ".whole.binabc.partial").write_bytes(CONTENT[:5])
    (tmp_path / ".another.binxyz.partial").write_bytes(CONTENT[:5])
    site.has("whole.bin", CONTENT)
    download_missing([WHOLE], [site.url], str(tmp_path))
    assert names_in(tmp_path) == ["whole.bin"]


@pytest.mark.parametrize(
    "content, length, reason",
    [
        (CONTENT[:-1] + b"x", None, "its SHA-256 is .* expected %s" % WHOLE.sha256),
        (CONTENT[:-1], None, "it ended after 255999 of 256000 bytes"),
        (CONTENT[:1000], len(CONTENT), "1000 of 256000 bytes|IncompleteRead"),
        (CONTENT + b"x", None, "larger than the expected 256000 bytes"),
        (CONTENT * 3, "none", "larger than the expected 256000 bytes"),
        (b"", None, "it ended after 0 of 256000 bytes"),
    ],
)
def test_a_wrong_file_leaves_nothing(site, tmp_path, content, length, reason):
    site.has("whole.bin", content, length)
    with pytest.raises(DownloadFailed, match=reason):
        download_missing([WHOLE], [site.url], str(tmp_path))
    assert names_in(tmp_path) == []


def test_responses_that_are_not_the_file_are_explained(site, tmp_path):
    with pytest.raises(DownloadFailed, match="%swhole.bin: HTTP 404 Not Found" % site.url):
        download_missing([WHOLE], [site.url], str(tmp_path))
    site.answers["/whole.bin"] = lambda handler: handler.wfile.write(b"what?\r\n\r\n")
    with pytest.raises(DownloadFailed, match="what"):
        download_missing([WHOLE], [site.url], str(tmp_path))
    site.answers["/whole.bin"] = lambda handler: None  # closes without a word
    with pytest.raises(DownloadFailed, match="closed connection"):
        download_missing([WHOLE], [site.url], str(tmp_path))


def test_a_silent_server_is_abandoned(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.05)
    asked_enough = threading.Event()
    site.answers["/whole.bin"] = lambda handler: asked_enough.wait(30)
    try:
        with pytest.raises(DownloadFailed, match="timed out"):
            download_missing([WHOLE], [site.url], str(tmp_path))
    finally:
        asked_enough.set()


def test_the_next_mirror_is_tried(site, tmp_path):
    site.has("second/whole.bin", CONTENT)
    download_missing([WHOLE], ["http://127.0.0.1:1/", site.url, site.url + "second/"], str(tmp_path))
    assert (tmp_path / "whole.bin").read_bytes() == CONTENT


def test_a_site_that_does_not_listen_is_reported(tmp_path):
    with pytest.raises(DownloadFailed, match="^http://127.0.0.1:1/whole.bin: Connection refused$"):
        download_missing([WHOLE], ["http://127.0.0.1:1/"], str(tmp_path))


def test_a_folder_that_is_not_writable_is_named(site, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="file/sub cannot be written: Not a directory"):
        download_missing([WHOLE], [site.url], str(tmp_path / "file" / "sub"))
    assert site.asked == []


def test_a_folder_that_has_everything_is_only_read(tmp_path):
    (tmp_path / "whole.bin").write_bytes(CONTENT)
    download_missing([WHOLE], [], str(tmp_path))
    assert os.listdir(str(tmp_path)) == ["whole.bin"]


def start_download(site, folder):
    code = (
        "import sys; from flq.training.sources.download import File, download_missing; "
        "download_missing([File(sys.argv[1], int(sys.argv[2]), sys.argv[3])], [sys.argv[4]], sys.argv[5])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, WHOLE.name, str(WHOLE.n_bytes), WHOLE.sha256, site.url, str(folder)]
    )


def half_then_wait(site, is_asked, may_continue):
    def send(handler):
        site.has("whole.bin", CONTENT)  # the next request gets it at once
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:128000])
        handler.wfile.flush()
        is_asked.set()
        may_continue.wait(60)
        try:
            handler.wfile.write(CONTENT[128000:])
        except OSError:
            handler.close_connection = True  # the other side was killed

    return send


def test_a_download_that_is_killed_leaves_nothing_that_is_taken_for_whole(site, tmp_path):
    is_asked, may_continue = threading.Event(), threading.Event()
    site.answers["/whole.bin"] = half_then_wait(site, is_asked, may_continue)
    process = start_download(site, tmp_path)
    try:
        assert is_asked.wait(60)
        assert "whole.bin" not in os.listdir(str(tmp_path))
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
        may_continue.set()
    assert not (tmp_path / "whole.bin").exists()
    download_missing([WHOLE], [site.url], str(tmp_path))  # the lock ended with the process
    assert (tmp_path / "whole.bin").read_bytes() == CONTENT


def test_two_processes_at_once_download_once(site, tmp_path):
    is_asked, may_continue = threading.Event(), threading.Event()
    site.answers["/whole.bin"] = half_then_wait(site, is_asked, may_continue)
    first = start_download(site, tmp_path)
    second = None
    try:
        assert is_asked.wait(60)
        second = start_download(site, tmp_path)
        may_continue.set()
        assert [first.wait(60), second.wait(60)] == [0, 0]
    finally:
        may_continue.set()
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()
    assert (tmp_path / "whole.bin").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["whole.bin"] and site.asked == ["/whole.bin"]


@pytest.fixture
def bare_machine(tmp_path, monkeypatch):
    monkeypatch.delenv("FLQ_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path


def test_mnist_comes_from_the_network_and_then_from_the_cache(site, bare_machine, monkeypatch):
    source = write_mnist(bare_machine / "source")
    files = []
    for name in IDX_NAMES:
        content = (source / (name + ".gz")).read_bytes()
        files.append(file_of(name + ".gz", content))
        site.has(name + ".gz", content)
    monkeypatch.setitem(PUBLISHED, "mnist", PUBLISHED["mnist"]._replace(mirrors=(site.url,), files=tuple(files)))
    settings = settings_with(dataset="mnist")
    for _ in range(2):
        assert load_dataset(settings).y_train.tolist() == mnist_arrays()[1].tolist()
    assert len(site.asked) == 4
    assert names_in(bare_machine / "caches" / "flq" / "mnist") == sorted(file.name for file in files)
    assert not (bare_machine / "keras").exists()


def test_cifar_comes_from_the_network(site, bare_machine, monkeypatch):
    content = cifar_archive()
    site.has("cifar-10-binary.tar.gz", content)
    monkeypatch.setitem(
        PUBLISHED,
        "cifar10",
        PUBLISHED["cifar10"]._replace(mirrors=(site.url,), files=(file_of("cifar-10-binary.tar.gz", content),)),
    )
    settings = settings_with(dataset="cifar10")
    assert load_dataset(settings).x_train.shape == (10, 32, 32, 3)


def test_a_wrong_checksum_is_an_error_of_one_sentence(site, bare_machine, monkeypatch):
    content = cifar_archive()
    site.has("cifar-10-binary.tar.gz", content[:-1] + b"x")
    monkeypatch.setitem(
        PUBLISHED,
        "cifar10",
        PUBLISHED["cifar10"]._replace(mirrors=(site.url,), files=(file_of("cifar-10-binary.tar.gz", content),)),
    )
    settings = settings_with(dataset="cifar10")
    with pytest.raises(DataError, match="cannot be downloaded: .*its SHA-256 is .*put cifar-10-binary.tar.gz from"):
        load_dataset(settings)
    assert names_in(bare_machine / "caches" / "flq" / "cifar10") == []


# ---- How far it is


def steps(caplog):
    """Return the log lines, those for all and those for a bar only."""
    lines = [
        (record.getMessage(), hasattr(record, "is_for_a_bar"))
        for record in caplog.records
        if record.getMessage().startswith("download=")
    ]
    return [line for line, is_small in lines if not is_small], [line for line, is_small in lines if is_small]


def test_a_log_has_each_quarter_and_a_bar_each_hundredth(site, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO", "flq")
    monkeypatch.setattr(download, "BLOCK_BYTES", 1000)
    site.has("whole.bin", CONTENT)
    download_missing([WHOLE], [site.url], str(tmp_path))
    said, shown = steps(caplog)
    assert [line.rpartition(" seconds=")[0] for line in said] == [
        "download=whole.bin bytes=%d/256000" % n_bytes for n_bytes in (0, 64000, 128000, 192000, 256000)
    ]
    assert len(shown) == 96


def test_a_slow_download_is_heard_of_more_often(site, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO", "flq")
    monkeypatch.setattr(download, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(download, "STEP_S", 0.0)
    site.has("whole.bin", CONTENT)
    download_missing([WHOLE], [site.url], str(tmp_path))
    said, shown = steps(caplog)
    assert len(said) == 257 and shown == []


def test_a_mirror_that_fails_takes_its_bar_along(site, tmp_path, caplog):
    caplog.set_level("INFO", "flq")
    site.has("whole.bin", CONTENT)
    download_missing([WHOLE], ["http://127.0.0.1:1/", site.url], str(tmp_path))
    assert steps(caplog)[1][0] == "download=whole.bin failed=1"


FETCH = """
import sys
sys.path.insert(0, sys.argv[1])
from flq.logfile import set_up_logging
from flq.training.sources.download import File, download_missing
set_up_logging(sys.argv[4] + "/fetch.log", False)
download_missing([File("whole.bin", 256000, sys.argv[3])], [sys.argv[2]], sys.argv[4])
"""


@pytest.mark.parametrize(
    "term, last",
    [
        ("xterm", r"whole.bin \|.*\| 0.26 MB of 0.26 MB"),
        ("dumb", r"\S+ download=whole.bin bytes=256000/256000 seconds=\d+\.\d"),
    ],
)
def test_a_terminal_has_a_bar_and_the_log_the_lines(site, tmp_path, term, last):
    site.has("whole.bin", CONTENT)
    with Pseudo(200) as pseudo:
        argv = [sys.executable, "-c", FETCH, PROJECT, site.url, WHOLE.sha256, str(tmp_path)]
        assert pseudo.start(argv, env=dict(os.environ, TERM=term)).wait(WAIT_S) == 0, pseudo.text
        pseudo.wait_for(last)
        rows = pseudo.rows
    assert re.match(last + r"\Z", rows[-2]) and rows[-1] == "", rows
    assert len(rows) == (3 if term == "xterm" else 7), rows
    log = (tmp_path / "fetch.log").read_text()
    assert log.count("download=whole.bin bytes=") == 5 and "\x1b" not in log and "|" not in log
