"""The columns of the report."""

from flq.report.rows import COLUMNS, TOTALS, RoundRow, WorkerRow


def test_every_field_has_a_column_and_every_column_a_field():
    assert set(RoundRow._fields) | set(WorkerRow._fields) == set(COLUMNS)


def test_no_two_columns_of_a_sheet_have_the_same_heading():
    for row_type, more in ((RoundRow, [title for title, _ in TOTALS]), (WorkerRow, [])):
        titles = [COLUMNS[field].title for field in row_type._fields] + more
        assert len(set(titles)) == len(titles)


def test_headings_name_the_unit():
    for field, column in COLUMNS.items():
        for mark, unit in (("bits", "(bits)"), ("bytes", "(bytes)"), ("_s", "(s)"), ("accuracy", "(%)")):
            named = field.endswith(mark) if mark == "_s" else mark in field
            assert named == (unit in column.title), field
    for title, fields in TOTALS:
        assert title.endswith("(bits)") == ("bits" in fields[0])
        assert title.endswith("(bytes)") == ("bytes" in fields[0])


def test_totals_add_up_counted_fields_of_a_round():
    for _, fields in TOTALS:
        assert set(fields) <= set(RoundRow._fields)
        assert {COLUMNS[field].kind for field in fields} == {"count"}
