"""The operator's machine: a copy of the project from which deploy_jetson.sh is started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

from flq.deploy.release import files_of

PROJECT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 240.0  # far beyond what a deployment takes here


class Done(NamedTuple):
    """The result of a command."""

    code: int
    output: str
    errors: str

    def line_of(self, host: str) -> str:
        """Return the line with the result of a host."""
        return next(line for line in self.output.splitlines() if line.split()[:2] in ([host, "ok"], [host, "FAILED"]))


class Workplace:
    """A copy of the project in a folder, and a home folder for deployments on this machine.

    Its .venv is this Python under another name, with the stamp of a complete one.

    Parameters
    ----------
    folder : Path
    within : sequence of str
        Prefix of commands, such as ip netns exec NAME.
    """

    def __init__(self, folder: Path, within: Sequence[str] = ()) -> None:
        self.project, self.home = folder / "project", folder / "home"
        self._within = list(within)
        self.home.mkdir(parents=True)
        for path in [*files_of(str(PROJECT)), "deploy_jetson.sh"]:
            target = self.project / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(PROJECT / path), str(target))
        python = self.project / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\nexec "%s" "$@"\n' % sys.executable)
        python.chmod(0o755)
        stamp = (
            'set -eu; project_dir="$1"; . "$1/scripts/environment.sh"; printf "%s %s local\\n" '
            '"$(requirements_checksum)" "$(python_version "$1/.venv/bin/python")" >"$1/.venv/flq-stamp"'
        )
        subprocess.run(["bash", "-c", stamp, "bash", str(self.project)], check=True, timeout=60)

    def deploy_jetson(self, *arguments: str, variables: Optional[Dict[str, str]] = None) -> Done:
        """Run deploy_jetson.sh to its end, in the folder above the project."""
        environment = dict(os.environ, HOME=str(self.home), PYTHONDONTWRITEBYTECODE="1", **(variables or {}))
        environment.pop("CONDA_DEFAULT_ENV", None)
        command: List[str] = [*self._within, str(self.project / "deploy_jetson.sh"), *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=LIMIT_S,
            cwd=str(self.project.parent),
            env=environment,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def logs(self) -> Dict[str, str]:
        """Return the texts of the deployments' logs by name."""
        return {path.name: path.read_text() for path in (self.project / "logs").glob("deploy_*.log")}
