"""Screenshots: docs/*.png, taken of a real pipeline: python -m tests.support.screenshots.

Kafka, Redis, consumer.py, dashboard.py and alerts.py get an hour of simulated events, and live
ones while a simulated incident begins, opens alerts, and is over. It takes about six minutes.
"""

import itertools
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from config import Settings
from logpipeline.kafka.outbox import Outbox
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.script import ROOT, Script
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from logpipeline.producer.simulator import incidents, simulate
from logpipeline.shutdown import Shutdown
from tests.support.browser import Tab, chromium
from tests.support.servers import started
from tests.support.waiting import until

DOCS = ROOT / "docs"
SEED, RATE = 97, 50.0  # whose first incident after the hour is a long one
HOUR = 3600.0
LEAD = 90.0  # seconds before the incident from which on events are sent as they happen
BEGUN, INTO = 3.0, 60.0  # seconds of the incident that are over
SLOW = 60_000.0  # milliseconds
OVER = 300_000.0  # milliseconds until the alerts must be over
SHOTS: dict[str, dict[str, Any]] = {
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        kafka = stack.enter_context(started(Kafka(folder / "kafka", free_port())))
        redis = stack.enter_context(started(Redis(folder / "redis", free_port())))
        settings = Settings(
            _env_file=None,
            kafka_bootstrap_servers=kafka.bootstrap,
            redis_url=redis.url,
            log_file=folder / "logs.txt",
            metrics_port=0,
            dashboard_port=free_port(),
        )
        for script in ("consumer", "dashboard", "alerts"):
            child = Script(script, [], variables(settings), lambda *line: print(*line))
            stack.callback(child.stop)
            child.start()
        stop = Shutdown()
        stack.callback(stop.request)
        begins, traffic = story()
        threading.Thread(target=send, args=[settings, traffic, stop]).start()
        browser = stack.enter_context(chromium())
        until(lambda: listens(settings.dashboard_port), 60)
        address = f"http://127.0.0.1:{settings.dashboard_port}"
        take(stack.enter_context(Tab(browser, address)), begins)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def story() -> tuple[float, Iterator[tuple[float, bytes, bytes]]]:
    """The Unix time at which an incident begins, and events without end, each with its own time,
    from an hour before."""
    begin = next(each.start for each in incidents(SEED) if each.start > HOUR)
    begins = time.time() + LEAD
    moments = (begins - begin + number / RATE for number in itertools.count())
    here, there = itertools.tee(moments)
    events = simulate(SEED, RATE, lambda: next(here))
    return begins, ((next(there), key, value) for key, value in events)


def send(settings: Settings, traffic: Iterator[tuple[float, bytes, bytes]], stop: Shutdown) -> None:
    """Send what lies in the past at once, and each event after it at its time."""
    outbox = Outbox.when_ready(settings, stop)
    assert outbox
    with closing(outbox):
        for moment, key, value in traffic:
            if stop.wait(moment - time.time()):
                break
            outbox.send(key, value)


def take(tab: Tab, begins: float) -> None:
    """The moments of the incident, and in its middle the page on each of SHOTS."""

    def shoot(page: Page, name: str) -> None:
        page.screenshot(path=DOCS / f"{name}.png")

    pages = {name: tab.open(timezone_id="Europe/Berlin", **how) for name, how in SHOTS.items()}
    page = pages["dark"]
    page.locator(".events li").first.wait_for()
    page.wait_for_timeout(1_000 * (begins + BEGUN - time.time()))
    shoot(page, "incident-1-begins")
    page.locator(".alerts .open .critical").wait_for()
    shoot(page, "incident-2-alert")
    page.wait_for_timeout(1_000 * max(0.0, begins + INTO - time.time()))
    for name, each in pages.items():
        shoot(each, f"dashboard-{name}")
    pages["phone"].close()
    search(pages["light"], f"{tab.address}/?q=failed&in=hour")
    page.locator(".failing button").first.click()
    page.locator(".chip[aria-pressed=true]").first.wait_for()
    page.wait_for_timeout(2_000)
    shoot(page, "incident-3-events")
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_text("No open alerts.").wait_for(timeout=OVER)
    shoot(page, "incident-4-over")


def search(page: Page, address: str) -> None:
    """What a search of the archive has found, and one of these events."""
    page.goto(address, timeout=SLOW)
    page.get_by_text("events in the archive match").wait_for(timeout=SLOW)
    page.wait_for_timeout(3_000)
    page.screenshot(path=DOCS / "dashboard-archive.png")
    page.locator(".events li button").nth(2).click()
    page.locator(".neighbours li").first.wait_for(timeout=SLOW)
    page.wait_for_timeout(500)  # the dialog moves
    page.screenshot(path=DOCS / "dashboard-event.png")


if __name__ == "__main__":
    main()
