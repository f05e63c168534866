"""The master's process never has TensorFlow."""

import subprocess
import sys


def test_importing_the_master_imports_no_tensorflow():
    code = ("import sys, flq.master.program\n"
            "found = sorted(name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras'))\n"
            "sys.exit(str(found) if found else 0)")
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
