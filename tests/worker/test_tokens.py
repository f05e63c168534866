"""The file of tokens: its creation, its permissions, and the token of a worker."""

import os
import stat
import threading

import pytest

from flq.errors import ConfigError
from flq.tokens import default_path, is_open_to_others, make_tokens, read_tokens, worker_token_source


def mode_of(path):
    return stat.S_IMODE(os.stat(str(path)).st_mode)


def write(path, text):
    path.write_text(text)
    os.chmod(str(path), 0o600)
    return str(path)


TOKEN, OTHER = "a" * 43, "b" * 43


# -- the master's side -------------------------------------------------------------------


def test_the_first_start_makes_a_token_for_everybody_that_only_the_owner_reads(tmp_path):
    path = default_path(str(tmp_path))
    tokens = make_tokens(path, 3)
    assert list(tokens) == ["operator", "worker0", "worker1", "worker2"]
    assert len(set(tokens.values())) == 4 and all(len(token) == 43 for token in tokens.values())
    assert mode_of(path) == 0o600 and mode_of(tmp_path / "state") == 0o700
    assert not is_open_to_others(path)
    assert read_tokens(path) == tokens


def test_more_workers_get_tokens_and_existing_ones_stay(tmp_path):
    path = default_path(str(tmp_path))
    first = make_tokens(path, 2)
    more = make_tokens(path, 4)
    assert dict(more, **first) == more and len(more) == 5
    assert make_tokens(path, 1) == more == read_tokens(path)
    assert mode_of(path) == 0o600


def test_masters_that_start_at_once_make_one_set_of_tokens(tmp_path):
    path, made = default_path(str(tmp_path)), []
    threads = [threading.Thread(target=lambda: made.append(make_tokens(path, 50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 8 and all(tokens == made[0] for tokens in made)


def test_an_existing_folder_keeps_its_permissions(tmp_path):
    (tmp_path / "state").mkdir(mode=0o755)
    os.chmod(str(tmp_path / "state"), 0o755)
    make_tokens(default_path(str(tmp_path)), 1)
    assert mode_of(tmp_path / "state") == 0o755


def test_a_file_that_others_can_read_is_found_out(tmp_path):
    path = default_path(str(tmp_path))
    make_tokens(path, 1)
    for mode in 0o640, 0o604, 0o620:
        os.chmod(path, mode)
        assert is_open_to_others(path)


@pytest.mark.parametrize(
    "text, words",
    [
        ("operator\n", "line 1"),
        ("operator a b\n", "line 1"),
        ("operator short\n", "line 1"),
        ("operator %s\nworker01 %s\n" % (TOKEN, OTHER), "line 2"),
        ("boss %s\n" % TOKEN, "line 1"),
        ("operator %s\nworker0 %s\n" % (TOKEN, TOKEN), "line 2"),
        ("worker0 %s\nworker0 %s\n" % (TOKEN, OTHER), "line 2"),
        ("operatorx %s" % TOKEN, "line 1"),
        ("operator \u00e4%s\n" % TOKEN, "line 1"),
        (TOKEN, "line 1"),
    ],
    ids=repr,
)
def test_a_file_of_something_else_is_refused_without_showing_it(tmp_path, text, words):
    (tmp_path / "tokens").write_bytes(text.encode("utf-8"))
    with pytest.raises(ConfigError) as caught:
        read_tokens(str(tmp_path / "tokens"))
    assert words in str(caught.value)
    assert TOKEN not in str(caught.value) and OTHER not in str(caught.value)


def test_comments_and_empty_lines_are_no_tokens(tmp_path):
    path = write(tmp_path / "tokens", "# of the lab\n\noperator %s\n  worker0\t%s  \n" % (TOKEN, OTHER))
    assert read_tokens(path) == {"operator": TOKEN, "worker0": OTHER}


# -- the worker's side -------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [TOKEN, TOKEN + "\n", "operator %s\nworker3 %s\n" % (OTHER, TOKEN), "worker3 %s" % TOKEN]
)
def test_a_token_file_holds_one_token_or_a_line_of_the_worker(tmp_path, text):
    path = write(tmp_path / "mine", text)
    assert worker_token_source(3, path, {"FLQ_TOKEN": "c" * 43}, str(tmp_path))() == TOKEN


@pytest.mark.parametrize("text", ["", "worker2 %s" % TOKEN, "%s %s" % (TOKEN, OTHER), "short"])
def test_a_token_file_without_it_is_refused(tmp_path, text):
    path = write(tmp_path / "mine", text)
    with pytest.raises(ConfigError) as caught:
        worker_token_source(3, path, {}, str(tmp_path))()
    assert TOKEN not in str(caught.value)


def test_a_token_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="nowhere cannot be read: No such file"):
        worker_token_source(3, str(tmp_path / "nowhere"), {}, str(tmp_path))()


def test_the_environment_comes_before_the_projects_own_tokens(tmp_path):
    make_tokens(default_path(str(tmp_path)), 4)
    assert worker_token_source(3, None, {"FLQ_TOKEN": " %s\n" % TOKEN}, str(tmp_path))() == TOKEN
    with pytest.raises(ConfigError) as caught:
        worker_token_source(3, None, {"FLQ_TOKEN": "two words, which are none"}, str(tmp_path))
    assert "FLQ_TOKEN" in str(caught.value) and "two words" not in str(caught.value)


def test_a_worker_that_was_first_finds_the_tokens_that_the_master_makes_later(tmp_path):
    find = worker_token_source(3, None, {}, str(tmp_path))
    assert find() is None
    tokens = make_tokens(default_path(str(tmp_path)), 3)
    assert find() is None  # of the workers 0 to 2
    tokens = make_tokens(default_path(str(tmp_path)), 4)
    assert find() == tokens["worker3"]


def test_an_id_without_a_token_is_out_of_range_or_needs_more_workers(tmp_path):
    path = str(tmp_path / "tokens")
    make_tokens(path, 4)
    with pytest.raises(ConfigError, match="no token of worker 7 .*use an id in range, or raise system"):
        worker_token_source(7, path, {}, str(tmp_path))()
