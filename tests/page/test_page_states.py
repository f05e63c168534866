"""What the page shows of made-up feeds: contact lost, the end, a divergence, axes, columns, and a phone's controls."""

import json
import re

import axe
import pytest
from local_master import LocalMaster
from playwright.sync_api import expect, sync_playwright
from report_rows import a_round
from viewer import PHONE, WAIT_MS, Viewer, browser_of

from flq.core.statuses import STATUSES
from flq.master.live import feed

expect.set_options(timeout=WAIT_MS)
FACTS = feed.RunFacts("mlp", "digits", "lowrank", False, 4, 4, 9610, 0)
WORKER = dict(
    dict.fromkeys(STATUSES, 0),
    connected=True,
    samples=100,
    last_seen_s=1.0,
    loss=1.0,
    wire_bytes=1000,
    name=None,
    problem=None,
    temperature_c=None,
    power_w=None,
    throttled=None,
)
ROWS = [a_round(k, accuracy=0.5 + k / 1000, test_loss=2.0 / k) for k in range(1, 41)]
RESULTS = {"workbook": "flq_results_digits_7.xlsx", "folder": "20261130_211305_ab12"}


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = browser_of(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    with LocalMaster(str(tmp_path_factory.mktemp("quiet"))) as master:
        yield master


class Tab(Viewer):
    """A tab whose feed is made up, and may be cut off."""

    def __init__(self, browser, master, rows=ROWS, workers=(WORKER,), state=(), **options):
        super().__init__(browser, master.port, **options)
        self.feed = json.loads(master.broadcast.snapshot()[1])
        self.feed["state"].update(FACTS._asdict(), state="OPEN", workers=[dict(w, id=k) for k, w in enumerate(workers)])
        self.feed["state"].update(state)
        self.feed["rounds"] = feed.rounds_message(rows, [], 100, FACTS)
        self.is_cut = False
        self.page.route("**/events", lambda route: self._answer(route, status=503, body="{}"))
        self.page.route("**/feed", lambda route: self._answer(route, json=self.feed))
        self.open()
        self.page.wait_for_selector("#setup:not(:empty)")

    def _answer(self, route, **reply):
        if self.is_cut:
            route.abort()
        else:
            route.fulfill(**reply)

    def cut(self, is_cut):
        self.is_cut = is_cut

    def check(self, allowed=(503,)):
        self._said = [line for line in self._said if "net::ERR_FAILED" not in line]  # the cut
        super().check(allowed)

    def columns(self):
        """Return the visible headings of the table, and the texts of each, from above."""
        headings = self.page.locator("#columns th").locator("visible=true").all_inner_texts()
        rows = [
            row.locator("td").locator("visible=true").all_inner_texts()
            for row in self.page.locator("#workers tr").all()
        ]
        assert all(len(row) == len(headings) for row in rows)
        return {heading: [row[index] for row in rows] for index, heading in enumerate(headings)}


@pytest.fixture
def look(browser, master):
    opened = []

    def look(**options):
        opened.append(Tab(browser, master, **options))
        return opened[-1]

    yield look
    for tab in opened:
        tab.__exit__(None)


# -- contact and the end -----------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=str)
def test_while_contact_is_lost_everything_is_grey_and_says_since_when(look, options):
    tab = look(**options)
    stale, body = tab.page.locator("#stale"), tab.page.locator("body")
    expect(stale).to_be_hidden()
    ground = body.evaluate("(body) => getComputedStyle(body).backgroundColor")
    tab.cut(True)
    expect(stale).to_have_text(re.compile(r"^No contact with the master since \d\d:\d\d:\d\d\."))
    said = stale.inner_text()
    grey = (
        "(all) => all.filter((part) => !getComputedStyle(part).filter.includes('grayscale(1)')).map((part) => part.id)"
    )
    assert tab.page.locator("main > :not(#stale)").evaluate_all(grey) == []
    assert body.evaluate("(body) => getComputedStyle(body).backgroundColor") != ground
    expect(tab.page.locator("#stop")).to_be_disabled()
    assert axe.violations(tab.page, axe.source()) == []
    tab.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")  # it tries again, in vain
    expect(stale).to_have_text(said)  # still the time of the last message
    tab.cut(False)
    expect(stale).to_be_hidden()
    expect(body).to_have_css("background-color", ground)
    expect(tab.page.locator("#stop")).to_be_enabled()


def test_a_master_that_is_gone_before_the_end_leaves_a_grey_page(browser, tmp_path):
    with LocalMaster(str(tmp_path / "master")) as master:
        viewer = Viewer(browser, master.port).open()
        with viewer:
            expect(viewer.page.locator("#contact")).to_have_text("live")
            master.broadcast.close()
            master.server.stop()
            expect(viewer.page.locator("#stale")).to_be_visible()
            expect(viewer.page.locator("#contact")).to_have_text(re.compile("^no contact since"))
            viewer.forget_refusals()


def test_contact_that_was_lost_yesterday_has_a_date(look):
    tab = look()
    tab.page.evaluate("() => { const now = Date.now; Date.now = () => now() - 86400000; }")
    with tab.page.expect_response("**/feed"):
        pass
    tab.cut(True)
    expect(tab.page.locator("#stale")).to_have_text(re.compile(r"since \d+/\d+/\d{4}, \d\d:\d\d:\d\d\."))


def test_after_the_end_it_says_where_the_results_are(look):
    tab = look(state={"state": "FINISHED", "results": RESULTS})
    places = tab.page.locator("#places li")
    names = ["Workbook: flq_results_digits_7.xlsx", "Model, configuration and journal: folder 20261130_211305_ab12/"]
    expect(places).to_have_text(names)
    expect(tab.page.locator("#places-note")).to_contain_text("report.results_dir")
    expect(tab.page.locator("#get-workbook")).to_be_visible()
    expect(tab.page.locator("#stop")).to_be_hidden()
    assert axe.violations(tab.page, axe.source()) == []
    tab.cut(True)
    expect(tab.page.locator("#contact")).to_have_text("the master has ended")
    expect(places).to_have_text(names)
    expect(tab.page.locator("#get-workbook, #all-files").locator("visible=true")).to_have_count(0)
    expect(tab.page.locator("#show-files")).to_be_disabled()
    expect(tab.page.locator("#stale")).to_be_hidden()  # these numbers are final


def test_the_operator_sees_whole_paths_and_saves_the_workbook(look):
    tab = look(state={"state": "FINISHED", "results": RESULTS})
    files = [
        {"name": name, "kind": kind, "bytes": 7, "path": "/data/results/" + path}
        for name, kind, path in (
            (RESULTS["workbook"], "workbook", RESULTS["workbook"]),
            ("config.json", "configuration", "%s/config.json" % RESULTS["folder"]),
        )
    ]
    tab.page.route("**/results", lambda route: route.fulfill(json={"files": files}))
    tab.page.route("**/results/*", lambda route: route.fulfill(body="content"))
    tab.page.locator("#get-workbook").click()
    tab.page.locator("#token").fill("token")
    with tab.page.expect_download() as saved:
        tab.page.locator("#dialog-go").click()
    assert saved.value.suggested_filename == RESULTS["workbook"]
    expect(tab.page.locator("#places bdi")).to_have_text(
        ["/data/results/flq_results_digits_7.xlsx", "/data/results/20261130_211305_ab12/"]
    )


def test_a_run_without_results_has_no_place_for_them(look):
    expect(look().page.locator("#results")).to_be_hidden()


# -- divergence --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "divergence, dataset, text",
    [
        (
            {"quantity": "training loss", "value": 1.3e7, "round_index": 9, "first": 2.35, "first_round": 1},
            "digits",
            "The run diverges: training loss 1.30e+7 in round 9. In round 1 it was 2.35. "
            "Lower model.lr, or check dataset.scale.",
        ),
        (
            {"quantity": "updates of the workers", "value": None, "round_index": 9, "first": None, "first_round": 0},
            "",
            "The run diverges: updates of the workers not finite in round 9. Lower model.lr.",
        ),
    ],
)
def test_a_divergence_is_visible(look, divergence, dataset, text):
    tab = look(state={"divergence": divergence, "dataset": dataset})
    expect(tab.page.locator("#divergence")).to_have_text(text)
    assert axe.violations(tab.page, axe.source()) == []
    tab.feed["state"]["divergence"] = None
    expect(tab.page.locator("#divergence")).to_be_hidden()


# -- tiles and axes ----------------------------------------------------------------------


def test_the_tiles_are_of_one_round_and_say_which(look):
    late = a_round(41, accuracy=None, test_loss=None, own_accuracy=None, own_loss=None, wire_bytes_up=10**9)
    tab = look(rows=[*ROWS, late])
    expect(tab.page.locator("#snapshot")).to_have_text("After round 40")
    expect(tab.page.locator("#accuracy")).to_have_text("54.0 %")
    expect(tab.page.locator("#bytes")).to_have_text("96.0 kB")  # 40 rounds of 1500 up and 900 down


def axis(tab, name, values):
    return tab.page.evaluate(
        "([name, values]) => import('/page/axes.js').then((axes) => axes[name](values))", [name, values]
    )


@pytest.mark.parametrize(
    "values, ticks, digits",
    [
        ([0.83, 0.91], [0.82, 0.84, 0.86, 0.88, 0.9, 0.92], 0),
        ([0.1, 0.97], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 0),
        ([0.9731, 0.9752], [0.973, 0.974, 0.975, 0.976], 1),
        ([0.0, 0.0], [0.0, 0.2], 0),
        ([1.0, 1.0], [0.98, 1.0], 0),
    ],
)
def test_an_axis_of_accuracies_shows_their_range(look, values, ticks, digits):
    found = axis(look(), "shareAxis", values)
    assert (found["ticks"], found["digits"]) == (ticks, digits)
    assert found["low"] == ticks[0] <= min(values) and max(values) <= ticks[-1] == found["high"]


@pytest.mark.parametrize(
    "values, ticks, low, high, is_log",
    [
        ([2.3, 0.4], [0.0, 0.5, 1.0, 1.5, 2.0, 2.5], 0, 2.5, False),
        ([2.3, 0.02], [0.1, 1.0], 0.02, 5, True),
        ([2.0, 2e9], [1e1, 1e3, 1e5, 1e7, 1e9], 2, 2e9, True),
        ([1e-8, 1.0], [1e-8, 1e-6, 1e-4, 1e-2, 1.0], 1e-8, 1, True),
        ([-1.0, 300.0], [-100.0, 0.0, 100.0, 200.0, 300.0], -100, 300, False),
        ([0.0, 300.0], [0.0, 100.0, 200.0, 300.0], 0, 300, False),
    ],
)
def test_an_axis_of_losses_is_logarithmic_if_they_span_decades(look, values, ticks, low, high, is_log):
    found = axis(look(), "lossAxis", values)
    assert (found["ticks"], found["low"], found["high"], found["isLog"]) == (ticks, low, high, is_log)


def test_charts_change_to_a_logarithmic_axis_and_back(look):
    tab = look(rows=ROWS[:3])
    chart = tab.page.locator("#loss-chart")
    expect(chart).to_have_attribute("aria-label", re.compile("in round 3"))
    for rows in ([*ROWS[:3], a_round(4, test_loss=1e9)], ROWS[:1], [], ROWS):
        tab.feed["rounds"] = feed.rounds_message(rows, [], 100, FACTS)
        seen = "in round %d" % len(rows) if rows else "nothing to show yet"
        expect(chart).to_have_attribute("aria-label", re.compile(seen))
        expect(chart.locator("canvas")).to_have_count(1 if rows else 0)


def test_a_single_point_is_drawn(look):
    drawn = "(canvas) => { const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
    drawn += " let n = 0; for (let i = 0; i < all.length; i += 4) n += all[i + 2] > all[i] + 90 ? 1 : 0; return n; }"
    canvas = look(rows=ROWS[:1]).page.locator("#accuracy-chart canvas")
    expect(canvas).to_have_count(1)
    assert canvas.evaluate(drawn) > 20  # dots in the blue of the line


# -- the table of the workers ------------------------------------------------------------


def test_a_column_has_one_format(look):
    workers = [
        dict(WORKER, loss=loss, wire_bytes=wire, last_seen_s=seen)
        for loss, wire, seen in ((0.0123, 123456, 0.4), (12.5, 7890123, 184.0), (None, 99000, 59.0))
    ]
    columns = look(workers=workers).columns()
    assert columns["Loss"] == ["0.01", "12.50", "–"]
    assert columns["Bytes"] == ["0.12 MB", "7.89 MB", "0.10 MB"]
    assert columns["Last seen"] == ["0:00 min ago", "3:04 min ago", "0:59 min ago"]


@pytest.mark.parametrize(
    "losses, texts",
    [
        ([0.5, 0.001], ["0.500", "0.001"]),
        ([2e-4, 5e-6], ["2.00e-4", "5.00e-6"]),
        ([2.0, 3e7], ["2.00e+0", "3.00e+7"]),
        ([1234.5, 2.0], ["1,235", "2"]),
    ],
)
def test_the_losses_of_a_column_have_the_same_digits(look, losses, texts):
    assert look(workers=[dict(WORKER, loss=loss) for loss in losses]).columns()["Loss"] == texts


def test_columns_that_no_board_fills_are_hidden(look):
    tab = look(workers=[dict(WORKER, loss=None), dict(WORKER, loss=None)])
    assert not {"°C", "W", "Loss"} & set(tab.columns())
    tab.feed["state"]["workers"][1].update(power_w=4.25, loss=0.5)
    expect(tab.page.locator("#columns th:visible", has_text=re.compile("^W$"))).to_have_count(1)
    columns = tab.columns()
    assert columns["W"] == ["–", "4.3"] and columns["Loss"] == ["–", "0.500"] and "°C" not in columns


# -- a phone -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"viewport": PHONE}, {}], ids=["phone", "desk"])
def test_the_stop_button_is_the_last_control_and_not_on_the_first_screen_of_a_phone(look, options):
    tab = look(**options)
    controls = "(all) => all.filter((one) => one.checkVisibility()).map((one) => one.id)"
    ids = tab.page.locator("header button, main button, main a, main input").evaluate_all(controls)
    assert ids[-1] == "stop" and ids[0] == "language"
    box = tab.page.locator("#stop").bounding_box()
    last = tab.page.locator("main").bounding_box()
    assert box["y"] > PHONE["height"] if options else box["y"] > 0.6 * last["height"]
    assert box["width"] < 0.6 * PHONE["width"]  # no bar across the screen, where a thumb rests
