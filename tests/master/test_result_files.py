"""GET /results: the files of a run, and each of them by its name only."""

import io
import json
import os

import numpy as np
import pytest
from factory import settings_with
from local_master import LocalMaster
from test_bad_requests import assert_refused

from flq.config_file import load_config
from flq.core.layout import flatten
from flq.core.settings import to_json
from flq.master.routes import views
from flq.report.names import name_of_data, name_of_dataset

RUN = ("system.total_workers=1", "system.min_workers=1", "system.max_rounds=2")
WORKBOOK = "flq_results_quadratic_bbit_stamp.xlsx"


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """One master for all rejected requests."""
    with LocalMaster(str(tmp_path_factory.mktemp("refusing")), *RUN) as made:
        yield made


def as_shown(settings):
    """Return the settings without the only key that result files omit."""
    shown = to_json(settings)
    del shown["system"]["master_url"]
    return shown


def listed(master):
    code, headers, body = master.send("GET", "/results")
    assert code == 200 and headers["Content-Type"] == "application/json"
    return json.loads(body)["files"]


def test_existing_files_are_listed(make_master):
    master = make_master(*RUN)
    assert [file["name"] for file in listed(master)] == ["config.json"]
    master.run.stop("stopped by the test")
    folder = os.path.dirname(master.run.results.workbook)
    assert listed(master) == [
        {"name": name, "kind": kind, "bytes": os.path.getsize(path), "path": path}
        for name, kind, path in (
            (name, kind, os.path.join(folder, name))
            for name, kind in ((WORKBOOK, "workbook"), ("config.json", "configuration"), ("model.npz", "model"))
        )
    ]
    with open(os.path.join(folder, "model.keras"), "wb") as stream:
        stream.write(b"keras")
    assert listed(master)[-1] == {
        "name": "model.keras",
        "kind": "model",
        "bytes": 5,
        "path": os.path.join(folder, "model.keras"),
    }


def test_each_is_sent_as_it_lies_there(make_master, run_workers):
    master = make_master(*RUN)
    model = run_workers(master)
    folder = os.path.dirname(master.run.results.workbook)
    for file in listed(master):
        code, headers, body = master.send("GET", "/results/" + file["name"])
        with open(os.path.join(folder, file["name"]), "rb") as stream:
            assert code == 200 and body == stream.read()
        assert int(headers["Content-Length"]) == len(body) == file["bytes"]
        assert headers["Content-Disposition"] == 'attachment; filename="%s"' % file["name"]
        code, headers, head = master.send("HEAD", "/results/" + file["name"])
        assert code == 200 and head == b"" and int(headers["Content-Length"]) == len(body)
    with np.load(io.BytesIO(master.send("GET", "/results/model.npz")[2]), allow_pickle=False) as tensors:
        assert np.array_equal(flatten([tensors[tensor.name] for tensor in master.layout.tensors], master.layout), model)


def test_a_file_longer_than_a_piece_is_sent_whole(make_master, monkeypatch):
    monkeypatch.setattr(views, "PIECE", 7)
    master = make_master(*RUN)
    _, headers, body = master.send("GET", "/results/config.json")
    assert json.loads(body) == as_shown(master.settings) and int(headers["Content-Length"]) == len(body)


def test_the_configuration_is_one_that_the_master_takes(make_master, tmp_path):
    master = make_master("b_down=8", *RUN)
    path = tmp_path / "again.json"
    path.write_bytes(master.send("GET", "/results/config.json")[2])
    assert load_config(str(path)) == master.settings


def test_the_masters_address_is_in_no_result_file(make_master):
    master = make_master("system.master_url=http://192.0.2.7:5000", *RUN)
    master.run.stop("stopped by the test")
    body = master.send("GET", "/results/config.json")[2]
    assert json.loads(body) == as_shown(master.settings) and b"192.0.2.7" not in body
    keys = [row[1] for row in master.sheets()["Config"]]
    assert "max_rounds" in keys and "master_url" not in keys


@pytest.mark.parametrize(
    "name",
    [
        "nope",
        "model.npz",
        "model.keras",
        WORKBOOK,
        "../config.json",
        "..%2fconfig.json",
        "%2e%2e%2fconfig.json",
        "..%5cconfig.json",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "./config.json",
        "config.json/",
        "config.json%00",
        "CONFIG.JSON",
        "config.json.part",
        ".",
        "..",
        "%00",
        "%ff%fe",
        "a" * 5000,
    ],
)
def test_an_unlisted_file_is_404(master, name):
    assert "not found" in assert_refused(master.send("GET", "/results/" + name), 404)


def test_a_file_that_has_gone_is_404(make_master, monkeypatch):
    master = make_master(*RUN)
    files = master.run.results.files()
    os.remove(files[0].path)
    monkeypatch.setattr(master.run.results, "files", lambda: files)  # as it was a moment ago
    assert_refused(master.send("GET", "/results/config.json"), 404)


def test_the_quadratic_problem_names_the_workbook_of_its_runs():
    names = [name_of_data(settings_with(name=model)) for model in ("quadratic", "mlp")]
    assert names == ["quadratic", "digits"]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("digits", "digits"),
        ("fashion_mnist", "fashion_mnist"),
        ("npz:/data/faces.npz", "npz_faces"),
        ("images:/data/my pets/", "images_my_pets"),
        ("csv:..", "csv_.."),
        ("npz:" + "x" * 500, "npz_" + "x" * 56),
    ],
)
def test_a_data_set_of_ones_own_names_the_workbook_without_its_folder(name, expected):
    assert name_of_dataset(name) == expected


def test_figures_are_listed_and_sent_as_pictures_to_be_saved(make_master):
    master = make_master(*RUN)
    folder = os.path.join(os.path.dirname(master.run.results.workbook), "figures", "local")
    os.makedirs(folder)
    contents = {"loss.png": b"\x89PNG", "loss.svg": b"<svg><script>alert(1)</script></svg>"}
    for name, content in dict(contents, **{"own.svg": b"", "loss.svg.part": b""}).items():
        with open(os.path.join(folder, name), "wb") as stream:
            stream.write(content)
    assert [file for file in listed(master) if file["kind"] == "figure"] == [
        {"name": name, "kind": "figure", "bytes": len(content), "path": os.path.join(folder, name)}
        for name, content in contents.items()
    ]
    for name, content, kind in zip(contents, contents.values(), ("image/png", "image/svg+xml")):
        code, headers, body = master.send("GET", "/results/" + name)
        assert code == 200 and body == content and headers["Content-Type"] == kind
        assert headers["Content-Disposition"] == 'attachment; filename="%s"' % name
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Content-Security-Policy"] == "sandbox"
    for name in "own.svg", "loss.svg.part":
        assert_refused(master.send("GET", "/results/" + name), 404)
