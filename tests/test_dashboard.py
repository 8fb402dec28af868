"""The web page in a real browser, over a real Redis."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from logpipeline.dashboard.feed import STEP
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.conftest import RunScript
from tests.support import servers
from tests.support.browser import PATIENCE, Tab, chromium
from tests.support.holding import Holding, event
from tests.support.process import dashboard
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.server, pytest.mark.xdist_group("page")]

ROWS = ".events li button"
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def module_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with servers.started(Redis(tmp_path_factory.mktemp("redis"), free_port())) as server:
        yield server


@pytest.fixture(scope="module")
def server(module_redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's address: one process for the tests of this module, as starting it takes long."""
    folder = tmp_path_factory.mktemp("dashboard")
    with dashboard(folder, REDIS_URL=module_redis.url) as (process, address):
        yield address
        assert "Traceback" not in process.output()


@pytest.fixture
def holding(module_redis: Redis) -> Iterator[Holding]:
    """An empty Redis, to fill."""
    with redis.Redis.from_url(module_redis.url) as client:
        client.flushall()
        yield Holding(client, "logs")


@pytest.fixture
def tab(browser: Browser, server: str) -> Iterator[Tab]:
    with Tab(browser, server) as tab:
        yield tab


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
        expect(page.locator(".board")).to_contain_text(words)
    expect(page).to_have_title("(1) Logs")
    expect(page.locator(".status")).to_have_text("Live")

    page.get_by_role("button", name=re.compile("^ERROR ")).click()
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".note")).to_contain_text("1 of the 3 events that Redis holds match")
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
    for words in ("card declined", "payments", "abc123", '"items": 3', "UTC", "As in Redis"):
        expect(dialog).to_contain_text(words)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()

    holding.alert("burst", "payments", "it was open for 60 s", "over")
    expect(page.locator(".alerts")).to_contain_text("None is open.")
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
    expect(page.locator(ROWS)).to_have_count(1)
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
    heights = {box["height"] for row in page.locator(ROWS).all() if (box := row.bounding_box())}
    assert len(heights) == 1

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


def test_an_empty_pipeline_and_a_redis_that_is_away_have_their_screens(
    browser: Browser, tmp_path: Path, own_redis: Redis
) -> None:
    url = own_redis.url.replace("//", "//:hush@")
    with dashboard(tmp_path, REDIS_URL=url) as (process, address), Tab(browser, address) as tab:
        page = tab.open()
        expect(page.locator(".screen")).to_contain_text("No events yet")
        with redis.Redis.from_url(own_redis.url) as client:
            Holding(client, "logs").add(event(message="the first one"))
        expect(page.locator(ROWS)).to_have_count(1)

        own_redis.kill()
        expect(page.locator(".screen")).to_contain_text("Redis can’t be read")
        expect(page.locator(".screen")).to_contain_text("redis://***@127.0.0.1")
        expect(page.locator(".board")).to_be_hidden()
        assert "hush" not in page.content()
        own_redis.start()
        expect(page.locator(ROWS)).to_be_visible()
        own_redis.pause()
        expect(page.locator(".status")).to_have_text("Redis is away")
        own_redis.resume()
        expect(page.locator(".status")).to_have_text("Live")
        assert process.output().count("Redis can't be read: ") == 2
        assert process.output().count("Redis can be read again") == 2

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
    began, before = time.monotonic(), looks(holding)
    for number in (2, 3):
        holding.add(event())
        for page in pages:
            expect(page.locator(ROWS)).to_have_count(number)
    assert 2 <= looks(holding) - before <= (time.monotonic() - began) / STEP + 2
    assert len(holding.client.client_list()) == 2  # this test and the page


def looks(holding: Holding) -> int:
    """How often the page has read the lists."""
    statistics = holding.client.info("commandstats")
    calls: int = statistics["cmdstat_eval_ro"]["calls"]
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


def test_a_password_is_asked_for_once(browser: Browser, tmp_path: Path, own_redis: Redis) -> None:
    secret = "correct horse"
    with (
        dashboard(tmp_path, REDIS_URL=own_redis.url, DASHBOARD_PASSWORD=secret) as (process, url),
        Tab(browser, url) as tab,
    ):
        page = tab.open()
        for given, answer in (("wrong", "That is not the password."), (secret, "No events yet")):
            page.get_by_label("Password").fill(given)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text(answer)).to_be_visible()
        page.reload()
        expect(page.get_by_text("No events yet")).to_be_visible()
        assert secret not in process.output()


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
        expect(page.locator(".tiles")).to_contain_text("600 in all")
        for script in (consumer, page_script):
            script.signal(signal.SIGINT)
            assert script.wait() == 0
