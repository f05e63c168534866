"""What has happened in a run, as lines for people."""

from flq.master.news import MOST_KEPT, PROBLEM, Item, News
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


def test_a_problem_is_told_once_until_it_is_another():
    news = News()
    said = [news.add_problem(3, {"problem": text} if text else {}, 7) for text in ("full", "full", "", "full", "hot")]
    assert [item and item.text for item in said] == ["worker 3: full", None, None, "worker 3: full", "worker 3: hot"]
    assert {item.kind for item in news.newest()} == {PROBLEM}
    assert news.add_problem(4, {"problem": "hot"}, 7) is not None


def test_the_news_of_a_run_say_who_came_and_how_it_ended(make_master, run_workers):
    master = make_master("system.total_workers=2", "system.min_workers=2", "system.max_rounds=2")
    run_workers(master)
    items = master.service.news.newest()
    assert [item.kind for item in items] == ["began", "joined", "joined", "ended"]
    assert sorted(item.worker_id for item in items[1:3]) == [0, 1]
    assert (items[-1].text, items[-1].round_index) == ("2 rounds are done", 2)
