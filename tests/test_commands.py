"""The installed commands: those of pyproject.toml, and flq COMMAND."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flq.__main__
from flq.__main__ import COMMANDS

PROJECT = Path(__file__).resolve().parent.parent


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "flq", *arguments],
        cwd=str(PROJECT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_commands_of_the_package_are_functions():
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    commands = dict(re.findall(r'^([\w-]+) = "(flq[\w.]*:\w+)"$', text, re.MULTILINE))
    assert sorted(commands) == ["flq", "flq-master", "flq-worker"]
    for target in commands.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_the_module(name):
    code, said, _ = run(name, "--help")
    assert code == 0 and said.startswith("usage: python -m %s" % COMMANDS[name].module)
    assert name in run("--help")[1]


def test_a_command_gets_its_arguments_and_its_exit_code_counts():
    code, said, errors = run("distribution", "--dataset", "digits", "--workers", "2")
    assert (code, errors) == (0, "") and len(said.splitlines()) > 2
    assert run("report", "compare", "nowhere.xlsx", "--out", "x.xlsx")[0] == 2


def test_another_word_is_one_sentence_and_exit_code_2():
    code, said, errors = run("simulate")
    assert (code, said) == (2, "") and errors.count("\n") == 1 and "'simulate'" in errors


@pytest.mark.parametrize("words", [("master",), ("worker", "--worker_id", "0")], ids=lambda words: words[0])
def test_master_and_worker_run_in_the_current_folder(tmp_path, monkeypatch, capsys, words):
    name, *arguments = words
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["flq-" + name, "--doctor", *arguments])
    monkeypatch.setattr(flq.__main__, "make_output_safe", lambda: None)
    getattr(flq.__main__, name)()
    assert str(tmp_path) in capsys.readouterr().out
