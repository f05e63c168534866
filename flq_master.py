#!/usr/bin/env python3
"""Start an FLQ master: python flq_master.py --config flq_config.json [--port 5000] [--set section.key=value]"""

import os
import sys

from flq.master.command_line import main
from flq.output import make_output_safe

if __name__ == "__main__":
    make_output_safe()
    sys.exit(main(None, os.path.dirname(os.path.abspath(__file__))))
