"""Reads the resource usage of a process and its descendants: memory, CPU time, bytes written (Linux)."""

import json
import os
import time
from contextlib import suppress
from typing import Any, Dict, List, Tuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def peak_mb(pid: str = "self") -> float:
    """Return the peak resident memory of a process so far, in MB (VmHWM); 0 if it has ended."""
    return int(_status(pid).get("VmHWM", "0 kB").split()[0]) * 1024 / 1e6


def written() -> int:
    """Return the bytes that this process has written to block devices, in whole pages."""
    with open("/proc/self/io", encoding="ascii") as file:
        return int(dict(line.split(": ") for line in file)["write_bytes"])


def mark(bytes_up: int, bytes_down: int) -> Dict[str, Any]:
    """Return a master's mark at the end of a round: time, CPU time, peak memory, bytes so far."""
    return {
        "at_s": time.perf_counter(),
        "cpu_s": time.process_time(),
        "peak_mb": peak_mb(),
        "bytes_up": bytes_up,
        "bytes_down": bytes_down,
        "written": written(),
    }


def report(cpu_marks: List[float]) -> str:
    """Return a worker's last line of output: CPU seconds of each round, peak memory, bytes written."""
    return json.dumps({"cpu_s": cpu_marks, "peak_mb": peak_mb(), "written": written()})


def tree(root: int) -> Dict[int, float]:
    """Return the CPU seconds of a process and its descendants, {id: seconds}, parents first.

    The seconds of a process include those of children that it has waited for.
    """
    seconds = _seconds_by_parent()
    found: Dict[int, float] = {}
    waiting = [(child, s) for children in seconds.values() for child, s in children if child == root]
    while waiting:
        pid, cpu_s = waiting.pop(0)
        found[pid] = cpu_s
        waiting += seconds.get(pid, [])
    return found


def peaks_mb(root: int) -> Dict[str, float]:
    """Return the peak memory of a process and its descendants, summed by name (the first 15 letters)."""
    found: Dict[str, float] = {}
    for pid in tree(root):
        name = _status(str(pid)).get("Name", "ended")
        found[name] = found.get(name, 0.0) + peak_mb(str(pid))
    return found


def _seconds_by_parent() -> Dict[int, List[Tuple[int, float]]]:
    """Return {process id: ids and CPU seconds of its children}."""
    children: Dict[int, List[Tuple[int, float]]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it has ended meanwhile
            with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()  # after the name, which may contain anything
            cpu_s = sum(map(int, fields[11:15])) / TICKS_PER_S  # user and system time, own and of the children
            children.setdefault(int(fields[1]), []).append((int(pid), cpu_s))
    return children


def _status(pid: str) -> Dict[str, str]:
    """Return /proc/PID/status as a dictionary; empty if the process has ended."""
    with suppress(OSError):
        with open("/proc/%s/status" % pid, encoding="utf-8", errors="replace") as file:
            return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    return {}
