"""The command line of flq_fed_v3.py, and what the master refuses before it serves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import flq_fed_v3
from flq.config import SECTIONS
from flq.errors import ConfigError

PROJECT = Path(__file__).resolve().parent.parent
PUBLISHED = ("--dataset digits --mode bbit --b 4 --b_down 8 --M 20 --iters 2 --batch 32 --lr 1e-3 --cl 5e-4 --seed 42 "
             "--partition non_iid --dir_alpha 0.1 --up_budget_bits 17000000 --sel_clients 0 --thr_scale 0 --warmup 0 "
             "--C 1000000000 --scale_by_selected 0 --sel_ref 1 --clip_global 0").split()
ENVIRONMENT = dict(os.environ, CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")


def run_program(folder, name, *argv):
    """Run one of the project's programs in ``folder``; its exit code, stdout, stderr."""
    done = subprocess.run([sys.executable, str(folder / name), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=120, env=ENVIRONMENT, cwd=str(folder))
    return done.returncode, done.stdout, done.stderr


def said_by(capsys, *argv):
    """Run the reference in this process; its exit code and what it says on stderr, as lines."""
    try:
        code = flq_fed_v3.main_in_sentences(argv)
    except SystemExit as left:  # argparse leaves by itself
        code = left.code
    return code, capsys.readouterr().err.splitlines()


@pytest.mark.tf
def test_the_command_of_the_specification_runs():
    pytest.importorskip("tensorflow")
    code, output, errors = run_program(PROJECT, "flq_fed_v3.py", *PUBLISHED)
    assert code == 0, errors
    lines = output.splitlines()
    assert [line.split()[0] for line in lines] == ["round=1", "round=2"]
    assert "uploaded=20 skipped=0 refused=0" in lines[0]


def test_scaling_and_clip_reach_the_rules_and_change_the_model(capsys):
    def losses(*more):
        flq_fed_v3.main(["--model", "quadratic", "--iters", "3", "--lr", "0.05", *more])
        return capsys.readouterr().out
    runs = [losses(), losses("--sel_ref", "8"), losses("--scale_by_selected", "1", "--sel_ref", "8"),
            losses("--clip_global", "0.01")]
    assert runs[0] == runs[1]
    assert len(set(runs)) == 3


def test_the_defaults_of_the_flags_are_those_of_the_configuration():
    settings = flq_fed_v3.settings_of(flq_fed_v3.parse_flags([]))
    for section, values in settings.items():
        for key, value in values.items():
            assert value == SECTIONS[section].model_fields[key].default, key


@pytest.mark.parametrize("argv, text", [
    ("--seed -1", "argument --seed: must be in 0..9223372036854775807, got -1"),
    ("--seed 9223372036854775808", "--seed"),
    ("--M 0", "argument --M: must be in 1..4096, got 0"),
    ("--M 4097", "--M"), ("--M x", "argument --M: invalid whole number value: 'x'"),
    ("--local_epochs 0", "--local_steps: must be > 0 when --local_epochs is 0"),
    ("--local_epochs -1", "--local_epochs"), ("--local_steps -1", "--local_steps"),
    ("--b 32", "argument --b: must be in 1..8, got 32"), ("--b 0", "--b"), ("--b 9", "--b"),
    ("--b_down 9", "b_down must be in 1..8, or 0 or 32"), ("--b_down -1", "--b_down"), ("--b_down 33", "--b_down"),
    ("--batch 0", "--batch"), ("--iters 0", "--iters"), ("--dim 3", "--dim"), ("--threads 0", "--threads"),
    ("--lr 0", "argument --lr: must be > 0 and <= 1000000, got 0"), ("--lr nan", "--lr"), ("--lr -1", "--lr"),
    ("--lr inf", "--lr"), ("--server_lr 0", "--server_lr"), ("--cl -1", "--cl"), ("--dir_alpha 0", "--dir_alpha"),
    ("--D 0", "--D"), ("--D 10001", "--D"), ("--ck -1", "--ck"), ("--C -1", "--C"), ("--warmup -1", "--warmup"),
    ("--thr_scale -1", "--thr_scale"), ("--sel_clients -1", "--sel_clients"),
    ("--up_budget_bits -1", "--up_budget_bits"), ("--scale_by_selected 2", "--scale_by_selected"),
    ("--sel_ref 0", "--sel_ref"), ("--clip_global -1", "--clip_global"), ("--clip_global nan", "--clip_global"),
    ("--mode x", "--mode"), ("--nonsense", "--nonsense"),
    ("--dataset x", "dataset.name must be one of"), ("--model x", "model.name must be one of"),
    ("--M 100", "1437 training samples are fewer than"), ("--model quadratic --cl 1", "model.l2 must be 0"),
    ("--mode fedavg --memory residual", "memory must be none"),
    ("--memory mirror --scale_by_selected 1", "scale_by_selected can not be used with memory mirror"),
])
def test_a_value_that_can_not_be_used_is_one_sentence_and_exit_code_2(capsys, argv, text):
    code, lines = said_by(capsys, *argv.split())
    assert code == 2
    assert len(lines) == 1 and lines[0].startswith("flq_fed_v3.py: ") and text in lines[0]


def test_training_that_diverges_is_one_sentence_and_exit_code_1(capsys):
    code, lines = said_by(capsys, *"--model quadratic --mode fedavg --lr 1000 --iters 100".split())
    assert code == 1
    assert len(lines) == 1 and "the training has diverged" in lines[0] and "lower --lr" in lines[0]


@pytest.mark.parametrize("error, code, text", [
    (KeyError("lr"), 1, "KeyError: 'lr'"), (MemoryError(), 1, "MemoryError: no message"),
    (RuntimeError("one\ntwo"), 1, "RuntimeError: one"), (OSError("disk"), 1, "OSError: disk"),
    (ConfigError("what", "hint"), 2, "what (hint)"), (KeyboardInterrupt(), 130, "stopped")], ids=repr)
def test_whatever_is_raised_is_one_sentence(capsys, monkeypatch, error, code, text):
    def fail(settings):
        raise error
    monkeypatch.setattr(flq_fed_v3, "build_evaluator", fail)
    assert said_by(capsys) == (code, ["flq_fed_v3.py: " + text])


def test_without_tensorflow_the_reference_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    code, lines = said_by(capsys)
    assert code == 2
    assert len(lines) == 1 and lines[0].startswith("flq_fed_v3.py: TensorFlow is missing (pip install")


def test_the_reference_does_not_import_the_masters_packages():
    code = ("import sys, flq_fed_v3; flq_fed_v3.main_in_sentences(['--model', 'quadratic', '--iters', '1'])\n"
            "assert not {'flq.config', 'pydantic', 'tensorflow', 'flask'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=str(PROJECT), stdout=subprocess.PIPE, timeout=60)


# The master finds impossible data before it binds

@pytest.mark.parametrize("overrides, text", [
    (("total_workers=45",), "1437 training samples are fewer than system.total_workers * dataset.batch_size = 45 * 32"),
    (("batch_size=400", "partition=non_iid", "model=cnn_small"), "1437 training samples are fewer"),
    (("model=quadratic", "l2=0.1"), "model.l2 must be 0 for the quadratic problem, got 0.1"),
])
def test_data_that_no_worker_could_train_on_ends_the_master_in_one_sentence(tmp_path, overrides, text):
    for name in ("flq", "flq_master.py", "flq_config.json"):  # a project of links: logs stay out of the repository
        (tmp_path / name).symlink_to(PROJECT / name)
    flags = [part for override in overrides for part in ("--set", override)]
    code, output, errors = run_program(tmp_path, "flq_master.py", "--port", "0", *flags)
    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1 and text in errors
    assert not (tmp_path / "results").exists()
