"""The page's one reader of Redis, whatever happens in it."""

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
from logpipeline.dashboard.unforeseen import Unforeseen
from tests.support.holding import Holding, event

STEPS = (
    *("check_layout", "numbers", "list_key", "entry", "_entries", "_decoded", "DashboardState"),
    *("RedisReader._take", "RedisReader._alerts", "RedisReader._read_lists", "RedisReader._rate"),
)
ERRORS = (RuntimeError("a bug"), MemoryError(), RecursionError("too deep"), KeyError("x"))


@pytest.fixture
def feed(redis_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """That of a Redis with two events, an alert and what consumers tell; without its pauses."""
    for name in (
        "logpipeline.dashboard.unforeseen.FIRST",
        "logpipeline.dashboard.unforeseen.MOST",
        "logpipeline.dashboard.feed.STEP",
    ):
        monkeypatch.setattr(name, 0.01)
    key = f"feed-{secrets.token_hex(6)}"
    with redis.Redis.from_url(redis_server) as client:
        holding = Holding(client, key)
        holding.add(event(), event("ERROR"))
        holding.tell(lag=1, NaN=1)
        holding.alert("burst", "shop", "many errors")
        settings = Settings(_env_file=None, redis_url=redis_server, redis_key=key)
        with closing(RedisReader(settings)) as look:
            yield Feed(look)
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
            raise error
        return inner(*args, **kwargs)

    monkeypatch.setattr(owner, name, raising)
    return raised


async def looked(feed: Feed, until: Callable[[], bool]) -> None:
    """Let it look until then."""
    reader = asyncio.create_task(feed.run())
    with feed.watching():
        async with asyncio.timeout(20):
            while not until():
                await feed.after(feed.number)
    assert not reader.done()
    reader.cancel()


def tracebacks(caplog: pytest.LogCaptureFixture) -> int:
    return sum(bool(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_once_is_tried_again(
    feed: Feed,
    step: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised = break_step(monkeypatch, step, error, times=1)
    with caplog.at_level(logging.INFO):
        asyncio.run(looked(feed, lambda: feed.board is not None and not feed.problem))
    assert raised == [error]
    assert feed.unforeseen.count == tracebacks(caplog) == 1
    assert "reading Redis works again, failures: 1" in caplog.text
    board = feed.board
    assert board
    assert (len(board.lists[""]), board.lag, board.dead_letters) == (2, 1, {"NaN": 1})
    assert [alert.subject for alert in board.alerts or ()] == ["shop"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_for_ever_is_said_once_and_makes_the_page_not_ready(
    feed: Feed, step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    break_step(monkeypatch, step, RuntimeError("a bug"), times=float("inf"))

    async def works() -> bool:
        reader = asyncio.create_task(feed.run())
        answer = await feed.works()
        reader.cancel()
        return answer

    with caplog.at_level(logging.INFO):
        asyncio.run(looked(feed, lambda: feed.unforeseen.count >= 5))
        assert not asyncio.run(works())
    assert feed.problem == BUG
    assert tracebacks(caplog) == 1
    assert "a bug" in caplog.text
    monkeypatch.undo()
    asyncio.run(looked(feed, lambda: not feed.problem))


def test_each_try_waits_longer_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    unforeseen = Unforeseen(logging.getLogger("test"), "looking")
    waits = [unforeseen.failed(ValueError("x")) for _ in range(100)]
    assert waits[:6] == [1, 2, 4, 8, 16, 30]
    assert max(waits) == 30
    assert tracebacks(caplog) == 1
    unforeseen.failed(KeyError("another"))
    assert tracebacks(caplog) == 2
    unforeseen.succeeded()
    assert unforeseen.failed(ValueError("x")) == 1
    assert (tracebacks(caplog), unforeseen.count) == (3, 102)


def test_looks_that_lists_stand_still_at_are_bounded_in_bytes() -> None:
    def board(number: int) -> DashboardState:
        line = event(message=f"{number} " + "x" * 2_000_000)
        return DashboardState(at=float(number), lists={"": [entry(str(number), line)]}, counts={})

    feed = Feed(None)  # type: ignore[arg-type]  # it is not looked
    held = []
    for number in range(100):
        feed.board = board(number)
        held.append(feed.keep())
        assert feed.keep() == held[-1]  # another tab that pauses now
    feed.board = None
    alive = [number for number, each in enumerate(held) if each and each()]
    assert alive == [*range(100 - len(alive), 100)]
    assert 10 < len(alive) < 30
    newest = feed.newest_kept()
    assert newest
    assert newest() is (held[-1] and held[-1]())
