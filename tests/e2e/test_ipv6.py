"""Masters and workers over IPv6, with brackets and zones, as real processes."""

import pytest
from cluster import Program, end_well

SMALL = (
    "model.name=quadratic",
    "model.lr=0.05",
    "system.max_rounds=2",
    "system.total_workers=1",
    "system.min_workers=1",
)


def link_local():
    """Return a link-local address of this machine, with its zone by name and by number; empty if it has none."""
    try:
        with open("/proc/net/if_inet6") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    for digits, number, _, _, flags, name in rows:
        is_usable = not int(flags, 16) & 0x48  # not tentative, no duplicate
        if digits.startswith("fe80") and is_usable and not name.startswith("flq"):  # which other tests make and remove
            address = ":".join(digits[start : start + 4] for start in range(0, 32, 4))
            return ["%s%%%s" % (address, name), "%s%%%d" % (address, int(number, 16))]
    return []


def has_ipv6():
    try:
        with open("/proc/net/if_inet6") as table:
            return "00000000000000000000000000000001" in table.read()
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def run_over(cluster, listens, asked):
    """Run over an address; return the output of the worker's doctor."""
    master = cluster.master(*SMALL, flags=("--host", listens))
    doctor = Program(
        ["flq_worker.py", "--doctor", "--worker_id", "0", "--master_ip", asked, "--port", str(master.port)],
        cluster.folder,
    )
    doctor.wait()
    doctor.close()
    end_well(master, [cluster.worker(0, master.port, flags=("--master_ip", asked))])
    return doctor.text


@pytest.mark.parametrize("listens, asked", [("[::1]", "::1"), ("::1", "[::1]"), ("::", "::1"), ("::", "127.0.0.1")])
def test_a_run_over_ipv6(cluster, listens, asked):
    assert " answers in " in run_over(cluster, listens, asked)


@pytest.mark.parametrize("written", ["%s", "[%s]"])
@pytest.mark.parametrize("by", [0, 1], ids=["by name", "by number"])
def test_a_run_over_an_address_with_a_zone(cluster, written, by):
    if not link_local():
        pytest.skip("this machine has no link-local address")
    address = written % link_local()[by]
    assert " answers in " in run_over(cluster, address, address)


@pytest.mark.parametrize("host", ["http://[::1]", "[::1]:5000", "::x"])
def test_an_invalid_address_is_one_sentence_of_the_master(cluster, host):
    master = cluster.start_master(*SMALL, flags=("--host", host))
    assert master.wait() == 2
    assert master.text == (
        "flq_master.py: error: argument --host: must be a name or an IP address, without http:// "
        "and port, got %r; --help shows the flags\n" % host
    )
