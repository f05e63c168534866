"""The sheet Data: sizes, range and scale, and the samples of each class, of all workers and of each."""

from openpyxl import load_workbook
from reports import REPORT

from flq.core.data_report import described, merged
from flq.report.excel import write_workbook
from flq.report.read_me import NAME

SECOND = REPORT._replace(n_train=20, n_test=3, lowest=-1.0, highest=9.0, n_classes=4, class_counts=(1, 2, 3, 17))


def sheets_of(tmp_path, data):
    path = str(tmp_path / "a.xlsx")
    write_workbook(path, [("mode", "bbit")], [], [], {}, (), data)
    return {sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)] for sheet in load_workbook(path)}


def rows_of(sheet):
    return {row[0]: row[1:] for row in sheet}


def test_shared_data_have_one_column(tmp_path):
    found = sheets_of(tmp_path, {"all": described(REPORT), "workers": []})
    assert rows_of(found["Data"]) == {
        "data": ["value"],
        "training samples": [140],
        "test samples": [15],
        "shape of a sample": ["8 x 8"],
        "type": ["uint8"],
        "lowest value": [0],
        "highest value": [255],
        "divided by": [255],
        "checksum of the labels": ["1a2b3c4d"],
        "classes": [3],
        "samples of class 0: apple": [60],
        "samples of class 1: lime": [50],
        "samples of class 2: pear": [45],
    }
    assert any(row[0] == "Data" for row in found[NAME])


def test_local_data_have_a_column_for_each_worker(tmp_path):
    both = merged([REPORT, SECOND])
    data = {"all": described(both), "workers": [[0, described(REPORT)], [3, described(SECOND)]]}
    rows = rows_of(sheets_of(tmp_path, data)["Data"])
    assert rows["data"] == ["all", "worker 0", "worker 3"]
    assert rows["training samples"] == [160, 140, 20] and rows["lowest value"] == [-1, 0, -1]
    assert rows["classes"] == [4, 3, 4] and rows["samples of class 0: apple"] == [61, 60, 1]
    assert rows["samples of class 3"] == [17, 0, 17]
    assert rows["checksum of the labels"] == [None, "1a2b3c4d", "1a2b3c4d"]  # of one data set only


def test_without_data_there_is_no_sheet(tmp_path):
    found = sheets_of(tmp_path, None)
    assert "Data" not in found and not any(row[0] == "Data" for row in found[NAME])
