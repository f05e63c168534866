"""Checks the imports of every source file against one table of layers.

The checker is a function of source text, so that it is tested on planted violations as well as on the project.
"""

import ast
import os
import pkgutil
import sys
from pathlib import Path
from typing import FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple

import pytest

PROJECT = Path(__file__).resolve().parent.parent
TENSORFLOW = frozenset({"tensorflow", "keras"})
UNSAFE_MODULES = frozenset({"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"})

# Values in, values out: no files, no network, no clock, no threads, no logging.
PURE_STDLIB = frozenset(
    {
        "abc",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "copy",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "itertools",
        "json",
        "math",
        "numbers",
        "operator",
        "re",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "zlib",
    }
)


class Layer(NamedTuple):
    """The imports that a layer may have besides its own."""

    flq: FrozenSet[str]  # other layers
    packages: FrozenSet[str]  # from outside the standard library
    stdlib: Optional[FrozenSet[str]]  # None: all of it


def layer(flq: str = "", packages: str = "", stdlib: Optional[FrozenSet[str]] = None) -> Layer:
    return Layer(frozenset(flq.split()), frozenset(packages.split()), stdlib)


# Each layer names layers that stand above it in this table: imports point upwards here, so there is no way round.
LAYERS = {
    "flq": layer(stdlib=frozenset()),  # flq/__init__.py; any file may import it
    "errors": layer(stdlib=PURE_STDLIB),
    "reasons": layer(stdlib=PURE_STDLIB),
    "launch": layer(),  # runs given modules
    "output": layer(),
    "console": layer("output", "tqdm"),
    "logfile": layer("output console"),
    "addresses": layer(),
    "flags": layer("addresses"),
    "durable": layer("errors reasons", "numpy"),
    "write_ahead_log": layer("errors", "numpy"),
    "journal_file": layer("errors write_ahead_log"),
    "run_end": layer(stdlib=PURE_STDLIB),
    "locks": layer("errors"),
    "leftovers": layer(),
    "tokens": layer("errors durable locks"),
    "systemd": layer(),
    "device": layer("errors reasons"),
    "core": layer("errors", "numpy zstandard threadpoolctl", PURE_STDLIB),
    "protocol": layer("errors core", "numpy", PURE_STDLIB | {"random"}),  # a generator that it is given
    "drawing": layer("leftovers", "numpy matplotlib"),
    "training": layer(
        "errors reasons output console flags locks leftovers device core drawing", "numpy tensorflow keras PIL"
    ),
    "data": layer("errors output flags core training"),
    "worker": layer(
        "errors reasons console logfile addresses flags durable locks tokens systemd device core protocol training",
        "numpy requests",
    ),
    "engines": layer("errors device core protocol training", "numpy"),
    "config_hash": layer(),
    "report": layer(
        "errors output flags durable write_ahead_log journal_file run_end locks config_hash core drawing",
        "numpy xlsxwriter openpyxl pandas matplotlib",
    ),
    "sinks": layer("errors flags tokens core drawing training report", "numpy apprise matplotlib tensorboardX swanlab"),
    "v3_flags": layer("core", stdlib=PURE_STDLIB),
    "config": layer("errors core training sinks", "pydantic pydantic_core"),
    "config_file": layer("errors core config", "pydantic"),
    "config_docs": layer("errors core config", "pydantic"),
    "master": layer(
        "errors reasons launch console logfile addresses flags durable write_ahead_log journal_file run_end locks "
        "leftovers tokens systemd device core protocol drawing training report sinks config config_file config_docs "
        "config_hash",
        "numpy flask werkzeug cheroot pydantic prometheus_client",
    ),
    "deploy": layer(
        "errors output console addresses flags leftovers durable tokens device config report master",
        "yaml pydantic pydantic_core",
    ),
    # The programs; nothing imports them.
    "__main__": layer("output master worker"),  # flq/__main__.py
    "flq_master": layer("errors output logfile config master"),
    "flq_worker": layer("errors output logfile training worker"),
    "flq_fed_v3": layer("errors reasons output flags durable core training report v3_flags", "numpy tqdm"),
}


def standard_library() -> FrozenSet[str]:
    """Return the names of the top-level modules of the standard library (sys has a list only since 3.10)."""
    folder = Path(os.__file__).parent
    found = pkgutil.iter_modules([str(folder), str(folder / "lib-dynload")])
    return frozenset(sys.builtin_module_names) | {module.name for module in found}


STANDARD_LIBRARY = standard_library()


# Who loads what a name in the settings says: a user's own model, and on a worker only if its own command line has it.
LOADS_BY_NAME = frozenset({"flq.training.custom_model"})


class Import(NamedTuple):
    """One module that a file names, in full: flq.core.layout, os.path, numpy."""

    line: int
    module: str
    in_function: bool


def layer_of(module: str) -> str:
    """Name the layer of a module: flq.core.layout -> core, flq -> flq, flq_worker -> flq_worker."""
    parts = module.split(".")
    return parts[1] if parts[0] == "flq" and len(parts) > 1 else parts[0]


def base_of(node: ast.ImportFrom, module: str, is_package: bool) -> Optional[str]:
    """Resolve the `X` of `from X import ...` like Python; None if it leaves the top package."""
    if node.level == 0:
        return node.module
    package = module.split(".") if is_package else module.split(".")[:-1]
    if node.level > len(package):
        return None
    package = package[: len(package) - node.level + 1]
    return ".".join(package + ([node.module] if node.module else []))


def imports_of(tree: ast.AST, module: str, is_package: bool) -> Iterator[Import]:
    """Yield the imports of a file, by statement or by a call with a constant name.

    `from a.b import c` yields a.b.c: the layer is the same if c is a name inside a.b, but `from flq import core` must
    count as flq.core.
    """

    def walk(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, in_function)
        elif isinstance(node, ast.ImportFrom):
            base = base_of(node, module, is_package)
            for alias in node.names:
                yield Import(node.lineno, f"{base}.{alias.name}" if base else "<outside>", in_function)
        elif isinstance(node, ast.Call) and called_name(node) in ("__import__", "import_module"):
            name = node.args[0] if node.args else None
            is_constant = isinstance(name, ast.Constant) and isinstance(name.value, str)
            yield Import(node.lineno, name.value if is_constant else "<computed>", in_function)
        inner = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inner)

    yield from walk(tree, False)


def called_name(call: ast.Call) -> str:
    function = call.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def violations(source: str, module: str, is_package: bool = False) -> List[str]:
    """Check one file against the table.

    Parameters
    ----------
    source : str
    module : str
        Its full name, e.g. flq.core.lazy; that of a package is without __init__.
    is_package : bool
        True for an __init__.py, which relative imports count from.

    Returns
    -------
    list of str
        One sentence for each violation; empty if there is none.
    """
    tree = ast.parse(source)
    own = layer_of(module)
    if own not in LAYERS:
        return [f"{module}: its layer {own} stands in no row of LAYERS"]
    found = [
        f"{module}:{item.line}: {sentence}"
        for item in imports_of(tree, module, is_package)
        if not (item.module == "<computed>" and module in LOADS_BY_NAME)
        for sentence in import_violations(item, own)
    ]
    found += [f"{module}:{line}: {sentence}" for line, sentence in call_violations(tree)]
    if LAYERS[own].stdlib is not None:
        found += [f"{module}:{line}: the global random generator is used" for line in global_randomness(tree)]
    return found


def import_violations(item: Import, own: str) -> Iterator[str]:
    top = item.module.split(".")[0]
    allowed = LAYERS[own]
    if top in ("<outside>", "<computed>"):
        yield f"an import that cannot be followed ({top})"
    elif top == "flq" or top in LAYERS:
        other = layer_of(item.module)
        if other == "*":
            yield "from flq import *"
        elif other.startswith("__") and top == "flq":  # from flq import __version__
            return
        elif other not in (own, "flq") and other not in allowed.flq:
            yield f"{own} may not import {item.module}"
    elif top in UNSAFE_MODULES:
        yield f"no file imports {top}"
    elif top in STANDARD_LIBRARY:
        if allowed.stdlib is not None and top not in allowed.stdlib:
            yield f"{own} may not import {item.module} of the standard library"
    elif top not in allowed.packages:
        yield f"{own} may not import the package {item.module}"
    elif top in TENSORFLOW and not item.in_function:
        yield f"{item.module} is imported while the file is read; only functions may import it"


def call_violations(tree: ast.AST) -> Iterator[Tuple[int, str]]:
    """Yield the calls that execute data: eval, exec, numpy's pickles."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                yield node.lineno, f"no file calls {node.func.id}"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and getattr(keyword.value, "value", None) is not False:
                    yield node.lineno, "allow_pickle is never on"


def global_randomness(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that use a global random generator: random.x, np.random.x.

    Classes (random.Random, np.random.Philox) and default_rng make separate generators.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("random", "np.random", "numpy.random"):
            if node.attr[0].islower() and node.attr != "default_rng":
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module in ("random", "numpy.random"):
            yield from (node.lineno for alias in node.names if alias.name[0].islower() and alias.name != "default_rng")


def project_files() -> List[Path]:
    """Return the programs and every module of flq/; tests and benchmarks may import anything."""
    return sorted(PROJECT.glob("flq*.py")) + sorted((PROJECT / "flq").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def first_cycle(edges: dict) -> List[str]:
    """Return the modules of one import cycle, or an empty list."""
    finished: Set[str] = set()

    def visit(module: str, path: List[str]) -> List[str]:
        if module in path:
            return path[path.index(module) :] + [module]
        if module in finished:
            return []
        for target in sorted(edges.get(module, ())):
            cycle = visit(target, path + [module])
            if cycle:
                return cycle
        finished.add(module)
        return []

    for start in sorted(edges):
        cycle = visit(start, [])
        if cycle:
            return cycle
    return []


def import_edges(sources: dict) -> dict:
    """Map each module to the project modules that its import loads, without imports inside functions."""
    edges = {}
    for module, (source, is_package) in sources.items():
        named = {item.module for item in imports_of(ast.parse(source), module, is_package) if not item.in_function}
        targets = {name if name in sources else name.rpartition(".")[0] for name in named}
        edges[module] = {name for name in targets if name in sources and name != module}
    return edges


@pytest.mark.parametrize("path", project_files(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_file_imports_only_what_its_layer_may(path):
    assert violations(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py") == []


def test_the_table_lets_imports_go_one_way_only():
    rows = list(LAYERS)
    assert [(own, other) for own in rows for other in LAYERS[own].flq if rows.index(other) >= rows.index(own)] == []


def test_no_modules_import_each_other_in_a_circle():
    sources = {
        module_name(path): (path.read_text(encoding="utf-8"), path.name == "__init__.py") for path in project_files()
    }
    assert "flq" in sources
    assert first_cycle(import_edges(sources)) == []


def test_a_circle_of_imports_is_found():
    sources = {
        "flq.core": ("", True),
        "flq.core.a": ("from .b import x", False),
        "flq.core.b": ("from . import a", False),
    }
    assert first_cycle(import_edges(sources)) == ["flq.core.a", "flq.core.b", "flq.core.a"]


@pytest.mark.parametrize(
    "module, source",
    [
        ("flq.core.lazy", "import os"),
        ("flq.core.lazy", "import os.path"),
        ("flq.core.lazy", "from time import monotonic"),
        ("flq.core.lazy", "import logging"),
        ("flq.core.lazy", "import random"),
        ("flq.core.rng", "import numpy as np\nnp.random.seed(1)"),
        ("flq.core.rng", "from numpy.random import normal"),
        ("flq.core.lazy", "import threading"),
        ("flq.core.lazy", "from pathlib import Path"),
        ("flq.core.lazy", "import subprocess"),
        ("flq.core.lazy", "import numpy as np, socket"),
        ("flq.core.lazy", "def f():\n    import time"),
        ("flq.core.lazy", "try:\n    import requests\nexcept ImportError:\n    pass"),
        ("flq.core.lazy", "__import__('os')"),
        ("flq.core.lazy", "import importlib"),
        ("flq.core.lazy", "from ..protocol import wire"),
        ("flq.core.lazy", "from .. import protocol"),
        ("flq.core.lazy", "from flq import master"),
        ("flq.core.lazy", "import flq.worker.runtime"),
        ("flq.core.lazy", "from ... import anything"),
        ("flq.core.lazy", "def f():\n    import tensorflow"),
        ("flq.errors", "from .core import layout"),
        ("flq.protocol.wire", "import socket"),
        ("flq.protocol.wire", "import logging"),
        ("flq.protocol.wire", "import flask"),
        ("flq.protocol.worker_machine", "import random\nrandom.random()"),
        ("flq.protocol.worker_machine", "from random import uniform"),
        ("flq.protocol.wire", "from ..training import trainer"),
        ("flq.protocol.wire", "from ..master.routes.app import create_app"),
        ("flq.training.task", "import tensorflow as tf"),
        ("flq.training.task", "from tensorflow import keras"),
        ("flq.training.task", "class Trainer:\n    import tensorflow"),
        ("flq.training.task", "from ..protocol import wire"),
        ("flq.training.task", "import requests"),
        ("flq.worker.runtime", "def f():\n    import tensorflow"),
        ("flq.worker.runtime", "from ..master import app"),
        ("flq.worker.runtime", "from ..config import load_config"),
        ("flq.worker.runtime", "import psutil"),
        ("flq.engines.simulation", "from ..master import app"),
        ("flq.report.excel", "from ..master.runtime import run"),
        ("flq.report.excel", "from ..protocol import events"),
        ("flq.config", "from .master import app"),
        ("flq.master.routes.app", "from ...worker import runtime"),
        ("flq.master.routes.app", "from ...engines import simulation"),
        ("flq.master.routes.app", "def f():\n    import tensorflow"),
        ("flq.master.routes.app", "import flq_worker"),
        ("flq.master.routes.app", "import pickle"),
        ("flq.master.routes.app", "eval('1')"),
        ("flq.master.routes.app", "import numpy\nnumpy.load('x', allow_pickle=True)"),
        ("flq.master.routes.app", "import importlib\nname = 'x'\nimportlib.import_module(name)"),
        ("flq.training.task", "import importlib\nname = 'x'\nimportlib.import_module(name)"),
        ("flq.training.custom_model", "import pickle"),
        ("flq.brandnew.thing", "x = 1"),
        ("flq_worker", "from flq.master import app"),
        ("flq_worker", "from flq import config"),
    ],
)
def test_planted_violation_is_found(module, source):
    assert len(violations(source, module)) == 1


def test_import_inside_a_package_counts_from_the_package():
    assert violations("from ..protocol import wire", "flq.core", is_package=True) != []
    assert violations("from .layout import Vector", "flq.core", is_package=True) == []
    assert violations("from . import layout\nfrom .. import errors", "flq.core", is_package=True) == []


@pytest.mark.parametrize(
    "module, source",
    [
        (
            "flq.core.lazy",
            "import math\nimport numpy as np\nfrom ..errors import DataError\nfrom .layout import Vector",
        ),
        ("flq.core.lazy", "from flq import __version__\nfrom flq.core import layout\nfrom flq.errors import FlqError"),
        ("flq.core.rng", "import numpy as np\nnp.random.Generator(np.random.Philox(1))"),
        ("flq.protocol.worker_machine", "import random\n\ndef f(jitter: random.Random):\n    return jitter.random()"),
        ("flq.protocol.wire", "import struct\nfrom ..core.layout import Layout\nfrom ..core import codecs"),
        ("flq.training.task", "import os\n\ndef f():\n    import tensorflow as tf\n    return tf"),
        ("flq.training.task", "class T:\n    def f(self):\n        from tensorflow import keras\n        return keras"),
        (
            "flq.worker.runtime",
            "import time\nimport requests\nfrom ..protocol import wire\nfrom ..training import trainer",
        ),
        ("flq.master.routes.app", "import numpy\nnumpy.load('x', allow_pickle=False)\nfrom ...report import excel"),
    ],
)
def test_allowed_import_passes(module, source):
    assert violations(source, module) == []
