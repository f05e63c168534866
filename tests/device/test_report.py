"""Device reports: the master accepts exactly what the table of fields allows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.device.report import FIELDS, LONGEST_TEXT, checked, printable
from flq.errors import BadValues

LIFE = {"life": "0123abcd"}
WHOLE = {
    "name": "shelf 2, top",
    "life": "0123abcd",
    "cpu": 0.12,
    "gpu": 0.9,
    "ram_mb": 1800,
    "ram_total_mb": 3956,
    "temperature_c": 41.5,
    "peak_c": 55.0,
    "throttled": False,
    "power_w": 2.9,
    "rails_w": {"POM_5V_IN": 2.9},
    "energy_j": 123.4,
    "uncovered_s": 3.5,
    "samples": 12000,
    "problem": "the device is out of memory",
}


def test_a_whole_report_is_taken_as_it_is_in_the_order_of_the_table():
    shuffled = {name: WHOLE[name] for name in sorted(WHOLE)}
    assert checked(shuffled) == WHOLE
    assert list(checked(shuffled)) == list(FIELDS) == list(WHOLE)


def test_everything_but_life_may_be_missing():
    assert checked(LIFE) == LIFE


def test_a_checked_report_shares_nothing_with_its_input():
    sent = dict(WHOLE, rails_w={"A": 1})
    taken = checked(sent)
    sent["rails_w"]["A"] = sent["cpu"] = "x"
    assert (taken["rails_w"], taken["cpu"]) == ({"A": 1}, 0.12)


@pytest.mark.parametrize("value", [None, [], "x", 3, True, {}, {"cpu": 0.5}], ids=repr)
def test_invalid_reports_are_rejected(value):
    with pytest.raises(BadValues) as refused:
        checked(value)
    assert "device report" in str(refused.value)


@pytest.mark.parametrize(
    "name, value",
    [
        ("life", "0123ABCD"),
        ("life", "0123abcd\n"),
        ("life", 12345678),
        ("life", None),
        ("cpu", -0.01),
        ("cpu", 1.01),
        ("cpu", float("nan")),
        ("cpu", float("inf")),
        ("cpu", True),
        ("cpu", "0.5"),
        ("cpu", None),
        ("cpu", [0.5]),
        ("ram_mb", -1),
        ("ram_mb", 10**5000),
        ("temperature_c", 1000),
        ("temperature_c", float("-inf")),
        ("throttled", 0),
        ("throttled", "false"),
        ("power_w", -1),
        ("energy_j", 1e300),
        ("rails_w", []),
        ("rails_w", {"A": "1"}),
        ("rails_w", {"A": float("nan")}),
        ("rails_w", {"": 1}),
        ("rails_w", {"x" * 33: 1}),
        ("rails_w", {"\x1b[2J": 1}),
        ("rails_w", {"\u00e9": 1}),
        ("rails_w", {"A": {"A": 1}}),
        ("rails_w", {"r%d" % n: 1 for n in range(17)}),
        ("samples", 1.5),
        ("samples", -1),
        ("samples", 2**60),
        ("problem", "x" * 201),
        ("problem", "a\nb"),
        ("problem", "\ud800"),
        ("problem", 5),
        ("other", 1),
        ("", 1),
    ],
    ids=lambda value: ascii(value)[:20] if not isinstance(value, int) else "%.3g" % min(value, 10**99),
)
def test_values_outside_the_table_are_rejected_in_one_short_sentence(name, value):
    with pytest.raises(BadValues) as refused:
        checked(dict(LIFE, **{name: value}))
    text = str(refused.value)
    assert (name or "''") in text
    assert len(text) < 500 and "\n" not in text and text.isprintable()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.text(max_size=40), inner, max_size=8)
        ),
    )
)
def test_any_value_is_accepted_or_rejected(value):
    try:
        taken = checked(value)
    except BadValues as error:
        assert str(error).isascii() if hasattr(str, "isascii") else str(error).encode("ascii")
    else:
        assert taken == value and set(taken) <= set(FIELDS)
        json.dumps(taken, allow_nan=False)


def test_a_long_problem_is_cut_to_the_limit_of_a_report():
    text = printable("a\tb\x00c  " + "d" * 500)
    assert text.startswith("a b c dd") and text.endswith("...") and len(text) == LONGEST_TEXT
    assert checked(dict(LIFE, problem=text))["problem"] == text


def test_every_field_has_a_description():
    assert all(field.meaning for field in FIELDS.values())
