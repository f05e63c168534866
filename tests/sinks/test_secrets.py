"""The addresses are read from the environment or a file, and never shown."""

import pytest

from flq.errors import ConfigError
from flq.sinks.notify.secrets import Secrets, environment_of, read_secrets

PHONE, MAIL = "tgram://123456789:AAs3cret/-100", "mailto://me:s3cret@example.org"


@pytest.fixture
def write(tmp_path):
    """Write a private file of secrets; return its path."""

    def write_file(text, mode=0o600):
        path = tmp_path / "notify"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return str(path)

    return write_file


def test_without_secrets_messages_go_nowhere(tmp_path):
    assert read_secrets({}, str(tmp_path / "none")) == Secrets([], None)
    assert read_secrets({"FLQ_NOTIFY": " \n", "FLQ_NOTIFY_PROXY": "http://p:1"}, "") == Secrets([], None)


def test_the_environment_has_addresses_with_white_space_between_them():
    environment = {"FLQ_NOTIFY": " %s\n%s " % (PHONE, MAIL), "FLQ_NOTIFY_PROXY": "socks5h://127.0.0.1:1080"}
    assert read_secrets(environment, "") == Secrets([PHONE, MAIL], "socks5h://127.0.0.1:1080")


def test_a_file_has_one_a_line(write):
    path = write("# mine\n\n  %s \nProxy=http://u:p@proxy.lan:8080\n%s\n" % (PHONE, MAIL))
    assert read_secrets({}, path) == Secrets([PHONE, MAIL], "http://u:p@proxy.lan:8080")
    assert read_secrets({"FLQ_NOTIFY_PROXY": "socks5://x:1"}, path) == Secrets([PHONE, MAIL], "socks5://x:1")
    assert read_secrets({"FLQ_NOTIFY": MAIL}, path) == Secrets([MAIL], None)


@pytest.mark.parametrize(
    "text, mode, said",
    [
        (PHONE, 0o640, "others can read"),
        (PHONE, 0o604, "chmod 600"),
        (PHONE, 0o602, "others can read"),
        ("# a\n%s %s" % (PHONE, MAIL), 0o600, "line 2 of"),
        ("AAs3cret", 0o600, "tgram://TOKEN/CHAT"),
        ("%s\nproxy = 127.0.0.1:1080/s3cret" % PHONE, 0o600, "must be socks5h://HOST:PORT"),
        ("%s\nproxy = ftp://s3cret:1" % PHONE, 0o600, "must be socks5h://HOST:PORT"),
        (b"tgram://s3cret\xff\xfe", 0o600, "is not a text file of addresses"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_one_sentence_that_shows_nothing_of_it(write, text, mode, said):
    path = write(text, mode)
    with pytest.raises(ConfigError) as caught:
        read_secrets({}, path)
    assert said in str(caught.value) and "s3cret" not in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_a_folder_in_its_place_is_refused(tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secrets({}, str(tmp_path))


def test_the_proxy_is_set_for_requests_but_not_for_this_machine():
    variables = environment_of(Secrets([PHONE], "socks5h://p:1"), {"NO_PROXY": "ntfy.lan"})
    assert variables["https_proxy"] == variables["HTTPS_PROXY"] == variables["all_proxy"] == "socks5h://p:1"
    assert variables["no_proxy"] == variables["NO_PROXY"] == "localhost,127.0.0.1,::1,ntfy.lan"
    assert set(environment_of(Secrets([PHONE], None), {})) == {"FLQ_NOTIFY", "FLQ_NOTIFY_PROXY"}
