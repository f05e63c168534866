"""Logs to SwanLab in offline mode: files only, no connections, no account.

``swanlab sync FOLDER`` can upload them later.
"""

import os
from typing import Any, Mapping, Optional

PROJECT = "flq"
WEBHOOK = "SWANLAB_WEBHOOK"  # a variable that makes SwanLab report each run to a web server, even offline


class SwanLab:
    """Writes a folder ``FOLDER/run-TIME-RUN``.

    A resumed run gets another folder with the same id and all rounds, so the newest folder is complete. SwanLab
    collects nothing about this machine: no host name, paths or packages.

    Parameters
    ----------
    folder : str
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._run: Optional[Any] = None

    def begin(self, run_id: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Create a folder with the settings as its configuration."""
        os.environ.pop(WEBHOOK, None)
        import swanlab  # an optional package

        of_swanlab = swanlab.Settings
        quiet = of_swanlab(
            interactive=False,
            terminal=of_swanlab.Terminal(proxy_type="none"),
            probe=of_swanlab.Probe(
                hardware=False, runtime=False, requirements=False, git=False, swanlab=False, monitor=False
            ),
        )
        os.makedirs(self._folder, exist_ok=True)
        self._run = swanlab.init(
            mode="offline",
            project=PROJECT,
            name=run_id,
            id=run_id,
            log_dir=self._folder,
            config=dict(settings),
            settings=quiet,
        )

    def round(self, round_index: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self._run.log(dict(values), step=round_index)

    def end(self) -> None:
        """Flush."""
        if self._run is not None:
            self._run.finish()
