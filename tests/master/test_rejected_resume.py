"""A rejected --resume leaves the run as it was: no journal that looks as if its master had been killed."""

import logging
import os

import pytest
from journalled import begin

from flq.master import command_line
from flq.master.runtime import assembly
from flq.master.storage import resume
from flq.report.brief import read_brief
from flq.report.listing import list_runs

# cheroot leaves an unbound socket open
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def resumed(tmp_path, monkeypatch):
    """Return a function that resumes a closed run with flags: exit code, and whether its journal is closed again."""
    logger = logging.getLogger("flq")
    before, level = list(logger.handlers), logger.level
    (tmp_path / "flq_config.json").write_text("{}")
    monkeypatch.setattr(assembly, "until_the_end", lambda *_: pytest.fail("the master serves"))
    run_dir = begin(str(tmp_path / "results"))

    def run(*flags):
        code = command_line.main(["--port", "0", "--resume", os.path.basename(run_dir), *flags], str(tmp_path))
        assert "missing" not in list_runs(os.path.dirname(run_dir), 80)
        return code, not read_brief(run_dir).is_open

    yield run
    logger.setLevel(level)
    for handler in set(logger.handlers) - set(before):
        logger.removeHandler(handler)
        handler.close()


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--host", "192.0.2.7"], "this machine has no such address"),
        (["--set", "model.lr=0.5"], "model.lr was 0.05 and is 0.5"),
        (["--set", "dataset.name=mnist"], "dataset.name was 'digits' and is 'mnist'"),
    ],
)
def test_after_a_rejected_resume_nothing_is_said_to_be_lost(resumed, caplog, flags, sentence):
    code, is_closed = resumed(*flags)
    assert code == 2 and sentence in caplog.text and is_closed
    resumed("--host", "192.0.2.7")
    assert "is missing" not in caplog.text and "not closed" not in caplog.text


def test_a_resume_that_fails_after_its_journal_was_opened_closes_it(resumed, caplog, monkeypatch):
    with monkeypatch.context() as failing:
        failing.setattr(resume, "_remove_leftovers", lambda _: os.listdir("no such folder"))
        code, is_closed = resumed()
    assert code == 1 and is_closed
    resumed("--host", "192.0.2.7")
    assert "not closed" not in caplog.text
