"""The type of a board, from its files."""

import platform

import pytest
from trees import NANO, ORIN_NANO, PC, PI4, plant

from flq.device.board import Board, find_board


def test_the_original_nano_is_known(tmp_path):
    assert find_board(plant(tmp_path, NANO)) == Board(
        "nano", "NVIDIA Jetson Nano Developer Kit", "32.7.1", "4.6.1", (5, 3)
    )


def test_an_orin_nano_is_another_jetson(tmp_path):
    board = find_board(plant(tmp_path, ORIN_NANO))
    assert (board.kind, board.l4t, board.jetpack, board.compute_capability) == ("jetson", "36.4.3", "6.2", (8, 7))


def test_a_raspberry_pi_is_known(tmp_path):
    assert find_board(plant(tmp_path, PI4)) == Board("pi", "Raspberry Pi 4 Model B Rev 1.4")


def test_a_pc_has_its_name_from_the_firmware(tmp_path):
    assert find_board(plant(tmp_path, PC)) == Board("pc", "Dell Inc. Precision 3660")


def test_a_machine_without_a_name_is_called_by_its_architecture(tmp_path):
    assert find_board(str(tmp_path)) == Board("pc", platform.machine())


def test_another_arm_board_keeps_its_name(tmp_path):
    model = {"/proc/device-tree/model": "Orange Pi 5\0"}
    assert find_board(plant(tmp_path, model)) == Board("pc", "Orange Pi 5")


@pytest.mark.parametrize(
    "release, revision, l4t, jetpack",
    [
        (32, "6.1", "32.6.1", "4.6"),
        (32, "7.6", "32.7.6", "4.6.6"),
        (35, "4.1", "35.4.1", "5.1.2"),
        (32, "7.9", "32.7.9", "4"),
        (36, "9.9", "36.9.9", "6"),
        (99, "1.0", "99.1.0", None),
    ],
)
def test_jetpack_follows_from_the_release(tmp_path, release, revision, l4t, jetpack):
    text = "# R%d (release), REVISION: %s, GCID: 1, BOARD: t210ref\n" % (release, revision)
    board = find_board(plant(tmp_path, NANO, {"/etc/nv_tegra_release": text}))
    assert (board.l4t, board.jetpack) == (l4t, jetpack)


def test_a_jetson_without_a_release_file_is_still_one(tmp_path):
    board = find_board(plant(tmp_path, NANO, {"/etc/nv_tegra_release": None}))
    assert (board.kind, board.l4t, board.jetpack, board.compute_capability) == ("nano", None, None, (5, 3))


def test_a_container_without_the_device_tree_is_a_jetson_by_its_release(tmp_path):
    text = NANO["/etc/nv_tegra_release"]
    assert find_board(plant(tmp_path, {"/etc/nv_tegra_release": text}))[:3] == ("jetson", "a Jetson", "32.7.1")


def test_a_tx1_is_no_nano_although_the_chip_is_the_same(tmp_path):
    changes = {"/proc/device-tree/model": "NVIDIA Jetson TX1\0", "/proc/device-tree/compatible": "nvidia,tegra210\0"}
    board = find_board(plant(tmp_path, NANO, changes))
    assert (board.kind, board.compute_capability) == ("jetson", (5, 3))
