"""Hosts and ports, as users write them and as programs need them."""

import pytest

from flq.addresses import host_in, host_of, is_ipv6, is_loopback, split_port, url_of, with_port

IPV6 = ["::1", "fe80::1%eth0", "fe80::1%4", "fe80::1%25", "2001:db8::10", "::ffff:10.0.0.1"]


@pytest.mark.parametrize("host", IPV6)
def test_an_ipv6_address_comes_back_from_brackets_and_urls(host):
    assert host_of(host) == host_of("[%s]" % host) == host and is_ipv6(host)
    assert host_in(url_of("http", host, 5000)) == host
    assert split_port(with_port(host, 22)) == (host, "22")
    assert split_port(host) == split_port("[%s]" % host) == (host, "")


@pytest.mark.parametrize("host", ["192.168.1.10", "board", "board-2.example.org", "my_board"])
def test_names_and_ipv4_addresses_stay_unchanged(host):
    assert host_of(host) == host and not is_ipv6(host)
    assert url_of("https", host, 5000) == "https://%s:5000" % host
    assert host_in(url_of("http", host, 5000)) == host
    assert split_port(host + ":22") == (host, "22") and split_port(host) == (host, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://10.0.0.1",
        "10.0.0.1:5000",
        "[::1]:5000",
        "[::1",
        "::1]",
        "[board]",
        "[]",
        "10.0.0.1/24",
        "a b",
        "me@board",
        "::x",
        "fe80::1%",
        "1::2::3",
        "a\x1b",
        "[[::1]]",
        "300.1.1.1",
        "10.0.0.1.5",
        "1..2",
    ],
)
def test_an_invalid_host_is_one_sentence(text):
    with pytest.raises(ValueError, match="must be a name or an IP address, without http:// and port, got "):
        host_of(text)


def test_a_zone_in_a_url_may_be_written_either_way():
    assert host_in("http://[fe80::1%25eth0]:5000") == host_in("http://[fe80::1%eth0]:5000") == "fe80::1%eth0"


@pytest.mark.parametrize(
    "host, is_own",
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("::", False),
        ("0.0.0.0", False),
        ("fe80::1%lo", False),
        ("", False),
        ("board", False),
        ("unix", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_addresses_are_recognized(host, is_own):
    assert is_loopback(host) is is_own
