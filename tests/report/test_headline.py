"""The first lines of the summary: what the run reached, and what it cost."""

import pytest
from factory import settings_with
from openpyxl import load_workbook
from report_rows import a_round, a_worker, column

from flq.core.layout import Layout, Tensor
from flq.report.excel import write_workbook
from flq.report.float32 import n_models
from flq.report.headline import Line, headline
from flq.report.summary import Totals, summary

LAYOUT = Layout((Tensor("dense/kernel", (10, 5)), Tensor("dense/bias", (5,))))  # 55 parameters
ROUNDS = [
    a_round(1, accuracy=0.5, uploaded=3, skipped=1, round_s=3000.0),
    a_round(2, accuracy=0.75, uploaded=1, skipped=2, refused=1, late=1, round_s=700.5),
    a_round(3, accuracy=0.625, uploaded=2, skipped=0, lost=2),
    a_round(4, accuracy=None, test_loss=None, shared_accuracy=None, average_accuracy=None, uploaded=0, skipped=0),
]


def test_it_says_what_was_reached_when_and_at_what_cost():
    found = headline("20260801_120003_ab12", ROUNDS, False, 440, LAYOUT)
    assert [line._replace(value=getattr(line.value, "value", line.value)) for line in found] == [
        Line("best test accuracy", 0.75, "round 2"),
        Line("test accuracy", 0.625, "round 3"),
        Line("began", "2026-08-01 12:00:03"),
        Line("duration (h:mm:ss)", "1:01:44", "sum of the rounds"),
        Line("parameters", 55),
        Line("wire, both ways (bytes)", 440, "measured"),
        Line("the same in float32, payload (bytes)", 13 * 220, "computed: 13 models of 220 bytes"),
        Line("saving against float32", 1 - 440 / 2860, "computed, against the measured bytes"),
    ]


def test_in_float32_an_upload_is_a_model_up_and_after_round_1_who_was_there_received_one():
    assert n_models(ROUNDS[:1]) == 3  # the first model is made from the seed
    assert n_models(ROUNDS[1:2]) == 1 + (1 + 2 + 1 + 1)  # the late worker received the model
    assert n_models(ROUNDS[2:]) == 2 + 2
    assert n_models([]) == 0


def test_frozen_parameters_are_in_no_exchange_but_statistics_are():
    layout = Layout((*LAYOUT.tensors, Tensor("frozen", (1000,)), Tensor("mean", (5,))), n_statistics=1, n_constants=1)
    lines = {line.label: line.value for line in headline("r", ROUNDS[:1], False, 100, layout)}
    assert lines["parameters"] == 1060 and lines["the same in float32, payload (bytes)"] == 3 * 4 * 60


def test_a_model_that_headers_outweigh_has_a_negative_saving():
    assert headline("r", ROUNDS[:1], False, 6600, LAYOUT)[-1].value == -9.0


def test_the_accuracy_on_local_data_counts_where_there_is_no_other():
    rounds = [a_round(k, own_accuracy=accuracy) for k, accuracy in ((1, 0.25), (2, 0.5), (3, None))]
    assert headline("r", rounds, True, 0, LAYOUT)[:2] == [
        Line("best test accuracy", 0.5, "round 2"),
        Line("test accuracy", 0.5, "round 2"),
    ]


@pytest.mark.parametrize("rounds", [[], [a_round(1, accuracy=None, uploaded=0, skipped=0)]])
def test_what_is_unknown_is_empty(rounds):
    lines = headline("a run that was renamed", rounds, False, 7, LAYOUT)
    assert [line for line in lines if line.label in ("best test accuracy", "test accuracy", "began")] == [
        Line("best test accuracy", None),
        Line("test accuracy", None),
        Line("began", None),
    ]
    assert lines[-1].value is None


def test_without_a_layout_nothing_is_said_of_the_size_of_the_model():
    lines = headline("r", ROUNDS, False, 440, None)
    assert [line.label for line in lines][4:] == ["wire, both ways (bytes)"]


def test_the_workbook_begins_with_it(tmp_path):
    path, workers = str(tmp_path / "run.xlsx"), [a_worker(wire_bytes_up=6100, wire_bytes_down=3600)]
    totals = Totals(workers, (0, 0), (6100, 3600), (0, 0))
    lines = summary("20260801_120003_ab12", "", ROUNDS, totals, settings_with(name="mlp"), "abc", LAYOUT)
    write_workbook(path, lines, ROUNDS, workers, {})
    sheet = load_workbook(path)["Summary"]
    assert [cell.value for cell in sheet[1]] == ["what", "value", "note"]
    assert [cell.value for cell in column(sheet, "what")[:2]] == ["best test accuracy", "test accuracy"]
    values = {row[0].value: row[1] for row in sheet.iter_rows(min_row=2)}
    up, down = values["wire up (bytes)"].coordinate, values["wire down (bytes)"].coordinate
    assert values["wire, both ways (bytes)"].value == "=%s+%s" % (up, down)
    assert values["saving against float32"].number_format == values["test accuracy"].number_format == "0.00%"
    numbers = {row[0]: row[1] for row in load_workbook(path, data_only=True)["Summary"].iter_rows(values_only=True)}
    assert numbers["wire, both ways (bytes)"] == 9700
