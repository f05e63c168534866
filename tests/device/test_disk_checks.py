"""Free space on the disk, writable folders, and wear of SD cards."""

import os
import shutil
from collections import namedtuple

import pytest
from trees import NANO, PC, PI4, SD_CARD, SWAPS_HEAD, plant

from flq.device.checks import FAIL, OK, WARN
from flq.device.disk_checks import disk_lines, sd_card_lines


@pytest.mark.parametrize("free_mb, status", [(100, FAIL), (1000, WARN), (50000, OK)])
def test_little_free_space_is_reported(tmp_path, monkeypatch, free_mb, status):
    usage = namedtuple("usage", "total used free")(0, 0, free_mb << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    line = disk_lines(str(tmp_path), [])[0]
    assert (line.name, line.status) == ("disk", status)
    assert "%d MB are free" % free_mb in line.text and bool(line.fix) == (status != OK)


def test_folders_that_are_missing_are_not_made(tmp_path):
    lines = disk_lines(str(tmp_path), [str(tmp_path / "logs"), str(tmp_path / "state" / "worker0")])
    assert lines[1].status == OK
    assert os.listdir(str(tmp_path)) == []


def test_a_folder_that_is_not_writable_is_named(tmp_path):
    (tmp_path / "logs").write_text("a file in its place")
    line = disk_lines(str(tmp_path), [str(tmp_path / "results"), str(tmp_path / "logs" / "deep")])[1]
    assert (line.name, line.status) == ("folders", FAIL)
    assert str(tmp_path / "logs" / "deep") in line.text and str(tmp_path / "results") not in line.text


def test_a_project_that_is_gone_is_a_line(tmp_path):
    lines = disk_lines(str(tmp_path / "gone"), [])
    assert [line.status for line in lines] == [FAIL] and "gone" in lines[0].text


@pytest.mark.parametrize(
    "changes, text, fix",
    [
        ({"/proc/swaps": SWAPS_HEAD + "/var/swapfile file 4194300 0 -2\n"}, "/var/swapfile", "swapoff /var/swapfile"),
        ({"/proc/swaps": SWAPS_HEAD + "/dev/mmcblk0p9 partition 4194300 0 -2\n"}, "/dev/mmcblk0p9", "USB disk"),
        ({"/etc/systemd/journald.conf": "#Storage=volatile\n[Journal]\nStorage=persistent\n"}, "journal", "volatile"),
        ({"/etc/systemd/journald.conf": "#Storage=auto\n", "/var/log/journal/id/x": ""}, "journal", "volatile"),
        (
            {"/proc/mounts": "/dev/mmcblk0p1 / ext4 rw,relatime 0 0\n/dev/sda1 /media/usb ext4 rw 0 0\n"},
            "noatime",
            "/etc/fstab",
        ),
    ],
)
def test_wear_of_an_sd_card_is_reported(tmp_path, changes, text, fix):
    (line,) = sd_card_lines(plant(tmp_path, NANO, changes))
    assert line.status == WARN
    assert text in line.text and fix in line.fix


def test_a_card_that_is_spared_is_well(tmp_path):
    (line,) = sd_card_lines(plant(tmp_path, NANO))
    assert line.status == OK and "/dev/mmcblk0p1" in line.text


def test_swap_on_a_usb_disk_that_is_not_mounted_lies_on_the_card(tmp_path):
    (line,) = sd_card_lines(plant(tmp_path, NANO, {"/proc/mounts": SD_CARD}))
    assert "/media/usb/swapfile" in line.text


def test_a_machine_without_a_card_has_no_line(tmp_path):
    assert sd_card_lines(plant(tmp_path, PC)) == []
    assert sd_card_lines(str(tmp_path / "nothing")) == []


def test_a_root_device_that_is_called_root_is_looked_up(tmp_path):
    changes = {
        "/proc/mounts": "/dev/root / ext4 rw,relatime 0 0\n",
        "/proc/cmdline": "console=tty1 root=/dev/mmcblk0p2 rootwait\n",
    }
    assert [line.status for line in sd_card_lines(plant(tmp_path, PI4, changes))] == [WARN, WARN]
