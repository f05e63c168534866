"""Wrong addresses, files and numbers on command lines: one sentence, which names the cause, and exit code 2."""

import logging
import os
import shutil
import socket
import subprocess
from types import SimpleNamespace

import pytest

import flq.deploy.command_line
import flq.master.command_line
import flq.master.http.server
import flq.worker.command_line
import flq.worker.program
import flq_fed_v3
from flq.core.settings import Settings
from flq.data import main as check_data
from flq.master.runtime import assembly
from flq.report.__main__ import main as report
from flq.training.distribution import main as distribution
from flq.v3_flags import FLAGS, in_flags, unnamed

SMALL = ("--set", "model.name=quadratic", "--set", "model.lr=0.05", "--host", "127.0.0.1", "--port", "0")
OWN = ("--worker_id", "0", "--master_ip", "127.0.0.1", "--port", "1")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a project folder that is the current one: an empty file, an empty folder, and a busy port."""
    logger = logging.getLogger("flq")
    before, level = list(logger.handlers), logger.level
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "words").write_text("hello, world\n")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "flq_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(assembly, "until_the_end", lambda *_: pytest.fail("the master serves"))
    monkeypatch.setattr(flq.worker.program.Worker, "run", lambda worker: pytest.fail("the worker runs"))
    with socket.create_server(("127.0.0.1", 0)) as busy:
        yield SimpleNamespace(folder=tmp_path, port=busy.getsockname()[1])
    logger.setLevel(level)
    for handler in set(logger.handlers) - set(before):
        logger.removeHandler(handler)
        handler.close()


def sentences_of(errors):
    """Return the lines of stderr without that of the evaluator, which starts meanwhile and may be ready before."""
    return [line for line in errors.splitlines() if " evaluator=ready " not in line]


def master(words):
    return flq.master.command_line.main([*SMALL, *words], os.getcwd())


def worker(words):
    return flq.worker.command_line.main([*OWN, *words], os.getcwd())


def reference(words):
    return flq_fed_v3.guarded_main(["--dataset", "digits", "--iters", "1", *words])


def deploy(words):
    return flq.deploy.command_line.main(list(words))


CASES = [
    # the master: addresses
    (master, "--host 127.0.0.1:5000", "a name or an IP address, without http:// and port, got '127.0.0.1:5000'"),
    (master, "--host 300.1.1.1", "must be a name or an IP address, without http:// and port, got '300.1.1.1'"),
    (master, "--host 192.0.2.7", "this machine has no such address (--host must be 0.0.0.0 for all"),
    (master, "--host no-such-host.invalid", "no machine of this name is known here (--host must be 0.0.0.0"),
    (master, "--port {port}", "port {port}: the port is in use (choose another with --port"),
    (master, "--port 70000", "--port: must be in 0..65535, got 70000"),
    (master, "--port http", "--port: invalid whole number value: 'http'"),
    # its files
    (master, "--config nowhere.json", "nowhere.json cannot be read: No such file or directory"),
    (master, "--config folder", "folder cannot be read: Is a directory"),
    (master, "--config file/x.json", "file/x.json cannot be read: Not a directory"),
    (master, "--config file", "file is not JSON: line 1, column 1"),
    (master, "--config list.json", "list.json must hold one JSON object, got []"),
    (master, "--set report.results_dir=file", "/file is not a folder (report.results_dir must be a writable folder)"),
    (master, "--set report.results_dir=file/x/y", "{folder}/file is not a folder (report.results_dir"),
    (master, '--set report.results_dir="a\\u0000"', "results_dir must be a text without null characters"),
    (master, "--token_file folder", "the token file folder cannot be used: folder: Is a directory (--token_file must"),
    (master, "--token_file file/x/tokens", "{folder}/file is not a folder (--token_file must be"),
    (master, "--token_file words", "line 1 of words must be a name and a token"),
    (master, "--tls_cert nowhere.pem --tls_key nowhere.key", "nowhere.pem cannot be read: No such file or directory"),
    (master, "--tls_cert folder --tls_key words", "folder cannot be read: Is a directory"),
    (master, "--tls_cert words --tls_key words", "certificate words and key words cannot be used together"),
    (master, "--tls_cert words", "--tls_cert and --tls_key go together"),
    (master, "--resume", "there is no unfinished run in {folder}/results (start without --resume"),
    (master, "--resume nowhere", "there is no run nowhere in {folder}/results"),
    (master, "--set system.total_workers=0", "total_workers must be in 1..4096, got 0"),
    (master, "--set dataset.name=npz:a.npz --set model.name=mlp", "but there is no {folder}/a.npz"),
    # a worker
    (worker, "--master_ip 127.0.0.1:5000", "without http:// and port, got '127.0.0.1:5000'"),
    (worker, "--master_ip http://127.0.0.1", "without http:// and port, got 'http://127.0.0.1'"),
    (worker, "--master_ip 300.1.1.1", "without http:// and port, got '300.1.1.1'"),
    (worker, "--master_ip no-such-host.invalid", "no machine of the name no-such-host.invalid is known here (--"),
    (worker, "--worker_id -1", "--worker_id: must be in 0..2147483647, got -1"),
    (worker, "--worker_id one", "--worker_id: invalid whole number value: 'one'"),
    (worker, "--state_dir file", "{folder}/file is not a folder (--state_dir must be a writable folder)"),
    (worker, "--state_dir file/x", "{folder}/file is not a folder (--state_dir must be a writable folder)"),
    (worker, "--config nowhere.json", "nowhere.json cannot be read: No such file or directory"),
    (worker, "--config folder", "folder cannot be read: Is a directory"),
    (worker, "--config list.json", "list.json must hold one JSON object"),
    (worker, "--data_dir nowhere", "--data_dir is {folder}/nowhere, but there is no such folder"),
    (worker, "--manifest --data_dir nowhere", "data_dir nowhere cannot be read: No such file or directory"),
    (worker, "--ca nowhere.pem", "nowhere.pem is not one: No such file or directory"),
    (worker, "--ca folder", "folder is not one: Is a directory"),
    (worker, "--ca words", "words is not one: "),
    # the reference speaks in its own flags
    (reference, "--data_dir nowhere", "--data_dir is {folder}/nowhere, but there is no such folder"),
    (reference, "--dataset images:nowhere", "--dataset is images:nowhere, but there is no {folder}/nowhere"),
    (reference, "--dataset nothing", "--dataset must be one of digits, "),
    (reference, "--dataset own", "--dataset: own is for workers"),
    (reference, "--out file", "{folder}/file is not a folder (--out must be a writable folder)"),
    (reference, "--b 32", "--b must be in 1..8 with --mode bbit, got 32 (use --mode fedavg to send float32)"),
    (reference, "--b_down 9", "--b_down must be in 1..8, or 0 or 32 for float32, got 9 (see --b_down)"),
    (reference, "--model cube", "--model must be one of cnn, "),
    (reference, "--model quadratic --cl 0.1", "--cl must be 0 for the quadratic problem, got 0.1"),
    (reference, "--M 4000", "fewer than --M * --batch = 4000 * 64"),
    (reference, "--memory mirror", "--scale_by_selected cannot be used with --memory mirror"),
    (reference, "--memory residual", "(set --server_optimizer to any of sgd, momentum, or --memory to another)"),
    (reference, "--mode laq --update delta", "--update must be gradient, got 'delta' (set --update to gradient)"),
    (reference, "--mode laq --memory flq", "--memory must be mirror, got 'flq' (omit --memory)"),
    (reference, "--b 2", "(set --memory to residual or mirror, or --b to another number of bits)"),
    (reference, "--mu 1", "--mu must be 0 and --local_optimizer sgd"),
    (reference, "--model mlp --up_budget_bits 9", "9 admits none (raise --up_budget_bits or lower --b)"),
    (reference, "--set model.lr=1", "--set must be dataset.KEY=VALUE, got 'model.lr=1' (KEY is one of batch_size, "),
    # the other programs
    (report, "compare nowhere --out a.xlsx", "nowhere: no such workbook, and no such run"),
    (report, "compare folder --out a.xlsx", "folder"),
    (check_data, "check nowhere", "there is no {folder}/nowhere"),
    (check_data, "check words", "words is not a data set"),
    (distribution, "--data_dir nowhere", "--data_dir is {folder}/nowhere, but there is no such folder"),
    (distribution, "--out file/x.png", "file/x.png cannot be written: Not a directory"),
    (deploy, "--cluster nowhere.yaml", "nowhere.yaml cannot be read: No such file or directory"),
    (deploy, "--cluster folder", "folder cannot be read: Is a directory"),
    (deploy, "--master_ip 10.0.0.1:5000 --worker_ips 10.0.0.2", "without http:// and port, got '10.0.0.1:5000'"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # cheroot leaves an unbound socket open
@pytest.mark.parametrize(
    "program, words, expected", CASES, ids=["%s %s" % (case[0].__name__, case[1]) for case in CASES]
)
def test_a_wrong_input_is_one_sentence(place, capsys, monkeypatch, program, words, expected):
    monkeypatch.setenv("FLQ_TOKEN", "x" * 40)
    try:
        code = program(words.format(port=place.port).split())
    except SystemExit as end:
        code = end.code
    assert code == (flq.deploy.command_line.USAGE if program is deploy else 2)
    errors = capsys.readouterr().err
    assert expected.replace("{folder}", str(place.folder)).replace("{port}", str(place.port)) in errors
    assert len(sentences_of(errors)) == 1 and "Traceback" not in errors


@pytest.mark.parametrize(
    "name, expected",
    [
        ("nowhere", "the token file nowhere cannot be read: No such file or directory"),
        ("folder", "the token file folder cannot be read: Is a directory"),
        ("words", "line 1 of words must be a name and a token"),
    ],
)
def test_a_worker_says_why_its_token_file_cannot_be_used(place, name, expected):
    find = flq.worker.program.worker_token_source(0, name, {}, str(place.folder))
    with pytest.raises(flq.errors.ConfigError, match=expected):
        find()


@pytest.mark.parametrize("program, flag", [(master, "--set report.results_dir="), (worker, "--state_dir ")])
@pytest.mark.parametrize("options, expected", [("ro", "Read-only file system"), ("size=4k", "o space left on device")])
def test_a_disk_that_takes_nothing_is_named(place, capsys, program, flag, options, expected):
    disk = place.folder / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.call([mount, "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], stderr=-3):
        pytest.skip("no file system can be mounted here")
    try:
        if options != "ro":
            with open(str(disk / "ballast"), "wb") as stream:
                stream.write(bytes(4096))
        assert program((flag + str(disk / "x")).split()) == 2
    finally:
        subprocess.check_call(["umount", "-l", str(disk)])
    errors = capsys.readouterr().err
    assert len(sentences_of(errors)) == 1 and str(disk) in errors
    assert expected in errors or (program is master and "database or disk is full" in errors)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # likewise
def test_ports_below_1024_need_rights(place, capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(flq.master.http.server.ReadableFirst, "prepare", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert master(["--port", "80"]) == 2
    assert "port 80: ports below 1024 need root's rights (choose a --port from 1024 on" in capsys.readouterr().err


def test_the_flags_of_the_reference_are_those_of_its_parser(monkeypatch):
    args = flq_fed_v3.parse_flags([])
    assert set(FLAGS.values()) <= set(vars(args)) and set(FLAGS) <= set(FLAGS) - set(unnamed())
    assert set(vars(args)) - set(FLAGS.values()) == {"overrides", "eval_every", "out"}
    assert in_flags("/data/b_up/mode bbit.csv and 'memory flq'") == "/data/b_up/mode bbit.csv and 'memory flq'"
    assert isinstance(flq_fed_v3.settings_of(args), Settings)


@pytest.mark.parametrize(
    "sentence, expected",
    [
        (
            "a.csv: line 3, column 2 (lr_decay) must be a number (dataset.label_column names the column of the class)",
            "a.csv: line 3, column 2 (lr_decay) must be a number (--set dataset.label_column names the column of the "
            "class)",
        ),
        ("no such file: /data/the mode bin must be.csv", "no such file: /data/the mode bin must be.csv"),
        ("dataset.partition is local, but x has no files", "--partition is local, but x has no files"),
    ],
)
def test_words_of_files_stay_as_they_are_in_sentences_on_data(sentence, expected):
    assert in_flags(sentence, of_data=True) == expected


@pytest.mark.parametrize("flag", ["--data_dir", "--out"])
def test_the_reference_names_paths_as_they_are(tmp_path, capsys, flag):
    path = str(tmp_path / "the mode bin must be")
    if flag == "--out":  # a file where a folder must be
        open(path, "w").close()
    assert flq_fed_v3.guarded_main(["--dataset", "digits", "--model", "quadratic", flag, path]) == 2
    errors = capsys.readouterr().err
    assert path in errors and flag in errors


def test_the_reference_names_the_columns_of_a_file_as_they_are(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("batch_size,lr_decay,y\n" + "1,2,0\n3,4,1\n" * 10 + "1,x,0\n")
    argv = ["--dataset", "csv:%s" % (tmp_path / "a.csv"), "--model", "mlp"]
    assert flq_fed_v3.guarded_main([*argv, "--out", str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert "(lr_decay)" in errors and "--lr_decay" not in errors
