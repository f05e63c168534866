"""The command line of flq_fed_v3.py, and settings that the master rejects before it serves."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pytest

import flq_fed_v3
from flq.config import Config
from flq.core.settings import rules_from_settings, to_json
from flq.errors import ConfigError

PROJECT = Path(__file__).resolve().parent.parent
PUBLISHED = (
    "--dataset digits --mode bbit --b 4 --b_down 8 --M 5 --iters 2 --batch 32 --lr 1e-3 --cl 5e-4 --seed 42 "
    "--partition non_iid --dir_alpha 0.1 --up_budget_bits 17000000 --sel_clients 0 --thr_scale 0 --warmup 0 "
    "--C 1000000000 --scale_by_selected 1 --sel_ref 1 --clip_global 0"
).split()
QUADRATIC = "--dataset digits --model quadratic --M 4 --cl 0 --lr 0.05 --update delta --scale_by_selected 0".split()
ENVIRONMENT = dict(os.environ, CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")


def run_program(folder, name, *argv):
    """Run one of the project's programs in ``folder``; return its exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, str(folder / name), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=120,
        env=ENVIRONMENT,
        cwd=str(folder),
    )
    return done.returncode, done.stdout, done.stderr


def said_by(capsys, *argv):
    """Run the reference in this process; return its exit code and the lines of its stderr."""
    try:
        code = flq_fed_v3.guarded_main(argv)
    except SystemExit as left:  # argparse leaves by itself
        code = left.code
    return code, capsys.readouterr().err.splitlines()


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """Write workbooks to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def sheets(path):
    """Return the rows of each sheet of a workbook except the charts."""
    book = openpyxl.load_workbook(str(path))
    return {
        sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)]
        for sheet in book
        if sheet.title != "Charts"
    }


@pytest.mark.tf
def test_the_published_command_runs_and_leaves_the_originals_workbook(results):
    pytest.importorskip("tensorflow")
    code, output, errors = run_program(PROJECT, "flq_fed_v3.py", *PUBLISHED, "--out", str(results))
    assert code == 0, errors
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["round=1", "round=2"]
    # The original's CNN on 8x8 digits has 98,666 parameters: all uploads of 4 bits fit into 17,000,000 bits.
    assert "uploaded=5 skipped=0 refused=0" in lines[0]
    path = results / "results_digits_bbit.xlsx"
    assert lines[2] == "results: %s" % path
    ((heading, first, second),) = sheets(path).values()
    assert list(sheets(path)) == ["curve_bbit"]
    assert heading == ["iter", "loss", "acc", "entropy", "selcnt", "bits_up_cum", "bits_down_cum", "cum_bits_total"]
    assert first[0] == 1 and second[0] == 2 and first[4] == second[4] == 5
    assert second[5] == 2 * first[5] and second[7] == second[5] + second[6]
    assert "accuracy=%.4f test_loss=%.6g loss=%.6g" % (second[2], second[3], second[1]) in lines[1]


def test_mode_bin_watches_the_sign_of_one_coordinate(results):
    assert flq_fed_v3.main(QUADRATIC + ["--mode", "bin", "--iters", "4", "--eval_every", "3"]) == 0
    book = sheets(results / "results_digits_bin.xlsx")
    assert list(book) == ["curve_bin", "bin_bin"]
    assert [row[0] for row in book["curve_bin"][1:]] == [1, 2, 3, 4]
    assert [row[3] is None for row in book["curve_bin"][1:]] == [True, True, False, False]  # each third, and the last
    assert book["bin_bin"][0] == ["comm", "bit"]
    assert [row[0] for row in book["bin_bin"][1:]] == [1, 2, 3, 4]
    assert set(row[1] for row in book["bin_bin"][1:]) <= {-1, 0, 1} and book["bin_bin"][1][1] != 0


def test_settings_of_the_data_set_may_be_given():
    flags = ["--dataset", "csv:a.csv", "--set", "dataset.label_column=0", "--set", "scale=255"]
    section = flq_fed_v3.settings_of(flq_fed_v3.parse_flags(flags)).dataset
    assert (section.name, section.label_column, section.scale) == ("csv:a.csv", "0", 255.0)


def test_a_wrong_setting_of_the_data_set_is_one_sentence(capsys):
    code, lines = said_by(capsys, *QUADRATIC, "--set", "dataset.scales=1")
    assert code == 2 and len(lines) == 1 and "--set must be dataset.KEY=VALUE" in lines[0]


def test_the_watched_coordinate_is_the_first_of_those_with_most_votes():
    assert flq_fed_v3.most_agreed(np.array([1, -3, 2, 3])) == 1


def test_a_stopped_run_leaves_its_results_so_far(capsys, monkeypatch, results):
    federate = flq_fed_v3.federate

    def stopped(*arguments):
        for done in federate(*arguments):
            yield done
            if done.index == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(flq_fed_v3, "federate", stopped)
    code, lines = said_by(capsys, *QUADRATIC)
    assert (code, lines) == (130, ["flq_fed_v3.py: stopped"])
    assert len(sheets(results / "results_digits_bbit.xlsx")["curve_bbit"]) == 1 + 2


def test_a_terminal_shows_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert flq_fed_v3.main(QUADRATIC + ["--iters", "3"]) == 0
    shown = capsys.readouterr()
    assert "3/3" in shown.err and "uploaded=4" in shown.err
    assert "round=" not in shown.out


def test_scaling_and_clip_reach_the_rules_and_change_the_model(capsys):
    def losses(*more):
        flq_fed_v3.main(QUADRATIC + ["--iters", "3", *more])
        return capsys.readouterr().out

    runs = [
        losses(),
        losses("--sel_ref", "8"),
        losses("--scale_by_selected", "1", "--sel_ref", "8"),
        losses("--clip_global", "0.01"),
    ]
    assert runs[0] == runs[1]
    assert len(set(runs)) == 3


ORIGINAL = dict(  # the defaults of FLQ v3
    dataset="mnist",
    M=10,
    iters=800,
    batch=64,
    partition="non_iid",
    dir_alpha=0.1,
    mode="bbit",
    b=8,
    b_down=8,
    lr=1e-3,
    seed=42,
    clip_global=0,
    sel_clients=0,
    up_budget_bits=17000000,
    D=10,
    ck=0.8,
    C=10**9,
    warmup=0,
    thr_scale=0,
    sel_ref=1,
)


def test_the_flags_have_the_originals_defaults():
    args = flq_fed_v3.parse_flags([])
    assert {name: getattr(args, name) for name in ORIGINAL} == ORIGINAL
    settings = flq_fed_v3.settings_of(args)
    assert (settings.model.name, settings.model.server_optimizer) == ("cnn", "adam")
    assert settings.model.l2 == 5e-4 and settings.flq_algorithm.scale_by_selected is True
    rules = rules_from_settings(settings)
    assert (rules.update, rules.memory, rules.codec_up, rules.codec_down) == ("gradient", "flq", 8, 8)


def test_with_updates_of_local_training_the_master_averages():
    rules = rules_from_settings(flq_fed_v3.settings_of(flq_fed_v3.parse_flags(["--update", "delta"])))
    assert (rules.update, rules.memory, rules.step.optimizer) == ("delta", "residual", "sgd")
    assert rules.scale_by_selected is False
    assert flq_fed_v3.settings_of(flq_fed_v3.parse_flags([])).flq_algorithm.scale_by_selected is True


DOCUMENTED = [
    line.split("#")[0].split()[2:]
    for line in flq_fed_v3.__doc__.splitlines()
    if line.strip().startswith("python flq_fed_v3.py")
]


def test_the_documented_commands_are_found():
    assert len(DOCUMENTED) == 5


@pytest.mark.parametrize("argv", DOCUMENTED, ids=" ".join)
def test_the_documented_commands_go_together_and_learn(argv, capsys):
    """They run on the quadratic problem, which takes milliseconds; data and model are only parsed."""
    assert rules_from_settings(flq_fed_v3.settings_of(flq_fed_v3.parse_flags(argv)))
    assert flq_fed_v3.main(argv + ["--dataset", "digits", "--model", "quadratic", "--iters", "60"]) == 0
    losses = [
        float(line.split("test_loss=")[1].split()[0])
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("round=")
    ]
    assert losses[-1] < losses[0] and len(losses) == 60


@pytest.mark.parametrize("argv", [[], ["--mode", "laq", "--thr_scale", "1"], ["--mode", "lowrank", "--cl", "0"]])
def test_the_flags_make_settings_that_a_configuration_could_hold(argv):
    settings = flq_fed_v3.settings_of(flq_fed_v3.parse_flags(argv))
    assert Config.model_validate(to_json(settings)).settings() == settings


@pytest.mark.parametrize(
    "argv, text",
    [
        ("--seed -1", "argument --seed: must be in 0..9223372036854775807, got -1"),
        ("--seed 9223372036854775808", "--seed"),
        ("--M 0", "argument --M: must be in 1..4096, got 0"),
        ("--M 4097", "--M"),
        ("--M x", "argument --M: invalid whole number value: 'x'"),
        ("--local_epochs 0", "--local_steps: must be > 0 when --local_epochs is 0"),
        ("--local_epochs -1", "--local_epochs"),
        ("--local_steps -1", "--local_steps"),
        ("--b 32", "--b must be in 1..8 with --mode bbit, got 32"),
        ("--b 0", "--b"),
        ("--b 9", "--b"),
        ("--mode laq --update delta", "mode laq sends gradients"),
        ("--b_down 9", "b_down must be in 1..8, or 0 or 32"),
        ("--b_down -1", "--b_down"),
        ("--b_down 33", "--b_down"),
        ("--batch -1", "--batch"),
        ("--iters 0", "--iters"),
        ("--dim 3", "--dim"),
        ("--threads 0", "--threads"),
        ("--lr 0", "argument --lr: must be > 0 and <= 1000000, got 0"),
        ("--lr nan", "--lr"),
        ("--lr -1", "--lr"),
        ("--lr inf", "--lr"),
        ("--server_lr 0", "--server_lr"),
        ("--cl -1", "--cl"),
        ("--dir_alpha 0", "--dir_alpha"),
        ("--D 0", "--D"),
        ("--D 10001", "--D"),
        ("--ck -1", "--ck"),
        ("--C -1", "--C"),
        ("--warmup -1", "--warmup"),
        ("--thr_scale -1", "--thr_scale"),
        ("--sel_clients -1", "--sel_clients"),
        ("--up_budget_bits -1", "--up_budget_bits"),
        ("--scale_by_selected 2", "--scale_by_selected"),
        ("--sel_ref 0", "--sel_ref"),
        ("--clip_global -1", "--clip_global"),
        ("--clip_global nan", "--clip_global"),
        ("--mode x", "--mode"),
        ("--nonsense", "--nonsense"),
        ("--dataset x", "--dataset must be one of"),
        ("--model x", "--model must be one of"),
        ("--dataset digits --M 100", "1437 training samples are fewer than"),
        ("--dataset digits --model quadratic --cl 1", "--cl must be 0"),
        ("--mode fedavg --memory residual", "--memory must be none"),
        ("--b 2", "--memory flq diverges at 2 bits"),
        ("--memory mirror --scale_by_selected 1", "--scale_by_selected cannot be used with --memory mirror"),
        ("--memory residual", "adam cannot be used with --memory residual"),
        ("--mu 1", "--update gradient takes no local"),
        ("--dataset digits --model quadratic --up_budget_bits 10", "--up_budget_bits 10 admits none"),
        ("--eval_every 0", "--eval_every"),
        ("--ema 1", "--ema"),
        ("--lr_decay 2", "--lr_decay"),
        ("--update both", "--update"),
        ("--partition local", "--partition"),
    ],
)
def test_an_invalid_value_is_one_sentence_and_exit_code_2(capsys, argv, text):
    code, lines = said_by(capsys, *argv.split())
    assert code == 2
    assert len(lines) == 1 and lines[0].startswith("flq_fed_v3.py: ") and text in lines[0]


def test_training_that_diverges_is_a_warning_at_once_then_one_sentence_and_exit_code_1(capsys):
    code, (warning, *lines) = said_by(capsys, *QUADRATIC, "--mode", "fedavg", "--lr", "1000", "--iters", "100")
    assert warning.startswith("warning: the run diverges: training loss ") and warning.endswith("; lower --lr")
    assert code == 1
    assert len(lines) == 1 and "the training has diverged" in lines[0] and "lower --lr" in lines[0]


@pytest.mark.parametrize(
    "error, code, text",
    [
        (KeyError("lr"), 1, "KeyError: 'lr'"),
        (MemoryError(), 1, "MemoryError in test_reference.py, line %d"),
        (RuntimeError("one\ntwo"), 1, "RuntimeError: one two"),
        (OSError("disk"), 1, "OSError: disk"),
        (ConfigError("what", "hint"), 2, "what (hint)"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
    ids=repr,
)
def test_any_error_is_one_sentence(capsys, monkeypatch, error, code, text):
    def fail(settings):
        raise error

    monkeypatch.setattr(flq_fed_v3, "make_task", fail)
    line = fail.__code__.co_firstlineno + 1
    assert said_by(capsys, *QUADRATIC) == (code, ["flq_fed_v3.py: " + text.replace("%d", str(line))])


def test_without_tensorflow_the_reference_names_the_package(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    code, lines = said_by(capsys, "--dataset", "digits")
    assert code == 2
    assert len(lines) == 1 and lines[0].startswith("flq_fed_v3.py: TensorFlow is missing (pip install")


def test_the_reference_does_not_import_the_masters_packages(results):
    code = (
        "import sys, flq_fed_v3; assert flq_fed_v3.guarded_main(%r + ['--iters', '1']) == 0\n"
        % (QUADRATIC + ["--out", str(results)])
        + "assert not {'flq.config', 'pydantic', 'tensorflow', 'flask'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=str(PROJECT), stdout=subprocess.PIPE, timeout=60)


# The master finds impossible data before it binds


@pytest.mark.parametrize(
    "overrides, text",
    [
        (
            ("total_workers=45",),
            "1437 training samples are fewer than system.total_workers * dataset.batch_size = 45 * 32",
        ),
        (("batch_size=400", "partition=non_iid", "model=cnn_small"), "1437 training samples are fewer"),
        (("model=quadratic", "l2=0.1"), "model.l2 must be 0 for the quadratic problem, got 0.1"),
    ],
)
def test_data_that_no_worker_could_train_on_ends_the_master_in_one_sentence(tmp_path, overrides, text):
    for name in ("flq", "flq_master.py", "flq_config.json"):  # a project of links: logs stay out of the repository
        (tmp_path / name).symlink_to(PROJECT / name)
    flags = [part for override in overrides for part in ("--set", override)]
    code, output, errors = run_program(tmp_path, "flq_master.py", "--port", "0", *flags)
    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1 and text in errors
    assert not (tmp_path / "results").exists()
