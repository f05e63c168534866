"""What a process has used so far."""

import time
from typing import Any, Dict


def peak_mb() -> float:
    """Return the largest resident memory of this process until now, in MB (Linux: VmHWM)."""
    with open("/proc/self/status", encoding="ascii") as file:
        kilobytes = next(line.split()[1] for line in file if line.startswith("VmHWM"))
    return int(kilobytes) * 1024 / 1e6


def mark(bytes_up: int, bytes_down: int) -> Dict[str, Any]:
    """Return what a master notes at the end of a round: time, CPU time, peak memory, bytes so far."""
    return {"at_s": time.perf_counter(), "cpu_s": time.process_time(), "peak_mb": peak_mb(),
            "bytes_up": bytes_up, "bytes_down": bytes_down}
