"""flq_master.py --print-config prints the configuration of a run, and starts nothing."""

import json
import re

import pytest

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

    def run(*overrides):
        argv = ["--print-config"] + [word for override in overrides for word in ("--set", override)]
        code = command_line.main(argv, str(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["flq_config.json"]  # not even a log
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
