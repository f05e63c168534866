"""Measures the cost of the live page for the browser and the master while many workers train.

    python -m benchmarks.page                          64 simulated workers, 2,000 rounds in ten minutes
    python -m benchmarks.page --minutes 1 --rounds 200

A real master, simulated workers in two processes (page_workers.py), and a tab of headless Chromium with the page open
from before the first round to the end. It needs Playwright (requirements/test.txt) and Debian's package chromium.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any, Dict, Iterator, List

import psutil
from playwright.sync_api import Browser, sync_playwright

from benchmarks.processes import PROJECT, Started
from benchmarks.timing import table

CHROMIUM = "/usr/bin/chromium"
LOOK_S = 5  # between two samples
READY_S, END_S = 120, 600  # limits for the first worker, and for the end after the requested time
OBSERVE = """
window.longTasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.longTasks.push(entry.duration)))
    .observe({type: "longtask", buffered: true});
"""
PAINT = """() => performance.getEntriesByName("first-contentful-paint").map((entry) => entry.startTime)"""


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure the live page while many workers train.")
    flags.add_argument("--workers", type=int, default=64)
    flags.add_argument("--rounds", type=int, default=2000)
    flags.add_argument("--minutes", type=float, default=10.0, help="approximate duration of the run")
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    return flags.parse_args()


def main() -> None:
    """Run, measure and print."""
    args = parse_flags()
    settings = {
        "model.name": "quadratic",
        "model.dim": 1000,
        "model.lr": 0.002,
        "flq_algorithm.mode": "bbit",
        "system.total_workers": args.workers,
        "system.min_workers": args.workers,
        "system.max_rounds": args.rounds,
        "system.linger_s": 20,
        "security.requests_per_s": 0,
    }
    sets = [text for key, value in settings.items() for text in ("--set", "%s=%s" % (key, value))]
    with tempfile.TemporaryDirectory() as folder, Started(folder) as started, sync_playwright() as playwright:
        tokens = os.path.join(folder, "tokens")
        master = started.start(
            sys.executable,
            "-m",
            "benchmarks.page_master",
            folder,
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--token_file",
            tokens,
            "--config",
            os.path.join(PROJECT, "flq_config.json"),
            *sets,
        )
        ready = re.search(r"http://\S+:\d+", master.stdout.readline())
        if ready is None:
            started.give_up(master)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = Tab(browser, ready.group())
        half, period_s = args.workers // 2, 60 * args.minutes / args.rounds
        for first, end in ((0, half), (half, args.workers)):
            started.start(
                sys.executable,
                "-m",
                "benchmarks.page_workers",
                ready.group(),
                tokens,
                str(first),
                str(end),
                str(period_s),
                has_output=False,
            )
        measured = watch(tab, args.rounds, 60 * args.minutes + END_S)
        browser.close()
        measured["master"] = json.loads(started.output_of(master).splitlines()[-1])
    report(measured)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as stream:
            json.dump(measured, stream, indent=1)


class Tab:
    """A tab with the open page."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.url = browser, url
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page.add_init_script(OBSERVE)
        self.page.goto(url)
        self._devtools = self.page.context.new_cdp_session(self.page)
        self._renderer = max(renderers(), key=lambda process: process.create_time())

    def first_paint_ms(self) -> float:
        """Return the time of the first paint, from the request for the page."""
        self.page.wait_for_selector("#state[data-state]:not([data-state=''])")
        return min(self.page.evaluate(PAINT))

    def filled_ms(self) -> float:
        """Wait until the table and the curves are filled; return the time, from the request for the page."""
        self.page.wait_for_selector("#workers tr", timeout=1000 * READY_S)
        self.page.wait_for_selector("#loss-chart canvas", timeout=1000 * READY_S)
        return self.page.evaluate("() => performance.now()")

    def round(self) -> int:
        """Return the round that the page shows."""
        return int(self.page.evaluate("() => document.getElementById('progress').value"))

    def has_ended(self) -> bool:
        """Return whether the page shows the end of the run."""
        return self.page.evaluate("() => document.getElementById('state').dataset.state") == "FINISHED"

    def look(self) -> Dict[str, float]:
        """Return MB of JavaScript after a garbage collection, MB of the tab's process, nodes, and long tasks."""
        self._devtools.send("HeapProfiler.collectGarbage")
        counters = self._devtools.send("Memory.getDOMCounters")
        tasks: List[float] = self.page.evaluate("() => window.longTasks.splice(0)")
        return {
            "round": self.round(),
            "heap_mb": self._devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6,
            "rss_mb": self._renderer.memory_info().rss / 1e6,
            "nodes": counters["nodes"],
            "listeners": counters["jsEventListeners"],
            "cpu_s": sum(self._renderer.cpu_times()[:2]),
            "long_tasks": len(tasks),
            "longest_ms": max(tasks, default=0.0),
            "at_s": time.monotonic(),
        }


def renderers() -> Iterator[psutil.Process]:
    """Yield the renderer processes; some may end meanwhile."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "--type=renderer" in process.cmdline():
                yield process


def watch(tab: Tab, n_rounds: int, limit_s: float) -> Dict[str, Any]:
    """Sample the tab until the run has ended; after most rounds, open the page in a second tab."""
    measured: Dict[str, Any] = {"first_paint_ms": tab.first_paint_ms()}
    tab.filled_ms()
    deadline, looks = time.monotonic() + limit_s, []
    while not tab.has_ended():
        if time.monotonic() > deadline:
            sys.exit("the run has not ended after %.0f s: round %d" % (limit_s, tab.round()))
        if "late_paint_ms" not in measured and tab.round() >= 0.7 * n_rounds:
            second = Tab(tab.browser, tab.url)
            measured.update(late_paint_ms=second.first_paint_ms(), late_filled_ms=second.filled_ms())
            second.page.close()
        looks.append(tab.look())
        tab.page.wait_for_timeout(1000 * LOOK_S)
    return dict(measured, looks=looks + [tab.look()])


def report(measured: Dict[str, Any]) -> None:
    """Print the measurements."""
    looks, master = measured["looks"], measured["master"]
    names = ["round", "heap_mb", "rss_mb", "nodes", "listeners", "long_tasks", "longest_ms"]
    shown = looks[:: max(1, len(looks) // 10)] + looks[-1:]
    print("The tab: MB of JavaScript and of its process, nodes; tasks over 50 ms since the look before, the longest")
    print(
        table(
            ["after s", *names],
            [["%.0f" % (row["at_s"] - looks[0]["at_s"]), *("%.5g" % row[name] for name in names)] for row in shown],
        )
    )
    seconds = looks[-1]["at_s"] - looks[0]["at_s"]
    rows = [
        ("first paint, before the first worker", "%.0f ms" % measured["first_paint_ms"]),
        ("first paint, after most rounds", "%.0f ms" % measured["late_paint_ms"]),
        ("table and curves filled, after most rounds", "%.0f ms" % measured["late_filled_ms"]),
        ("JavaScript memory, last look against first", "%+.1f MB" % (looks[-1]["heap_mb"] - looks[0]["heap_mb"])),
        ("process of the tab, last look against first", "%+.1f MB" % (looks[-1]["rss_mb"] - looks[0]["rss_mb"])),
        ("CPU of the tab", "%.1f %% of a core" % (100 * (looks[-1]["cpu_s"] - looks[0]["cpu_s"]) / seconds)),
        ("tasks over 50 ms", "%d in %.0f s" % (sum(row["long_tasks"] for row in looks), seconds)),
        ("the feed, of the master's CPU", "%.2f %%" % (100 * master["feed_s"] / master["process_s"])),
        ("the feed, of a core", "%.2f %%" % (100 * master["feed_s"] / master["wall_s"])),
        ("the feed", "%.1f kB/s" % (master["bytes"] / 1e3 / master["wall_s"])),
    ]
    print()
    print(table(["", ""], [list(row) for row in rows]))


if __name__ == "__main__":
    main()
