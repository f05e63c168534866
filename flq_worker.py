#!/usr/bin/env python3
"""Start an FLQ worker: python flq_worker.py --worker_id 0 --master_ip 192.168.1.10 [--port 5000]"""

import os
import sys

from flq.output import make_output_safe
from flq.worker.command_line import main

if __name__ == "__main__":
    make_output_safe()
    sys.exit(main(None, os.path.dirname(os.path.abspath(__file__))))
