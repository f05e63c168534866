"""The manifest of a worker's own data."""

import json

import numpy as np
import pytest

from flq.worker.command_line import main


@pytest.fixture
def data(tmp_path):
    x = np.zeros((4, 6, 5), np.uint8)
    x[3] = 200
    np.savez(str(tmp_path / "faces.npz"), x_train=x, y_train=np.array([0, 2, 2, 2]))
    return str(tmp_path)


def manifest(*argv):
    return main(["--worker_id", "3", "--manifest"] + list(argv), "nowhere")


def test_counts_and_shape_as_json(data, capsys):
    assert manifest("--data_dir", data, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "worker_id": 3,
        "data": "own",
        "n_samples": 4,
        "classes": [1, 0, 3],
        "input_shape": [6, 5, 1],
        "values": {"dtype": "uint8", "lowest": 0.0, "highest": 200.0, "scale": 255.0},
    }


def test_counts_and_shape_for_people(data, capsys):
    assert manifest("--data_dir", data, "--dataset", "npz:faces.npz") == 0
    assert capsys.readouterr().out.splitlines() == [
        "worker 3: 4 samples, 6 x 5 x 1; uint8 values 0 to 200, divided by 255",
        "class   0: 1",
        "class   1: 0",
        "class   2: 3",
    ]


def test_the_folder_may_stand_in_the_workers_own_file(data, tmp_path, capsys):
    (tmp_path / "own.json").write_text(json.dumps({"dataset": {"data_dir": data}}))
    assert manifest("--config", str(tmp_path / "own.json"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_samples"] == 4


def test_values_are_those_of_tables_and_arrays_and_images_are_not_decoded(tmp_path, capsys):
    (tmp_path / "own.csv").write_text("0.5,1,0\n1.5,2,1\n")
    assert manifest("--data_dir", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[0] == "worker 3: 2 samples, 2 x 1 x 1; values 0.5 to 2"
    image = pytest.importorskip("PIL.Image")
    for label in "01":
        (tmp_path / "images" / label).mkdir(parents=True)
        image.new("L", (3, 3)).save(str(tmp_path / "images" / label / "a.png"))
    assert manifest("--data_dir", str(tmp_path / "images"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["values"] is None


def test_a_table_whose_class_is_not_last_is_sent_to_the_check(tmp_path, capsys):
    (tmp_path / "own.csv").write_text("label,a,b\n0,0.5,1\n1,1.5,2\n")
    assert manifest("--data_dir", str(tmp_path)) == 2
    errors = capsys.readouterr().err
    assert (
        errors.endswith("python -m flq.data check PATH --set dataset.label_column=COLUMN\n") and errors.count("\n") == 1
    )


def test_no_data_are_one_sentence_and_exit_code_2(tmp_path, capsys):
    assert manifest("--data_dir", str(tmp_path / "missing")) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "argv, words", [(["--json"], "--json goes with"), (["--dataset", "own"], "--dataset goes with")]
)
def test_flags_of_the_manifest_without_it_are_refused(argv, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--worker_id", "0"] + argv, "nowhere")
    assert caught.value.code == 2 and words in capsys.readouterr().err
