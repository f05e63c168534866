"""A tab of a real browser that shows a master's page, and records every error."""

import os
import re
from pathlib import Path

import pytest

CHROMIUM = "/usr/bin/chromium"  # Debian's
WAIT_MS = 60000 if os.environ.get("FLQ_SCREENSHOTS") != "1" else 300000  # far beyond what anything takes
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "img"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
REMEMBER = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(
    event.violatedDirective + " " + event.blockedURI + " " + event.sample));
"""


def for_docs():
    """Return whether the pictures are those of docs/img: FLQ_SCREENSHOTS=1."""
    return os.environ.get("FLQ_SCREENSHOTS") == "1"


def browser_of(playwright):
    """Start the browser; skip the test where there is none."""
    if not os.path.exists(CHROMIUM):
        pytest.skip("%s is not installed" % CHROMIUM)
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root has no sandbox


class Viewer:
    """A tab.

    Parameters
    ----------
    browser : Browser
    port : int
        Of the master.
    **options
        Of the browser's context: viewport, locale, color_scheme.
    """

    def __init__(self, browser, port, **options):
        self.url = "http://127.0.0.1:%d/" % port
        self._context = browser.new_context(**dict({"viewport": DESK, "locale": "en-US"}, **options))
        self._context.set_default_timeout(WAIT_MS)
        self._context.add_init_script(REMEMBER)
        self.page = self._context.new_page()
        self._said, self._asked, self._dialogs = [], [], []
        self.page.on("console", lambda message: self._said.append("%s: %s" % (message.type, message.text)))
        self.page.on("pageerror", lambda error: self._said.append("error: %s" % error))
        self.page.on("dialog", lambda dialog: (self._dialogs.append(dialog.message), dialog.dismiss()))
        self._context.on("request", lambda request: self._asked.append(request.url))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.check()
        finally:
            self._context.close()

    def open(self):
        """Load the page."""
        self.page.goto(self.url)
        return self

    def check(self, allowed=()):
        """Check that there are no errors, except console messages of these status codes.

        Raises
        ------
        AssertionError
            If the console has errors or warnings, a policy was violated, a request went to another server than the
            master, or the browser has shown a dialog.
        """
        known = ["status of %d" % code for code in allowed]
        assert [line for line in self._said if not any(words in line for words in known)] == []
        self._said.clear()
        assert self.page.evaluate("() => window.violations") == [] and self._dialogs == []
        assert len(self._asked) > 10
        assert [url for url in self._asked if not url.startswith((self.url, "blob:" + self.url))] == []

    def forget_refusals(self):
        """Forget failed requests: the master has ended."""
        self._said = [line for line in self._said if "ERR_CONNECTION_REFUSED" not in line]

    def text(self, selector):
        """Return the text of an element."""
        return self.page.locator(selector).inner_text()

    def round(self):
        """Return the displayed round, 0 before the first."""
        found = re.search(r"[\d,]+", self.text("#progress-text"))
        return int(found.group().replace(",", "")) if found else 0

    def wait_for_round(self, least):
        """Wait until at least this round is displayed, checking each change of the text."""
        while self.round() < least:
            shown = self.text("#progress-text")
            self.page.wait_for_selector("#progress-text:not(:text-is(%r))" % shown)

    def shoot(self, folder, name):
        """Take a screenshot of the whole page, for docs/img if requested."""
        self.page.mouse.move(0, 0)
        self.page.evaluate("() => scrollTo(0, 0)")
        self._shoot(folder, name, full_page=True)

    def shoot_window(self, folder, name):
        """Take a screenshot of the visible part."""
        self._shoot(folder, name)

    def _shoot(self, folder, name, **options):
        path = (IMAGES if for_docs() else folder) / name
        self.page.screenshot(path=str(path), animations="disabled", **options)
        assert path.stat().st_size > 10000
