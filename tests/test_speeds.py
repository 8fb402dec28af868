"""Each thing that a person does on the live page, at 300 and at 5,000 events a second.

One Redis, one dashboard.py and one stream of events a speed are shared by the tests.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.support import axe, servers
from tests.support.browser import Tab
from tests.support.feeding import Feeding
from tests.support.forked import forked
from tests.support.hands import FOCUS, HITS, LIVE, PHONE, ROWS, SMALL, boxes, tab_to
from tests.support.holding import Holding, event
from tests.support.process import dashboard
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.server, pytest.mark.xdist_group("speeds")]

LONG = "a-very-long-service-name-" * 4 + "end"
SERVICES = [LONG, *(f"service-{number}" for number in range(1, 12))]
MESSAGES = (
    "order {0} \x1b[31mfailed\x1b[0m: see https://example.org/orders?id={0}",
    'order {0} got {{"order": {{"id": {0}}}}}',
    "order {0} was paid",
    "the card for order {0} was declined",
)


def made(number: int) -> bytes:
    """Of services whose order by errors changes all the time; five of each trace."""
    level = "CRITICAL" if number % 96 == 0 else "ERROR" if number % 12 == 0 else "INFO"
    service = SERVICES[(number + number // 50) % len(SERVICES)]
    fields = {"trace_id": f"t{number // 5}", "http": {"status": 500 if number % 4 == 3 else 200}}
    return event(level, MESSAGES[number % 4].format(number), service=service, **fields)


@dataclass(frozen=True)
class Live:
    """A page that is fed."""

    address: str
    holding: Holding
    redis: Redis


@pytest.fixture(scope="module", params=[300, 5_000], ids=["300/s", "5000/s"])
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("live")
    logs = folder / "logs.txt"
    with (
        servers.started(Redis(folder / "redis", free_port())) as server,
        redis.Redis.from_url(server.url) as client,
        dashboard(folder, forked, REDIS_URL=server.url, LOG_FILE=str(logs)) as (process, address),
        Feeding(Holding(client, "logs"), request.param, made, logs),
    ):
        until(lambda: client.llen("logs:CRITICAL") >= 20)
        yield Live(address, Holding(client, "logs"), server)
        assert "Traceback" not in process.output()


@pytest.fixture
def tab(browser: Browser, live: Live) -> Iterator[Tab]:
    with Tab(browser, live.address) as tab:
        yield tab
    live.holding.client.delete("logs:alerts", "logs:alerts:history", "logs:alerts:muted")


def number_in(text: str) -> int:
    return int(re.findall(r"order (\d+)", text)[0])


def opened(page: Page, row: int = 0) -> str:
    """Pause the list, and open the event of a row. Returns its message."""
    expect(page.locator(ROWS)).not_to_have_count(0)
    page.keyboard.press("p")
    expect(page.locator(".status")).to_have_text("Paused")
    page.locator(ROWS).nth(row).click()
    return page.get_by_role("dialog").locator("pre.message").inner_text()


def field(page: Page, name: str) -> str:
    """The value of a field in the dialog."""
    rows = page.get_by_role("dialog").locator("tr")
    named = rows.filter(has=page.locator("th", has_text=re.compile(f"^{re.escape(name)}$")))
    return named.locator("td").first.inner_text()


def test_a_trace_is_followed_from_an_event_into_the_archive(tab: Tab) -> None:
    page = tab.open()
    opened(page, 7)
    trace = field(page, "trace_id")
    page.get_by_role("dialog").locator(f'[data-term="trace_id:{trace}"]').click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_label("Search")).to_have_value(f"trace_id:{trace}")
    page.get_by_role("button", name="Older events are in the archive").click()
    expect(page.locator(".note")).to_contain_text("5 events in the archive match.")
    page.wait_for_function(f"({HITS})().length === 5")
    assert page.evaluate(HITS) == [trace] * 5
    page.locator(ROWS).first.click()
    page.get_by_role("dialog").locator('[data-term^="-service:"]').click()
    expect(page.locator(".note")).to_contain_text("4 events in the archive match.")


def test_an_event_its_fields_and_its_address_are_copied(tab: Tab) -> None:
    page = tab.open(permissions=["clipboard-read", "clipboard-write"])
    expect(page.locator(ROWS)).to_have_count(150)
    page.keyboard.press("p")
    expect(page.locator(".status")).to_have_text("Paused")
    box = boxes(page, ".events .message")[0]
    page.mouse.move(box["x"] + 2, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 8, steps=5)
    page.mouse.up()
    assert len(page.evaluate("getSelection().toString()")) > 5
    page.wait_for_timeout(LIVE)
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.evaluate("getSelection().empty()")

    page.locator(ROWS).first.click()
    dialog = page.get_by_role("dialog")
    message = dialog.locator("pre.message").inner_text()

    def copied(button: str) -> str:
        dialog.get_by_role("button", name=button, exact=True).first.click()
        expect(dialog.locator("[data-done]").first).to_be_visible()
        text: str = page.evaluate("navigator.clipboard.readText()")
        return text

    assert copied("Copy the message") == message
    whole = json.loads(copied("Copy the JSON"))
    assert number_in(whole["message"]) == number_in(message)
    assert copied("Copy") == field(page, "time")
    address = copied("Copy the address")
    assert address == page.url
    other = tab.open(address.removeprefix(tab.address))
    expect(other.get_by_role("dialog").locator("pre.message")).to_have_text(message)


def test_an_alert_leads_to_its_events_and_is_muted_for_a_day(tab: Tab, live: Live) -> None:
    levels = ["ERROR", "CRITICAL"]
    live.holding.alert("burst", "service-3", "service-3: 40 of 41", levels=levels)
    live.holding.alert("lag", "", "open for 85 s; last reading: 6,000 records behind", "over")
    page = tab.open()
    alert = page.locator(".alerts .open li")
    expect(page.locator(".alerts .past")).to_contain_text("open for 85 s; last reading: 6,000")
    page.get_by_role("button", name="Mute 1 day").click()
    expect(alert).to_contain_text(re.compile(r"muted until [A-Z]\w+ \d\d, \d\d:\d\d"))
    expect(page).to_have_title("Logs")
    alert.get_by_role("button").first.click()
    expect(page).to_have_url(re.compile("level=ERROR%2CCRITICAL&service=service-3&in=period"))
    expect(page.locator(".note")).to_contain_text("in the archive match")
    expect(page.locator(ROWS)).not_to_have_count(0)
    for row in page.locator(ROWS).all_inner_texts():
        assert re.search(r"(ERROR|CRITICAL)\s+service-3\b", row)


def test_the_search_knows_phrases_fields_and_patterns_and_marks_them(tab: Tab) -> None:
    page = tab.open()
    search = page.get_by_label("Search")
    search.fill('"was declined" -service-1 http.status>=500')
    expect(page.locator(".note")).to_contain_text("events in Redis match")
    marked = f"new Set(({HITS})())"  # again for each list
    page.wait_for_function(f"{marked}.size === 1 && {marked}.has('was declined')")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    for row in page.locator(ROWS).all_inner_texts():
        assert "was declined" in row
        assert not re.search(r"service-1", row)
    search.fill(r"/order \d+ was (paid|declined)/ trace_id:t5")
    expect(page.locator(".note")).to_contain_text("is searched in the archive: choose a time")
    page.locator(".source").click()
    page.get_by_role("option", name="Archive, last hour").click()
    expect(page.locator(".note")).to_contain_text("2 events in the archive match.")
    expect(page.locator(ROWS)).to_have_count(2)
    page.wait_for_function(f"({HITS})().length === 4")  # the trace of each, too
    expected = {"order 26 was paid", "order 27 was declined", "t5"}
    assert expected <= {*page.evaluate(HITS)}


def test_a_period_is_dragged_in_the_live_chart_and_left_again(tab: Tab) -> None:
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(150)
    box = boxes(page, ".plot-box")[0]
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 60, steps=4)
    expect(page.locator(".mark")).to_be_visible()
    page.wait_for_timeout(LIVE)  # the chart is drawn again meanwhile
    expect(page.locator(".mark")).to_be_visible()
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"in=period&from=\d+&to=\d+$"))
    begin, end = map(int, re.findall(r"(?:from|to)=(\d+)", page.url))
    assert 240 <= end - begin <= 480
    assert end > time.time() - 60
    expect(page.locator(".note")).to_contain_text("in the archive match")
    page.locator(".period").click()
    expect(page.locator(".status")).to_have_text("Live")


def test_all_that_redis_holds_can_be_scrolled_and_leads_to_the_archive(tab: Tab) -> None:
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(150)
    end = "(stream) => { stream.scrollTop = stream.scrollHeight }"
    page.locator(".stream").evaluate(end)
    expect(page.locator(".status")).to_have_text("Paused")
    newest = page.locator(ROWS).first.inner_text()
    for count in (450, 750, 1_000):
        expect(page.locator(ROWS)).to_have_count(count)
        page.locator(".stream").evaluate(end)
    assert page.locator(ROWS).first.inner_text() == newest
    page.get_by_role("button", name="Older events are in the archive").click()
    expect(page.locator(".note")).to_contain_text("in the archive match, the newest 500")


def test_tab_reaches_filters_and_list_while_all_is_redrawn(tab: Tab) -> None:
    page = tab.open()
    expect(page.locator(".failing button")).to_have_count(8)
    page.locator(".failing button").first.focus()
    for _ in range(30):
        page.wait_for_timeout(300)  # a redraw comes between some
        assert not page.evaluate("document.activeElement === document.body")
        if page.evaluate(FOCUS, ".events"):
            break
        page.keyboard.press("Tab")
    assert page.evaluate(FOCUS, ".events")


def test_arrows_keep_their_place_and_escape_returns_to_the_event(tab: Tab) -> None:
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(150)
    page.keyboard.press("ArrowDown")
    numbers = []
    for _ in range(6):
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(400)
        numbers.append(number_in(page.evaluate("document.activeElement.innerText")))
    assert numbers == [*range(numbers[0], numbers[0] - 6, -1)]
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text(f"order {numbers[-1]}")
    page.wait_for_timeout(LIVE)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert f"order {numbers[-1]}" in page.evaluate("document.activeElement.innerText")


def test_each_click_at_a_persons_pace_opens_the_event_under_the_mouse(tab: Tab) -> None:
    page = tab.open()
    dialog = page.get_by_role("dialog")
    expect(page.locator(ROWS)).to_have_count(150)
    for number in range(8):
        box = boxes(page, ROWS)[2 + number]
        x, y = box["x"] + 300, box["y"] + 10
        page.mouse.move(x, y, steps=4)
        seen = page.evaluate(
            "([x, y]) => document.elementFromPoint(x, y).closest('li').innerText", [x, y]
        )
        page.wait_for_timeout(350 * (1 + number % 3))
        page.mouse.down()
        page.wait_for_timeout(120)
        page.mouse.up()
        expect(dialog.locator("pre.message")).to_contain_text(f"order {number_in(seen)}")
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_be_hidden()
        page.mouse.move(5, 5)
    expect(page.locator(".status")).to_have_text("Live")


def test_chart_chips_tile_panel_and_alert_say_what_they_count(tab: Tab, live: Live) -> None:
    summary = "16.3% of about 1,000 events in 60 s are ERROR"
    live.holding.alert("error-share", "", summary, last=time.time() - 20)
    page = tab.open()
    chip = page.get_by_role("button", name=re.compile("^ERROR "))
    expect(chip).to_have_attribute("title", re.compile(r"^[\d,]+ events in the last hour$"))
    errors = page.locator(".tile").filter(has_text="Errors")
    expect(errors).to_contain_text("of the last 60 s")
    expect(errors).to_have_class(re.compile("bad"))
    share = float(re.findall(r"[\d.]+", errors.locator(".value").inner_text())[0])
    assert 7 < share < 10  # of 96 events, eight
    expect(page.locator(".failing h2")).to_contain_text("Errors by service, last 60 s")
    expect(page.locator(".failing")).to_contain_text("and 4 more")
    expect(page.locator(".alerts .open")).to_contain_text("below its bound for")
    page.get_by_label("Search").fill("nowhere")
    expect(page.locator(".chart h2")).to_have_text("Events per minute, all services and words")
    expect(page.locator(".counted")).to_have_text("per hour, all services and words")
    page.get_by_role("button", name="Last day").click()
    expect(chip).to_have_attribute("title", re.compile("events in the last day of all services"))


def test_a_long_name_is_whole_in_the_dialog_and_filters(tab: Tab) -> None:
    page = tab.open()
    page.locator(f'.failing [data-service="{LONG}"]').or_(page.locator(".failing ul")).first.hover()
    page.locator(".service-filter").click()
    page.get_by_role("option", name=LONG).click()
    expect(page).to_have_url(re.compile(f"service={LONG}"))
    expect(page.locator(".note")).to_contain_text("events in Redis match")
    opened(page)
    assert field(page, "service") == LONG


@pytest.mark.needs("npm")
def test_axe_finds_nothing_while_events_arrive(tab: Tab, live: Live) -> None:
    live.holding.alert("burst", "service-3", "service-3: 40 of 41")
    page = tab.open("/?q=order", color_scheme="dark")
    page.get_by_role("button", name="Mute 1 h").click()
    expect(page.locator(".alerts .open")).to_contain_text("muted until")
    expect(page.locator(ROWS)).to_have_count(150)
    page.keyboard.press("p")
    expect(page.locator(".status")).to_have_text("Paused")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator(f"body.body--{scheme}")).to_have_count(1)
        assert axe.violations(page) == []
    page.locator(ROWS).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert axe.violations(page, "[role=dialog]") == []


def test_a_phone_shows_events_first_for_a_thumb_and_says_the_zone(tab: Tab, live: Live) -> None:
    live.holding.alert("many-errors", "", "about 300 errors in 60 s")
    page = tab.open("/?level=ERROR", timezone_id="Asia/Tokyo", **PHONE)
    expect(page.locator(ROWS)).to_have_count(150)
    assert all(box["bottom"] <= 844 for box in boxes(page, ROWS)[:4])
    assert page.evaluate(SMALL) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tiles = page.locator(".tile dd")
    assert tiles.evaluate_all("(all) => all.every((each) => each.scrollWidth <= each.clientWidth)")
    expect(page.locator(".zone")).to_have_text("Asia/Tokyo")
    assert shown_hour(page) in hours("Asia/Tokyo")
    page.get_by_role("button", name="Asia/Tokyo").tap()
    expect(page.locator(".zone")).to_have_text("UTC")
    until(lambda: shown_hour(page) in hours("UTC"))
    page.locator(ROWS).first.tap()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_timeout(400)  # it moves
    assert page.evaluate(SMALL) == []


def shown_hour(page: Page) -> str:
    return page.locator(".events time").first.inner_text()[:2]


def hours(zone: str) -> set[str]:
    """The present hour, and the one of a minute ago."""
    now = datetime.now(UTC).astimezone(ZoneInfo(zone))
    return {f"{each:%H}" for each in (now, now - timedelta(minutes=1))}


def test_the_dialog_shows_json_links_and_the_future_and_the_next_event(
    tab: Tab, live: Live
) -> None:
    page = tab.open()
    message = page.get_by_role("dialog").locator("pre.message")
    number = number_in(opened(page))
    for step in (1, 2, 3, 4):  # of each kind of message one
        page.get_by_role("button", name="Next").click()
        expect(message).to_contain_text(f"order {number - step}")
        dialog = page.get_by_role("dialog")
        if (number - step) % 4 == 0:
            expect(message).to_contain_text("failed: see https://example.org")  # without colours
            expect(dialog.locator("a")).to_have_attribute("rel", "noopener noreferrer nofollow")
        if (number - step) % 4 == 1:
            expect(dialog.locator("pre.json")).to_contain_text(f'"id": {number - step}')
    page.get_by_role("button", name="Previous").click()
    expect(message).to_contain_text(f"order {number - 3}")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()

    live.holding.add(event("CRITICAL", "from the future", timestamp=time.time() + 3_600))
    page = tab.open("/?q=future")
    expect(page.locator(".events time")).to_have_text(re.compile("^in (59|60) min$|^in 1 h"))
    opened(page)
    expect(page.get_by_role("dialog")).to_contain_text("min in the future")


def test_the_keyboard_alone_does_everything(tab: Tab, live: Live) -> None:
    live.holding.alert("burst", "service-3", "service-3: 40 of 41", levels=["ERROR"])
    page = tab.open()
    press = page.keyboard.press
    expect(page.locator(".failing button")).to_have_count(8)
    for selector, result in (
        (".zone", re.compile("zone=local|zone=utc")),
        (".bar .q-btn:last-child", re.compile("theme=dark")),
        (".chart .head button:last-child", re.compile("span=day")),
    ):
        tab_to(page, selector)
        press("Enter")
        expect(page).to_have_url(result)
    tab_to(page, ".plot-box")
    for key in ("ArrowLeft", "Shift+ArrowLeft", "Enter"):
        press(key)
    expect(page).to_have_url(re.compile(r"in=period&from=(\d+)&to=(\d+)"))
    page.go_back()
    expect(page).not_to_have_url(re.compile("in=period"))
    tab_to(page, "[data-mute]")
    press("Enter")
    expect(page.locator(".alerts .open")).to_contain_text("muted until")
    tab_to(page, "[data-service]", "Shift+Tab")
    press("Enter")
    expect(page).to_have_url(re.compile("level=ERROR%2CCRITICAL&service="))
    page.go_back()  # Back undoes a filter
    expect(page).not_to_have_url(re.compile("service="))
    page.go_forward()
    expect(page).to_have_url(re.compile("level=ERROR%2CCRITICAL&service="))
    tab_to(page, ".note .clear")
    press("Enter")
    expect(page).not_to_have_url(re.compile("service="))
    tab_to(page, ".chip", "Shift+Tab")
    press("Space")
    expect(page).to_have_url(re.compile("level="))
    press("Space")
    expect(page).not_to_have_url(re.compile("level="))
    press("/")
    page.keyboard.type("order")
    expect(page).to_have_url(re.compile("q=order"))
    press("Escape")
    tab_to(page, ".source")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        press(key)
    expect(page).to_have_url(re.compile("in=(hour|day)"))
    expect(page.locator(".status")).to_have_text("Archive")
    press("Escape")
    page.go_back()
    expect(page).to_have_url(re.compile("q=order"))
    expect(page.locator(".status")).to_have_text("Live")
    press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Search and keys")
    press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    press("p")
    expect(page.locator(".pause")).to_have_attribute("aria-pressed", "true")
    press("j")
    press("Enter")
    message = page.get_by_role("dialog").locator("pre.message")
    first = message.inner_text()
    press("j")
    expect(message).not_to_have_text(first)
    press("k")
    expect(message).to_have_text(first)
    tab_to(page, "[data-term]")
    press("Enter")
    expect(page).to_have_url(re.compile(r"q=order\+"))
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_paused_list_survives_redis_with_a_banner(tab: Tab, live: Live) -> None:
    page = tab.open()
    expect(page.locator(ROWS)).to_have_count(150)
    page.keyboard.press("p")
    expect(page.locator(".status")).to_have_text("Paused")
    text = page.locator(ROWS).nth(2).inner_text()
    live.redis.kill()
    expect(page.locator(".banner")).to_contain_text("Cannot read Redis since")
    assert page.locator(ROWS).nth(2).inner_text() == text
    page.locator(ROWS).nth(2).click()
    expect(page.get_by_role("dialog")).to_contain_text(f"order {number_in(text)}")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    live.redis.start()
    expect(page.locator(".banner")).to_be_hidden()
