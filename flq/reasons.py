"""Finds, in the text of another library's error, the sentence that says what went wrong.

Keras and TensorFlow surround it with headings, tracebacks, the arguments of the call and names of nodes, in ways
that differ between versions (here: TensorFlow 2.4 to 2.21, Keras 2 and 3). The wrappings are removed one by one.

Example
-------
>>> text = "Exception encountered when calling Embedding.call().\\n\\nindices[0,0] = 7 is not in [0, 5) [Op:Gather]"
>>> reason_of(ValueError(text))
'Embedding.call(): indices[0,0] = 7 is not in [0, 5)'
"""

import re
import textwrap
from typing import List, NamedTuple, Optional

LONGEST = 400  # characters of a reason
MOST_WRAPPINGS = 20
OF_LIBRARIES = ("site-packages", "dist-packages", "__autograph_generated_file", "importlib")  # in paths of frames

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CALLING = re.compile(
    r"Exception encountered when calling (?:(?P<layer>layer [\"'].+?[\"'])(?: \(type \w+\))?|(?P<call>[\w.]+\(\)))"
)
ARGUMENTS = re.compile(r"\n *(?:Call arguments|Arguments) received by ")
FRAME = re.compile(r'^ *(?:File "(.+?)", line (\d+)|(\S+\.py):(\d+) \w+)')
ERROR_LINE = re.compile(r"^[A-Za-z_][\w.]*(?:: ?|$)")
TRACEBACK = "Traceback (most recent call last):"
ROOT_ERRORS = re.compile(r"^\d+ root error\(s\) found\.\s*\(0\) ?[A-Za-z_ ]+: *")
ORIGINAL_OF_NUMPY = re.compile(r"Original error was: (.+)")
NODE = re.compile(r"'\{\{node \S+\}\} = (\w+)(?:\[.*\])?\(.*?\)'")
FUNCTION_NODE = re.compile(r"\{\{function_node .*?\}\} *")
WHAT_FOLLOWS = re.compile(r"\n(?:Traceback \(most recent|```|Function call stack:|Errors may have originated|\t \[\[)")
OPERATION = re.compile(r" *\[Op:\S*\](?: name: *)?")


class Unwrapped(NamedTuple):
    """A text without one of its wrappings.

    Attributes
    ----------
    text : str
    where : str
        The layer that failed, or "".
    place : str
        File and line of the user's code, or "".
    """

    text: str
    where: str = ""
    place: str = ""


def reason_of(error: BaseException) -> str:
    """Return why an error was raised, in one line of about 400 characters at most; never empty.

    Without a text it is the reason of the error's cause, or the error's class and place.
    """
    found = _unwrapped(str(error))
    sentence = _first_paragraph(found.text)
    if not sentence and error.__cause__ is not None:
        return reason_of(error.__cause__)
    if not sentence:
        sentence = type(error).__name__ + (found.place or _place_of(error))
    elif isinstance(error, KeyError):  # its text is the key alone
        sentence = "KeyError: " + sentence
    return "%s: %s" % (found.where, sentence) if found.where else sentence


def sentence_of(text: str) -> str:
    """Return the sentence in an error's text; "" if there is none."""
    return _first_paragraph(_unwrapped(text).text)


def named_reason(error: BaseException) -> str:
    """Return the class and the reason of an error, in one line."""
    name, reason = type(error).__name__, reason_of(error)
    return reason if reason.startswith(name) else "%s: %s" % (name, reason)


def _unwrapped(text: str) -> Unwrapped:
    """Return what is left without any wrapping; of several layers and places, the innermost."""
    left, where, place = COLOUR.sub("", text).replace("\r", "").strip("\n"), "", ""
    for _ in range(MOST_WRAPPINGS):
        inner = _without_outermost(left)
        if inner is None:
            break
        left, where, place = inner.text.strip("\n"), inner.where or where, inner.place or place
    return Unwrapped(left, where, place)


def _without_outermost(text: str) -> Optional[Unwrapped]:
    """Return the text within its outermost wrapping; None if it has none."""
    head, _, rest = text.partition("\n")
    if head == "in user code:":
        return _after_frames(textwrap.dedent(rest).split("\n"))
    if head == TRACEBACK:
        return _after_frames(rest.split("\n"))
    if head == "Graph execution error:":
        return Unwrapped(_after_nodes(rest))
    calling = CALLING.match(text)
    if calling and rest:
        return Unwrapped(ARGUMENTS.split("\n" + rest)[0], calling.group("layer") or calling.group("call"))
    roots = ROOT_ERRORS.match(text)
    if roots:
        return Unwrapped(text[roots.end() :])
    original = ORIGINAL_OF_NUMPY.search(text)
    return Unwrapped(original.group(1)) if original else None


def _after_frames(lines: List[str]) -> Unwrapped:
    """Return the error's text that follows the frames of a traceback, and the last place in the user's code."""
    place = ""
    for i, line in enumerate(lines):
        frame = FRAME.match(line)
        if frame:
            path, number = frame.group(1) or frame.group(3), frame.group(2) or frame.group(4)
            place = place if _is_of_library(path) else _place(path, number)
        elif ERROR_LINE.match(line):
            return Unwrapped(ERROR_LINE.sub("", "\n".join(lines[i:])), place=place)
    return Unwrapped("", place=place)


def _after_nodes(text: str) -> str:
    """Return the text that follows the list of nodes and of the frames that made them."""
    _, node, rest = text.partition("\nNode: ")
    if node:
        return rest.partition("\n")[2]
    lines = text.split("\n")
    while lines and (not lines[0].strip() or lines[0].startswith((" ", "Detected at node", "<stack traces"))):
        del lines[0]
    return "\n".join(lines)


def _first_paragraph(text: str) -> str:
    """Return the first paragraph as one line, and the next one if it ends with a colon."""
    text, words = NODE.sub(r"\1", FUNCTION_NODE.sub("", WHAT_FOLLOWS.split(text)[0])), ""
    for paragraph in re.split(r"\n\s*\n", text):
        words = " ".join((words + " " + paragraph).split())
        if words and not words.endswith(":"):
            break
    return textwrap.shorten(OPERATION.sub("", words), LONGEST, placeholder=" ...")


def _place_of(error: BaseException) -> str:
    """Return where an error was raised, outside libraries if possible; "" without a traceback."""
    places, trace = [""], error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if not _is_of_library(path) or len(places) == 1:
            places.append(_place(path, str(trace.tb_lineno)))
        trace = trace.tb_next
    return places[-1]


def _place(path: str, number: str) -> str:
    return " in %s, line %s" % (re.split(r"[/\\]", path)[-1], number)


def _is_of_library(path: str) -> bool:
    return any(part in path for part in OF_LIBRARIES)
