"""TensorFlow is tried in a child process; however that ends, it becomes a line with a fix."""

import os

import pytest

from flq.device.board import Board
from flq.device.checks import FAIL, OK, WARN
from flq.device.tensorflow_probe import MARK, Probe, probe_tensorflow, tensorflow_lines

PC = Board("pc", "a PC")
NANO = Board("nano", "a Nano", "32.7.1", "4.6.1", (5, 3))
WHOLE = {"numpy": "1.19.5", "tensorflow": "2.7.0", "keras": "2.7.0", "cuda": True, "gpus": 1, "stage": "end"}


def killed_by(signal_name, stage):
    return 'import os, signal\nprint(\'%s{"stage": "%s"}\', flush=True)\nos.kill(os.getpid(), signal.%s)' % (
        MARK,
        stage,
        signal_name,
    )


def lines_on(board, log=(), **facts):
    return tensorflow_lines(Probe(dict(WHOLE, **facts), "", list(log)), board, FAIL, "worker.txt")


@pytest.mark.parametrize(
    "name, stage, text, fix",
    [
        ("SIGILL", "numpy", "Illegal instruction (SIGILL)", "OPENBLAS_CORETYPE=ARMV8"),
        ("SIGILL", "tensorflow", "Illegal instruction (SIGILL)", "AVX"),
        ("SIGKILL", "tensorflow", "Killed (SIGKILL)", "memory"),
        ("SIGSEGV", "devices", "Segmentation fault (SIGSEGV)", "requirements/"),
    ],
)
def test_a_signal_is_a_failure_with_its_name_and_fix(name, stage, text, fix):
    (line,) = tensorflow_lines(probe_tensorflow(killed_by(name, stage)), PC, FAIL, "worker.txt")
    assert line.status == FAIL
    assert text in line.text and "at %s" % stage in line.text and fix in line.fix


def test_a_child_that_hangs_is_killed_and_reported():
    probe = probe_tensorflow("import signal\nsignal.pause()", limit_s=0.5)
    (line,) = tensorflow_lines(probe, PC, FAIL, "worker.txt")
    assert line.status == FAIL and "no result within 0.5 s" in line.text and line.fix


def test_a_child_that_ends_early_is_reported():
    (line,) = tensorflow_lines(probe_tensorflow("import os\nos._exit(3)"), PC, FAIL, "worker.txt")
    assert "exit code 3" in line.text


@pytest.mark.parametrize("name", ["numpy", "tensorflow"])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, name):
    for package in ("numpy", "tensorflow"):
        text = (
            "__version__ = '1'"
            if package != name
            else ("raise ModuleNotFoundError(\"No module named '%s'\", name='%s')" % (name, name))
        )
        (tmp_path / (package + ".py")).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (line,) = tensorflow_lines(probe_tensorflow(), PC, WARN, "worker.txt")
    assert (line.status, line.text) == (WARN, "%s is not installed" % name)
    assert line.fix == "pip install -r requirements/worker.txt"


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("__version__ = '1'")
    text = (
        "Traceback (most recent call last):\n  File 'a.py', line 6\n"
        "ImportError: libcudnn.so.8: cannot open shared object file"
    )
    (tmp_path / "tensorflow.py").write_text(
        "raise ImportError(%r)" % (text + "\n\n\nFailed to load the native runtime.")
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = probe_tensorflow()
    (line,) = tensorflow_lines(probe, PC, FAIL, "worker.txt")
    assert line.text == ("it cannot be imported: ImportError: libcudnn.so.8: cannot open shared object file")
    assert probe.facts["numpy"] == "1"


def test_the_childs_environment_shows_warnings(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    script = "import os, sys\nsys.stderr.write(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert probe_tensorflow(script).log == ["1"]
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


def test_a_nano_with_its_gpu_is_well():
    assert [line.status for line in lines_on(NANO)] == [OK, OK]


def test_a_build_without_cuda_is_a_warning_on_a_jetson_only():
    line = lines_on(NANO, cuda=False, gpus=0)[0]
    assert line.status == WARN and "jetson-nano.txt" in line.fix
    assert [line.status for line in lines_on(PC, cuda=False, gpus=0)] == [OK, OK]


def test_an_unseen_gpu_is_a_warning_on_a_jetson_with_the_missing_library():
    log = ["x W dso_loader.cc:64] Could not load dynamic library 'libcudnn.so.8'; dlerror: no such file", "more"]
    line = lines_on(NANO, log, gpus=0)[1]
    assert line.status == WARN and line.text.endswith("'libcudnn.so.8'; dlerror: no such file") and line.fix
    assert lines_on(PC, gpus=0)[1].status == OK


@pytest.mark.tf
def test_the_tensorflow_of_this_machine_is_found():
    probe = probe_tensorflow()
    assert (probe.facts["stage"], probe.end) == ("end", "")
    lines = tensorflow_lines(probe, PC, FAIL, "worker.txt")
    assert [line.status for line in lines] == [OK, OK]
    assert probe.facts["tensorflow"] in lines[0].text and probe.facts["keras"] in lines[0].text
