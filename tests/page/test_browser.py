"""The page in a real browser, during a real run of four workers.

FLQ_SCREENSHOTS=1 makes the screenshots in docs/img: then the workers learn the digits, which needs TensorFlow.
"""

import json
import re
import signal
import urllib.request

import axe
import pytest
from cluster import Cluster
from local_master import TOKENS, LocalMaster
from passage import pass_whole
from playwright.sync_api import expect, sync_playwright
from relay import Relay
from reports import REPORT
from viewer import PHONE, WAIT_MS, Viewer, browser_of, for_docs

from flq.core.data_report import described
from flq.core.statuses import STATUSES

HOSTILE = "<script>alert(1)</script> \u05e9\u05dc\u05d5\u05dd =1+1"
TROUBLE = '<img src=x onerror=alert(2)> \u0645\u0631\u062d\u0628\u0627 & "quoted"'
NAMES = ["window sill", HOSTILE, "shelf 2, top", "=1+1"]
if for_docs():  # as it looks with names that people give
    TROUBLE, NAMES = "too little memory: training with batches of 16", ["window sill", "shelf 1", "shelf 2", "attic"]
SLOW = (
    "model.name=quadratic",
    "model.dim=20000",
    "model.lr=0.002",
    "system.max_rounds=100000",
    "system.lease_s=6",
    "jetson_optimization.telemetry_s=0",
)
DIGITS = (
    "dataset.partition=non_iid",
    "dataset.dir_alpha=0.3",
    "model.lr=0.03",
    "model.local_epochs=4",
    "system.max_rounds=1000",
    "system.lease_s=8",
    "budget_selection.up_budget_bits=65000",
    "flq_algorithm.memory=mirror",
    "lazy_selection.thr_scale=0.3",
    "jetson_optimization.telemetry_s=0",
)
RUN = (DIGITS if for_docs() else SLOW) + ("system.total_workers=4", "system.min_workers=4", "system.linger_s=20")

expect.set_options(timeout=WAIT_MS)


class Run:
    """A master, and its workers behind a relay that learns their session keys."""

    def __init__(self, cluster):
        self.cluster, self._shown = cluster, {}
        self.master = cluster.master(*RUN)
        self.relay = Relay(("127.0.0.1", self.master.port), {("/register", None): self.overhear})
        self.workers = [self.start(worker_id) for worker_id in range(4)]

    def start(self, worker_id):
        return self.cluster.worker(worker_id, self.relay.port, flags=["--name", NAMES[worker_id]])

    def overhear(self, passage):
        """Keep the token and the session key with which a worker registers."""
        (worker_id,) = re.findall(rb'"worker_id": (\d+)', passage.request)
        (self._shown[int(worker_id)],) = re.findall(rb"Authorization: (Bearer \S+)", passage.request)
        return pass_whole(passage)

    @property
    def token(self):
        return self.master.tokens()["operator"]

    def tell(self, worker_id, **more):
        """Send a heartbeat in the worker's name, of another board than this machine."""
        report = dict(
            {
                "life": "0123abcd",
                "name": NAMES[worker_id],
                "temperature_c": 41.5 + 3 * worker_id,
                "power_w": 4.2 + 0.4 * worker_id,
            },
            **more,
        )
        body = json.dumps({"worker_id": worker_id, "epoch": 1, "renews": False, "device": report}).encode()
        headers = {"Authorization": self._shown[worker_id].decode()}
        request = urllib.request.Request("http://127.0.0.1:%d/heartbeat" % self.master.port, body, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = browser_of(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory, browser):
    with Cluster(str(tmp_path_factory.mktemp("run") / "project")) as cluster:
        run = Run(cluster)
        with run.relay:
            yield run


@pytest.fixture(scope="module")
def axe_script():
    return axe.source()


@pytest.fixture
def look(browser, run):
    """Return a function that opens a tab."""
    opened = []

    def look(**options):
        opened.append(Viewer(browser, run.master.port, **options).open())
        return opened[-1]

    yield look
    for viewer in opened:
        viewer.__exit__(None)


def row(viewer, worker_id):
    return viewer.page.locator("#workers tr").nth(worker_id)


def test_a_run_is_seen_live(look, run):
    viewer = look()
    expect(viewer.page.locator("#workers tr")).to_have_count(4)
    expect(viewer.page.locator("#state")).to_have_text("Training")
    expect(viewer.page.locator("#contact")).to_have_text("live")
    viewer.wait_for_round(5)
    viewer.wait_for_round(viewer.round() + 3)
    expect(viewer.page.locator("#here")).to_have_text("4")
    expect(viewer.page.locator("#time-left")).to_have_text(re.compile("about .+ left"))
    expect(viewer.page.locator("#saved")).to_have_text(re.compile(r"^[\d.]+ × less$"))
    expect(viewer.page.locator("#loss-chart")).to_have_attribute(
        "aria-label", re.compile(r"test: .+ at first, .+ in round \d+, lowest .+, highest .+\. training: ")
    )
    expect(row(viewer, 0).locator("canvas")).to_have_attribute(
        "aria-label", re.compile(r"^Last \d+ rounds: Uploaded \d+")
    )
    expect(viewer.page.locator("#log li").last).to_contain_text("the run has begun")
    assert viewer.page.title().endswith("· FLQ")


def test_workers_texts_are_shown_as_text(look, run):
    viewer = look()
    for worker_id, name in enumerate(NAMES):
        run.tell(worker_id)
        expect(row(viewer, worker_id).locator("td").first.locator("bdi").first).to_have_text(name)
    run.tell(1, problem=TROUBLE)
    line = viewer.page.locator("#log li[data-kind=problem] bdi").first
    expect(line).to_have_text("worker 1: " + TROUBLE)
    for bdi in (line, row(viewer, 1).locator("bdi").first):
        assert bdi.evaluate("(element) => [element.children.length, getComputedStyle(element).unicodeBidi]") == [
            0,
            "isolate",
        ]
    assert viewer.page.locator("main script, main img").count() == 0
    expect(row(viewer, 1).locator(".trouble")).to_have_text(TROUBLE)
    run.tell(1)
    expect(row(viewer, 1).locator(".trouble")).to_have_text("")


def test_axis_by_bytes(look):
    viewer = look()
    viewer.wait_for_round(3)
    before = viewer.page.locator("#loss-chart canvas").evaluate("(canvas) => canvas.toDataURL()")
    viewer.page.get_by_label("by bytes").check()
    expect(viewer.page.locator("#loss-chart .u-legend")).to_contain_text("bytes")
    assert viewer.page.locator("#loss-chart canvas").evaluate("(canvas) => canvas.toDataURL()") != before


def test_a_worker_is_killed_and_comes_back(look, run, tmp_path):
    viewer = look()
    viewer.wait_for_round(40 if for_docs() else 2)
    run.workers[2].signal(signal.SIGKILL)
    expect(row(viewer, 2).locator(".presence")).to_have_text("lost")
    expect(viewer.page.locator("#here")).to_have_text("3")
    expect(viewer.page.locator("#here-more")).to_contain_text("1 lost")
    expect(viewer.page.locator("#log li[data-kind=lost]").first).to_contain_text("worker 2 is lost")
    expect(row(viewer, 2).locator("[data-name=Lost]")).to_have_text("1")
    viewer.wait_for_round(viewer.round() + 62)  # the others continue until its last rounds are not among the last ones
    expect(row(viewer, 2).locator("canvas")).to_have_attribute("aria-label", "in none of the last rounds")
    expect(row(look(), 2).locator("canvas")).to_have_attribute("aria-label", "in none of the last rounds")
    run.workers[2] = run.start(2)
    expect(row(viewer, 2).locator(".presence")).to_have_text("connected")
    newer = ":is([data-kind=back], [data-kind=joined]):has(~ [data-kind=lost])"  # joined: it begins a new epoch
    expect(viewer.page.locator("#log li" + newer).first).to_contain_text("worker 2")
    viewer.wait_for_round(viewer.round() + (25 if for_docs() else 2))
    viewer.shoot(tmp_path, "page-live.png")


@pytest.mark.parametrize(
    "name, options",
    [
        ("light", {}),
        ("page-dark.png", {"color_scheme": "dark"}),
        ("page-phone.png", {"viewport": PHONE}),
        ("page-live.zh.png", {"locale": "zh-CN"}),
        ("dark-phone-zh", {"locale": "zh-TW", "viewport": PHONE, "color_scheme": "dark"}),
    ],
)
def test_everybody_can_use_it(look, axe_script, tmp_path, name, options):
    viewer = look(**options)
    expect(viewer.page.locator("#workers tr")).to_have_count(4)
    expect(viewer.page.locator("#loss-chart canvas")).to_have_count(1)
    is_chinese = options.get("locale", "").startswith("zh")
    assert viewer.page.locator("html").get_attribute("lang") == ("zh-CN" if is_chinese else "en")
    expect(viewer.page.locator("#state")).to_have_text("训练中" if is_chinese else "Training")
    ground = viewer.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(14, 19, 25)") == ("color_scheme" in options)
    assert viewer.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    if name.endswith(".png"):
        viewer.shoot(tmp_path, name)
    assert axe.violations(viewer.page, axe_script) == []
    viewer.page.locator("#stop").click()
    assert axe.violations(viewer.page, axe_script) == []


def test_switches_are_remembered(look):
    viewer = look()
    viewer.page.get_by_role("button", name="用中文显示").click()
    viewer.page.get_by_role("button", name="深色").click()
    for _ in range(2):
        expect(viewer.page.locator("#state")).to_have_text("训练中")
        expect(viewer.page.locator("#theme")).to_have_attribute("aria-pressed", "true")
        expect(viewer.page.locator("body")).to_have_css("background-color", "rgb(14, 19, 25)")
        viewer.page.reload()
    viewer.page.get_by_role("button", name="Show in English").click()
    expect(viewer.page.locator("#state")).to_have_text("Training")


def test_a_keyboard_reaches_everything(look):
    viewer = look()
    expect(viewer.page.locator("#workers tr")).to_have_count(4)
    reached = []
    while "stop" not in reached:
        viewer.page.keyboard.press("Tab")
        reached.append(
            viewer.page.evaluate(
                "() => document.activeElement.id || document.activeElement.className || document.activeElement.value"
            )
        )
        assert len(reached) < 20, reached
    assert reached == ["skip", "language", "theme", "round", "workers-scroll", "log-scroll", "show-files", "stop"]
    viewer.page.locator("#stop").focus()
    viewer.page.keyboard.press("Enter")
    expect(viewer.page.locator("#dialog")).to_be_visible()
    expect(viewer.page.locator("#token")).to_be_focused()
    viewer.page.keyboard.press("Enter")
    expect(viewer.page.locator("#dialog-problem")).to_have_text("Enter the token first.")
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#dialog")).to_be_hidden()
    expect(viewer.page.locator("#stop")).to_be_focused()
    viewer.page.locator("input[value=round]").focus()
    viewer.page.keyboard.press("ArrowRight")
    expect(viewer.page.get_by_label("by bytes")).to_be_checked()


def test_the_operator_fetches_files(look, run):
    viewer = look()
    viewer.page.locator("#show-files").click()
    viewer.page.locator("#token").fill(run.token)
    viewer.page.locator("#dialog-go").click()
    expect(viewer.page.locator("#dialog")).to_be_hidden()
    with viewer.page.expect_download() as download:
        viewer.page.get_by_role("button", name="config.json").click()
    with open(str(download.value.path()), encoding="utf-8") as stream:
        assert json.load(stream)["system"]["total_workers"] == 4
    with viewer.page.expect_download() as download:
        viewer.page.get_by_role("button", name="npz").click()
    assert download.value.suggested_filename == "model.npz"
    with open(str(download.value.path()), "rb") as stream:
        assert stream.read(2) == b"PK"
    assert run.token not in viewer.page.url
    assert viewer.page.evaluate("() => [document.cookie, JSON.stringify(localStorage)]") == ["", "{}"]


def test_without_a_stream_the_page_asks_now_and_then(look, run, browser):
    with Viewer(browser, run.master.port) as viewer:
        viewer.page.route("**/events", lambda route: route.fulfill(status=503, body="{}"))
        viewer.open()
        expect(viewer.page.locator("#contact")).to_have_text("every few seconds")
        viewer.wait_for_round(viewer.round() + 2)
        viewer.check(allowed=[503])


@pytest.fixture
def quiet(tmp_path):
    """A master without workers, whose status only the operator may see."""
    with LocalMaster(str(tmp_path / "quiet"), "security.open_status=false") as master:
        yield master


def test_a_closed_master_asks_for_the_token(browser, quiet):
    with Viewer(browser, quiet.port) as viewer:
        viewer.open()
        expect(viewer.page.locator("#closed")).to_be_visible()
        viewer.page.locator("#open").click()
        viewer.page.locator("#token").fill(TOKENS["operator"])
        viewer.page.locator("#dialog-go").click()
        expect(viewer.page.locator("#state")).to_have_text("Waiting for workers")
        expect(viewer.page.locator("#progress-text")).to_have_text("0 of 4 workers have joined")
        expect(viewer.page.locator("#closed")).to_be_hidden()
        viewer.check(allowed=[401])


def test_the_log_is_chinese_as_far_as_it_can_be(browser, quiet):
    items = [
        ("began", "the run has begun", None, 0, "运行开始"),
        ("joined", "worker 2 joined with 449 samples (epoch 1)", 2, 0, "工作节点 2 加入"),
        ("lost", "worker 2 is lost: silent for 31 s", 2, 7, "工作节点 2 失联"),
        ("went_on", "the run resumes after round 7", None, 7, "运行在第 7 轮之后继续"),
        ("problem", "worker 2: no memory", 2, 8, "worker 2: no memory"),
        ("constructor", "no kind at all", None, 8, "no kind at all"),
    ]
    feed = json.loads(quiet.broadcast.snapshot()[1])
    feed["log"]["items"] = [
        {"number": number, "at": 1.0, "kind": kind, "text": text, "worker_id": worker_id, "round_index": round_index}
        for number, (kind, text, worker_id, round_index, _) in enumerate(items, 1)
    ]
    with Viewer(browser, quiet.port, locale="zh-CN") as viewer:
        viewer.page.route("**/events", lambda route: route.fulfill(status=503, body="{}"))
        viewer.page.route("**/feed", lambda route: route.fulfill(json=feed))
        viewer.open()
        lines = viewer.page.locator("#log bdi")
        expect(lines).to_have_text([chinese for *_, chinese in reversed(items)])
        assert lines.evaluate_all("(all) => all.map((line) => line.lang)") == ["en", "en"] + [""] * 4
        viewer.page.get_by_role("button", name="Show in English").click()
        expect(lines).to_have_text([text for _, text, *_ in reversed(items)])
        viewer.check(allowed=[503])


def test_even_texts_that_the_master_would_reject_are_shown_as_text(browser, quiet):
    """Bidirectional marks, and markup, in every text of the feed."""
    worst = "\u202e\u2066<img src=x onerror=alert(3)>\u200f<b>&amp;\u0000</b>{{1+1}}${1+1}"
    feed = json.loads(quiet.broadcast.snapshot()[1])
    feed["state"].update(run_id=worst, problem=worst, model=worst, dataset=worst, mode=worst)
    feed["state"]["workers"] = [
        dict(
            dict.fromkeys(STATUSES, 1),
            id=0,
            connected=True,
            samples=1,
            last_seen_s=1.0,
            loss=1.0,
            wire_bytes=1,
            name=worst,
            problem=worst,
            temperature_c=1.0,
            power_w=1.0,
            throttled=True,
        )
    ]
    feed["state"]["data"] = dict(described(REPORT), class_names=[worst, "lime", "pear"])
    feed["log"]["items"] = [{"number": 1, "at": 1.0, "kind": worst, "text": worst, "worker_id": 0, "round_index": 1}]
    with Viewer(browser, quiet.port) as viewer:
        viewer.page.route("**/events", lambda route: route.fulfill(status=503, body="{}"))
        viewer.page.route("**/feed", lambda route: route.fulfill(json=feed))
        viewer.open()
        expect(viewer.page.locator("#log li")).to_have_count(1)
        texts = viewer.page.evaluate(
            "() => ['#run-id', '#problem', '.who bdi', '#log bdi', '#log .kind', '.trouble'].map("
            "(selector) => document.querySelector(selector).textContent)"
        )
        seen = viewer.page.evaluate("() => document.querySelector('#seen').textContent")
        assert seen == "155 samples of 8 × 8 · 3 classes: %s, lime, pear · values 0 to 255, divided by 255" % worst
        assert texts == [worst] * 5 + ["throttled by heat or power; " + worst]
        assert viewer.page.evaluate("() => document.querySelectorAll('img, main b, main script').length") == 0
        around = viewer.page.evaluate(
            "() => ['#run-id', '#setup', '#problem', '#log .kind'].map((selector) => "
            "getComputedStyle(document.querySelector(selector)).unicodeBidi)"
        )
        assert around == ["isolate"] * 4
        viewer.check(allowed=[503])


def test_the_stop_dialogue(look, run, tmp_path):
    """This is the last test: it ends the run."""
    viewer = look()
    page = viewer.page
    page.locator("#stop").click()
    expect(page.locator("#dialog-title")).to_have_text("Stop the run?")
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()
    page.locator("#stop").click()
    page.locator("#dialog-cancel").click()
    expect(page.locator("#dialog")).to_be_hidden()
    viewer.wait_for_round(viewer.round() + 1)  # the run continues
    page.locator("#stop").click()
    page.locator("#token").fill("wrong")
    page.locator("#dialog-go").click()
    expect(page.locator("#dialog-problem")).to_have_text("The master does not know this token.")
    expect(page.locator("#token")).to_be_focused()
    viewer.check(allowed=[401])
    viewer.wait_for_round(viewer.round() + 1)
    page.locator("#token").fill("operator " + run.token)  # the whole line of the file will do
    if for_docs():
        page.locator("#dialog-problem").evaluate("(element) => { element.hidden = true; }")
    viewer.shoot_window(tmp_path, "page-stop.png")
    page.locator("#dialog-go").click()
    expect(page.locator("#state")).to_have_text("The run has ended")
    expect(page.locator("#dialog")).to_be_hidden()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#places li")).to_have_text(
        [
            re.compile(r"^Workbook: flq_results_\S+\.xlsx$"),
            "Model, configuration and journal: folder %s/" % viewer.text("#run-id"),
        ]
    )
    expect(page.locator("#contact")).to_have_text("the master has ended")
    expect(page.locator("#places-note")).to_contain_text("open the files on its machine")
    expect(page.locator("#results button, #results a").locator("visible=true")).to_have_count(0)
    expect(page.locator("body")).not_to_have_class(re.compile("stale"))
    assert run.master.wait() == 0
    assert [worker.wait() for worker in run.workers] == [0] * 4
    expect(page.locator("#log li[data-kind=ended]")).to_contain_text("stopped by POST /stop")
    viewer.forget_refusals()
