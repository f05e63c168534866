"""The walk of an upload as docs/architecture.md draws it: its functions exist, and a round over HTTP passes them."""

import ast
import os
import re
import signal
import sys
import threading

import documents

from flq.worker.command_line import parse_flags
from flq.worker.own_settings import OwnFile
from flq.worker.program import Worker

FLQ = documents.PROJECT / "flq"
IN_FLQ = str(FLQ) + os.sep
HOP = re.compile(r"^ +(\d+) +(\w[\w/]*\.py) +([\w.]+)", re.MULTILINE)
LONGEST_LINE = 110


def drawing():
    """Return the code block of the section."""
    _, section = documents.text_of("docs/architecture.md").split("\n## The walk of an upload\n")
    return "\n".join(re.findall(r"^    .*", section.split("\n## ")[0], re.MULTILINE))


def hops():
    """Return file and function of each hop, in order."""
    return [(file, name) for _, file, name in HOP.findall(drawing())]


def functions_of(file):
    """Return the name of each function of a file of flq, by its first line."""
    found = {}

    def look(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = prefix + child.name
                if isinstance(child, ast.FunctionDef):
                    found[min([child.lineno] + [line.lineno for line in child.decorator_list])] = name
                look(child, name + ".")
            else:
                look(child, prefix)

    look(ast.parse((FLQ / file).read_text(encoding="utf-8")), "")
    return found


class Followed:
    """The functions of flq in the order in which all threads call them, or return to them."""

    def __init__(self):
        self.codes = []

    def __call__(self, frame, event, value):
        if event in ("call", "return") and frame.f_code.co_filename.startswith(IN_FLQ):
            self.codes.append(frame.f_code)
            if event == "return" and frame.f_back is not None:
                self.codes.append(frame.f_back.f_code)

    def functions(self):
        """Yield file and function."""
        known = {}
        for code in self.codes:
            if code.co_filename.startswith(IN_FLQ):
                file = code.co_filename[len(IN_FLQ) :]
                if file not in known:
                    known[file] = functions_of(file)
                yield file, known[file].get(code.co_firstlineno, code.co_name)


def test_the_hops_are_numbered_and_fit_on_a_page():
    numbers = [int(number) for number, _, _ in HOP.findall(drawing())]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) < 45
    assert max(map(len, drawing().splitlines())) <= LONGEST_LINE


def test_every_hop_is_a_function_of_its_file():
    assert [(file, name) for file, name in hops() if name not in functions_of(file).values()] == []


def test_a_round_over_http_takes_the_walk(make_master, monkeypatch, tmp_path):
    monkeypatch.setattr(signal, "signal", lambda *args: None)  # the worker's
    flags = parse_flags(["--worker_id", "0", "--master_ip", "127.0.0.1"])
    followed, before = Followed(), sys.getprofile()
    threading.setprofile(followed)
    try:
        master = make_master("system.total_workers=1", "system.min_workers=1", "system.max_rounds=1", "model.dim=4000")
        worker = Worker(flags, "instance", master.client(0), OwnFile(), str(tmp_path))
        sys.setprofile(followed)
        assert worker.run() == 0
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    taken = followed.functions()
    assert [hop for hop in hops() if hop not in taken] == []  # "in" goes on from the hop before
