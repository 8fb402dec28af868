"""The page's search of the archive, in a real browser, over a real archive and a real Redis."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.support import servers
from tests.support.browser import Tab
from tests.support.forked import forked
from tests.support.hands import ROWS, boxes
from tests.support.holding import Holding, event
from tests.support.process import dashboard
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.server, pytest.mark.xdist_group("page")]

BEGAN = time.time() - 7_200
COUNT = 6_000


HITS = '() => [...CSS.highlights.get("hit")].map(String)'


def line(number: int) -> bytes:
    """One a second from two hours ago on; five of each trace."""
    fields = {"trace_id": f"t{number // 5}", "http": {"status": 500 if number % 10 == 0 else 200}}
    level, service = ("INFO", "ERROR")[number % 10 == 0], ("auth", "pay")[number % 2]
    message = f"order {number} seen"
    return event(level, message, timestamp=BEGAN + number, service=service, **fields)


@pytest.fixture(scope="module")
def tab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("archive")
    logs = folder / "logs.txt"
    logs.write_bytes(b"".join(line(number) + b"\n" for number in range(COUNT)))
    with (
        servers.started(Redis(folder / "redis", free_port())) as server,
        redis.Redis.from_url(server.url) as client,
        dashboard(folder, forked, REDIS_URL=server.url, LOG_FILE=str(logs)) as (process, address),
        Tab(browser, address) as tab,
    ):
        Holding(client, "logs").add(*[line(number) for number in range(COUNT - 400, COUNT)])
        yield tab
        assert "Traceback" not in process.output()


def note(page: Page) -> str:
    return page.locator(".note p").first.inner_text()


def test_a_person_finds_a_trace_narrows_it_and_sends_the_address(tab: Tab) -> None:
    page = tab.open()
    page.get_by_label("Search Redis").fill("trace_id:t100")
    expect(page.locator(".note")).to_contain_text("None of the 400 events in Redis match")
    page.locator(".source").click()
    page.get_by_role("option", name="Archive, everything").click()
    expect(page.locator(".note")).to_contain_text("5 events in the archive match.")
    expect(page.locator(".status")).to_have_text("Archive")
    expect(page.locator(".pause")).to_be_hidden()  # nothing moves there
    messages = page.locator(".events .message").all_inner_texts()
    assert messages == [f"order {number} seen" for number in range(504, 499, -1)]
    expect(page).to_have_url(re.compile(r"q=trace_id%3At100&in=all$"))

    page.locator(ROWS).nth(1).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("pre.message")).to_have_text("order 503 seen")
    expect(dialog.locator(".neighbours li")).to_have_count(21)
    expect(dialog.locator(".neighbours [aria-current]")).to_contain_text("order 503 seen")
    expect(page).to_have_url(re.compile("event="))
    other = tab.open(page.url.removeprefix(tab.address))
    expect(other.get_by_role("dialog").locator("pre.message")).to_have_text("order 503 seen")

    dialog.locator('[data-term="-service:pay"]').click()
    expect(page.locator(".note")).to_contain_text("3 events in the archive match.")
    expect(page.get_by_label("Search the")).to_have_value("trace_id:t100 -service:pay")


def test_the_histogram_is_dragged_to_a_period_and_back(tab: Tab) -> None:
    page = tab.open("/?q=http.status:500&in=all")
    expect(page.locator(".note")).to_contain_text("600 events in the archive match")
    expect(page.locator(".chart h2")).to_have_text("Found in the archive")
    expect(page.get_by_role("button", name=re.compile("^ERROR"))).to_contain_text("600")
    box = boxes(page, ".plot-box")[0]
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=4)
    expect(page.locator(".mark")).to_be_visible()
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"in=period&from=\d+&to=\d+$"))
    expect(page.locator(".period")).to_contain_text("back to live")
    until(lambda: 20 < page.locator(ROWS).count() < 200, message=note(page))
    page.go_back()
    expect(page.locator(".note")).to_contain_text("600 events in the archive match")


def test_the_keyboard_chooses_a_period_of_the_live_chart(tab: Tab) -> None:
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(150)
    page.locator(".plot-box").focus()
    for key in ("ArrowLeft", "ArrowLeft", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile(r"in=period&from=(\d+)&to=(\d+)$"))
    begin, end = map(int, re.findall(r"(?:from|to)=(\d+)", page.url))
    assert end - begin == 120
    page.locator(".period").click()
    expect(page.locator(".status")).not_to_have_text("Archive")


def test_the_next_word_ends_the_search_before_and_what_is_wrong_is_said(tab: Tab) -> None:
    page = tab.open("/?in=all")
    expect(page.locator(".note")).to_contain_text(
        "6,000 events in the archive match, the newest 500 are shown."
    )
    search = page.get_by_label("Search the")
    search.fill("order 12")
    search.fill('"order 4711"')
    expect(page.locator(".note")).to_contain_text("1 event in the archive matches.")
    search.fill("/order 47(1[12]|20) /")
    expect(page.locator(".note")).to_contain_text("3 events in the archive match.")
    expect(page.locator(ROWS)).to_have_count(3)
    page.wait_for_function(f"({HITS})().length === 3")
    assert page.evaluate(HITS) == [f"order {number} " for number in (4720, 4712, 4711)]
    search.fill("/(/")
    expect(page.locator(".note")).to_contain_text("must be a regular expression")
    until(lambda: not engines(), message="a search still runs")


def test_all_that_redis_holds_can_be_scrolled(tab: Tab) -> None:
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(150)
    for _ in range(3):
        page.locator(".stream").evaluate("(stream) => { stream.scrollTop = stream.scrollHeight }")
        page.wait_for_timeout(1_000)
    expect(page.locator(ROWS)).to_have_count(400)
    page.get_by_role("button", name="Older events are in the archive").click()
    expect(page.locator(".note")).to_contain_text("6,000 events in the archive match")


def test_next_previous_help_and_utc(tab: Tab) -> None:
    page = tab.open(timezone_id="Asia/Tokyo")
    expect(page.locator(ROWS)).to_have_count(150)
    page.locator(ROWS).first.click()
    message = page.get_by_role("dialog").locator("pre.message")
    expect(message).to_have_text("order 5999 seen")
    page.keyboard.press("j")
    expect(message).to_have_text("order 5998 seen")
    page.get_by_role("button", name="Previous").click()
    expect(message).to_have_text("order 5999 seen")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Asia/Tokyo").click()
    expect(page.locator(".hint")).to_contain_text("Times in UTC")
    expect(page).to_have_url(re.compile("zone=utc"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("a regular expression")


def engines() -> list[bytes]:
    """The command lines of the searches that run."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(each.read_bytes())
    return [command for command in found if b"logpipeline.find.engine\0--log-file" in command]
