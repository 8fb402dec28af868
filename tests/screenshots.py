"""Screenshots: docs/dashboard-*.png, taken of a real pipeline: python -m tests.screenshots.

Kafka, Redis, consumer.py, dashboard.py, and alerts.py where there is one, get an hour of
simulated events, and live ones until a simulated incident has been going on for a minute.
"""

import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from config import Settings
from local.kafka import Kafka
from local.redis import Redis
from local.script import ROOT, Script
from local.server import free_port
from local.stack import variables
from pipeline.outbox import Outbox
from pipeline.simulator import incidents, simulate
from pipeline.stop import Stop
from tests.browser import Tab, chromium
from tests.servers import started

DOCS = ROOT / "docs"
SEED, RATE = 97, 50.0  # whose first incident after the hour is a long one
HOUR = 3600.0
INTO = 50.0  # seconds of the incident that are over
LIVE = 75.0  # seconds that are sent as they happen
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
            if (ROOT / f"{script}.py").exists():
                child = Script(script, [], variables(settings), lambda *line: print(*line))
                stack.callback(child.stop)
                child.start()
        stop = Stop()
        stack.callback(stop.request)
        until_now, traffic = story()
        thread = threading.Thread(target=send, args=[settings, traffic, stop])
        thread.start()
        stop.wait(until_now - time.time())
        with chromium() as browser:
            take(Tab(browser, f"http://127.0.0.1:{settings.dashboard_port}"))
        stop.request()
        thread.join()


def story() -> tuple[float, Iterator[tuple[float, bytes, bytes]]]:
    """The Unix time at which an incident will have been going on for INTO seconds, and events
    without end, each with its own time, from an hour before."""
    begin = next(each.start for each in incidents(SEED) if each.start > HOUR)
    end = time.time() + LIVE
    moments = (end - begin - INTO + number / RATE for number in itertools.count())
    here, there = itertools.tee(moments)
    events = simulate(SEED, RATE, lambda: next(here))
    return end, ((next(there), key, value) for key, value in events)


def send(settings: Settings, traffic: Iterator[tuple[float, bytes, bytes]], stop: Stop) -> None:
    """Send what lies in the past at once, and each event after it at its time."""
    outbox = Outbox.when_ready(settings, stop)
    assert outbox
    with closing(outbox):
        for moment, key, value in traffic:
            if stop.wait(moment - time.time()):
                break
            outbox.send(key, value)


def take(tab: Tab) -> None:
    with tab:
        pages = {name: tab.open(timezone_id="Europe/Berlin", **how) for name, how in SHOTS.items()}
        for name, page in pages.items():
            page.locator(".events li").first.wait_for()
            page.wait_for_timeout(2_500)
            page.screenshot(path=DOCS / f"dashboard-{name}.png")


if __name__ == "__main__":
    main()
