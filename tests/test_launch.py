"""Modules run as programs from any folder, wherever FLQ is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLQ = Path(__file__).resolve().parent.parent / "flq"


@pytest.mark.parametrize("name", [b"a:b", b"two\nlines", b"\xe4\xff 'x'"])
@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "/x:/y"}, {"PYTHONSAFEPATH": "1"}])
def test_a_module_is_run_from_any_path(tmp_path, name, variables):
    folder = os.path.join(os.fsencode(str(tmp_path)), name, b"flq")
    os.makedirs(folder)
    shutil.copy2(os.fsencode(str(FLQ / "launch.py")), folder)
    with open(os.path.join(folder, b"errors.py"), "w") as stream:
        stream.write("import sys; print(sys.argv[1:], __name__, sys.path[0].encode('utf-8', 'surrogateescape'))")
    (tmp_path / "flq").mkdir()  # another package in the current folder
    (tmp_path / "flq" / "errors.py").write_text("print('another')")
    done = subprocess.run(
        [sys.executable, os.path.join(folder, b"launch.py"), "flq.errors", "-m", "a b"],
        stdout=subprocess.PIPE,
        cwd=str(tmp_path),
        timeout=60,
        env=dict(os.environ, **variables),
    )
    expected = "%s __main__ %r\n" % (["-m", "a b"], os.path.dirname(folder))
    assert (done.returncode, done.stdout.decode()) == (0, expected)
