"""The estimated time left of a run."""

from report_rows import a_round

from flq.report.outlook import seconds_left


def test_the_time_left_is_by_the_middle_one_of_the_last_rounds():
    rows = [a_round(index, round_s=100.0) for index in range(1, 31)]
    rows += [a_round(index, round_s=2.0) for index in range(31, 50)] + [a_round(50, round_s=1000.0)]
    assert seconds_left(rows, 60) == 20.0
    assert seconds_left(rows, 50) == seconds_left(rows, 49) == 0.0 and seconds_left([], 50) is None
