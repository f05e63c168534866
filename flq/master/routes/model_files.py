"""The model as JSON, .npz or a Keras file, for people: each form is made once per round.

JSON is for small models: while it is made, it takes about 72 bytes for each parameter.

Keras files come from the evaluator process, by way of a folder that exists only for that long.
"""

import json
import logging
import os
import shutil
import tempfile
import threading
from io import BytesIO
from typing import Callable, Dict, NamedTuple, Tuple

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
MOST_JSON_PARAMS = 2000000  # 144 MB while it is made
EXPORT_S = 20.0  # how long the evaluator may take, with what it has to do before
BUILDER_S = 25.0  # how long a request waits for another that makes the same form


class Form(NamedTuple):
    """One form of the model of a round; ``tag`` differs between any two that a run has."""

    tag: str
    body: bytes


class ModelFiles:
    """Makes the forms of the newest model, and keeps those of one round. Safe to use from any thread.

    Parameters
    ----------
    run_id : str
    layout : Layout
    published : callable() -> (int, ndarray of shape (n_params,), float32)
        How many rounds are done, and the model after them.
    evaluator : Evaluator
    run_dir : str
        Where Keras files lie while they are made.
    """

    def __init__(
        self,
        run_id: str,
        layout: Layout,
        published: Callable[[], Tuple[int, Vector]],
        evaluator: Evaluator,
        run_dir: str,
    ) -> None:
        self._run_id, self._layout = run_id, layout
        self._published = published
        self._evaluator, self._run_dir = evaluator, run_dir
        self._building = {wanted: threading.Lock() for wanted in CONTENT_TYPES}
        self._keeping = threading.Lock()
        self._kept_round = 0
        self._kept: Dict[str, Form] = {}  # by format: all of that round

    def tag(self, wanted: str) -> str:
        """Return the tag of a form of the newest model, which need not have been made.

        Raises
        ------
        BadValues
            If there is no such format, or the model is too large for it.
        """
        if wanted not in CONTENT_TYPES:
            raise BadValues("format must be one of %s, got %.80r" % (", ".join(CONTENT_TYPES), wanted))
        if wanted == "json" and self._layout.n_params > MOST_JSON_PARAMS:
            raise BadValues(
                "JSON is made of at most %d parameters, this model has %d" % (MOST_JSON_PARAMS, self._layout.n_params),
                "use ?format=npz",
            )
        return self._tag(wanted, self._published()[0])

    def form(self, wanted: str) -> Form:
        """Return a form of the newest model; who asks for one that is being made waits for it.

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
            n_rounds, model = self._published()  # perhaps a newer one by now
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
        """Drop the forms of older rounds: nobody will be given them again."""
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
        """Have a Keras file made; what goes wrong is told in our words, since the evaluator's may name paths."""
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
                "this model can not be written as %s" % name, "ask for another format; the master's log says why"
            ) from None
        except OSError as error:
            logger.error("%s is not made: %s", name, error)
            raise FlqError("%s is not made" % name, "the master's log says why") from None
        finally:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)


def json_form(n_rounds: int, model: Vector, layout: Layout) -> bytes:
    """Return the model as nested lists, tensor by tensor: Python's numbers take more room than their text."""
    tensors = ",".join(json.dumps(array.tolist(), separators=(",", ":")) for array in unflatten(model, layout))
    layers = json.dumps(layout.to_json(), separators=(",", ":"))
    return ('{"round":%d,"layers":%s,"weights":[%s]}\n' % (n_rounds, layers, tensors)).encode("ascii")
