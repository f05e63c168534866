"""The report of a data set: what the reader saw, and a checksum that is equal for copies of the same data only."""

import numpy as np
import pytest
from factory import settings_with

from flq.core.data_report import described, from_json, to_json
from flq.training.datasets import load_dataset, resolve_dataset
from flq.training.frameworks import make_task
from flq.training.sources.report import checksum_of, report_of

Y = np.array([0, 1, 2, 1])


def csv(path, rows):
    path.write_text("".join("%s\n" % row for row in rows))


def test_the_checksum_does_not_depend_on_byte_order_and_is_a_known_number():
    assert checksum_of(Y, Y[:1], (7,), None) == 0xF2048386
    for dtype in ("<i8", ">i8", "i4"):
        assert checksum_of(Y.astype(dtype), Y[:1].astype(dtype), [np.int64(7)], None) == 0xF2048386


@pytest.mark.parametrize(
    "given",
    [(Y[::-1], Y[:1], (7,), None), (Y, Y[:2], (7,), None), (Y, Y[:1], (8,), None), (Y, Y[:1], (7,), ["a", "b"])],
)
def test_other_labels_sizes_and_names_have_another_checksum(given):
    assert checksum_of(*given) != checksum_of(Y, Y[:1], (7,), None)


def test_copies_of_a_file_have_one_checksum_and_a_shorter_one_has_another(tmp_path):
    rows = ["%d.5,%d,%s" % (i, i % 7, "abc"[i % 3]) for i in range(90)]
    reports = []
    for name, part in (("one", rows), ("two", rows), ("cut", rows[6:])):
        (tmp_path / name).mkdir()
        csv(tmp_path / name / "x.csv", part)
        settings = settings_with(dataset="csv:x.csv", data_dir=str(tmp_path / name), total_workers=1, batch_size=4)
        reports.append(report_of(load_dataset(resolve_dataset(settings)).seen))
    one, two, cut = reports
    assert one == two and one.checksum != cut.checksum and from_json(to_json(one)) == one
    assert (one.n_train, one.n_test, one.shape, one.dtype) == (81, 9, (2,), "number")
    assert (one.lowest, one.highest, one.scale, one.auto_scale) == (0.0, 89.5, 1.0, 1.0)
    assert (one.class_names, one.class_counts, one.n_classes) == (("a", "b", "c"), (30, 30, 30), 3)


def test_tables_with_other_headings_or_another_order_of_columns_are_told_apart(tmp_path):
    rows = ["%d.5,%d,%d" % (i, i % 7, i % 3) for i in range(90)]
    found = []
    for name, heading in (("one", ["a,b,y"]), ("two", ["a,b,class"]), ("swapped", ["b,a,y"]), ("none", [])):
        csv(tmp_path / name, heading + rows)
        settings = settings_with(dataset="csv:" + str(tmp_path / name), total_workers=1, batch_size=4)
        found.append(report_of(load_dataset(resolve_dataset(settings)).seen).columns)
    assert found[0] == found[1] != found[2] and found[3] == 0 and 0 not in found[:3]


@pytest.mark.parametrize("scale, used", [(None, 16.0), (4.0, 4.0)])
def test_a_known_data_set_is_reported_too(scale, used):
    report = report_of(load_dataset(settings_with(dataset="digits", scale=scale)).seen)
    assert (report.scale, report.auto_scale, report.n_train, report.n_test) == (used, 16.0, 1437, 360)
    assert described(report)["checksum"] == "%08x" % report.checksum


def test_a_task_without_data_reports_none():
    assert make_task(settings_with(name="quadratic")).seen is None
