"""Makes the model as JSON, .npz or Keras file, for people; each form at most once per round.

JSON is for small models: making it takes about 72 bytes of memory per parameter.

The evaluator process writes Keras files into a temporary folder.
"""

import json
import logging
import os
import shutil
import tempfile
import threading
from io import BytesIO
from typing import Dict, NamedTuple, Tuple

from ...core.layout import Layout, Vector, unflatten
from ...errors import BadValues, DataError, FlqError, Unavailable
from ..records.artifacts import write_npz
from ..runtime.evaluator import Evaluator
from ..storage.resume import EXPORT

logger = logging.getLogger(__name__)

CONTENT_TYPES = {
    "json": "application/json",
    "npz": "application/zip",
    "keras": "application/zip",
    "h5": "application/x-hdf5",
}
MOST_JSON_PARAMS = 2000000  # 144 MB of memory
EXPORT_S = 20.0  # time limit of the evaluator, including the jobs before
BUILDER_S = 25.0  # time limit of a request that waits for another one to make the same form


class Form(NamedTuple):
    """One form of the model of a round; each form of a run has its own ``tag``."""

    tag: str
    body: bytes


class ModelFiles:
    """Makes the forms of the newest model, and keeps those of one round. Safe to use from any thread.

    Parameters
    ----------
    run_id : str
    layout : Layout
    start : ndarray of shape (n_params,), float32
        The model before the first round.
    evaluator : Evaluator
    run_dir : str
        Folder for temporary Keras files.

    Attributes
    ----------
    newest : (int, ndarray of shape (n_params,), float32)
        Number of closed rounds, and the model after them, or its average if one is kept.
    """

    def __init__(self, run_id: str, layout: Layout, start: Vector, evaluator: Evaluator, run_dir: str) -> None:
        self._run_id, self._layout = run_id, layout
        self.newest: Tuple[int, Vector] = (0, start)
        self._evaluator, self._run_dir = evaluator, run_dir
        self._building = {wanted: threading.Lock() for wanted in CONTENT_TYPES}
        self._keeping = threading.Lock()
        self._kept_round = 0
        self._kept: Dict[str, Form] = {}  # by format: all of that round

    def tag(self, wanted: str) -> str:
        """Return the tag of a form of the newest model, without making it.

        Raises
        ------
        BadValues
            If there is no such format, or the model is too large for it.
        """
        if wanted not in CONTENT_TYPES:
            raise BadValues("format must be one of %s, got %.80r" % (", ".join(CONTENT_TYPES), wanted))
        if wanted == "json" and self._layout.n_params > MOST_JSON_PARAMS:
            raise BadValues(
                "JSON is available for at most %d parameters, this model has %d"
                % (MOST_JSON_PARAMS, self._layout.n_params),
                "use ?format=npz",
            )
        return self._tag(wanted, self.newest[0])

    def form(self, wanted: str) -> Form:
        """Return a form of the newest model; wait if another request is making it.

        Raises
        ------
        BadValues
            If there is no such format, or the model is too large for it.
        DataError
            If this model has no such form.
        Unavailable
            If it takes too long.
        """
        newest, kept = self.tag(wanted), self._kept.get(wanted)
        if kept is not None and kept.tag == newest:
            return kept
        if not self._building[wanted].acquire(timeout=BUILDER_S):
            raise Unavailable("the model as %s is still being made" % wanted, "try again")
        try:
            n_rounds, model = self.newest  # may be newer by now
            tag = self._tag(wanted, n_rounds)
            kept = self._kept.get(wanted)
            if kept is None or kept.tag != tag:
                self._forget_before(n_rounds)
                kept = Form(tag, self._made(wanted, n_rounds, model))
                self._keep(wanted, n_rounds, kept)
            return kept
        finally:
            self._building[wanted].release()

    def _forget_before(self, n_rounds: int) -> None:
        """Drop the forms of older rounds, which are not needed any more."""
        with self._keeping:
            if n_rounds > self._kept_round:
                self._kept_round, self._kept = n_rounds, {}

    def _keep(self, wanted: str, n_rounds: int, form: Form) -> None:
        """Keep a form, unless a newer round's have been begun meanwhile."""
        with self._keeping:
            if n_rounds == self._kept_round:
                self._kept[wanted] = form

    def _tag(self, wanted: str, n_rounds: int) -> str:
        return "%s-%d-%s" % (self._run_id, n_rounds, wanted)

    def _made(self, wanted: str, n_rounds: int, model: Vector) -> bytes:
        if wanted == "json":
            return json_form(n_rounds, model, self._layout)
        if wanted == "npz":
            stream = BytesIO()
            write_npz(stream, model, self._layout)
            return stream.getvalue()
        return self._keras_file("model." + wanted, model)

    def _keras_file(self, name: str, model: Vector) -> bytes:
        """Have the evaluator make a Keras file; replace its errors, since they may contain paths."""
        folder = ""
        try:
            folder = tempfile.mkdtemp(prefix=EXPORT, dir=self._run_dir)
            path = os.path.join(folder, name)
            self._evaluator.export(path, model, EXPORT_S)
            with open(path, "rb") as stream:
                return stream.read()
        except DataError as error:
            logger.warning("%s is not made: %s", name, error)
            raise DataError(
                "this model cannot be written as %s" % name, "choose another format; the master's log has the reason"
            ) from None
        except OSError as error:
            logger.error("%s is not made: %s", name, error)
            raise FlqError("%s is not made" % name, "the master's log has the reason") from None
        finally:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)


def json_form(n_rounds: int, model: Vector, layout: Layout) -> bytes:
    """Return the model as nested lists; tensor by tensor, since Python's numbers need more memory than their text."""
    tensors = ",".join(json.dumps(array.tolist(), separators=(",", ":")) for array in unflatten(model, layout))
    layers = json.dumps(layout.to_json(), separators=(",", ":"))
    return ('{"round":%d,"layers":%s,"weights":[%s]}\n' % (n_rounds, layers, tensors)).encode("ascii")
