"""Writes event files for TensorBoard, without TensorFlow: ``tensorboard --logdir results/trackers/tensorboard``."""

import json
import os
from typing import Any, Mapping, Optional

FLUSH_S = 5  # maximum delay until TensorBoard sees a value


class TensorBoard:
    """Writes event files into ``FOLDER/RUN``.

    A resumed run gets another file with all rounds; it invalidates the rounds in older files, so that each round is
    shown once.

    Parameters
    ----------
    folder : str
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._writer: Optional[Any] = None

    def begin(self, run_id: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Create a file that contains the settings as text."""
        from tensorboardX import SummaryWriter  # an optional package

        self._writer = SummaryWriter(os.path.join(self._folder, run_id), purge_step=0, flush_secs=FLUSH_S)
        text = json.dumps(settings, indent=2)
        self._writer.add_text("settings", "".join("    %s\n" % line for line in text.splitlines()), 0)

    def round(self, round_index: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, round_index)

    def end(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
