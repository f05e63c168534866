"""Checks of the disk: free space, writable folders, wear of the SD card."""

import os
import re
import shutil
import tempfile
from typing import List, NamedTuple, Optional

from .checks import FAIL, OK, WARN, Line
from .files import below, text_of
from .machine_checks import swap_areas

NEEDED_MB, COMFORTABLE_MB = 200, 2000
LOG_MAX = "set Storage=volatile in /etc/systemd/journald.conf, then: sudo systemctl restart systemd-journald"


class Mount(NamedTuple):
    """A line of /proc/mounts."""

    device: str
    folder: str
    options: List[str]


def disk_lines(project_dir: str, folders: List[str]) -> List[Line]:
    """Return findings: the free space in the project's folder, and whether each of ``folders`` is writable.

    For a missing folder, the nearest existing parent is checked. Nothing is left behind.
    """
    try:
        free = shutil.disk_usage(project_dir).free >> 20
    except OSError as error:
        return [
            Line(
                FAIL,
                "disk",
                "%s cannot be inspected: %s" % (project_dir, error.strerror),
                "start the program from an existing folder",
            )
        ]
    text = "%d MB are free in %s" % (free, project_dir)
    if free < NEEDED_MB:
        lines = [Line(FAIL, "disk", text, "remove old results and logs; %d MB are needed" % NEEDED_MB)]
    elif free < COMFORTABLE_MB:
        lines = [Line(WARN, "disk", text, "remove old results and logs")]
    else:
        lines = [Line(OK, "disk", text)]
    problems = [problem for problem in map(_problem_of, folders) if problem]
    if problems:
        return lines + [
            Line(
                FAIL,
                "folders",
                "; ".join(problems),
                "make this user their owner (sudo chown -R $USER FOLDER), or free space",
            )
        ]
    return lines + [Line(OK, "folders", "writable: %s" % ", ".join(folders))]


def sd_card_lines(root: str) -> List[Line]:
    """Return findings on the wear of the SD card that contains /; none if / is elsewhere."""
    mounts = _mounts(root)
    device = _device_of_root(root, mounts)
    if not re.match("/dev/mmcblk[0-9]", device):
        return []
    card = re.match("/dev/mmcblk[0-9]+", device).group()
    lines = []
    for path, kind, _ in swap_areas(root) or []:
        if path.startswith(card) or (kind == "file" and _folder_of_mount(path, mounts) == "/"):
            lines.append(
                Line(
                    WARN,
                    "sd card",
                    "the swap area %s is on it" % path,
                    "sudo swapoff %s, remove it from /etc/fstab, and create one on a USB disk" % path,
                )
            )
    if _keeps_journal(root):
        lines.append(Line(WARN, "sd card", "the system's journal is written to it", LOG_MAX))
    options = [mount.options for mount in mounts if mount.folder == "/"]
    if options and "noatime" not in options[-1]:
        lines.append(
            Line(
                WARN,
                "sd card",
                "reading files writes to it, because / is mounted without noatime",
                "add noatime to the options of / in /etc/fstab, and reboot",
            )
        )
    return lines or [Line(OK, "sd card", "%s: no swap and no journal on it, mounted with noatime" % device)]


def _problem_of(folder: str) -> str:
    """Return the reason why a folder is not writable; empty if it is."""
    place = os.path.abspath(folder)
    while not os.path.exists(place):
        place = os.path.dirname(place)
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(bytes(4096))
    except OSError as error:
        return "%s cannot be written: %s" % (folder, error.strerror)
    return ""


def _mounts(root: str) -> List[Mount]:
    rows = [line.split() for line in (text_of(below(root, "/proc/mounts")) or "").splitlines()]
    return [Mount(row[0], row[1], row[3].split(",")) for row in rows if len(row) >= 4]


def _device_of_root(root: str, mounts: List[Mount]) -> str:
    """Return the device of /, from the kernel's command line if /proc/mounts says /dev/root."""
    device = next((mount.device for mount in reversed(mounts) if mount.folder == "/"), "")
    if device == "/dev/root":
        found = re.search(r"(?:^|\s)root=(\S+)", text_of(below(root, "/proc/cmdline")) or "")
        return found.group(1) if found else device
    return device


def _folder_of_mount(path: str, mounts: List[Mount]) -> Optional[str]:
    """Return the mount point of the file system that contains a path."""
    folders = [mount.folder for mount in mounts if (path + "/").startswith(mount.folder.rstrip("/") + "/")]
    return max(folders, key=len, default=None)


def _keeps_journal(root: str) -> bool:
    """Return whether journald writes to disk; its default is to do so if its folder exists."""
    text = text_of(below(root, "/etc/systemd/journald.conf"))
    found = re.findall(r"(?m)^\s*Storage\s*=\s*(\w+)", text or "")
    storage = found[-1] if found else "auto"
    return storage == "persistent" or (storage == "auto" and os.path.isdir(below(root, "/var/log/journal")))
