"""The order and the names of runs do not depend on the clock."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from journalled import begin, end
from old_journal import make_format_4, old_journal

from flq.errors import ConfigError, Conflict, FlqError
from flq.master.storage import run_index
from flq.master.storage.resume import find_run, hold, resume_run
from flq.master.storage.run_index import claim, last_run, newest_unfinished

HOUR = 3600
NOON = 1750000000.0


@pytest.fixture
def clock(monkeypatch):
    """Return a function that sets the time of day."""
    return lambda seconds: monkeypatch.setattr(run_index.time, "time", lambda: seconds)


@pytest.fixture
def results_dir(tmp_path):
    return str(tmp_path / "results")


def begin_with_format_3(results_dir):
    """Create the folder of a run of an older version; return it."""
    run_dir = claim(results_dir)
    old_journal(run_dir, {"run_id": os.path.basename(run_dir), "ended": None, "counted": {}})
    return run_dir


def damage(run_dir):
    os.makedirs(os.path.join(run_dir, "snapshots"), exist_ok=True)
    with open(os.path.join(run_dir, "snapshots", "snapshot_000000000000.npz"), "w"):
        pass
    with open(os.path.join(run_dir, "journal.sqlite"), "r+b") as stream:
        stream.write(b"no database at all")


def test_the_run_that_began_last_is_the_newest_though_the_clock_was_set_back(results_dir, clock):
    clock(NOON)
    first = begin(results_dir)
    clock(NOON - HOUR)
    second = begin(results_dir)
    assert second < first and newest_unfinished(results_dir).run_dir == second
    past = resume_run("", results_dir)
    past.journal.close()
    past.lock.close()
    assert past.run_dir == second


def test_a_resumed_run_removes_leftovers_of_a_killed_master(results_dir):
    run_dir = begin(results_dir)
    os.makedirs(os.path.join(run_dir, "snapshots"), exist_ok=True)
    os.makedirs(os.path.join(run_dir, ".export-abc"))
    before = {folder: sorted(names) for folder, _, names in os.walk(run_dir) if ".export" not in folder}
    for name in (
        "model.npz.part",
        "snapshots/snapshot_000000000009.npz.part",
        "model.keras.partial.keras",
        ".export-abc/model.keras",
    ):
        with open(os.path.join(run_dir, name), "w"):
            pass
    past = resume_run("", results_dir)
    past.journal.close()
    past.lock.close()
    os.unlink(os.path.join(run_dir, "lock"))
    assert {folder: sorted(names) for folder, _, names in os.walk(run_dir)} == before


def test_runs_that_begin_at_once_have_different_timestamps_and_numbers(results_dir):
    with ThreadPoolExecutor(8) as pool:
        run_dirs = list(pool.map(begin, [results_dir] * 8))
    stamps = {os.path.basename(run_dir).rpartition("_")[0] for run_dir in run_dirs}
    assert len(stamps) == 8
    assert sorted(run_index.see(run_dir).number for run_dir in run_dirs) == list(range(1, 9))


@pytest.mark.parametrize("name", ["flq_results_digits_bbit_{}.xlsx", "figures/{}_ab12", "{}_ab12"])
def test_a_timestamp_is_not_taken_twice_though_only_a_result_is_left(results_dir, clock, name):
    clock(NOON)
    stamp = run_index._stamp(NOON)
    os.makedirs(os.path.join(results_dir, name.format(stamp)))
    assert os.path.basename(claim(results_dir)).rpartition("_")[0] == run_index._stamp(NOON + 1)


def test_runs_that_have_ended_or_not_begun_are_left_out(results_dir):
    going = begin(results_dir)
    end(begin(results_dir))
    begin(results_dir, is_joined=False)
    claim(results_dir)
    never = claim(results_dir)
    with open(os.path.join(never, "journal.sqlite"), "w"):  # killed before it could write a table
        pass
    assert newest_unfinished(results_dir).run_dir == going
    end(going)
    assert newest_unfinished(results_dir) is None


def test_a_run_whose_journal_is_gone_is_named_when_an_older_one_is_taken_in_its_place(results_dir, caplog):
    older, newer = begin(results_dir), begin(results_dir)
    os.makedirs(os.path.join(newer, "snapshots"))
    with open(os.path.join(newer, "snapshots", "snapshot_000000000009.npz"), "w"):
        pass
    assert newest_unfinished(results_dir).run_dir == newer and not caplog.text
    os.remove(os.path.join(newer, "journal.sqlite"))
    assert newest_unfinished(results_dir).run_dir == older
    assert "%s has snapshots of a run, but no journal: it is ignored" % newer in caplog.text


def test_the_last_run_is_the_unfinished_one_or_the_newest_finished_one(results_dir, clock):
    assert last_run(results_dir) is None
    clock(NOON)
    first = begin(results_dir)
    clock(NOON - HOUR)
    second = begin(results_dir)
    end(second)
    claim(results_dir)
    assert last_run(results_dir).run_dir == first
    end(first)
    assert last_run(results_dir).run_dir == second


def test_an_unfinished_run_of_an_older_format_is_named_and_never_before_a_newer_one(results_dir, clock, caplog):
    clock(NOON)
    old = begin_with_format_3(results_dir)
    assert newest_unfinished(results_dir) is None
    assert "run %s is unfinished, but ignored: its journal has format 3; finish it with FLQ 0.1.0" % old in caplog.text
    clock(NOON - HOUR)
    new = begin(results_dir)
    assert newest_unfinished(results_dir).run_dir == new


def test_so_is_one_of_the_release_before_this(results_dir, caplog):
    new, old, over = begin(results_dir), begin(results_dir), begin(results_dir)
    make_format_4(old)
    make_format_4(over, ended="it is over")
    assert newest_unfinished(results_dir).run_dir == new
    assert "run %s is unfinished, but ignored: its journal has format 4; finish it with FLQ 0.2.0" % old in (
        caplog.text
    )
    assert over not in caplog.text
    end(new)
    assert last_run(results_dir).run_dir == over and last_run(results_dir).end.reason == "it is over"
    assert run_index.see(begin(results_dir)).number == 4


@pytest.mark.parametrize("is_newer", [True, False])
def test_with_a_damaged_journal_no_other_run_is_taken_in_silence(results_dir, is_newer):
    run_dirs = [begin(results_dir), begin(results_dir)]
    damage(run_dirs[is_newer])
    with pytest.raises(
        FlqError, match="newest run cannot be determined: %s.* cannot be read.*--resume NAME" % run_dirs[is_newer]
    ):
        newest_unfinished(results_dir)
    past = resume_run(os.path.basename(run_dirs[not is_newer]), results_dir)  # it can be resumed by its name
    past.journal.close()
    past.lock.close()
    assert run_index.see(begin(results_dir)).number == (2 if is_newer else 3)


@pytest.mark.parametrize("has_ended", [True, False])
def test_of_a_run_and_its_copy_none_is_taken_in_silence(results_dir, has_ended):
    run_dir = begin(results_dir)
    copy = os.path.join(results_dir, "copy")
    shutil.copytree(run_dir, copy)
    if has_ended:
        end(run_dir)
    with pytest.raises(ConfigError, match="%s and %s have the same number" % (run_dir, copy)):
        newest_unfinished(results_dir)
    with pytest.raises(ConfigError, match="contain the same run %s" % os.path.basename(run_dir)):
        resume_run("copy", results_dir)


def test_a_run_that_a_master_is_running_is_passed_over(results_dir, caplog):
    first, second = begin(results_dir), begin(results_dir)
    with hold(second):
        assert find_run("", results_dir) == first
        assert "run %s is passed over: another master is running with it" % second in caplog.text
        assert newest_unfinished(results_dir).run_dir == second
        with pytest.raises(Conflict, match="another master is running with %s" % second):
            resume_run(os.path.basename(second), results_dir)
        with hold(first), pytest.raises(
            Conflict,
            match="no unfinished run to resume in %s: .* is running with %s and %s" % (results_dir, first, second),
        ):
            find_run("", results_dir)
    assert find_run("", results_dir) == second


def test_a_link_to_a_run_is_no_copy(results_dir):
    run_dir = begin(results_dir)
    for name in "0_link", "link":
        os.symlink(run_dir, os.path.join(results_dir, name))
    assert newest_unfinished(results_dir).run_dir == run_dir
    past = resume_run("link", results_dir)
    past.journal.close()
    past.lock.close()
