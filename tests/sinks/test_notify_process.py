"""The process that sends messages, against stand-ins for services behind real proxies."""

import email
import io
import json
import os
import re
import subprocess
import sys

import pytest
from aiosmtpd.controller import Controller
from cluster import free_port
from factory import settings_with
from PIL import Image
from report_rows import a_round
from stand_ins import Service, http_proxy
from waits import WAIT_S

from flq.config_file import load_config
from flq.sinks.messages import Began, Ended, Happened, Round, line_of
from flq.sinks.notify import __main__ as process
from flq.sinks.notify.__main__ import say, try_out, watch
from flq.sinks.notify.policy import Policy
from flq.sinks.notify.secrets import Secrets
from flq.sinks.notify.service import services_of

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKEN, CHAT = "123456789:AAHsecretOfTheBot_0123456789abcdefgh", -1001234567
TELEGRAM = "tgram://%s/%d" % (TOKEN, CHAT)
PARTS = re.compile(
    r"123456789|AAHsecretOfTheBot_0123456789abcdefgh|1001234567|hooksecret|mailsecret|topicsecret"
    r"|keysecret[0-9]*|12345678901234567890"
)  # what no line may hold
REASON = "10 rounds are done & <so> on"


def lines(*overrides):
    """Return the stream of a run of ten rounds."""
    settings = load_config(None, ["system.max_rounds=10"] + ["notify." + override for override in overrides])
    rounds = [
        Round(a_round(k, accuracy=0.9 - 0.5 / k, test_loss=2.0 / k, training_loss=2.2 / k), {}) for k in range(1, 11)
    ]
    return b"".join(
        map(
            line_of,
            [
                Began("run_7", settings, "", []),
                Happened("began", "", None, 0, 0.0),
                *rounds,
                Happened("lost", "", 3, 10, 0.0),
                Ended(REASON, False, False, []),
            ],
        )
    )


def notify(urls, text, *flags, proxy=None, folder=PROJECT):
    """Run the process; return its exit code and its output."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment.update(FLQ_NOTIFY=" ".join(urls), PYTHONPATH=PROJECT, PYTHONWARNINGS="always")
    if proxy is not None:
        environment["FLQ_NOTIFY_PROXY"] = proxy
    done = subprocess.run(
        [sys.executable, "-m", "flq.sinks.notify", *flags],
        input=text,
        env=environment,
        cwd=str(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=3 * WAIT_S,
    )
    assert done.stdout == b""
    said = done.stderr.decode()
    assert not PARTS.search(said) and "Traceback" not in said, said
    return done.returncode, said


def parts_of(asked):
    """Return the fields of a multipart form."""
    head = "Content-Type: %s\r\n\r\n" % asked.headers["Content-Type"]
    form = email.message_from_bytes(head.encode() + asked.body)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in form.get_payload()
    }


def picture_of(data):
    """Return a picture, decoded completely."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_telegram_through_a_socks_proxy_with_the_picture(telegram):
    service, proxy = telegram()
    code, said = notify([TELEGRAM], lines(), proxy="socks5h://127.0.0.1:%d" % proxy.port)
    assert code == 0 and said == "messages are sent to Telegram (address 1)\n"
    (asked,) = service.asked
    assert (asked.host, asked.path) == ("api.telegram.org", "/bot%s/sendPhoto" % TOKEN)
    form = parts_of(asked)
    caption = form["caption"].decode()
    assert form["chat_id"] == b"%d" % CHAT and form["parse_mode"] == b"HTML"
    assert caption.startswith("<b>FLQ: the run has finished, accuracy 85.00 %</b>")
    assert "after round 10 of 10: 10 rounds are done &amp; &lt;so&gt; on." in caption
    assert "Worker 3 is lost (round 10)." in caption and "Run run_7 (digits, mlp, lowrank)." in caption
    image = picture_of(form["photo"])
    assert (image.format, image.size) == ("PNG", (800, 500)) and len(image.convert("RGB").getcolors(1 << 19)) > 50
    assert proxy.asked == ["api.telegram.org:443"]  # by name: the proxy resolves it, not this machine


def test_telegram_through_an_http_proxy_without_a_picture(telegram):
    service, proxy = telegram(http_proxy)
    code, _ = notify([TELEGRAM], lines("figure=false"), proxy="http://127.0.0.1:%d" % proxy.port)
    (asked,) = service.asked
    assert code == 0 and asked.path == "/bot%s/sendMessage" % TOKEN
    content = json.loads(asked.body)
    assert content["chat_id"] == CHAT and content["text"].startswith("<b>FLQ: the run has finished")
    assert proxy.asked == ["api.telegram.org:443"]


def test_a_proxy_that_rejects_connections_is_not_bypassed(telegram):
    service, proxy = telegram()
    proxy.ports.clear()
    code, said = notify([TELEGRAM], lines("timeout_s=1"), "--test", proxy="socks5h://127.0.0.1:%d" % proxy.port)
    assert code == 1 and said == "Telegram (address 1): it is unreachable, or its answer was invalid\n"
    assert service.asked == [] and set(proxy.asked) == {"api.telegram.org:443"}


def test_dingtalk_wecom_and_slack_go_the_same_way(telegram):
    service, proxy = telegram()
    urls = [
        "dingtalk://12345678901234567890",
        "wecombot://keysecret12345",
        "slack://xoxb-123456789012-123456789012-keysecret1234567890abcdef/%23flq",
    ]
    code, said = notify(urls, lines("figure=false"), proxy="socks5h://127.0.0.1:%d" % proxy.port)
    by_host = {asked.host: asked.body.decode() for asked in service.asked}
    assert code == 0 and set(by_host) == {"oapi.dingtalk.com", "qyapi.weixin.qq.com", "slack.com"}, said
    assert all("FLQ: the run has finished" in body and "Worker 3 is lost" in body for body in by_host.values())
    assert set(proxy.asked) == {host + ":443" for host in by_host}


def test_ntfy_a_web_hook_and_mail_on_this_machine(run_stand_in):
    hook, ntfy, mails = run_stand_in(Service()), run_stand_in(Service()), []

    class Sink:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802
            mails.append((envelope.mail_from, envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
            return "250 OK"

    port = free_port()
    smtp = Controller(Sink(), hostname="127.0.0.1", port=port)
    smtp.start()
    try:
        urls = [
            "ntfy://127.0.0.1:%d/topicsecret" % ntfy.port,
            "json://127.0.0.1:%d/hooksecret" % hook.port,
            "mailto://127.0.0.1:%d?from=flq@example.org&to=me@example.org&mode=insecure" % port,
        ]
        code, said = notify(urls, lines())
    finally:
        smtp.stop()
    assert code == 0 and "ntfy (address 1), JSON (address 2), E-Mail (address 3)" in said
    content = json.loads(hook.asked[0].body)
    assert (hook.asked[0].path, content["title"], content["type"]) == (
        "/hooksecret",
        "FLQ: the run has finished, accuracy 85.00 %",
        "success",
    )
    assert "Worker 3 is lost" in content["message"] and len(content["attachments"]) == 1
    assert "topicsecret" in ntfy.asked[0].path and b"\x89PNG" in b"".join(asked.body for asked in ntfy.asked)
    ((sender, receivers, mail),) = mails
    assert (sender, receivers) == ("flq@example.org", ["me@example.org"])
    kinds = {part.get_content_type(): part.get_payload(decode=True) for part in mail.walk()}
    assert "the run has finished" in mail["Subject"] and picture_of(kinds["image/png"]).size == (800, 500)


def test_services_that_hang_or_fail_and_invalid_addresses_delay_no_others(run_stand_in):
    hanging, cutting = run_stand_in(Service(always="hang")), run_stand_in(Service(answers=("cut",)))
    refusing = run_stand_in(Service(always=(403, {})))
    busy = run_stand_in(Service(answers=((429, {"retry_after": 1}),)))
    ports = (hanging.port, cutting.port, refusing.port, busy.port)
    code, said = notify(
        ["json://127.0.0.1:%d/hooksecret" % port for port in ports] + ["nosuch://keysecret"],
        lines("timeout_s=1", "figure=false"),
    )
    assert code == 0
    assert "address 5 of 5 for notifications is unknown to apprise" in said
    assert (
        "a message to JSON (address 3) was not sent: it answered with status 403: it has no permission to write there"
        in said
    )
    assert "address 2" not in said.replace("JSON (address 2),", "") and len(cutting.asked) == 2  # again, and taken
    assert "JSON (address 4) is" not in said and len(busy.asked) == 2
    assert "a message to JSON (address 1) was not sent" in said and len(hanging.asked) >= 2


def test_a_killed_master_is_reported(run_stand_in):
    hook = run_stand_in(Service())
    code, _ = notify(["json://127.0.0.1:%d" % hook.port], b"".join(lines("figure=false").splitlines(True)[:-1]))
    content = json.loads(hook.asked[-1].body)
    assert code == 0 and content["title"] == "FLQ: the master has ended unexpectedly"
    assert content["type"] == "failure" and "--resume run_7" in content["message"]


@pytest.mark.parametrize("stream", [b"", b'{"is": "Began"', line_of(Ended(REASON, False, False, []))])
def test_a_stream_without_a_beginning_sends_nothing(stream, capsys):
    assert watch(io.BytesIO(stream), [TELEGRAM]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_test_reports_success_or_failure_of_each_service(run_stand_in, tmp_path):
    hook, refusing = run_stand_in(Service()), run_stand_in(Service(always=(401, {})))
    state = tmp_path / "state"
    state.mkdir()
    secrets = state / "notify"
    secrets.write_text(
        "json://127.0.0.1:%d/hooksecret\njson://127.0.0.1:%d/hooksecret\nnosuch://keysecret\n"
        % (hook.port, refusing.port)
    )
    secrets.chmod(0o600)
    code, said = notify([], b"", "--test", folder=tmp_path)
    assert code == 2 and said.splitlines() == [
        "address 3 of 3 for notifications is unknown to apprise or incomplete; docs/notifications.md has examples",
        "JSON (address 1): sent",
        "JSON (address 2): it answered with status 401: the token is wrong",
    ]
    assert json.loads(hook.asked[0].body)["title"] == "FLQ: a test"


def test_an_invalid_message_is_reported_and_ends_the_process(capsys):
    assert watch(io.BytesIO(b"{}\n"), [TELEGRAM]) == 0
    assert "a message of the master is invalid" in capsys.readouterr().err


def test_without_a_figure_the_text_is_sent_alone(monkeypatch, capsys):
    def breaks(rounds, title):
        raise RuntimeError("a bug")

    monkeypatch.setattr(process, "draw", breaks)
    settings = settings_with()
    assert process._picture(Policy(settings.notify, Began("run_7", settings, "", []), 0.0)) is None
    assert capsys.readouterr().err == "no figure is attached: RuntimeError\n"


def test_a_process_that_outlives_the_master_continues_without_a_log(monkeypatch):
    class Nobody:
        def write(self, text):
            raise BrokenPipeError(text)

    monkeypatch.setattr(sys, "stderr", Nobody())
    assert say("a") is None


ADDRESS = re.compile(r"`([a-z]+://[^`]+)`")
PLACES = {
    "xoxb-TOKEN": "xoxb-123456789012-123456789012-" + "a1" * 12,
    "T.../B.../...": "T1JJ3T3L2/A1BRTD4JD/" + "aB1" * 8,
    "tgram://TOKEN/CHAT": TELEGRAM,
    "SECRET@TOKEN": "SECabc123@" + "a1" * 20,
    "feishu://TOKEN": "feishu://" + "a1" * 10,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise imports what Python 3.13 does not have any more
def test_the_addresses_in_the_docs_are_valid_and_accept_figures_as_documented():
    with open(os.path.join(PROJECT, "docs", "notifications.md"), encoding="utf-8") as stream:
        rows = [row.strip("|\n ").split(" | ") for row in stream if ADDRESS.search(row) and row.startswith("| ")]
    assert len(rows) == 10
    for name, addresses, picture in rows:
        for address in ADDRESS.findall(addresses):
            for place, filled in PLACES.items():
                address = address.replace(place, filled)
            services, problems = services_of([address], 1.0)
            assert problems == [], name
            assert services[0].takes_pictures == (picture == "yes") or name == "Slack, web hook", name


def test_a_test_without_addresses_names_the_place_for_them(capsys):
    assert try_out(Secrets([], None), "state/notify") == 1
    assert "set FLQ_NOTIFY, or write one to state/notify" in capsys.readouterr().err
