"""Facts of machines, and clusters, for tests without machines."""

from flq.deploy.cluster import cluster_of
from flq.deploy.facts import Facts
from flq.deploy.hosts import hosts_of

PC = Facts(
    "/home/ada",
    "/home/ada/flq",
    "ada",
    "x86_64",
    0.0,
    8000,
    50000,
    "",
    "",
    252,
    ["system", "user"],
    {"3.11": "/usr/bin/python3.11"},
    "",
    "",
    [],
    [],
)
NANO = PC._replace(
    machine="aarch64",
    memory_mb=3956,
    board="NVIDIA Jetson Nano Developer Kit",
    l4t="32.7.1",
    systemd=237,
    pythons={"3.6": "/usr/bin/python3.6"},
)


def cluster_with(*workers, **keys):
    """Return a cluster with these workers' entries, and keys of the top level."""
    content = {"master": {"address": "192.0.2.1"}, "workers": list(workers) or [{"host": "192.0.2.2"}]}
    return cluster_of(dict(content, **keys), "cluster.yaml")


def hosts_with(*workers, **keys):
    """Return the hosts of such a cluster."""
    return hosts_of(cluster_with(*workers, **keys))
