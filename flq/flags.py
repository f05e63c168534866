"""Parses command lines; an error is one sentence."""

import argparse
import sys
from typing import Any, Callable

from .addresses import host_of

TINY = sys.float_info.min  # the smallest normal number, as lower bound of a flag that must be > 0


class Flags(argparse.ArgumentParser):
    """A parser that ends the program with one sentence and exit code 2 on a wrong command line."""

    def error(self, message: str) -> None:
        """End the program."""
        self.exit(2, "%s: error: %s; --help shows the flags\n" % (self.prog, message))


def within(kind: Callable[[str], Any], lowest: float, highest: float) -> Callable[[str], Any]:
    """Return an argparse type that rejects NaN and numbers outside lowest..highest."""

    def read(text: str) -> Any:
        value = kind(text)
        if not lowest <= value <= highest:
            lower = "> 0 and <= " if lowest == TINY else "in %s.." % _plain(lowest)
            bounds = lower + _plain(highest)
            raise argparse.ArgumentTypeError("must be %s, got %s" % (bounds, text))
        return value

    read.__name__ = "whole number" if kind is int else "number"  # as in "invalid number value: 'x'"
    return read


def host(text: str) -> str:
    """Read a host name or IP address; an IPv6 address may have brackets."""
    try:
        return host_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _plain(bound: float) -> str:
    return "%d" % bound if bound == int(bound) else "%g" % bound
