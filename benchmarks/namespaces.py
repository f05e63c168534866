"""Simulates machines by network namespaces: a hub, and leaves with a bad link each.

A link has a token bucket in both directions (tc tbf), and both ends drop a share of the arriving packets (nftables).
The network of the machine itself is not changed.
"""

import os
import shutil
import subprocess
from contextlib import suppress
from typing import List

NFT = shutil.which("nft") or "/usr/sbin/nft"


class NoNamespaces(Exception):
    """Namespaces cannot be created here; the text gives the reason."""


class Star:
    """A hub with ``n_leaves`` leaves; created on entry, and always removed on exit.

    Parameters
    ----------
    n_leaves : int
    rate : str
        Rate of each link in each direction, in the format of tc: ``1mbit``.
    lost_percent : int
        Percentage of the arriving packets to drop at each end.
    is_regular : bool, default False
        Drop every nth packet instead of random ones, so that losses are certain at each end; the percentage must
        divide 100.
    """

    def __init__(self, n_leaves: int, rate: str, lost_percent: int, is_regular: bool = False) -> None:
        self._rate = rate
        self._is_lost = (
            "inc mod %d == 0" % (100 // lost_percent) if is_regular else "random mod 100 < %d" % lost_percent
        )
        self._middle = "flq-%d-middle" % os.getpid()
        self._leaves = ["flq-%d-%d" % (os.getpid(), i) for i in range(n_leaves)]
        self._made: List[str] = []

    def __enter__(self) -> "Star":
        try:
            self._probe()
            for i, leaf in enumerate(self._leaves):
                self._make(leaf)
                self._lose(leaf)
                run(
                    "ip",
                    "-n",
                    self._middle,
                    "link",
                    "add",
                    "leaf%d" % i,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "middle",
                    "netns",
                    leaf,
                )
                self._set_up(self._middle, "leaf%d" % i, self.address(i))
                self._set_up(leaf, "middle", "10.%d.0.2" % (100 + i))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._made:  # with everything in it
            with suppress(OSError):
                run("ip", "netns", "del", name)

    def address(self, i: int) -> str:
        """Return the hub's address as seen from leaf ``i``."""
        return "10.%d.0.1" % (100 + i)

    def in_middle(self) -> List[str]:
        """Return the prefix of a command that runs it in the hub."""
        return ["ip", "netns", "exec", self._middle]

    def in_leaf(self, i: int) -> List[str]:
        """Return the prefix of a command that runs it in leaf ``i``."""
        return ["ip", "netns", "exec", self._leaves[i]]

    def lost(self) -> List[int]:
        """Return the number of packets dropped at each end, the hub first."""
        found = []
        for name in [self._middle] + self._leaves:
            words = run("ip", "netns", "exec", name, NFT, "list", "chain", "inet", "flq", "arriving").split()
            found.append(int(words[words.index("packets") + 1]))
        return found

    def _probe(self) -> None:
        """Create the hub; raise NoNamespaces if this machine or this user cannot."""
        try:
            self._make(self._middle)
            for command in ([NFT, "list", "tables"], ["tc", "qdisc", "show"]):
                run(*self.in_middle(), *command)
        except OSError as error:
            raise NoNamespaces(str(error)) from None
        self._lose(self._middle)

    def _make(self, name: str) -> None:
        run("ip", "netns", "add", name)
        self._made.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def _lose(self, name: str) -> None:
        rules = (
            "table inet flq {\nchain arriving {\ntype filter hook input priority 0;\n"
            'iifname != "lo" numgen %s counter drop\n}\n}\n' % self._is_lost
        )
        run("ip", "netns", "exec", name, NFT, rules)

    def _set_up(self, name: str, device: str, address: str) -> None:
        run("ip", "-n", name, "addr", "add", address + "/24", "dev", device)
        run("ip", "-n", name, "link", "set", device, "up")
        run(
            "ip",
            "netns",
            "exec",
            name,
            "tc",
            "qdisc",
            "add",
            "dev",
            device,
            "root",
            "tbf",
            "rate",
            self._rate,
            "burst",
            "16kb",
            "latency",
            "200ms",
        )


def run(*command: str) -> str:
    """Run a command; return its output.

    Raises
    ------
    OSError
        If it is missing or fails.
    """
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    if done.returncode:
        raise OSError("%s: %s" % (" ".join(command), done.stdout.strip()))
    return done.stdout
