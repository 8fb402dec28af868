"""The web page in a real browser, over a real Redis."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from logpipeline.dashboard.feed import INTERVAL
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.conftest import RunScript
from tests.support.browser import Tab
from tests.support.forked import forked
from tests.support.hands import ROWS, boxes
from tests.support.holding import Holding, event
from tests.support.process import ROOT, Process, dashboard
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.server, pytest.mark.xdist_group("page")]

HOSTILE = {
    "html": "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>&lt;b&gt;",
    "vue": "{{ constructor.constructor('window.pwned=1')() }} ${window.pwned=1} `",
    "quotes": "\"' onmouseover=window.pwned=1 x='",
    "controls": "a\x00b\x1b[2J\x07\r\n\u2028c\x9b31m",
    "direction": "user \u202egnp.exe\u2066 \u05d0\u05d1\u05d2 end",
    "marks": "Z" + "\u0301\u0322\u0489" * 60,
    "surrogate": "half \ud83d of one",
    "long word": "w" * 5_000,
    "megabyte": "<b>m</b>" * 120_000,
}


# How the worst contrast of text on the page is found: WCAG 2's ratio against the panel.
CONTRASTS = """(selector) => {
    const parse = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const light = (colour) => parse(colour)
        .map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = light(getComputedStyle(document.querySelector(".log")).backgroundColor);
    return Math.min(...[...document.querySelectorAll(selector)].map((element) => {
        const ink = light(getComputedStyle(element).color);
        return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    }));
}"""


def shown(page: Page) -> list[str]:
    """The messages in the list, newest first."""
    return page.locator(".events .message").all_inner_texts()


def test_a_person_sees_filters_searches_and_opens_events(tab: Tab, holding: Holding) -> None:
    holding.add(
        event(message="user 7 logged in", service="auth"),
        event("ERROR", "card declined", service="payments", trace_id="abc123", cart={"items": 3}),
        event("fatal", "no space left", service="payments"),
    )
    holding.tell(lag=12, broken_JSON=2)
    holding.alert("burst", "payments", "14 times its usual errors")
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(3)
    for words in ("12", "2", "broken JSON", "payments", "14 times its usual errors", "66.7"):
        expect(page.locator(".dashboard")).to_contain_text(words)
    expect(page).to_have_title("(1) Logs")
    expect(page.locator(".status")).to_have_text("Live")

    page.get_by_role("button", name=re.compile("^ERROR ")).click()
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".note")).to_contain_text("1 of the 3 events in Redis match")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator(ROWS)).to_have_count(3)

    page.get_by_label("Search").fill("LOGGED 7")
    expect(page.locator(ROWS)).to_have_count(1)
    page.get_by_label("Search").fill("nowhere")
    expect(page.locator(".note")).to_contain_text("None of the 3 events")
    page.get_by_role("button", name="Clear filters").click()

    page.get_by_role("button", name="payments: 2 errors").click()
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page).to_have_url(re.compile(r"level=ERROR%2CCRITICAL&service=payments$"))
    page.reload()
    expect(page.locator(ROWS)).to_have_count(2)

    page.locator(ROWS).filter(has_text="card declined").click()
    dialog = page.get_by_role("dialog")
    for words in ("card declined", "payments", "abc123", '"items": 3', "UTC", "As received"):
        expect(dialog).to_contain_text(words)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()

    holding.alert("burst", "payments", "open for 60 s", "over")
    expect(page.locator(".alerts")).to_contain_text("No open alerts.")
    expect(page).to_have_title("Logs")


def test_the_keyboard_is_enough(tab: Tab, holding: Holding) -> None:
    holding.add(*[event(message=f"event {number}") for number in range(5)])
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(5)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(ROWS).nth(1)).to_be_focused()
    expect(page.locator(".status")).to_have_text("Paused")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("event 3")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(ROWS).nth(1)).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("event 4")
    expect(page.locator(ROWS)).to_have_count(1)


def test_a_paused_list_stands_still_and_counts_what_is_newer(tab: Tab, holding: Holding) -> None:
    holding.add(event(message="before"))
    page = tab.open()
    expect(page.locator(ROWS)).to_contain_text("before")
    page.keyboard.press("p")
    expect(page.locator(".status")).to_have_text("Paused")
    holding.add(event(message="after"), event(message="after"))
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_contain_text("2 newer")
    assert shown(page) == ["before"]
    resume.click()
    expect(page.locator(ROWS)).to_have_count(3)
    expect(page.locator(".status")).to_have_text("Live")

    holding.add(*[event() for _ in range(100)])
    expect(page.locator(ROWS)).to_have_count(103)
    page.locator(".stream").evaluate("(stream) => { stream.scrollTop = 300 }")
    expect(page.locator(".status")).to_have_text("Paused")
    page.locator(".stream").evaluate("(stream) => { stream.scrollTop = 0 }")
    expect(page.locator(".status")).to_have_text("Live")


def test_hostile_text_is_text_and_breaks_nothing(tab: Tab, holding: Holding) -> None:
    for text in HOSTILE.values():
        some = text[:2_000]
        holding.add(event("ERROR", text, service=some, **{some: some, "more": [some]}))
        holding.alert(some, some, text)
        holding.client.hset("logs:dead-letters", some.encode("utf-8", "surrogatepass"), 1)
    holding.add(b"\xff<script>window.pwned=1</script>", b"[" * 100_000)
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(len(HOSTILE) + 2)
    texts = "\n".join(shown(page))
    assert HOSTILE["html"] in texts
    assert HOSTILE["vue"] in texts
    assert r"a\x00b\x1b[2J\x07\r\n\u2028c\x9b31m" in texts
    assert r"user \u202egnp.exe\u2066 אבג end" in texts
    assert r"half \ud83d of one" in texts
    assert max(map(len, shown(page))) <= 500
    assert len({box["height"] for box in boxes(page, ROWS)}) == 1

    for number in range(len(HOSTILE) + 2):
        page.locator(ROWS).nth(number).click()
        dialog = page.get_by_role("dialog")
        expect(dialog.locator("pre.message")).to_be_visible()
        assert len(dialog.inner_text()) < 100_000
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_be_hidden()
    assert page.evaluate("window.pwned") is None
    assert page.locator("script[src], img").evaluate_all("(all) => all.length") < 10
    assert page.locator(".page :is(script, img, b b)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    holding.add(event(message="still alive"))
    expect(page.locator(".events .message").first).to_have_text("still alive")


def test_an_empty_pipeline_and_an_unavailable_redis_have_their_screens(
    browser: Browser, tmp_path: Path, own_redis: Redis
) -> None:
    url = own_redis.url.replace("//", "//:hush@")
    with (
        dashboard(tmp_path, forked, REDIS_URL=url) as (process, address),
        Tab(browser, address) as tab,
    ):
        page = tab.open()
        expect(page.locator(".screen")).to_contain_text("No events yet")
        with redis.Redis.from_url(own_redis.url) as client:
            Holding(client, "logs").add(event(message="the first one"))
        expect(page.locator(ROWS)).to_have_count(1)

        own_redis.kill()
        expect(page.locator(".screen")).to_contain_text("Cannot read Redis")
        expect(page.locator(".screen")).to_contain_text("redis://***@127.0.0.1")
        expect(page.locator(".dashboard")).to_be_hidden()
        assert "hush" not in page.content()
        own_redis.start()
        expect(page.locator(ROWS)).to_be_visible()
        own_redis.pause()
        expect(page.locator(".status")).to_have_text("Redis unavailable")
        own_redis.resume()
        expect(page.locator(".status")).to_have_text("Live")
        assert process.output().count("cannot read Redis, retrying: ") == 2
        assert process.output().count("Redis available again") == 2

        began = time.monotonic()
        process.terminate()
        assert process.wait() == 0
        assert time.monotonic() - began < 8
        expect(page.get_by_text("Connection lost.")).to_be_visible()
        assert "Traceback" not in process.output()


def test_many_tabs_cost_redis_no_more_than_one(tab: Tab, holding: Holding) -> None:
    pages = [tab.open() for _ in range(3)]
    holding.add(event())
    for page in pages:
        expect(page.locator(ROWS)).to_have_count(1)
    began, before = time.monotonic(), reads(holding)
    for number in (2, 3):
        holding.add(event())
        for page in pages:
            expect(page.locator(ROWS)).to_have_count(number)
    assert 2 <= reads(holding) - before <= (time.monotonic() - began) / INTERVAL + 2
    assert len(holding.client.client_list()) == 2  # this test and the page


def reads(holding: Holding) -> int:
    """How often the page has read Redis: it checks the layout's version each time."""
    statistics = holding.client.info("commandstats")
    calls: int = statistics["cmdstat_mget"]["calls"]
    return calls


def test_at_thousands_a_second_it_shows_a_sample_and_keeps_up(tab: Tab, holding: Holding) -> None:
    page = tab.open()
    note = page.locator(".note")
    number = 0
    deadline = time.monotonic() + 30
    while "this is a sample" not in note.inner_text():
        assert time.monotonic() < deadline, note.inner_text()
        holding.add(*[event(message=str(number := number + 1)) for _ in range(1_000)])
        page.wait_for_timeout(100)
    newest = number
    until(lambda: int(shown(page)[0]) >= newest, message="the page fell behind")
    assert page.locator(ROWS).count() == 150


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_a_phone_and_is_legible_in(tab: Tab, holding: Holding, scheme: str) -> None:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    holding.add(*[event(level, "x" * 300, service="y" * 300) for level in levels])
    size = {"width": 390, "height": 844}
    page = tab.open(color_scheme=scheme, viewport=size, timezone_id="Asia/Tokyo", has_touch=True)
    expect(page.locator(ROWS)).to_have_count(5)
    assert page.locator(f"body.body--{scheme}").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    texts = ".events :is(time, .level, .message), .tile :is(dt, dd), .note p, .chip, .panel h2"
    assert page.evaluate(CONTRASTS, texts) >= 4.5
    page.locator(ROWS).first.tap()
    expect(page.get_by_role("dialog")).to_contain_text("Asia/Tokyo (+0900)")


@pytest.mark.parametrize("part", ["nicegui.js", "live.js", "nicegui.css"])
def test_a_part_that_does_not_arrive_is_loaded_again(tab: Tab, holding: Holding, part: str) -> None:
    holding.add(event())
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(1)
    page.route(f"**/{part}", lambda route: route.abort("internetdisconnected"), times=2)
    with page.expect_event("requestfailed"):
        page.reload()
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".nicegui-error-popup").first).to_have_css("position", "fixed")


def test_while_a_part_does_not_arrive_the_page_says_so(tab: Tab, holding: Holding) -> None:
    holding.add(event())
    page = tab.open()
    page.route("**/vue.*.js", lambda route: route.abort("internetdisconnected"))
    page.reload()
    expect(page.get_by_text("A part of this page did not arrive. Reloading")).to_be_visible()
    page.unroute_all()
    expect(page.locator(ROWS)).to_have_count(1)


def test_a_password_is_asked_for_once(browser: Browser, tmp_path: Path, own_redis: Redis) -> None:
    secret = "correct horse"
    with (
        dashboard(tmp_path, forked, REDIS_URL=own_redis.url, DASHBOARD_PASSWORD=secret) as (
            process,
            url,
        ),
        Tab(browser, url) as tab,
    ):
        page = tab.open()
        for given, answer in (("wrong", "Wrong password."), (secret, "No events yet")):
            page.get_by_label("Password").fill(given)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text(answer)).to_be_visible()
        page.reload()
        expect(page.get_by_text("No events yet")).to_be_visible()
        assert secret not in process.output()


def test_a_huge_search_is_cut_and_keeps_nobody_waiting(tab: Tab, holding: Holding) -> None:
    holding.add(event(message="a needle"), *[event(message="a " * 1_000) for _ in range(300)])
    page = tab.open("/?q=" + "a+" * 7_000)
    expect(page.locator(".note")).to_contain_text("301 of the 301 events")
    other = tab.open()
    for text in ("a " * 30_000, "needle " * 9_000):
        page.get_by_label("Search").evaluate(
            """(input, text) => {
                input.removeAttribute("maxlength");
                input.value = text;
                input.dispatchEvent(new Event("input"));
            }""",
            text,
        )
    expect(page.locator(".note")).to_contain_text("1 of the 301 events")
    expect(page).to_have_url(re.compile(r"\?q=(needle\+){20,29}[a-z]*\+?$"))
    expect(other.locator(ROWS)).to_have_count(150)


def test_ten_thousand_services_are_some_and_how_many_more(tab: Tab, holding: Holding) -> None:
    holding.add(*[event("ERROR", service=f"service {number}") for number in range(10_000)])
    holding.add(*[event("ERROR", service="the worst")] * 5)
    page = tab.open()
    expect(page.locator(".failing")).to_contain_text("the worst")
    expect(page.locator(".failing")).to_contain_text("and 988 more")
    expect(page.locator(".service-filter")).to_contain_text("Service (and 896 more)")
    expect(page.locator(".failing h2")).to_contain_text("last 60 s, estimated from the newest")
    page.get_by_role("button", name=re.compile("the worst: .* errors")).click()
    expect(page.locator(ROWS)).to_have_count(5)


def test_a_megabyte_in_each_event_is_shown_and_searched(tab: Tab, holding: Holding) -> None:
    big = b'"x":[' + b"[]," * 2**18 + b"0]}"
    holding.add(*[event("ERROR", f"big {n}")[:-1] + b"," + big for n in range(40)])
    page = tab.open("/?level=ERROR")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator(".note")).to_contain_text("are too large to show")
    page.locator(ROWS).first.click()
    expect(page.get_by_role("dialog")).to_contain_text("more characters are in the archive")


# Runs the page with steps of showing it that raise: each once, or the first one for ever.
BREAKING = """
import sys
from logpipeline import supervision
from logpipeline.dashboard import chart, event_list, panels, viewer

supervision.FIRST = supervision.MOST = 0.05


def break_step(owner, name, times):
    inner, left = getattr(owner, name), [times]

    def step(*args, **kwargs):
        left[0] -= 1
        if left[0] >= 0:
            raise type(name, (RuntimeError,), {})("a bug")
        return inner(*args, **kwargs)

    setattr(owner, name, step)


STEPS = (
    *((viewer.PageQuery, "parse"), (panels, "tiles"), (panels, "failing"), (panels, "alerts")),
    *((chart, "options"), (event_list, "rows"), (event_list, "note")),
    (viewer.Layout, "set_services"),
)
times = float(sys.argv.pop())
for owner, name in STEPS:
    break_step(owner, name, times)

import dashboard

sys.exit(dashboard.main())
"""


@contextmanager
def breaking(folder: Path, times: str, **variables: str) -> Iterator[tuple[Process, str]]:
    port = free_port()
    environment = os.environ | variables | {"DASHBOARD_PORT": str(port), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BREAKING, times]
    process = Process(command, folder / "breaking.output", environment)
    try:
        process.wait_for("the page is at")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()


@pytest.mark.parametrize("times", ["1", "inf"])
def test_a_step_of_showing_the_page_that_fails_is_retried_and_logged_once(
    browser: Browser, page_redis: Redis, holding: Holding, tmp_path: Path, times: str
) -> None:
    holding.add(event(message="shown"))
    with (
        breaking(tmp_path, times, REDIS_URL=page_redis.url) as (process, address),
        Tab(browser, address) as tab,
    ):
        page = tab.open()
        if times == "1":
            expect(page.locator(ROWS)).to_have_count(1)
            process.wait_for("showing the page works again after 8 unexpected errors")
            said = 8
        else:
            process.wait_for("tiles: a bug")
            page.wait_for_timeout(3_000)  # several looks
            said = 2
            expect(page.locator(".status")).to_have_text("Live")
        assert process.output().count("Traceback") == said
        assert process.output().count("parse: a bug") == 1


def test_another_sites_page_opens_no_socket_and_reads_nothing(
    browser: Browser, tab: Tab, page_address: str, holding: Holding
) -> None:
    holding.add(event(message="secret"))
    expect(tab.open().locator(ROWS)).to_have_count(1)  # the visitor sees it
    here = urlsplit(page_address).netloc
    with elsewhere() as port:
        for other in (f"http://localhost:{port}", f"http://127.0.0.1:{port}"):
            context = browser.new_context()
            page = context.new_page()
            page.goto(other)
            for url in (here, here.replace("127.0.0.1", "localhost")):
                assert page.evaluate(SOCKET, f"ws://{url}") == "refused"
                assert page.evaluate(FETCH, f"http://{url}/") == "refused"
                assert page.evaluate(FRAME, f"http://{url}/") == "refused"
            page.goto(other)
            page.evaluate("(url) => { location.href = url }", f"{page_address}/?q=secret")  # a link
            expect(page.locator(ROWS)).to_have_count(1)
            context.close()


SOCKET = """(url) => new Promise((done) => {
    const path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket";
    const socket = new WebSocket(url + path);
    socket.onopen = () => done("opened");
    socket.onerror = () => done("refused");
})"""
FETCH = """async (url) => {
    for (const mode of ["cors", "no-cors"]) {
        const path = url + "_nicegui_ws/socket.io/?EIO=4&transport=polling";
        for (const each of [url, path]) {
            try {
                const answer = await fetch(each, { mode, credentials: "include" });
                if (answer.ok || (await answer.text())) return "read";
            } catch {}
        }
    }
    return "refused";
}"""
FRAME = """(url) => new Promise((done) => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.onload = () => done(frame.contentDocument ? "read" : "refused");
    frame.src = url;
})"""


@contextmanager
def elsewhere() -> Iterator[int]:
    """Another site's server: its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield other.server_port
        other.shutdown()


def test_a_real_pipeline_is_seen(browser: Browser, run_script: RunScript, tmp_path: Path) -> None:
    port = free_port()
    page_script = run_script("dashboard.py", "--dashboard-port", str(port))
    consumer = run_script("consumer.py")
    producer = run_script(
        "producer.py", "--count", "600", "--rate", "200", "--malformed", "0.05", "--seed", "1"
    )
    page_script.wait_for("the page is at")
    with Tab(browser, f"http://127.0.0.1:{port}") as tab:
        page = tab.open()
        expect(page.locator(ROWS)).to_have_count(150)
        assert producer.wait(60) == 0
        expect(page.locator(".tiles")).to_contain_text("600 in total")
        for script in (consumer, page_script):
            script.signal(signal.SIGINT)
            assert script.wait() == 0
