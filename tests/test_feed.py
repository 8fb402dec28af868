"""The page's one reader of Redis, whatever it raises."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from config import Settings
from logpipeline.dashboard import redis_reader
from logpipeline.dashboard.entry import entry
from logpipeline.dashboard.feed import BUG, Feed
from logpipeline.dashboard.redis_reader import RedisReader
from logpipeline.dashboard.state import DashboardState
from logpipeline.supervision import Supervision
from tests.support.holding import Holding, event

log = logging.getLogger(__name__)

STEPS = (
    *("check_layout", "numbers", "list_key", "entry", "_entries", "_decoded", "DashboardState"),
    *("RedisReader._read", "RedisReader._alerts", "RedisReader._read_lists", "RedisReader._rate"),
)
ERRORS = (RuntimeError("a bug"), MemoryError(), RecursionError("too deep"), KeyError("x"))


@pytest.fixture
def failures() -> list[str]:
    """The steps that have failed."""
    return []


@pytest.fixture
def feed(redis_server: str, monkeypatch: pytest.MonkeyPatch, failures: list[str]) -> Iterator[Feed]:
    """That of a Redis with two events, an alert and what consumers report; without its pauses."""
    for name in (
        "logpipeline.supervision.FIRST",
        "logpipeline.supervision.MOST",
        "logpipeline.dashboard.feed.INTERVAL",
    ):
        monkeypatch.setattr(name, 0.01)
    key = f"feed-{secrets.token_hex(6)}"
    with redis.Redis.from_url(redis_server) as client:
        holding = Holding(client, key)
        holding.add(event(), event("ERROR"))
        holding.tell(lag=1, NaN=1)
        holding.alert("burst", "shop", "many errors")
        settings = Settings(_env_file=None, redis_url=redis_server, redis_key=key)
        with closing(RedisReader(settings)) as reader:
            yield Feed(reader, Supervision(log, settings, failures.append))
        client.unlink(*client.keys(f"{key}*"))


def break_step(
    monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, times: float
) -> list[Exception]:
    """Let a step of the reader raise so many times. Returns what it has raised so far."""
    owner: Any = RedisReader if step.startswith("RedisReader.") else redis_reader
    name = step.removeprefix("RedisReader.")
    inner = getattr(owner, name)
    raised: list[Exception] = []

    def raising(*args: Any, **kwargs: Any) -> Any:
        if len(raised) < times:
            raised.append(error)
            raise error.with_traceback(None)
        return inner(*args, **kwargs)

    monkeypatch.setattr(owner, name, raising)
    return raised


async def run(feed: Feed, until: Callable[[], bool]) -> None:
    """Let it read until then."""
    reader = asyncio.create_task(feed.run())
    with feed.watching():
        async with asyncio.timeout(20):
            while not until():
                await feed.after(feed.number)
    assert not reader.done()
    reader.cancel()


def tracebacks(caplog: pytest.LogCaptureFixture) -> int:
    return caplog.text.count("Traceback (most recent call last)")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_once_is_retried(
    feed: Feed,
    failures: list[str],
    step: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised = break_step(monkeypatch, step, error, times=1)
    with caplog.at_level(logging.INFO):
        asyncio.run(run(feed, lambda: feed.state is not None and not feed.problem))
    assert raised == [error]
    assert len(failures) == tracebacks(caplog) == 1
    assert "reading Redis works again after 1 unexpected error\n" in caplog.text
    state = feed.state
    assert state
    assert (len(state.lists[""]), state.lag, state.dead_letters) == (2, 1, {"NaN": 1})
    assert [alert.subject for alert in state.alerts or ()] == ["shop"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_always_fails_is_logged_once_and_makes_the_page_not_ready(
    feed: Feed,
    failures: list[str],
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    break_step(monkeypatch, step, RuntimeError("a bug"), times=float("inf"))

    async def works() -> bool:
        reader = asyncio.create_task(feed.run())
        answer = await feed.works()
        reader.cancel()
        return answer

    with caplog.at_level(logging.INFO):
        asyncio.run(run(feed, lambda: len(failures) >= 5))
        assert not asyncio.run(works())
    assert feed.problem == BUG
    assert tracebacks(caplog) == 1
    assert "a bug" in caplog.text
    monkeypatch.undo()
    asyncio.run(run(feed, lambda: not feed.problem))


def test_states_that_paused_tabs_hold_are_bounded_in_bytes() -> None:
    def state(number: int) -> DashboardState:
        line = event(message=f"{number} " + "x" * 2_000_000)
        return DashboardState(at=float(number), lists={"": [entry(str(number), line)]}, counts={})

    supervision = Supervision(logging.getLogger("test"))
    feed = Feed(None, supervision)  # type: ignore[arg-type]  # it does not read
    held = []
    for number in range(40):
        feed.state = state(number)
        held.append(feed.keep())
        assert feed.keep() == held[-1]  # another tab that pauses now
    feed.state = None
    alive = [number for number, each in enumerate(held) if each and each()]
    assert alive == [*range(40 - len(alive), 40)]
    assert 10 < len(alive) < 30
    newest = feed.newest_kept()
    assert newest
    assert newest() is (held[-1] and held[-1]())
