"""Every event of a run is a line of news, and every sink gets it."""

import pytest

from flq.master.runtime.sink_feed import SinkFeed
from flq.master.runtime.sinks import Sinks
from flq.run_end import Stage
from flq.sinks.messages import Ended, Happened, Round


class Ear:
    name = "ear"

    def __init__(self):
        self.heard = []

    def start(self, began):
        self.heard.append(began())

    def tell(self, message):
        self.heard.append(message)


@pytest.fixture
def feed():
    made = SinkFeed(Sinks([Ear()]), lambda: "began")
    made.heard = made._sinks._sinks[0].heard
    return made


@pytest.mark.parametrize("n_done, kind", [(0, "began"), (3, "went_on")])
def test_a_run_begins_or_resumes(feed, n_done, kind):
    feed.start(n_done)
    began, news = feed.heard
    assert began == "began" and isinstance(news, Happened)
    (item,) = feed.news.newest()
    assert (item.kind, item.round_index) == (kind, n_done)


def test_a_new_problem_of_a_board_is_reported(feed):
    for _ in range(2):
        feed.report(1, {"problem": "it is hot"}, 5)
    assert [message.text for message in feed.heard] == ["worker 1: it is hot"]


@pytest.mark.parametrize(
    "stage, kind", [(Stage.INTERRUPTED, "interrupted"), (Stage.TOLD, "ended"), (Stage.FAILED, "ended")]
)
def test_the_end_is_reported_once(feed, stage, kind):
    feed.round("row", {})
    for _ in range(2):
        feed.end(stage, "because", stage is Stage.FAILED, [], 3)
    round_, news, ended = feed.heard
    assert isinstance(round_, Round) and news.kind == kind and feed.news.newest()[-1].text == "because"
    assert ended == Ended("because", stage is Stage.INTERRUPTED, stage is Stage.FAILED, [])
