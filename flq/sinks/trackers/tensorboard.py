"""Event files for TensorBoard, without TensorFlow: ``tensorboard --logdir results/trackers/tensorboard``."""

import json
import os
from typing import Any, Mapping, Optional

FLUSH_S = 5  # how old what TensorBoard shows may be


class TensorBoard:
    """Writes event files into ``FOLDER/RUN``.

    A run that goes on gets one more file. It says that what older files tell of rounds is void, and tells it again, so
    that each round is shown once.

    Parameters
    ----------
    folder : str
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._writer: Optional[Any] = None

    def begin(self, run_id: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Create a file with the settings as a text."""
        from tensorboardX import SummaryWriter  # an extra: only here if it is asked for

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
