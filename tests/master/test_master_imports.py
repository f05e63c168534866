"""The master's process never has TensorFlow, and a command line is answered before anything large is imported."""

import subprocess
import sys


def assert_not_there(code, *names):
    """Run Python code, and check that none of these packages has been imported."""
    check = (
        "import sys\n%s\nfound = sorted({name.split('.')[0] for name in sys.modules} & set(%r))\n"
        "sys.exit(str(found) if found else 0)" % (code, names)
    )
    done = subprocess.run([sys.executable, "-c", check], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_importing_the_master_imports_no_tensorflow():
    assert_not_there("import flq.master.program", "tensorflow", "keras")


def test_a_command_line_is_read_without_numpy_flask_and_requests():
    assert_not_there(
        "from flq.master.command_line import parse_flags as of_master\n"
        "from flq.worker.command_line import parse_flags as of_worker\n"
        "of_master(['--port', '0'])\n"
        "of_worker(['--worker_id', '0'])",
        "numpy",
        "flask",
        "cheroot",
        "pydantic",
        "requests",
    )
