"""Page: what dashboard.py costs while events arrive: python -m bench.page.

A Redis of its own gets 5,000 events a second; tabs of a real Chromium are open. CPU time and memory
are those of dashboard.py alone. Exit status 1 when it is above its bounds.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from bench.usage import cpu_seconds, peak_megabytes
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.support.browser import Tab, chromium
from tests.support.holding import Holding
from tests.support.process import dashboard
from tests.support.servers import started

RATE = 5_000  # events a second
WARM, SECONDS = 8.0, 20.0
MEMORY = 130.0  # MB, with the most tabs
BOUNDS = {1: 5.0, 10: 15.0}  # tabs → % of a core
FEED = """
import sys, time, itertools, redis
from tests.support.feeding import Feeding
from tests.support.holding import Holding
with redis.Redis.from_url(sys.argv[1]) as client:
    with Feeding(Holding(client, "logs"), int(sys.argv[2])):
        time.sleep(3_600)
"""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-page-") as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(started(Redis(folder / "redis", free_port())))
        stack.enter_context(feeding(server.url))
        process, address = stack.enter_context(dashboard(folder, REDIS_URL=server.url))
        tab = stack.enter_context(Tab(stack.enter_context(chromium()), address))
        high = []
        opened = 0
        for tabs, bound in BOUNDS.items():
            pages = [tab.open() for _ in range(tabs - opened)]
            opened = tabs
            pages[-1].locator(".events li").first.wait_for()
            used = share(process.pid)
            memory = peak_megabytes(process.pid)
            rate = arriving(server.url)
            print(f"{tabs:3} tabs: {used:5.1f} % of a core, {memory:4.0f} MB, {rate:,.0f} events/s")
            if used > bound or memory > MEMORY:
                high.append(f"{tabs} tabs: must be at most {bound} % and {MEMORY:.0f} MB")
    print("\n".join(high))
    return 1 if high else 0


def share(pid: int) -> float:
    """The CPU time of a process in % of one core."""
    time.sleep(WARM)
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(SECONDS)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - began)


def arriving(url: str) -> float:
    """Events a second."""
    with redis.Redis.from_url(url) as client:
        key = f"{Holding(client, 'logs').key}:offsets"
        before, began = int(client.hget(key, "0") or 0), time.monotonic()
        time.sleep(2)
        return (int(client.hget(key, "0") or 0) - before) / (time.monotonic() - began)


@contextmanager
def feeding(url: str) -> Iterator[None]:
    """Events arrive, from a process of their own."""
    process = subprocess.Popen([sys.executable, "-c", FEED, url, str(RATE)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
