"""Every command in the documents is one that its program takes: flags, their values, and names of settings."""

import argparse
import importlib
import re
import shlex
import subprocess

import documents
import pytest

import flq_fed_v3
from flq.config import SECTIONS
from flq.deploy.command_line import main as deploy
from flq.master.command_line import main as master
from flq.master.routes.openapi import PATHS
from flq.worker.command_line import main as worker

PAGES = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"] + sorted(
    str(path.relative_to(documents.PROJECT)) for path in (documents.PROJECT / "docs").glob("*.md")
)
COMMAND = re.compile(r"(?:\./\w+\.sh|(?:\.venv/bin/)?python (?:-m flq[\w.]*|flq_\w+\.py))(?: |$)")
PROGRAMS = {
    "./start_master.sh": lambda words: master(words, "."),
    "flq_master.py": lambda words: master(words, "."),
    "./start_worker.sh": lambda words: worker(words, "."),
    "flq_worker.py": lambda words: worker(words, "."),
    "./deploy_jetson.sh": deploy,
    "flq_fed_v3.py": flq_fed_v3.main,
}
ARGUMENT = re.compile(r" (--|[A-Z]{3}|list$)")  # without one, a text between backticks is the name of a program


def commands_of(name):
    """Return the commands of FLQ that a page shows in blocks and between backticks, without redirections."""
    text = documents.text_of(name).replace("\\\n", " ")
    found = documents.commands(text) + [word for word in documents.code(text) if ARGUMENT.search(word)]
    return sorted({re.split(r" (?:[|>]|2>)", line)[0] for line in found if COMMAND.match(line)})


ALL = sorted({command for page in PAGES for command in commands_of(page)})
URLS = sorted(
    {url for page in PAGES for url in re.findall(r"curl .*?https?://[\w.]+:\d+(/[\w/]*)", documents.text_of(page))}
)


class Parsed(Exception):
    """The command line was accepted."""


@pytest.fixture
def parsed(monkeypatch):
    """Return a function that parses a command line, and starts nothing."""
    parse = argparse.ArgumentParser.parse_args

    def parse_args(parser, arguments=None, namespace=None):
        raise Parsed(parse(parser, arguments, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)

    def run(main, words):
        with pytest.raises(Parsed) as caught:
            main(words)
        return caught.value.args[0]

    return run


def settings_in(words):
    return [value.partition("=")[0] for flag, value in zip(words, words[1:]) if flag == "--set"]


@pytest.mark.parametrize("command", ALL)
def test_a_command_is_taken_by_its_program(parsed, command):
    words = [word for word in shlex.split(command) if not word.endswith("python")]
    program, words = (words[1], words[2:]) if words[0] == "-m" else (words[0], words[1:])
    if program in PROGRAMS:
        parsed(PROGRAMS[program], words)
    elif program in ("./run_local.sh", "./run_tests.sh"):
        assert (documents.PROJECT / program).exists()
        shown = subprocess.run([program, "--help"], cwd=str(documents.PROJECT), stdout=subprocess.PIPE, timeout=60)
        flags = {word for word in words if word.startswith("--")}
        assert flags <= set(re.findall(r"--\w+", shown.stdout.decode()))
    elif program in ("flq.config_docs", "flq.console"):  # without a parser
        assert importlib.import_module(program) and words in (["--write"], ["FILE"])
    else:
        module = importlib.import_module(program)
        parsed(getattr(module, "main", None) or importlib.import_module(program + ".__main__").main, words)
    known = {key for model in SECTIONS.values() for key in model.model_fields}
    for name in settings_in(words):
        section, _, key = name.rpartition(".")
        assert key in (SECTIONS[section].model_fields if section else known)


def test_the_commands_of_the_pages_are_found():
    assert len(ALL) > 60 and len(URLS) > 5
    assert set(PROGRAMS) | {"./run_local.sh", "./run_tests.sh"} <= {word for line in ALL for word in line.split()}


def test_curl_asks_for_what_there_is():
    there = {re.sub(r"\{.*", "", path) for path in PATHS} | {"/"}
    assert [url for url in URLS if url not in there and not any(url.startswith(path) for path in there - {"/"})] == []
