"""Figures as files: PNG for viewing, SVG for print.

The same figure makes the same bytes, and no file is seen half written.

Example
-------
    write_pictures(figure, "results/figures/run", "loss")
    # ['results/figures/run/loss.png', 'results/figures/run/loss.svg']
"""

import glob
import io
import os
import warnings
from contextlib import suppress
from typing import Any, List

from ..leftovers import hold, remove_leftovers
from .style import styled

FORMATS = ("png", "svg")
UNDATED = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@styled
def picture(figure: Any, form: str) -> bytes:
    """Return a figure as the content of a file; ``form`` is one of ``FORMATS``."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a letter that no type has is a box
        figure.savefig(stream, format=form, metadata=UNDATED[form])
    return stream.getvalue()


def write_pictures(figure: Any, folder: str, name: str) -> List[str]:
    """Write a figure in all formats; return the paths.

    Raises
    ------
    OSError
        If the folder, which exists, cannot be written.
    """
    paths = [os.path.join(folder, "%s.%s" % (name, form)) for form in FORMATS]
    for path, form in zip(paths, FORMATS):
        replace(path, picture(figure, form))
    return paths


def replace(path: str, content: bytes) -> None:
    """Replace a file atomically.

    It is not forced to disk, as ``flq.durable`` would: a figure can be drawn again, and whoever writes the journal of
    the run should not wait for it.

    Raises
    ------
    OSError
        If it cannot be written; what was there before still is.
    """
    remove_leftovers(glob.escape(path) + ".*.part")
    temporary = "%s.%d.part" % (path, os.getpid())  # two may draw one run
    try:
        with open(temporary, "wb") as stream:
            held = hold(temporary)
            try:
                stream.write(content)
                stream.flush()
                os.replace(temporary, path)
            finally:
                os.close(held)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
