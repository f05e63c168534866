"""The real master program; its last line is JSON: the CPU time of the event streams, and of the process.

    python -m benchmarks.page_master FOLDER [flags of flq_master.py]

Each stream has its own thread, so the CPU time of that thread while it streams is the total cost of the feed:
composing, framing and sending messages.
"""

import json
import sys
import time
from typing import Any, Callable, Dict, Iterator, List

from flq.master import command_line
from flq.master.live.broadcast import Broadcast
from flq.master.runtime import assembly

TAKEN: Dict[str, float] = {"feed_s": 0.0, "process_s": 0.0, "wall_s": 0.0, "pieces": 0, "bytes": 0}
BEGAN: List[float] = []


class Timed(Broadcast):
    """Measures its streams, and the process between the first piece of the first stream and the newest piece."""

    def stream(self, last_seen: str, before_each: Callable[[], Any]) -> Iterator[bytes]:
        """Yield the events, and measure the CPU time."""
        BEGAN.extend((time.process_time(), time.monotonic()) if not BEGAN else ())
        before_s = time.thread_time()
        for piece in super().stream(last_seen, before_each):
            yield piece
            now_s = time.thread_time()
            TAKEN["feed_s"] += now_s - before_s
            before_s = now_s
            TAKEN.update(process_s=time.process_time() - BEGAN[0], wall_s=time.monotonic() - BEGAN[1])
            TAKEN["pieces"] += 1
            TAKEN["bytes"] += len(piece)


def main() -> int:
    """Run the master."""
    assembly.Broadcast = Timed
    code = command_line.main(sys.argv[2:], sys.argv[1])
    print(json.dumps(TAKEN), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
