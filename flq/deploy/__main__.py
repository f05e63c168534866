"""python -m flq.deploy, which deploy_jetson.sh starts."""

import sys

from .command_line import main

if __name__ == "__main__":
    sys.exit(main())
