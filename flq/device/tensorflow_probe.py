"""Checks whether TensorFlow works, in a child process that may crash."""

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple

from ..reasons import sentence_of
from .board import Board
from .checks import OK, WARN, Line
from .python_checks import OPENBLAS, requirements_for

LIMIT_S = 240.0  # a Nano takes half a minute from its SD card
MARK = "flq-probe "
SIGNALS = {
    "SIGILL": "Illegal instruction",
    "SIGSEGV": "Segmentation fault",
    "SIGKILL": "Killed",
    "SIGABRT": "Aborted",
    "SIGBUS": "Bus error",
}

# Prints each stage before it begins, so that the last line shows where a crash happened.
SCRIPT = (
    """
import json
def tell(**facts):
    print(%r + json.dumps(facts), flush=True)
try:
    tell(stage="numpy")
    import numpy
    tell(numpy=numpy.__version__, stage="tensorflow")
    import tensorflow as tf
    tell(tensorflow=tf.__version__, stage="keras")
    tell(keras=tf.keras.__version__, stage="devices")
    tell(cuda=bool(tf.test.is_built_with_cuda()))
    gpus = tf.config.list_physical_devices("GPU")
    tell(gpus=len(gpus), stage="end")
except Exception as error:
    missing = isinstance(error, ModuleNotFoundError) and error.name in ("numpy", "tensorflow")
    tell(error=type(error).__name__, text=str(error), missing=error.name if missing else "")
"""
    % MARK
)


class Probe(NamedTuple):
    """The result of the child process.

    Attributes
    ----------
    facts : dict
        numpy, tensorflow, keras: versions; cuda: bool; gpus: int; stage: the last stage that it reached, "end" if it
        finished; error, missing: of a failed import.
    end : str
        How it ended prematurely: a signal, an exit code or a time limit; empty if it finished.
    log : list of str
        The lines of its stderr.
    """

    facts: Dict[str, Any]
    end: str
    log: List[str]


def probe_tensorflow(script: str = SCRIPT, limit_s: float = LIMIT_S) -> Probe:
    """Import numpy and TensorFlow in a child process; return its result, with the number of GPUs."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="1")  # keep warnings, which name missing CUDA libraries
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    with child:
        try:
            out, log = child.communicate(timeout=limit_s)
            end = _name_of(child.returncode)
        except subprocess.TimeoutExpired:
            child.kill()
            out, log = child.communicate()
            end = "no result within %g s" % limit_s
    facts = {"stage": "start"}  # type: Dict[str, Any]
    for line in out.decode("utf-8", "replace").splitlines():
        if line.startswith(MARK):
            facts.update(json.loads(line[len(MARK) :]))
    if facts.get("text"):
        facts["error"] = "%s: %s" % (facts["error"], sentence_of(facts.pop("text")))
    return Probe(facts, "" if facts["stage"] == "end" else end, log.decode("utf-8", "replace").splitlines())


def tensorflow_lines(probe: Probe, board: Board, fault: str, requirements: str) -> List[Line]:
    """Return the findings of a probe.

    Parameters
    ----------
    probe : Probe
    board : Board
    fault : str
        Status if TensorFlow does not work: fail or warn.
    requirements : str
        The file in requirements/ that installs it.
    """
    facts = probe.facts
    install = "pip install -r requirements/%s" % requirements
    if facts.get("missing"):
        return [Line(fault, "tensorflow", "%s is not installed" % facts["missing"], install)]
    if facts.get("error"):
        return [Line(fault, "tensorflow", "it cannot be imported: %s" % facts["error"], "reinstall it: %s" % install)]
    if probe.end:
        return [
            Line(
                fault,
                "tensorflow",
                "a process that imports it died at %s: %s" % (facts["stage"], probe.end),
                _fix_of(probe, board),
            )
        ]
    text = "%s with Keras %s, built %s CUDA" % (
        facts["tensorflow"],
        facts["keras"],
        "with" if facts["cuda"] else "without",
    )
    is_jetson = board.kind in ("nano", "jetson")
    if is_jetson and not facts["cuda"]:
        lines = [
            Line(
                WARN,
                "tensorflow",
                text + ": it does not use the GPU of this board",
                "NVIDIA's own build: pip install -r requirements/%s" % requirements_for(board),
            )
        ]
    else:
        lines = [Line(OK, "tensorflow", text)]
    if facts["gpus"]:
        return lines + [Line(OK, "gpu", "TensorFlow sees %d" % facts["gpus"])]
    if not facts["cuda"]:
        return lines + [Line(OK, "gpu", "none: TensorFlow uses the CPU")]
    reason = re.search("(Could not load dynamic library|Cannot dlopen)[^\n]*", "\n".join(probe.log))
    text = "TensorFlow sees none" + (": " + reason.group() if reason else "")
    return lines + [
        Line(
            WARN if is_jetson else OK,
            "gpu",
            text,
            "install CUDA and cuDNN of this JetPack: sudo apt install nvidia-jetpack" if is_jetson else "",
        )
    ]


def _name_of(code: int) -> str:
    """Return how a child process ended: the name of a signal, or its exit code."""
    if code >= 0:
        return "exit code %d" % code
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "signal %d" % -code
    return "%s (%s)" % (SIGNALS[name], name) if name in SIGNALS else name


def _fix_of(probe: Probe, board: Board) -> str:
    if "SIGILL" in probe.end and probe.facts["stage"] in ("start", "numpy"):
        return "on aarch64 with Python 3.6, before Python: export %s=ARMV8" % OPENBLAS
    if "SIGILL" in probe.end:
        return "this build needs a newer CPU (AVX on x86): install one for this machine"
    if "SIGKILL" in probe.end:
        return "the memory was probably insufficient: end other programs, or add swap"
    if probe.end.startswith("nothing"):
        return "check the disk and the memory, and try again"
    return "reinstall it: pip install -r requirements/%s" % requirements_for(board)
