"""Writes one line of JSON per round, readable during the run."""

import json
import os
from typing import Any, Mapping, Optional, TextIO


class Jsonl:
    """Writes ``FOLDER/RUN.jsonl``: the settings, then rounds; a later line of the same round adds values.

    Parameters
    ----------
    folder : str
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._stream: Optional[TextIO] = None

    def begin(self, run_id: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Truncate the file and write the settings."""
        os.makedirs(self._folder, exist_ok=True)
        self._stream = open(os.path.join(self._folder, run_id + ".jsonl"), "w", encoding="utf-8", buffering=1)
        self._write({"run_id": run_id, "settings": settings})

    def round(self, round_index: int, values: Mapping[str, float]) -> None:
        """Write a line."""
        self._write({"round": round_index, **values})

    def end(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def _write(self, fields: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(fields, allow_nan=False) + "\n")
