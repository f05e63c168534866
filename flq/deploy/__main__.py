"""python -m flq.deploy, which deploy_jetson.sh starts."""

import sys

from ..output import make_output_safe
from .command_line import main

if __name__ == "__main__":
    make_output_safe()
    sys.exit(main())
