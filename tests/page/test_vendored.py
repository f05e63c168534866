"""The files from npm are those of package.json and its lock file."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
VENDOR, STEP = PROJECT / "flq" / "master" / "live" / "static" / "vendor", PROJECT / "scripts" / "page"
LOCK = json.loads((STEP / "package-lock.json").read_text())["packages"]


def test_the_files_have_the_checksums_that_the_step_wrote():
    lines = [line.split() for line in (VENDOR / "SHA256SUMS").read_text().splitlines()]
    assert {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for _, name in lines} == {
        name: digest for digest, name in lines
    }
    assert {name for _, name in lines} == {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS"}


def test_the_version_is_the_pinned_one_and_the_licence_lies_beside_it():
    version = json.loads((STEP / "package.json").read_text())["dependencies"]["uplot"]
    assert re.match(r"\d+\.\d+\.\d+\Z", version) and LOCK["node_modules/uplot"]["version"] == version
    assert (
        (VENDOR / "uPlot.iife.min.js")
        .read_text()
        .startswith("/*! https://github.com/leeoniya/uPlot (v%s) */" % version)
    )
    assert "The MIT License" in (VENDOR / "uPlot.LICENSE").read_text()


def test_the_lock_file_pins_by_checksum_and_names_no_host():
    for name, package in LOCK.items():
        if name:
            assert package["integrity"].startswith("sha512-") and "resolved" not in package
    assert "://" not in (STEP / "package-lock.json").read_text()


def test_the_step_makes_the_same_files(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    done = subprocess.run(
        [str(STEP / "vendor.sh"), str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
    )
    if done.returncode:
        pytest.skip("npm could not fetch the packages: %s" % done.stdout.decode(errors="replace")[-300:])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in VENDOR.iterdir()
    }
