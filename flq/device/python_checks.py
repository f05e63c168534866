"""Checks of the Python interpreter and its packages, without imports that may crash it."""

import importlib.util
import os
import platform
import re
import sys
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .board import Board
from .checks import FAIL, OK, WARN, Line
from .files import names_in, text_of

OF_JETPACK = {"4": (3, 6), "5": (3, 8), "6": (3, 10)}  # the Python of NVIDIA's TensorFlow build
OPENBLAS = "OPENBLAS_CORETYPE"
REQUIREMENTS = {"4": "jetson-nano.txt", "5": "jetpack5.txt", "6": "jetpack6.txt"}


class Interpreter(NamedTuple):
    """A Python interpreter and its environment.

    Attributes
    ----------
    version : tuple of three int
    machine : str
        x86_64, aarch64, ...
    numpy : str or None
        The installed version.
    openblas : str
        The environment variable OPENBLAS_CORETYPE.
    """

    version: Tuple[int, int, int]
    machine: str
    numpy: Optional[str]
    openblas: str


def this_interpreter(environment: Mapping[str, str]) -> Interpreter:
    """Return the interpreter of this program."""
    version = (sys.version_info[0], sys.version_info[1], sys.version_info[2])
    return Interpreter(version, platform.machine(), installed_numpy(), environment.get(OPENBLAS, ""))


def installed_numpy() -> Optional[str]:
    """Return the version of numpy from its files, because importing it may crash the process."""
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        return None
    folder = os.path.dirname(spec.origin)
    beside = "\n".join(names_in(os.path.dirname(folder)))  # the installer's *.dist-info
    found = re.search(r"(?m)^numpy-([0-9][^-\n]*?)(?:-py[0-9.]+)?\.(?:dist|egg)-info$", beside)
    if found is None:
        text = text_of(os.path.join(folder, "version.py")) or ""
        found = re.search(r"""(?m)^(?:short_)?version(?:: str)? = ['"]([^'"]+)['"]""", text)
    return found.group(1) if found else "unknown"


def python_lines(interpreter: Interpreter, board: Board, lowest: Tuple[int, int]) -> List[Line]:
    """Return findings: whether FLQ supports this Python, whether it suits the board, and whether numpy works."""
    return [_python_line(interpreter, board, lowest), _numpy_line(interpreter)]


def packages_line(names: Sequence[str], requirements: str) -> Line:
    """Report whether packages are installed, without importing them."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        return Line(
            FAIL, "packages", "missing: %s" % ", ".join(missing), "pip install -r requirements/%s" % requirements
        )
    return Line(OK, "packages", ", ".join(names))


def requirements_for(board: Board) -> str:
    """Return the file in requirements/ with a worker's packages for a board."""
    return REQUIREMENTS.get((board.jetpack or "").split(".")[0], "worker.txt")


def _python_line(interpreter: Interpreter, board: Board, lowest: Tuple[int, int]) -> Line:
    text = "%d.%d.%d" % interpreter.version
    if interpreter.version[:2] < lowest:
        return Line(
            FAIL,
            "python",
            "%s; this program needs %d.%d or newer" % ((text,) + lowest),
            "create the environment with a newer Python",
        )
    own = OF_JETPACK.get((board.jetpack or "").split(".")[0])
    if own is not None and interpreter.version[:2] != own and own >= lowest:
        return Line(
            WARN,
            "python",
            "%s; the TensorFlow that uses the GPU of this board needs Python %d.%d" % ((text,) + own),
            "create the environment with python%d.%d and requirements/%s" % (own + (requirements_for(board),)),
        )
    return Line(OK, "python", text + (", JetPack's own" if interpreter.version[:2] == own else ""))


def _numpy_line(interpreter: Interpreter) -> Line:
    if interpreter.numpy is None:
        return Line(FAIL, "numpy", "it is not installed", "install the requirements of this program")
    text = "numpy " + interpreter.numpy
    if interpreter.numpy == "1.19.5" and interpreter.machine == "aarch64" and not interpreter.openblas:
        # numpy issue 18131: the bundled OpenBLAS mistakes the Cortex-A57 for another CPU.
        return Line(
            FAIL,
            "numpy",
            text + " crashes with an illegal instruction on this CPU unless %s is set" % OPENBLAS,
            "use ./start_worker.sh, or run before Python: export %s=ARMV8" % OPENBLAS,
        )
    return Line(OK, "numpy", text + (", %s=%s" % (OPENBLAS, interpreter.openblas) if interpreter.openblas else ""))
