"""Requirements contain what the code imports: requirement sets, and the environment for conda."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_layers import LAYERS, STANDARD_LIBRARY

from flq.deploy.release import files_of

PROJECT = Path(__file__).resolve().parent.parent
REQUIREMENTS = PROJECT / "requirements"

# Who needs which set: the programs of a machine, and every module that they can reach.
WORKER = (
    "errors",
    "console",
    "flags",
    "logfile",
    "durable",
    "tokens",
    "systemd",
    "device",
    "core",
    "protocol",
    "training",
    "worker",
    "flq_worker.py",
    "flq_fed_v3.py",
    "report/__init__.py",
    "report/axes.py",
    "report/charts.py",
    "report/reference.py",
    "report/sheets.py",
)
MASTER = (
    "errors",
    "console",
    "flags",
    "logfile",
    "durable",
    "tokens",
    "systemd",
    "device",
    "core",
    "protocol",
    "drawing",
    "report",
    "sinks",
    "config",
    "config_file",
    "config_docs",
    "config_hash",
    "master",
    "deploy",
    "flq_master.py",
)
DISTRIBUTIONS = {
    "PIL": "pillow",
    "prometheus_client": "prometheus-client",
    "pydantic_core": "pydantic",
    "werkzeug": "flask",
    "yaml": "pyyaml",
}  # where the names differ
EXTRAS = {"tensorboardX": "tensorboard.txt", "swanlab": "swanlab.txt"}  # imported only where a setting asks for them
OF_REQUESTS = {"pysocks"}  # which requests imports for a SOCKS proxy
OF_TENSORFLOW = {"tensorflow-estimator", "tensorboard", "protobuf", "h5py"}  # pinned where it would bring newer ones


def requirements(name):
    """Return the distributions of a requirements file and of those that it includes, without versions."""
    found = set()
    for line in (REQUIREMENTS / name).read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            found |= requirements(line[3:])
        elif line and not line.startswith("--"):
            found.add(re.match(r"[A-Za-z0-9_.-]+", line).group().lower().replace("tensorflow-cpu", "tensorflow"))
    return found


def pins(name):
    """Return distribution -> version of a requirements file and of those that it includes."""
    found = {}
    for line in (REQUIREMENTS / name).read_text().splitlines():
        if line.startswith("-r "):
            found.update(pins(line[3:]))
        elif "==" in line and line[0] != "#":
            package, _, version = line.partition("==")
            found[package] = version
    return found


def imported(names):
    """Return the distributions that the named modules and packages of flq/, or programs, import."""
    found = set()
    for name in names:
        path = PROJECT / name if name.startswith("flq_") else PROJECT / "flq" / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path if path.suffix else path.with_suffix(".py")]
        assert files and all(file.exists() for file in files), name
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                modules = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else ([node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])
                )
                found |= {module.split(".")[0] for module in modules}
    return {DISTRIBUTIONS.get(name, name) for name in found - STANDARD_LIBRARY - {"flq"} - set(LAYERS)}


def test_the_workers_set_has_the_imports_of_a_worker_and_the_reference():
    assert imported(WORKER) == requirements("worker.txt") - {"keras"}  # which TensorFlow would bring itself


@pytest.mark.parametrize("name", ["worker-py36.txt", "worker-py38.txt"])
def test_the_sets_for_older_pythons_lack_only_tensorflow(name):
    assert requirements(name) == requirements("worker.txt") - {"keras", "tensorflow"}


@pytest.mark.parametrize("name", ["jetson-nano.txt", "jetpack5.txt", "jetpack6.txt"])
def test_the_set_of_a_jetson_has_a_workers_imports_with_nvidias_tensorflow(name):
    assert requirements(name) - OF_TENSORFLOW == requirements("worker.txt")
    lines = (REQUIREMENTS / name).read_text().splitlines()
    assert sum(bool(re.match(r"--extra-index-url https://\S+/jp/v\d+$", line)) for line in lines) == 1
    assert sum(bool(re.match(r"tensorflow==\d+\.\d+\.\d+\+nv\d\d\.\d+$", line)) for line in lines) == 1


@pytest.mark.parametrize("name, jetson", [("test-py36.txt", "jetson-nano.txt"), ("test-py38.txt", "jetpack5.txt")])
def test_the_tested_packages_are_those_of_a_jetson(name, jetson):
    tested, installed = pins(name), pins(jetson)
    for package in set(tested) & set(installed) - {"tensorflow", "keras", "tensorflow-estimator"}:
        assert tested[package] == installed[package], package


def test_the_masters_set_has_the_imports_of_the_master_and_its_tools():
    assert (imported(MASTER) - set(EXTRAS)) | OF_REQUESTS == requirements("master.txt")


@pytest.mark.parametrize("module, name", sorted(EXTRAS.items()))
def test_an_extra_is_one_package_that_the_master_can_do_without(module, name):
    assert requirements(name) == {module.lower()} and module in imported(MASTER)


def test_one_machine_has_both_and_the_tests_more():
    assert requirements("local.txt") == requirements("master.txt") | requirements("worker.txt")
    assert requirements("test.txt") > requirements("local.txt")


@pytest.mark.parametrize("name", sorted(path.name for path in REQUIREMENTS.glob("*.txt")))
def test_versions_are_pinned(name):
    lines = [line for line in (REQUIREMENTS / name).read_text().splitlines() if line and line[0] not in "#-"]
    assert [line for line in lines if not re.match(r"[a-z0-9_.-]+==\d[\w.+]*(; .+)?$", line)] == []


def environment():
    with open(PROJECT / "environment.yml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def test_the_conda_environment_is_fed_with_python_and_a_pip_section():
    content = environment()
    assert content["name"] == "fed"
    *conda, pip = content["dependencies"]
    assert conda == ["python=3.11", "pip"] and list(pip) == ["pip"]


# Python, folder, and the pip section as conda has it: the lines in a file, its paths made whole
MAKE_AND_TRY = """
"$1" -m venv "$2/fed"
"$2/fed/bin/python" -m pip --disable-pip-version-check install --quiet --no-compile -r "$2/section.txt"
"$2/fed/bin/python" flq_master.py --print-config
"$2/fed/bin/python" flq_worker.py --help
"$2/fed/bin/python" flq_fed_v3.py --dataset digits --model logreg --M 2 --iters 1 --out "$2"
"$2/fed/bin/python" -m pip --disable-pip-version-check install --quiet --no-compile "$2/source"
cd "$2"
"fed/bin/flq-master" --config source/flq_config.json --print-config
"fed/bin/flq-worker" --help
"fed/bin/flq" distribution --dataset digits --workers 2
"""


@pytest.mark.tf
def test_the_pip_section_makes_an_environment_in_which_the_programs_run(tmp_path):
    for path in [*files_of(str(PROJECT)), "pyproject.toml"]:  # a copy: setuptools builds in the folder
        (tmp_path / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(PROJECT / path), str(tmp_path / "source" / path))
    lines = [
        ("-r %s" % (PROJECT / line[3:]) if line.startswith("-r ") else line) + "\n"
        for line in environment()["dependencies"][-1]["pip"]
    ]
    (tmp_path / "section.txt").write_text("".join(lines))
    done = subprocess.run(
        ["sh", "-ec", MAKE_AND_TRY, "sh", sys.executable, str(tmp_path)],
        cwd=str(PROJECT),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "results_digits_bbit.xlsx").exists()
    shutil.rmtree(str(tmp_path / "fed"))  # some gigabytes
