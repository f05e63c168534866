"""Commands that take minutes and little else: they run beside the tests, and are waited for last.

They take turns, where the flock program exists: two cores are one for them and one for the tests.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from typing import Any, Dict, Optional, Sequence, Tuple


class Beside:
    """A command that is under way.

    Parameters
    ----------
    command : sequence of str
    folder : str
        Where it runs.
    config : pytest.Config
        At whose end it is ended: then nobody waits for it any more.
    environment : dict, optional
    """

    def __init__(
        self, command: Sequence[str], folder: str, config: Any, environment: Optional[Dict[str, str]] = None
    ) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")
        turn = ["flock", _turns(config)] if shutil.which("flock") else []
        self._process = subprocess.Popen(
            turn + list(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        config.add_cleanup(self._end)

    def result(self, timeout_s: float) -> Tuple[int, str]:
        """Wait for its end; return the exit code and what it has printed, stderr too."""
        code = self._process.wait(timeout_s)
        self._output.seek(0)
        return code, self._output.read()

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # with what it has started
        self._process.wait()
        self._output.close()


def _turns(config: Any) -> str:
    """Return the file on which the commands of this run of the tests wait for each other."""
    if not hasattr(config, "flq_turns"):
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        config.flq_turns = os.path.join(folder.name, "turns")
    return config.flq_turns
