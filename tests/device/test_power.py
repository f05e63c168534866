"""Rails of both forms of the INA3221 driver."""

import pytest
from trees import INA_4, INA_5, NANO, ORIN_NANO, PC, PI4, plant

from flq.device.power import Rails


def test_the_nanos_rails_are_read_in_milliwatts(tmp_path):
    rails = Rails(plant(tmp_path, NANO))
    assert rails.powers_w() == {"POM_5V_IN": 3.187, "POM_5V_GPU": 0.45, "POM_5V_CPU": 0.612}
    assert rails.total_w() == 3.187


def test_the_orins_rails_are_millivolts_times_milliamperes(tmp_path):
    rails = Rails(plant(tmp_path, ORIN_NANO))
    assert rails.powers_w() == {
        "VDD_IN": pytest.approx(5.126976),
        "VDD_CPU_GPU_CV": pytest.approx(0.91264),
        "VDD_SOC": pytest.approx(1.34912),
    }
    assert rails.total_w() == pytest.approx(5.126976)


def test_rails_are_known_by_name_and_not_by_number(tmp_path):
    swapped = {INA_4 + "rail_name_0": "POM_5V_CPU\n", INA_4 + "rail_name_2": "POM_5V_IN\n"}
    rails = Rails(plant(tmp_path, NANO, swapped))
    assert (rails.total_w(), rails.powers_w()["POM_5V_CPU"]) == (0.612, 3.187)


def test_a_channel_that_is_not_connected_is_no_rail(tmp_path):
    rails = Rails(plant(tmp_path, ORIN_NANO, {INA_5 + "in3_label": "NC\n"}))
    assert sorted(rails.powers_w()) == ["VDD_CPU_GPU_CV", "VDD_IN"]


def test_without_the_input_rail_there_is_no_total_and_no_sum(tmp_path):
    rails = Rails(plant(tmp_path, NANO, {INA_4 + "rail_name_0": "VDD_OTHER\n"}))
    assert rails.measures_whole is False and rails.total_w() is None
    assert len(rails.powers_w()) == 3


@pytest.mark.parametrize("text", [None, "", "32760 ma\n", "-5\n", "nan\n"])
def test_an_unreadable_rail_is_omitted(tmp_path, text):
    rails = Rails(plant(tmp_path, NANO, {INA_4 + "in_power0_input": text}))
    assert rails.total_w() is None
    assert sorted(rails.powers_w()) == ["POM_5V_CPU", "POM_5V_GPU"]


def test_a_rail_may_come_back(tmp_path):
    rails = Rails(plant(tmp_path, NANO, {INA_4 + "in_power0_input": None}))
    assert rails.total_w() is None
    plant(tmp_path, {INA_4 + "in_power0_input": "2000\n"})
    assert rails.total_w() == 2.0


@pytest.mark.parametrize("tree", [PI4, PC], ids=["pi", "pc"])
def test_other_machines_have_no_rails(tmp_path, tree):
    rails = Rails(plant(tmp_path, tree))
    assert (rails.powers_w(), rails.total_w(), rails.measures_whole) == ({}, None, False)


def test_names_that_no_report_could_hold_are_left_out(tmp_path):
    rails = Rails(plant(tmp_path, NANO, {INA_4 + "rail_name_1": "x" * 33, INA_4 + "rail_name_2": "\x07"}))
    assert sorted(rails.powers_w()) == ["POM_5V_IN"]
