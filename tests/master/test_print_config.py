"""flq_master.py --print-config prints the configuration of a run, and starts nothing."""

import json
import os
import re

import pytest
from journalled import begin, end
from old_journal import write_format_5

from flq.config_file import load_config
from flq.config_hash import config_hash
from flq.core.settings import to_json
from flq.master import command_line, program
from flq.training.datasets import resolve_dataset


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """Return a function that prints the configuration with overrides: exit code, stdout, stderr."""
    monkeypatch.setattr(program, "serve", lambda *_: pytest.fail("it serves"))
    (tmp_path / "flq_config.json").write_text("{}")

    def run(*overrides, flags=()):
        argv = ["--print-config", *flags] + [word for override in overrides for word in ("--set", override)]
        before = sorted(tmp_path.rglob("*"))
        code = command_line.main(argv, str(tmp_path))
        assert sorted(tmp_path.rglob("*")) == before  # not even a log
        return (code,) + tuple(capsys.readouterr())

    return run


def test_stdout_is_a_configuration_file_of_the_same_run(printed, tmp_path):
    code, out, err = printed("model.lr=0.25", "b_down=8")
    assert code == 0
    path = tmp_path / "flq_config.json"
    path.write_text(out)
    settings = load_config(str(path))
    assert settings.model.lr == 0.25 and settings.flq_algorithm.b_down == 8
    assert settings == resolve_dataset(settings) and to_json(settings) == json.loads(out)
    assert err == "configuration %s\n" % config_hash(to_json(settings))


def test_printed_and_printed_again_it_is_the_same(printed, tmp_path):
    _, first, hash_of_first = printed("mode=bin", "max_rounds=7")
    (tmp_path / "flq_config.json").write_text(first)
    assert printed() == (0, first, hash_of_first)


def test_the_quorum_is_printed_as_a_number(printed):
    assert json.loads(printed("total_workers=3")[1])["system"]["min_workers"] == 3


def test_a_run_of_an_older_format_is_refused_with_the_release_that_finishes_it(printed, tmp_path, caplog):
    folder = tmp_path / "results" / "old"
    folder.mkdir(parents=True)
    write_format_5(str(folder))
    code, out, _ = printed(flags=("--resume", str(folder)))
    assert (code, out) == (2, "") and "has format 5, expected 6 (finish the run with FLQ 0.3.0" in caplog.text


def test_the_hash_is_printed_as_64_digits(printed):
    assert re.fullmatch(r"configuration [0-9a-f]{64}\n", printed()[2])


@pytest.mark.parametrize(
    "override, sentence",
    [
        ("b_up=12", "b_up must be one of 1, 2"),
        ("dataset.name=nope", "nope"),
        ("system.total_workers=45", "1437 training samples are fewer than"),
        ("up_budget_bits=1", "up_budget_bits"),
    ],
)
def test_invalid_settings_are_exit_code_2_and_nothing_on_stdout(printed, caplog, override, sentence):
    code, out, _ = printed(override)
    assert code == 2 and out == "" and sentence in caplog.text


@pytest.mark.parametrize("is_named", [True, False])
def test_with_resume_it_is_the_configuration_of_the_run(printed, tmp_path, is_named):
    run_dir = begin(str(tmp_path / "results"))
    run_id = os.path.basename(run_dir)
    code, out, err = printed("max_rounds=99", flags=["--resume", run_id] if is_named else ["--resume"])
    assert code == 0
    overrides = ["model.name=quadratic", "model.lr=0.05", "mode=bbit", "max_rounds=99"]
    expected = resolve_dataset(load_config(None, overrides))
    assert json.loads(out) == to_json(expected)
    assert err == "configuration %s of run %s\n" % (config_hash(to_json(expected)), run_id)
    end(run_dir)
    assert printed(flags=["--resume", run_dir])[0] == 0  # a path; it need not be unfinished


@pytest.mark.parametrize(
    "flags, overrides, sentence",
    [
        (["--resume"], ["total_workers=7"], "system.total_workers was 4 and is 7"),
        (["--resume"], ["dataset.name=mnist"], "dataset.name was 'digits' and is 'mnist' (omit --config"),
        (["--resume"], ["dataset.name=npz:nowhere.npz"], "dataset.name was 'digits' and is 'npz:nowhere.npz' (omit"),
        (["--resume", "another"], [], "there is no run another in "),
    ],
)
def test_a_run_that_cannot_be_resumed_is_exit_code_2(printed, tmp_path, caplog, flags, overrides, sentence):
    begin(str(tmp_path / "results"))
    code, out, _ = printed(*overrides, flags=flags)
    assert (code, out) == (2, "") and sentence in caplog.text
