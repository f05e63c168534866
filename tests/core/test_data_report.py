"""A report of data is read back from JSON only if every value is of its type and in its range."""

import json
import math

import pytest
from reports import REPORT

from flq.core import data_report
from flq.core.data_report import DataReport, described, first_names, from_json, merged, optional_report, to_json
from flq.errors import BadValues

BODY = to_json(REPORT)


@pytest.mark.parametrize("report", [REPORT, REPORT._replace(class_names=None), REPORT._replace(shape=(7,), n_test=0)])
def test_a_report_is_read_back_from_json(report):
    found = from_json(json.loads(json.dumps(to_json(report))))
    assert found == report and isinstance(found, DataReport)
    assert optional_report(to_json(report)) == report and optional_report(None) is None


def test_only_the_data_of_several_workers_have_no_checksum():
    nought = REPORT._replace(checksum=0)
    assert described(nought)["checksum"] == described(merged([nought]))["checksum"] == "00000000"
    assert described(merged([nought, REPORT]))["checksum"] is None


def test_a_whole_number_is_read_as_a_float_and_an_unknown_key_is_ignored():
    found = from_json(dict(BODY, highest=255, colour="red"))
    assert found == REPORT and isinstance(found.highest, float)


@pytest.mark.parametrize("name", sorted(BODY))
@pytest.mark.parametrize("value", [True, "x", -1, 2**60, -0.5, math.nan, math.inf, 10**400, [[]], {}, [1.5] * 2000])
def test_a_value_of_another_type_or_out_of_range_is_rejected(name, value):
    fits = (name == "dtype" and value == "x") or (name in ("lowest", "highest") and value in (-1, -0.5, 2**60))
    if fits and name != "highest" or value == 2**60 and name == "highest":
        if name == "lowest" and value == 2**60:  # above the highest value
            with pytest.raises(BadValues, match="contradict each other"):
                from_json(dict(BODY, **{name: value}))
        else:
            from_json(dict(BODY, **{name: value}))
        return
    with pytest.raises(BadValues) as caught:
        from_json(dict(BODY, **{name: value}))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": []},
        {"shape": [1] * 5},
        {"dtype": "x" * 21},
        {"dtype": "a\nb"},
        {"checksum": 2**32},
        {"scale": 0},
        {"scale": 5e-324},
        {"auto_scale": 1e300},
        {"class_names": ["x" * 41]},
        {"class_names": ["\x1b[2J", "b", "c"]},
        {"class_names": ["\udc80", "b", "c"]},
        {"class_names": ["x" * 40] * 76, "n_classes": 100},
        {"class_names": ["a"] * 4},
        {"class_counts": [1] * 4},
        {"class_counts": [1] * 1001, "n_classes": 2000},
        {"lowest": 256.0},
    ],
)
def test_texts_and_lists_are_bounded(changes):
    with pytest.raises(BadValues):
        from_json(dict(BODY, **changes))


@pytest.mark.parametrize("missing", sorted(BODY))
def test_no_key_may_be_missing(missing):
    body = {name: value for name, value in BODY.items() if name != missing}
    if missing == "class_names":  # null: the classes have numbers only
        assert from_json(body).class_names is None
    else:
        with pytest.raises(BadValues, match="data.%s must be" % missing):
            from_json(body)


@pytest.mark.parametrize("body", [[], "x", 3, True])
def test_a_report_is_an_object(body):
    with pytest.raises(BadValues, match="data must be an object or null"):
        optional_report(body)


def test_long_lists_of_names_are_cut_so_that_a_registration_stays_small():
    names = first_names(["class %d %s" % (i, "\U0001f40d" * 50) for i in range(5000)])
    assert 0 < len(names) <= data_report.MOST_CLASSES and max(map(len, names)) == data_report.MOST_OF_A_NAME
    report = REPORT._replace(n_classes=5000, class_names=names, class_counts=(10**6,) * 1000)
    assert from_json(to_json(report)) == report
    assert len(json.dumps(to_json(report))) < 60000  # of the 65,536 that a registration may have
    assert first_names(["a", "b"]) == ("a", "b") and first_names(None) is None
