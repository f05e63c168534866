"""The messages quoted in troubleshooting.md are those that the programs print."""

import ast
import functools
import re

import documents

PLACE = re.compile(r"%[-+# 0]*\d*(?:\.\d+)?[sdrgfxa]|\$\{?\w+\}?")  # of a value in a sentence, in Python and bash
LEAST = 15  # characters of a sentence that have to stand in the code


@functools.lru_cache(maxsize=None)
def sentences_of_the_programs():
    """Return patterns of all messages in the programs' code, with a wildcard for each value."""
    texts = []
    for path in sorted((documents.PROJECT / "flq").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        texts += [constant for constant in constants if isinstance(constant, str)]
    for path in [*documents.PROJECT.glob("*.sh"), *documents.PROJECT.glob("scripts/*.sh")]:
        texts += re.findall(r'"([^"\n]+)"', path.read_text(encoding="utf-8").replace("\\\n", ""))
    lines = [text for text in texts if " " in text and "\n" not in text]
    parts_of_texts = [[part for part in PLACE.split(line) if part] for line in lines]
    return [re.compile(".+".join(map(re.escape, parts))) for parts in parts_of_texts if len("".join(parts)) >= LEAST]


def unknown_sentences(text):
    """Return the lines of quoted output that match no message in the programs' code."""
    lines = [line for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    patterns = sentences_of_the_programs()
    return [line for line in lines if line != "..." and not any(pattern.search(line) for pattern in patterns)]


def test_quoted_sentences_are_those_of_the_programs():
    assert unknown_sentences(documents.text_of("docs/troubleshooting.md")) == []


def test_a_sentence_that_no_program_prints_would_be_found():
    text = "```text\nworker 1 is lost: silent for 5 s\nworker 1 has gone: silent for 5 s\n```\n"
    assert unknown_sentences(text) == ["worker 1 has gone: silent for 5 s"]


def test_no_quoted_sentence_shows_an_object_of_python():
    assert re.findall(r"\b[A-Z]\w+\(\w+=", documents.text_of("docs/troubleshooting.md")) == []
