"""axe-core, as scripts/page/package-lock.json pins it; npm fetches it once into a folder that git ignores."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
STEP, FOLDER = PROJECT / "scripts" / "page", PROJECT / ".venv-page"
FETCH_S = 300
SERIOUS = ("serious", "critical")


def source():
    """Return its script; skip the test if it is not available."""
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _fetch()
    return (FOLDER / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def _fetch():
    wanted = hashlib.sha256((STEP / "package-lock.json").read_bytes()).hexdigest()
    stamp = FOLDER / "fetched"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: axe-core can not be fetched")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(str(STEP / name), str(FOLDER))
    done = subprocess.run(
        ["npm", "ci"], cwd=str(FOLDER), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=FETCH_S
    )
    if done.returncode:
        pytest.skip("npm could not fetch axe-core: %s" % done.stdout.decode(errors="replace")[-300:])
    stamp.write_text(wanted)


def violations(page, script):
    """Return axe-core's serious and critical findings on a page, one line each."""
    page.evaluate(script + "\n;undefined")
    found = page.evaluate("() => axe.run().then((result) => result.violations)")
    return [
        "%s (%s): %s" % (item["id"], item["impact"], [node["target"] for node in item["nodes"]][:5])
        for item in found
        if item["impact"] in SERIOUS
    ]
