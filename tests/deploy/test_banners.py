"""The output of login scripts is never part of an answer."""

import io
import os
import tarfile

import pytest
from machines import hosts_with

from flq.deploy.ssh import Connection, DeployError, Result
from flq.deploy.transfer import collect_host

# Does what sshd does with a login script: it runs in the shell that runs the command, before it and, by a trap, after.
FAKE_SSH = """#!/bin/bash
case "$*" in *"-O exit"*) exit 0 ;; esac
cd "{folder}"
BASH_ENV="{folder}/bashrc" exec bash -c "${{@: -1}}"
"""

BANNERS = {
    "braces": 'echo "Hello {ada}! {\\"a\\": 2}"',
    "no end of the line": 'printf "{\\"a\\": 2}"; printf "> " >&2',
    "quotes and colours": "printf '\\033[1;32m\\x27\"`$\\\\ \\033[0m\\n'",
    "bytes": "head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2",
    "after it": 'echo before; trap \'echo "{\\"a\\": 2}"; echo changed; echo worse >&2; printf end\' EXIT',
    "its own command": 'echo "$BASH_EXECUTION_STRING"; cat /proc/$$/cmdline',
    "lines of answers": 'printf "changed\\nhome /x\\nleft /\\n"; echo "ERROR: none" >&2',
}


@pytest.fixture(params=sorted(BANNERS))
def banner(request, tmp_path, monkeypatch):
    """Let a login script of this kind print its banner, on every host except a local one."""
    set_banner(tmp_path, monkeypatch, BANNERS[request.param])


def set_banner(tmp_path, monkeypatch, script):
    (tmp_path / "bashrc").write_text("unset BASH_ENV\n" + script + "\n")
    (tmp_path / "ssh").write_text(FAKE_SSH.format(folder=tmp_path))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))


def connect(tmp_path, script, said):
    return Connection(hosts_with({"host": "board"})[1], script.encode(), str(tmp_path), said.append, lambda step: None)


def test_the_result_is_the_output_of_the_step(tmp_path, banner):
    said = []
    connection = connect(tmp_path, "printf '{\"a\": 1}'; echo warned >&2; cat; exit\n", said)
    answer = connection.run("put", payload=b"\nwhat\nfollows")
    assert answer[:2] == ('{"a": 1}\nwhat\nfollows', "warned\n")
    assert answer.values() == {"a": 1} and answer.lines == ['{"a": 1}', "what", "follows"]
    assert said[-1] == answer.output + answer.errors + "(exit status 0)\n"


def test_a_step_that_prints_nothing_has_answered_nothing(tmp_path, banner):
    assert connect(tmp_path, "exit\n", []).run("facts")[:2] == ("", "")


def test_a_failed_step_reports_its_error_and_not_a_login_scripts_output(tmp_path, banner):
    with pytest.raises(DeployError) as caught:
        connect(tmp_path, "echo the card is full >&2; exit 3\n", []).run("put")
    assert str(caught.value) == "the card is full"


def test_an_archive_comes_through(tmp_path, banner):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("results/run/a")
        member.size = 3000
        archive.addfile(member, io.BytesIO(bytes(range(250)) * 12))
    (tmp_path / "archive").write_bytes(content.getvalue())
    script = "if [ \"$1\" = files ]; then printf '3000 5 results/run/a\\0'; else cat %s/archive; fi; exit\n" % tmp_path
    host = hosts_with({"host": "board"})[1]
    assert collect_host(connect(tmp_path, script, []), host, str(tmp_path / "collected")) == 1
    assert (tmp_path / "collected" / "results" / "run" / "a").read_bytes() == bytes(range(250)) * 12


@pytest.mark.parametrize("script", ["exit 0", "exec true", "cat >/dev/null", "exec cat >/dev/null"])
def test_a_login_script_that_keeps_the_step_from_running_is_named(tmp_path, monkeypatch, script):
    set_banner(tmp_path, monkeypatch, script)
    with pytest.raises(DeployError, match="the step .* did not run, .*a login script such as ~/.bashrc"):
        connect(tmp_path, "echo done; exit\n", []).run("facts")


def test_an_answer_that_breaks_off_is_no_answer(tmp_path, monkeypatch):
    set_banner(tmp_path, monkeypatch, "true")
    with pytest.raises(DeployError, match="was cut off before its end"):
        connect(tmp_path, "echo half an answer; exec true\n", []).run("facts")


@pytest.mark.parametrize("text", ['{"a": 1}', 'Hello {ada}!\n{"a": 1}', '{{{"a": 1}', '{"a": 1} {"b": 2}'])
def test_the_first_object_of_an_answer_is_read(text):
    assert Result(text, "").values() == {"a": 1}
