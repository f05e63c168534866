"""The program that deploy_jetson.sh starts: python -m flq.deploy."""

import signal
import sys
from typing import Any

from ..output import make_output_safe
from .command_line import main


def _end(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)  # connections and temporary files are cleaned up on the way


if __name__ == "__main__":
    make_output_safe()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores the second
            signal.signal(number, _end)
    sys.exit(main())
