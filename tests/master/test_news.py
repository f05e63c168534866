"""The events of a run, as lines for users."""

import itertools

from flq.master.live.news import MOST_KEPT, PROBLEM, PROBLEM_S, Item, News
from flq.protocol.events import GONE


def test_lines_are_numbered():
    news = News(clock=lambda: 12.5)
    assert news.newest() == []
    assert news.add(GONE, "worker 3 is lost", 3, 7) == Item(1, 12.5, GONE, "worker 3 is lost", 3, 7)
    news.add(GONE, "worker 4 is lost", 4, 8)
    assert [item.number for item in news.newest()] == [1, 2]


def test_only_the_newest_are_kept():
    news = News()
    for _ in range(MOST_KEPT + 10):
        news.add(GONE, "worker 3 is lost")
    numbers = [item.number for item in news.newest()]
    assert numbers == list(range(11, MOST_KEPT + 11))


def test_a_problem_is_reported_once_until_it_changes():
    minutes = itertools.count(0.0, PROBLEM_S)
    news = News(clock=lambda: next(minutes))
    said = [news.add_problem(3, {"problem": text} if text else {}, 7) for text in ("full", "full", "", "full", "hot")]
    assert [item and item.text for item in said] == ["worker 3: full", None, None, "worker 3: full", "worker 3: hot"]
    assert {item.kind for item in news.newest()} == {PROBLEM}
    assert news.add_problem(4, {"problem": "hot"}, 7) is not None


def test_a_worker_with_many_problems_leaves_room_for_other_lines():
    now = [0.0]
    news = News(clock=lambda: now[0])
    news.add(GONE, "worker 4 is lost", 4, 7)
    for number in range(MOST_KEPT):
        news.add_problem(3, {"problem": "problem %d" % number} if number % 3 else {}, 7)
    assert [item.text for item in news.newest()] == ["worker 4 is lost", "worker 3: problem 1"]
    assert news.add_problem(5, {"problem": "hot"}, 7) is not None
    now[0] = PROBLEM_S
    assert news.add_problem(3, {"problem": "the last"}, 7).text == "worker 3: the last"


def test_the_news_of_a_run_report_the_workers_and_the_end(make_master, run_workers):
    master = make_master("system.total_workers=2", "system.min_workers=2", "system.max_rounds=2")
    run_workers(master)
    items = master.run.feed.news.newest()
    assert [item.kind for item in items] == ["began", "joined", "joined", "ended"]
    assert sorted(item.worker_id for item in items[1:3]) == [0, 1]
    assert (items[-1].text, items[-1].round_index) == ("2 rounds are done", 2)
