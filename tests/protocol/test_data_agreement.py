"""Data that should be the same are, or the worker is told; with local data the first worker decides the scale."""

import json

import pytest
from master_bench import LAYOUT, Bench
from reports import FRACTIONS, OTHER, REPORT
from test_worker_machine import Worker

from flq.core.data_report import to_json
from flq.core.settings import settings_from_json
from flq.errors import Conflict
from flq.protocol import data_agreement
from flq.protocol.data_agreement import DataAgreement, with_scale
from flq.protocol.journal_codec import from_entry, to_entry
from flq.protocol.master_state import capture, resume
from flq.protocol.worker_events import Build, Built, CallPoll, CallRegister, Exit, Problem, Registered

BRIGHT = FRACTIONS._replace(dtype="int64", highest=300.0, scale=1023.0, auto_scale=1023.0)
SHARED, LOCAL = dict(partition="iid"), dict(partition="local")


def join(bench, worker_id, data, **options):
    """Join a run; return the reply, a body or an error."""
    return bench.register(worker_id, 10 * (worker_id + 1), LAYOUT.crc, data=data, **options)


def again(bench, by_snapshot):
    """Put a machine in place of the bench's that has the same past, from the journal or a snapshot."""
    machine = bench.new_machine()
    if by_snapshot:
        meta, arrays = capture(bench.machine)
        resume(machine, json.loads(json.dumps(meta)), arrays, [])
    else:
        for kind, body, frame in bench.journal:
            machine.replay(from_entry(kind, json.loads(json.dumps(body)), frame, machine.link, -1), bench.encoded)
    machine.restart_clocks(bench.now)
    bench.machine = machine


# -- the same data at every worker -----------------------------------------------------------


@pytest.mark.parametrize("past", ["same process", "journal", "snapshot"])
def test_data_with_another_checksum_are_rejected_with_both_values(past):
    bench = Bench(min_workers=2, **SHARED)
    assert join(bench, 0, OTHER)["joined"]
    if past != "same process":
        again(bench, past == "snapshot")
    before, n_entries = bench.machine.data.capture(), len(bench.journal)
    error = join(bench, 1, REPORT)
    assert isinstance(error, Conflict) and str(error) == (
        "the data of worker 1 differ from those of the run: 140 training and 15 test samples, checksum 1a2b3c4d; "
        "worker 0 has 180 training and 20 test samples, checksum 5e6f7081 "
        "(copy the same files to every worker, or set dataset.partition=local in a new run; until round 1 begins, "
        "worker 0 may be started again with other data)"
    )
    assert len(bench.journal) == n_entries and bench.machine.data.capture() == before
    assert bench.notes[-1] == "worker 1 is rejected: %s" % error
    n_notes = len(bench.notes)
    assert isinstance(join(bench, 1, REPORT), Conflict) and len(bench.notes) == n_notes  # once
    assert bench.machine.members[1].epoch == 0 and not bench.machine.members[1].has_lease
    assert join(bench, 1, OTHER)["joined"]  # once the right files are there


def test_a_worker_whose_own_data_have_changed_is_rejected():
    bench = Bench(min_workers=1, **SHARED)
    join(bench, 0, REPORT, session="a")
    error = join(bench, 0, OTHER, session="b", known_sessions=1)
    assert isinstance(error, Conflict) and "the data of worker 0 have changed: 180 training" in str(error)
    assert "it had 140 training and 15 test samples, checksum 1a2b3c4d" in str(error)


def test_a_task_without_data_is_never_rejected():
    bench = Bench(min_workers=3, **SHARED)
    assert join(bench, 0, None)["joined"] and bench.machine.data.first is None
    assert join(bench, 1, REPORT)["joined"] and join(bench, 2, None)["joined"]
    assert isinstance(join(bench, 3, OTHER), Conflict)


def test_a_report_survives_the_journal():
    bench = Bench(**SHARED)
    join(bench, 0, REPORT)
    kind, body, _ = bench.journal[0]
    event = from_entry(kind, json.loads(json.dumps(body)), None, bench.link, -1)
    assert event.data == REPORT and to_entry(event).body == body


def test_the_operator_is_told_once_that_the_master_has_other_data():
    bench = Bench(min_workers=3, **SHARED)
    bench.machine.data.own = OTHER
    join(bench, 0, REPORT)
    join(bench, 1, REPORT)
    (told,) = [note for note in bench.notes if "the master has other data" in note]
    assert "checksum 5e6f7081; the workers have 140 training" in told
    told = []
    agreement = DataAgreement(Bench(**LOCAL).options.settings, told.append)
    agreement.own = OTHER
    agreement.take(0, REPORT)
    assert told == []  # with local data the master does not evaluate


# -- each worker has its own -----------------------------------------------------------------


@pytest.mark.parametrize("past", ["same process", "journal", "snapshot"])
def test_the_first_worker_decides_the_scale_of_local_data(past):
    bench = Bench(min_workers=3, **LOCAL)
    assert bench.register(0)["settings"]["dataset"]["scale"] is None
    reply = join(bench, 0, REPORT)
    assert reply["joined"] and reply["settings"]["dataset"]["scale"] == 255.0 and reply["warning"] is None
    if past != "same process":
        again(bench, past == "snapshot")
    n_entries = len(bench.journal)
    reply = join(bench, 1, BRIGHT)
    assert not reply["joined"] and reply["settings"]["dataset"]["scale"] == 255.0 and len(bench.journal) == n_entries
    assert bench.machine.data.reports == {0: REPORT}
    assert "worker 0 joined with 10 samples (epoch 1); uint8 values 0 to 255, divided by 255" in bench.notes
    reply = join(bench, 1, BRIGHT._replace(scale=255.0))
    assert reply["joined"]
    assert reply["warning"] == (
        "the values of this worker, 0 to 300, are divided by 255, which worker 0 has chosen for its values, 0 to 255; "
        "alone they would be divided by 1023: give all workers values of one range, or set dataset.scale in a new run"
    )
    (told,) = [note for note in bench.notes if "alone they would be divided" in note]
    assert told.startswith("the values of worker 1, 0 to 300, are divided by 255")
    assert bench.machine.data.reports == {0: REPORT, 1: BRIGHT._replace(scale=255.0)}
    assert join(bench, 1, BRIGHT._replace(scale=255.0), session="b")["warning"] is not None
    assert len([note for note in bench.notes if "alone they would be divided" in note]) == 1


@pytest.mark.parametrize(
    "first, second, values",
    [
        (REPORT, FRACTIONS, "0 to 1, are not in the range of the run: worker 0 has 0 to 255, divided by 255"),
        (FRACTIONS, REPORT, "0 to 255, are not in the range of the run: worker 0 has 0 to 1, divided by 1"),
    ],
)
def test_local_values_far_from_the_scale_of_the_run_are_rejected(first, second, values):
    bench = Bench(min_workers=3, **LOCAL)
    join(bench, 0, first)
    before, n_entries = bench.machine.data.capture(), len(bench.journal)
    for scale in (second.scale, first.scale):
        error = join(bench, 1, second._replace(scale=scale))
        assert isinstance(error, Conflict) and str(error) == (
            "the values of worker 1, %s (give all workers values of one range, or set dataset.scale in a new run; "
            "until round 1 begins, worker 0 may be started again with other data)" % values
        )
    assert len(bench.journal) == n_entries and bench.machine.data.capture() == before
    assert [note for note in bench.notes if "is rejected" in note] == ["worker 1 is rejected: %s" % error]


@pytest.mark.parametrize("highest", [26.0, 255.0, 510.0])
def test_dark_and_bright_local_values_may_join(highest):
    bench = Bench(min_workers=3, **LOCAL)
    join(bench, 0, REPORT)
    report = FRACTIONS._replace(highest=highest, scale=255.0)  # a table, whose own scale is 1
    assert join(bench, 1, report)["joined"]


def test_a_given_scale_is_never_changed():
    bench = Bench(min_workers=2, scale=100.0, **LOCAL)
    replies = []
    for worker_id, report in enumerate((REPORT, FRACTIONS, OTHER)):
        replies.append(join(bench, worker_id, report._replace(scale=100.0)))
        assert replies[-1]["joined"] and replies[-1]["settings"]["dataset"]["scale"] == 100.0
    assert [reply["warning"] for reply in replies] == [
        None,
        "the values of this worker, 0 to 1, divided by dataset.scale, 100, are far from -1..1: give all workers values "
        "of one range",
        None,
    ]
    assert [note for note in bench.notes if "of worker 1, 0 to 1, divided by dataset.scale, 100, are far" in note]


TABLE = FRACTIONS._replace(dtype="number")  # whose own scale is always 1


@pytest.mark.parametrize("largest, differs", [(29.0, False), (31.0, True), (40000.0, True)])
@pytest.mark.parametrize("is_first", [False, True])
def test_local_tables_of_very_different_ranges_cause_a_warning(largest, differs, is_first):
    bench, other = Bench(min_workers=3, **LOCAL), TABLE._replace(highest=largest)
    assert join(bench, 0, other if is_first else TABLE)["warning"] is None
    warning = join(bench, 1, TABLE if is_first else other)["warning"]
    values = ("0 to 1", "0 to %.7g" % largest) if is_first else ("0 to %.7g" % largest, "0 to 1")
    words = "the values of this worker, %s, divided by 1, differ from those of worker 0, %s, divided by 1: %s"
    assert warning == (words % (*values, "give all workers values of one range") if differs else None)


def test_a_table_far_from_a_given_scale_causes_a_warning_though_null_would_choose_it_too():
    bench = Bench(min_workers=3, scale=1.0, **LOCAL)
    assert join(bench, 0, TABLE._replace(highest=0.01))["warning"] is None
    warning = join(bench, 1, TABLE._replace(highest=40000.0, columns=7))["warning"]
    assert warning.startswith("the values of this worker, 0 to 40000, divided by dataset.scale, 1, are far from -1..1")


def test_two_warnings_on_one_worker_are_both_said():
    bench = Bench(min_workers=3, **LOCAL)
    join(bench, 0, TABLE._replace(columns=7))
    columns, values = join(bench, 1, TABLE._replace(columns=8, highest=40000.0))["warning"].split("; ")
    assert columns.startswith("the columns of this worker have other names") and "0 to 40000" in values


def test_local_data_have_no_checksum_even_of_one_worker():
    bench = Bench(min_workers=3, **LOCAL)
    join(bench, 0, REPORT)
    assert bench.machine.data.stored()["all"]["checksum"] is None


@pytest.mark.parametrize("changes", [LOCAL, SHARED, dict(LOCAL, scale=255.0)])
def test_tables_with_other_columns_cause_a_warning(changes):
    bench = Bench(min_workers=4, **changes)
    said = []
    for worker_id, columns in enumerate((7, 7, 0, 8)):
        said.append(join(bench, worker_id, REPORT._replace(columns=columns))["warning"])
    words = (
        "the columns of %s have other names, or another order, than those of worker 0: features are taken by their "
        "place, not by their name"
    )
    assert said == [None, None, None, words % "this worker"] and words % "worker 3" in bench.notes


def test_the_settings_of_a_run_differ_from_the_configured_ones_in_the_scale_only():
    options = Bench(**LOCAL).options
    agreement = DataAgreement(options.settings, print)
    assert agreement.settings == options.settings
    agreement.take(0, REPORT)
    assert agreement.settings == with_scale(options.settings, 255.0)


@pytest.mark.parametrize("past", ["same process", "journal", "snapshot"])
@pytest.mark.parametrize("kind, wrong, right", [(SHARED, OTHER, REPORT), (LOCAL, FRACTIONS, REPORT)])
def test_until_round_1_begins_the_first_worker_may_mend_its_data(kind, wrong, right, past):
    bench = Bench(min_workers=2, **kind)
    join(bench, 0, wrong, session="a")
    assert isinstance(join(bench, 1, right), Conflict)
    if past != "same process":
        again(bench, past == "snapshot")
    assert bench.register(0)["settings"]["dataset"]["scale"] is None  # it decides again
    reply = join(bench, 0, right, session="b", known_sessions=1)
    assert reply["joined"] and bench.machine.data.reports == {0: right}
    again(bench, past == "snapshot")
    assert (
        bench.machine.data.first == (0, right) and bench.machine.data.of_run._replace(checksum=right.checksum) == right
    )
    assert join(bench, 1, right)["joined"] and bench.machine.round_index == 1
    error = join(bench, 0, wrong._replace(scale=right.scale), session="c", known_sessions=2)
    assert isinstance(error, Conflict) and "the data of worker 0 have changed" in str(error)
    assert str(error).endswith("(restore them, or begin a new run)")


@pytest.mark.parametrize("kind, wrong, right", [(SHARED, OTHER, REPORT), (LOCAL, FRACTIONS, REPORT)])
def test_a_first_worker_that_is_lost_before_round_1_decides_nothing(kind, wrong, right):
    bench = Bench(min_workers=2, **kind)
    join(bench, 0, wrong)
    bench.wait(1000.0)
    assert not bench.machine.members[0].has_lease
    assert bench.register(1)["settings"]["dataset"]["scale"] is None
    assert join(bench, 1, right)["joined"]
    again(bench, False)
    assert bench.machine.data.first == (1, right) and bench.machine.data.reports == {1: right}
    assert isinstance(join(bench, 0, wrong, session="b"), Conflict)


def test_the_first_scale_is_the_one_that_fits_the_values():
    bench = Bench(min_workers=2, **LOCAL)
    reply = join(bench, 0, REPORT._replace(scale=1e9))
    assert not reply["joined"] and reply["settings"]["dataset"]["scale"] is None and bench.machine.data.first is None
    assert join(bench, 0, REPORT)["joined"]


def test_a_rejection_says_that_the_master_has_the_same_copy():
    bench = Bench(min_workers=2, **SHARED)
    bench.machine.data.own = REPORT
    join(bench, 0, OTHER)
    assert "checksum 5e6f7081; the master has the same copy as worker 1 (copy" in str(join(bench, 1, REPORT))


def test_each_rejection_of_a_worker_is_told_up_to_a_limit():
    bench = Bench(min_workers=2, **SHARED)
    join(bench, 0, REPORT)
    for n_train in range(20):
        join(bench, 1, OTHER._replace(n_train=n_train))
    assert len([note for note in bench.notes if "worker 1 is rejected" in note]) == data_agreement.MOST_NOTES


def test_copies_with_the_same_labels_and_other_values_are_told():
    floats = REPORT._replace(dtype="float32")
    bench = Bench(min_workers=3, scale=255.0, **SHARED)
    bench.machine.data.own = floats._replace(highest=1.0)
    join(bench, 0, floats)
    assert bench.notes[-2].startswith("the values of the master, 0 to 1, divided by 255, differ from those of worker 0")
    assert join(bench, 1, floats._replace(highest=254.0))["warning"] is None  # pictures, decoded by another version
    reply = join(bench, 2, floats._replace(highest=1.0))
    words = "0 to 1, divided by 255, differ from those of worker 0, 0 to 255, divided by 255: copy the same files"
    assert reply["joined"] and reply["warning"].startswith("the values of this worker, " + words)
    assert [note for note in bench.notes if note.startswith("the values of worker 2, " + words)]


# -- the worker ------------------------------------------------------------------------------


def built(data, **changes):
    """Return a worker that joins after building."""
    worker = Worker(**changes)
    worker.tell(Registered(worker.body()))
    worker.tell(Built(30, LAYOUT, data))
    return worker


def scaled(worker, scale, **changes):
    """Return a reply whose settings have a scale."""
    body = worker.body(**changes)
    body["settings"]["dataset"]["scale"] = scale
    return Registered(body)


def test_a_worker_reports_what_it_has_seen_of_its_data():
    assert built(REPORT).action.body["data"] == to_json(REPORT)
    assert "data" not in built(None).action.body


def test_the_worker_that_decides_the_scale_does_not_build_again():
    worker = built(REPORT, **LOCAL)
    assert isinstance(worker.tell(scaled(worker, 255.0, epoch=1)), CallPoll)
    assert worker.machine._settings.dataset.scale == 255.0


def test_the_next_run_with_the_same_settings_needs_no_build_either():
    worker = built(REPORT, stays=True, **LOCAL)
    worker.tell(scaled(worker, 255.0, epoch=1))
    worker.machine._rejoin(None)
    worker.machine._last_action = worker.machine._registration()
    action = worker.tell(scaled(worker, None, run_id="another", epoch=0, joined=False))
    assert isinstance(action, CallRegister) and action.body["n_samples"] == 30
    assert worker.machine._settings.dataset.scale is None


def test_a_worker_with_another_scale_builds_again_once_and_joins():
    worker = built(FRACTIONS, **LOCAL)
    action = worker.tell(scaled(worker, 255.0, joined=False))
    assert isinstance(action, Build) and action.settings.dataset.scale == 255.0
    action = worker.tell(Built(30, LAYOUT, FRACTIONS._replace(scale=255.0)))
    assert isinstance(action, CallRegister) and action.body["data"]["scale"] == 255.0
    words = "the values of this worker, 0 to 1, are divided by 255"
    assert isinstance(worker.tell(scaled(worker, 255.0, epoch=1, warning=words)), CallPoll)
    assert words in worker.machine.notes


def test_a_task_that_ignores_the_scale_joins_nevertheless():
    worker, bench = built(BRIGHT, **LOCAL), Bench(min_workers=2, **LOCAL)
    join(bench, 0, REPORT)
    worker.tell(scaled(worker, 255.0, joined=False))
    action = worker.tell(Built(30, LAYOUT, BRIGHT))  # which divides by 1023 whatever the settings say
    assert join(bench, 1, BRIGHT._replace(scale=action.body["data"]["scale"]))["joined"]


def test_a_rejected_worker_exits_with_the_sentence():
    for stays in (False, True):
        worker = built(OTHER, stays=stays)
        assert worker.tell(Problem(409, "the data of worker 2 differ")) == Exit(2, "the data of worker 2 differ")


def test_settings_with_a_scale_pass_through_a_reply():
    worker = built(REPORT, **LOCAL)
    assert settings_from_json(scaled(worker, 255.0).body["settings"]).dataset.scale == 255.0
