"""Machines made of network namespaces: one in the middle, and others that reach it by a bad link each.

A link has a token bucket in both directions (tc tbf), and both ends lose a share of what arrives (nftables). Nothing of
it touches the network of the machine that it runs on.
"""

import os
import shutil
import subprocess
from contextlib import suppress
from typing import List

NFT = shutil.which("nft") or "/usr/sbin/nft"


class NoNamespaces(Exception):
    """They can not be made here; the text says why."""


class Star:
    """``n_leaves`` machines around one; made on entry, removed on exit whatever happens.

    Parameters
    ----------
    n_leaves : int
    rate : str
        Of each link in each direction, as tc has it: ``1mbit``.
    lost_percent : int
        Of the packets that arrive at an end.
    is_regular : bool, default False
        Every so manieth packet is lost, in place of any: for those who need that some are, at each end. The percentage
        then divides 100.
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
        for name in self._made:  # with all that is in it
            with suppress(OSError):
                run("ip", "netns", "del", name)

    def address(self, i: int) -> str:
        """Return the address of the middle for a leaf."""
        return "10.%d.0.1" % (100 + i)

    def in_middle(self) -> List[str]:
        """Return what runs a command in the middle."""
        return ["ip", "netns", "exec", self._middle]

    def in_leaf(self, i: int) -> List[str]:
        """Return what runs a command in a leaf."""
        return ["ip", "netns", "exec", self._leaves[i]]

    def lost(self) -> List[int]:
        """Return how many packets each end has lost, the middle first."""
        found = []
        for name in [self._middle] + self._leaves:
            words = run("ip", "netns", "exec", name, NFT, "list", "chain", "inet", "flq", "arriving").split()
            found.append(int(words[words.index("packets") + 1]))
        return found

    def _probe(self) -> None:
        """Make the middle; raise NoNamespaces where this machine, or this user, can not."""
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
    """Run a command; return what it prints.

    Raises
    ------
    OSError
        If it is not there, or fails.
    """
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    if done.returncode:
        raise OSError("%s: %s" % (" ".join(command), done.stdout.strip()))
    return done.stdout
