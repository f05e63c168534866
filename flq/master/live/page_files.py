"""Reads the files of the live page (static/); they contain no data, which comes from the feed.

The themes get the colours of statuses, which workbook and figures have too.
"""

import hashlib
import os
from typing import Dict, NamedTuple

from ...drawing.statuses import THEMES, style_sheet

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
INDEX = "index.html"
THEME_FILES = {"%s.css" % theme: theme for theme in THEMES}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Only resources of this master, and no inline scripts or styles, so that a browser does not execute texts from workers.
# No other site may show the page in a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PageFile(NamedTuple):
    """A file; ``tag`` changes with its content."""

    content: bytes
    content_type: str
    tag: str


def page_files() -> Dict[str, PageFile]:
    """Return all files by their path within the folder; no others are served."""
    found = {}
    for folder, _, names in os.walk(FOLDER):
        for name in names:
            content_type = TYPES.get(os.path.splitext(name)[1])
            if content_type is not None:
                path = os.path.join(folder, name)
                with open(path, "rb") as stream:
                    content = stream.read()
                if name in THEME_FILES:
                    content += style_sheet(THEME_FILES[name]).encode("ascii")
                tag = hashlib.sha256(content).hexdigest()[:32]
                found[os.path.relpath(path, FOLDER).replace(os.sep, "/")] = PageFile(content, content_type, tag)
    return found
