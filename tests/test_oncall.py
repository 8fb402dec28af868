"""What somebody on call does with the page: alerts, marks, links, zones, a phone, the keyboard."""

import logging
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from playwright.sync_api import Browser, expect

from logpipeline.alerts.alert import Alert
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.muting import Muting
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.dashboard.state import DashboardState
from logpipeline.localstack.redis import Redis
from logpipeline.supervision import Supervision
from tests.support import axe
from tests.support.browser import Tab
from tests.support.forked import forked
from tests.support.hands import HITS, PHONE, ROWS, SMALL, boxes
from tests.support.holding import Holding, event
from tests.support.process import dashboard

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.server, pytest.mark.xdist_group("hands")]

TOKYO = ZoneInfo("Asia/Tokyo")
MUTED = "logs:alerts:muted"


def test_an_alert_is_muted_for_an_hour_and_that_is_seen_and_ended(
    tab: Tab, holding: Holding
) -> None:
    holding.add(event())
    holding.alert("many-errors", "", "about 300 ERROR and CRITICAL events in 60 s (bound 100)")
    holding.alert("burst", "payments", "payments: 40 of 41")
    page = tab.open()
    expect(page).to_have_title("(2) Logs")
    page.get_by_role("button", name="Mute 1 h burst/payments").click()
    alert = page.locator(".alerts .open li").filter(has_text="payments")
    expect(alert).to_contain_text(re.compile(r"muted until .*\d\d:\d\d"))
    expect(page).to_have_title("(1) Logs")
    expect(page.locator(".tile").filter(has_text="Open alerts")).to_contain_text("1 muted")
    (until,) = holding.client.hgetall(MUTED).values()
    assert 3_500 < int(until) - time.time() <= 3_600
    assert 0 < holding.client.ttl(MUTED) <= 86_400
    alert.get_by_role("button", name="Unmute").click()
    expect(alert).to_contain_text("Mute 1 day")
    assert not holding.client.exists(MUTED)
    page.get_by_role("button", name="Mute 1 day burst/payments").click()
    expect(alert).to_contain_text(re.compile(r"muted until [A-Z]\w+ \d\d, \d\d:\d\d"))
    holding.client.delete(MUTED)  # Redis is emptied: so is the mute, and the page says so
    expect(alert).to_contain_text("Mute 1 h")


def test_strangers_see_no_button_to_mute_and_are_refused(
    browser: Browser, tmp_path: Path, own_redis: Redis
) -> None:
    variables = {"DASHBOARD_HOST": "0.0.0.0", "DASHBOARD_OPEN": "1"}  # noqa: S104
    with (
        dashboard(tmp_path, forked, REDIS_URL=own_redis.url, **variables) as (_, address),
        Tab(browser, address) as tab,
    ):
        with redis.Redis.from_url(own_redis.url) as client:
            holding = Holding(client, "logs")
            holding.add(event())
            holding.alert("many-errors", "", "about 300 errors")
        page = tab.open()
        expect(page.locator(".alerts .open li")).to_have_count(1)
        expect(page.get_by_role("button", name=re.compile("Mute"))).to_have_count(0)
        how = "To mute alerts here, set DASHBOARD_PASSWORD."
        expect(page.locator(".alerts")).to_contain_text(how)


BEYOND = {"dashboard_host": "0.0.0.0", "dashboard_open": 1}  # noqa: S104
KNOWN = {"dashboard_password": "p" * 8}


@pytest.mark.parametrize(
    ("options", "may"),
    [
        *(({}, True), (KNOWN, True), (BEYOND, False), (BEYOND | KNOWN, True)),
        (BEYOND | {"dashboard_published": "127.0.0.1"}, True),
        ({"dashboard_published": "10.0.0.1", "dashboard_open": 1}, False),
    ],
)
def test_only_this_machine_or_who_knows_the_password_may_mute(
    options: dict[str, Any], may: bool
) -> None:
    feed = AskedFeed(Alert("lag", "", "warning", "behind", 1.0, 1.0, 1.0))
    muting = Muting(feed, DashboardSettings(_env_file=None, **options), lambda: None)
    step = muting.do()  # without a loop of its own: playwright's runs here
    for sent in (None, 5, "", "3600", "7200 lag", "-1 lag", "3600 other", "3600 lag"):
        muting.ask(sent)
    with pytest.raises(StopIteration):
        step.send(None)
    assert feed.asked == ([("lag", 3_600)] if may else [])


class AskedFeed(Feed):
    """Records what it is asked to mute."""

    def __init__(self, alert: Alert) -> None:
        super().__init__(None, Supervision(logging.getLogger("test")))  # type: ignore[arg-type]
        self.state = DashboardState(at=1.0, lists={}, counts={}, alerts=[alert])
        self.asked: list[tuple[str, int]] = []

    async def mute(self, id_: str, seconds: int) -> str:
        self.asked.append((id_, seconds))
        return ""


def test_a_click_on_an_alert_shows_its_service_levels_and_time(tab: Tab, holding: Holding) -> None:
    holding.add(event(), event("ERROR", service="payments"))
    holding.alert("burst", "payments", "payments: 40 of 41", levels=["ERROR", "CRITICAL"])
    over = "open for 85 s; last reading: 6,000 records behind"
    holding.alert("lag", "", "6,000 records behind", at=time.time() - 85)
    holding.alert("lag", "", over, "over")
    page = tab.open()
    page.locator(".alerts .open button").first.click()
    expect(page).to_have_url(re.compile("level=ERROR%2CCRITICAL&service=payments&in=period"))
    page.locator(".period").click()
    past = page.locator(".alerts .past li").filter(has_text="resolved:")
    expect(past).to_contain_text(over)
    assert past.evaluate("(li) => li.scrollWidth <= li.clientWidth")  # it is not cut
    past.get_by_role("button").click()
    expect(page).to_have_url(re.compile(r"\?in=period&from="))
    begin, end = map(int, re.findall(r"(?:from|to)=(\d+)", page.url))
    assert 85 + 60 <= end - begin <= 85 + 60 + 3


def test_what_the_search_looks_for_is_marked(tab: Tab, holding: Holding) -> None:
    holding.add(event(message="Card declined, card 7", trace_id="t7", host="web-1"))
    page = tab.open("/?q=card+trace_id:t7+-nothing")
    expect(page.locator(ROWS)).to_have_count(1)
    page.wait_for_function(f"({HITS})().length === 3")
    assert page.evaluate(HITS) == ["Card", "card", "t7"]
    page.locator(ROWS).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_function(f"({HITS})().length === 9")  # and in its fields and its JSON
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear filters").click()
    page.wait_for_function(f"({HITS})().length === 0")


def test_json_links_colours_and_the_future_are_shown_as_such(tab: Tab, holding: Holding) -> None:
    text = "\x1b[31mfailed\x1b[0m: see https://example.org/a?b=1. Not javascript://x, got "
    holding.add(event(message=text + '{"order": {"id": 7}}', timestamp=time.time() + 3_600))
    page = tab.open()
    expect(page.locator(".events time")).to_have_text(re.compile("^in (59|60) min$|^in 1 h"))
    expect(page.locator(".events .message")).to_contain_text("failed: see https://example.org")
    page.locator(ROWS).click()
    dialog = page.get_by_role("dialog")
    link = dialog.locator("a")
    expect(link).to_have_attribute("href", "https://example.org/a?b=1")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(dialog.locator("pre.json")).to_contain_text('"order": {\n    "id": 7')
    expect(dialog).to_contain_text("min in the future")


def test_times_are_utc_where_time_zone_says_so_also_on_the_phone(
    browser: Browser, tmp_path: Path, own_redis: Redis
) -> None:
    now = time.time()
    utc, tokyo = (f"{datetime.fromtimestamp(now, zone):%H:%M:%S}" for zone in (UTC, TOKYO))
    with redis.Redis.from_url(own_redis.url) as client:
        Holding(client, "logs").add(event(timestamp=now))
    with (
        dashboard(tmp_path, forked, REDIS_URL=own_redis.url, TIME_ZONE="utc") as (_, address),
        Tab(browser, address) as tab,
    ):
        page = tab.open(timezone_id="Asia/Tokyo", **PHONE)
        expect(page.locator(".events time")).to_contain_text(utc)
        page.get_by_role("button", name="UTC").click()
        expect(page.locator(".events time")).to_contain_text(tokyo)
        expect(page.locator(".zone")).to_have_text("Asia/Tokyo")
        expect(page).to_have_url(re.compile("zone=local"))
        page.get_by_role("button", name="Asia/Tokyo").click()
        expect(page.locator(".events time")).to_contain_text(utc)


def test_a_thumb_reaches_all_and_the_events_are_on_the_first_screen(
    tab: Tab, holding: Holding
) -> None:
    holding.add(*[event("ERROR", "card declined " * 9, service="payments") for _ in range(30)])
    holding.alert("many-errors", "", "about 300 errors in 60 s")
    holding.tell(lag=12, broken_JSON=2)
    page = tab.open("/?q=card", **PHONE)
    expect(page.locator(ROWS)).to_have_count(30)
    assert all(box["bottom"] <= 844 for box in boxes(page, ROWS)[:4])
    assert page.evaluate(SMALL) == []
    chips = page.locator(".chip").all()
    assert all(chip.evaluate("(chip) => chip.scrollWidth <= chip.clientWidth") for chip in chips)
    page.locator(ROWS).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_timeout(400)  # it moves
    assert page.evaluate(SMALL) == []


@pytest.mark.needs("npm")
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_in_a_muted_alert_marks_and_links(
    tab: Tab, holding: Holding, scheme: str
) -> None:
    holding.add(event("ERROR", 'card https://example.org/ {"a": 1}', timestamp=time.time() + 99))
    holding.alert("many-errors", "", "about 300 errors")
    holding.alert("lag", "", "open for 85 s", "over")
    page = tab.open("/?q=card", color_scheme=scheme)
    page.get_by_role("button", name="Mute 1 h").click()
    expect(page.locator(".alerts .open")).to_contain_text("muted until")
    assert axe.violations(page) == []
    page.locator(ROWS).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert axe.violations(page, "[role=dialog]") == []
