"""Computes the bottom line of a terminal from log lines.

These lines report progress; a time of day and "worker N: " may precede them::

    start=reading_data dataset=digits         what a program does before its first round
    waiting for 4 workers; ...                "worker N joined ..." and "worker N is back ..." are counted from here on
    round=12/30 accuracy=0.9500 loss=0.1948   the total may come from an earlier line: start=... rounds=30
    download=train.gz bytes=1000/26421880     progress of a file; the download has failed if there is no bytes=N/M
    hosts=3/8 working=jetson1:environment     progress of a deployment

This module knows neither the terminal nor the clock. It accepts any text and never raises.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Set

MOST_COLUMNS = 100  # maximum width of the line
LEAST_BAR = 10  # minimum width of the bar itself; figures beside it are omitted to keep it

BEFORE = re.compile(r"(?:[0-9]{2}:[0-9]{2}:[0-9]{2} )?(?:worker [0-9]{1,9}: )?")
PAIR = re.compile(r"([a-z_]{1,30})=(\S+)")
COUNT = re.compile(r"([0-9]{1,15})(?:/([0-9]{1,15}))?\Z")
WAITING = re.compile(r"waiting for ([0-9]{1,9}) workers?;")
JOINED = re.compile(r"worker ([0-9]{1,9}) (?:joined|is back) ")


class Bar(NamedTuple):
    """A progress bar.

    Attributes
    ----------
    kind : str
        The key of its lines: round, download or hosts.
    label : str
    n, total : int
    since, at : float
        Times of its first and its last line, in seconds.
    n_first : int
        The n of the first line.
    facts : list of str
        Texts beside it, the most important first.
    n_bytes : int
        Wire bytes of the rounds seen so far.
    """

    kind: str
    label: str
    n: int
    total: int
    since: float
    at: float
    n_first: int
    facts: List[str]
    n_bytes: int


class Progress:
    """The current activity of a program, according to its lines so far."""

    def __init__(self) -> None:
        self._bar: Optional[Bar] = None
        self._doing = ""  # the activity, if there is no bar
        self._since = 0.0
        self._joined: Optional[Set[str]] = None
        self._n_wanted = 0
        self._n_rounds = 0  # the total for a worker, whose round lines lack it

    @property
    def is_complete(self) -> bool:
        """Whether there is a bar, and it is complete."""
        return self._bar is not None and self._bar.n >= self._bar.total

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the bottom line remains at the end: the progress of rounds or of a file does."""
        return self._bar is not None and self._bar.kind != "hosts"

    def clear(self) -> None:
        """Forget the current activity."""
        self._bar, self._doing, self._joined = None, "", None

    def clear_bar(self) -> None:
        """Forget the bar, but keep the activity that began before a download."""
        if self._bar is not None and self._bar.kind == "download":
            self._bar = None
        else:
            self.clear()

    def take(self, line: str, now: float) -> bool:
        """Process a line; return whether the bottom line replaces it."""
        text = line[BEFORE.match(line).end() :]
        key, _, _ = text.partition("=")
        if key == "start":
            return self._begin(dict(PAIR.findall(text)), now)
        if key in ("round", "download", "hosts"):
            return self._count(key, dict(PAIR.findall(text)), now)
        waiting, joined = WAITING.match(text), JOINED.match(text)
        if waiting:
            self.clear()
            self._joined, self._n_wanted, self._since = set(), int(waiting.group(1)), now
        elif joined and self._joined is not None:
            self._joined.add(joined.group(1))
        return False

    def bottom(self, n_columns: int, now: float, is_ascii: bool, is_last: bool = False) -> str:
        """Return the bottom line for a terminal of that width; empty if there is no activity.

        With ``is_last``, at the end of the program, it has no time left.
        """
        from tqdm.utils import disp_trim  # here and below, because most processes draw nothing

        n_columns = max(1, min(n_columns - 1, MOST_COLUMNS))  # some terminals wrap a line that fills their width
        if self._bar is not None:
            return _drawn(self._bar, n_columns, "" if is_last else _time_of(self._bar, now), is_ascii)
        if self._joined is not None:
            words = "waiting for workers: %d of %d joined" % (len(self._joined), self._n_wanted)
            if len(self._joined) >= self._n_wanted:
                words = "all workers joined: the first round is running"
        elif self._doing:
            words = self._doing
        else:
            return ""
        elapsed = " " + _clock(now - self._since)
        return disp_trim(disp_trim(words, max(0, n_columns - len(elapsed))) + elapsed, n_columns)

    def _begin(self, pairs: Dict[str, str], now: float) -> bool:
        self.clear()
        self._doing, self._since = pairs.pop("start", "starting").replace("_", " "), now
        n_rounds = COUNT.match(pairs.pop("rounds", ""))
        if n_rounds:
            self._n_rounds = int(n_rounds.group(1))
        if pairs:
            self._doing += " (%s)" % ", ".join("%s %s" % pair for pair in pairs.items())
        return True

    def _count(self, key: str, pairs: Dict[str, str], now: float) -> bool:
        count = COUNT.match(pairs.get("bytes" if key == "download" else key, ""))
        total = 0 if count is None else int(count.group(2) or self._n_rounds)
        if not total:
            if key == "download":
                self.clear_bar()
            return False
        n, label = min(int(count.group(1)), total), pairs[key] if key == "download" else key
        before = self._bar
        if before is None or (before.kind, before.label, before.total) != (key, label, total) or n < before.n:
            before = Bar(key, label, n, total, now, now, n, [], 0)
        self._bar = before._replace(n=n, at=now)
        self._bar = _WITH_FACTS[key](self._bar, pairs)
        return True


def _with_results(bar: Bar, pairs: Dict[str, str]) -> Bar:
    """Return the bar of rounds with the values of the last round."""
    wire_bytes = [
        int(pairs[name])
        for name in ("wire_up", "wire_down")
        if COUNT.match(pairs.get(name, "/")) and "/" not in pairs[name]
    ]
    facts = ["%s %s" % (name, pairs[name]) for name in ("accuracy", "loss") if pairs.get(name, "-") != "-"]
    if wire_bytes:
        bar = bar._replace(n_bytes=bar.n_bytes + sum(wire_bytes))
        facts.append(("+" if bar.n_first > 1 else "") + _size(bar.n_bytes))  # +: earlier rounds were not seen
    return bar._replace(facts=facts)


def _with_size(bar: Bar, pairs: Dict[str, str]) -> Bar:
    return bar._replace(facts=["%s of %s" % (_size(bar.n), _size(bar.total))])


def _with_hosts(bar: Bar, pairs: Dict[str, str]) -> Bar:
    return bar._replace(facts=[" ".join(pairs["working"].split(","))] if "working" in pairs else [])


_WITH_FACTS = {"round": _with_results, "download": _with_size, "hosts": _with_hosts}


def _drawn(bar: Bar, n_columns: int, time: str, is_ascii: bool) -> str:
    from tqdm import tqdm
    from tqdm.utils import disp_len, disp_trim

    left = bar.label if bar.kind == "download" else "%s %d/%d" % (bar.label, bar.n, bar.total)
    left = disp_trim(left, max(1, n_columns // 2))
    room = n_columns - disp_len(left) - LEAST_BAR - 3
    if bar.kind == "hosts":  # the names of the hosts matter more than the bar
        facts = after = [time] + [disp_trim(fact, max(0, room - disp_len(time) - 2)) for fact in bar.facts]
    else:  # in the order of their importance, and in the order of display
        facts, after = bar.facts[:1] + [time] + bar.facts[1:], bar.facts + [time]
    shown: List[str] = []
    for fact in facts:
        if fact and disp_len(fact) < room:
            shown.append(fact)
            room -= disp_len(fact) + 1
    right = "".join(" " + fact for fact in after if fact in shown)
    return tqdm.format_meter(
        bar.n, bar.total, 0, ncols=n_columns, ascii=is_ascii, bar_format="{left} |{bar}|{right}", left=left, right=right
    )


def _time_of(bar: Bar, now: float) -> str:
    """Return the time left, extrapolated; empty if it is unknown or has passed.

    For hosts, return the elapsed time, because their durations differ too much.
    """
    if bar.kind == "hosts":
        return _clock(now - bar.since)
    if bar.n in (bar.n_first, bar.total):
        return ""
    left_s = (bar.total - bar.n) * (bar.at - bar.since) / (bar.n - bar.n_first) - (now - bar.at)
    return _clock(left_s) + " left" if left_s > 0 else ""


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return "%d:%02d:%02d" % (hours, minutes, seconds) if hours else "%d:%02d" % (minutes, seconds)


def _size(n_bytes: int) -> str:
    return "%.2f MB" % (n_bytes / 1e6) if n_bytes < 10**8 else "%.0f MB" % (n_bytes / 1e6)
