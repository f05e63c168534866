"""Writes figures to files: PNG for the screen, SVG for print.

Equal figures give equal bytes, and files are replaced atomically.

Example
-------
    write_pictures(figure, "results/figures/run", "loss")
    # ['results/figures/run/loss.png', 'results/figures/run/loss.svg']
"""

import glob
import io
import os
from contextlib import suppress
from typing import Any, List

from ..leftovers import hold, remove_leftovers
from .style import styled, without_glyph_warnings

FORMATS = ("png", "svg")
UNDATED = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@styled
def picture(figure: Any, form: str) -> bytes:
    """Return the bytes of a figure's file; ``form`` is one of ``FORMATS``."""
    stream = io.BytesIO()
    with without_glyph_warnings():
        figure.savefig(stream, format=form, metadata=UNDATED[form])
    return stream.getvalue()


def write_pictures(figure: Any, folder: str, name: str) -> List[str]:
    """Write a figure in all formats to an existing folder; return the paths.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    paths = [os.path.join(folder, "%s.%s" % (name, form)) for form in FORMATS]
    for path, form in zip(paths, FORMATS):
        replace(path, picture(figure, form))
    return paths


def replace(path: str, content: bytes) -> None:
    """Replace a file atomically.

    Unlike ``flq.durable``, it does not sync the file to disk: a figure can be drawn again, and a sync would delay the
    master's journal.

    Raises
    ------
    OSError
        If it cannot be written; an existing file is unchanged.
    """
    remove_leftovers(glob.escape(path) + ".*.part")
    temporary = "%s.%d.part" % (path, os.getpid())  # two processes may draw one run
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
