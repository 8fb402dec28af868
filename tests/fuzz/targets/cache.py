"""Cache: what a stranger with Redis' password may put there, and everybody who reads it."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import cast

import redis
from hypothesis import strategies as st

from config import Settings
from logpipeline.alerts import rules
from logpipeline.alerts.watch import Watch
from logpipeline.archive.archive import Archive
from logpipeline.dashboard.redis_reader import RedisReader
from logpipeline.events.shown import shown
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from logpipeline.recent.recent import Recent
from logpipeline.verify import snapshot
from tests.fuzz.hostile import Parts, anything, joined, part, plain
from tests.fuzz.target import MIB, Aim, Target, hold
from tests.support.process import ROOT
from tests.support.servers import started

KEYS = (
    *(
        "",
        ":ERROR",
        ":CRITICAL",
        ":DEBUG",
        ":offsets",
        ":epochs",
        ":topic",
        ":version",
        ":lag",
        ":counts:now",
    ),
    *(":counts:now", ":counts:x", ":dead-letters", ":alerts", ":alerts:history", ":alerts:lease"),
)
SHOWN = 100  # events of make recent

Write = tuple[str, str, Parts, Parts, int]  # command, key, field, value, how often
fields = st.sampled_from([[(b"0", 1)], [(b"INFO", 1)], [(b"x", 1)]]) | st.lists(part, max_size=2)
values = anything | plain.map(lambda text: [(text, 1)]) | st.just([(b"1", 1)])
writes = st.tuples(
    st.sampled_from(["lpush", "hset", "set"]),
    st.sampled_from(KEYS),
    fields,
    values,
    st.sampled_from([1, 1, 1, 20, 1_000]),
)


@contextmanager
def served(folder: Path) -> Iterator[Aim]:
    """A Redis of the fuzzer's own, with everybody who reads it."""
    with ExitStack() as stack:
        server = stack.enter_context(started(Redis(folder / "redis", free_port())))
        settings = Settings(_env_file=None, redis_url=server.url, log_file=folder / "logs.txt")
        client = stack.enter_context(redis.Redis.from_url(server.url))
        archive = stack.enter_context(closing(Archive(settings.log_file, "logs")))
        archive.open("id")
        yield Aim(lambda _: read(settings, client, archive), lambda given: write(client, given))


def write(client: redis.Redis, given: list[Write]) -> None:
    """Put it there."""
    client.flushall()
    for each in given:
        with suppress(redis.ResponseError):  # of another type
            _write(client, *each)


def read(settings: Settings, client: redis.Redis, archive: Archive) -> None:
    """Let everybody read it."""
    with closing(RedisReader(settings)) as reader, suppress(redis.RedisError):
        reader.read()
    known = rules.load(ROOT / "alerts.toml", settings.redis_max_logs)
    with closing(Watch(settings, known)) as watch:
        watch.read()
    with suppress(redis.RedisError):
        for line in cast("list[bytes]", client.lrange("logs", 0, SHOWN - 1)):
            shown(line, False)
    with suppress(redis.RedisError):
        snapshot._redis(settings)
    _consume(settings, archive)


def _consume(settings: Settings, archive: Archive) -> None:
    """What consumer.py does: ask where Redis stands, then bring it to where logs.txt does."""
    before = threading.active_count()
    with closing(Recent(settings, archive)) as recent:
        recent.replay_from("id", {0: 0})
        hold(threading.active_count() > before, "Redis' thread has died")


def _write(
    client: redis.Redis, command: str, key: str, field: Parts, value: Parts, times: int
) -> None:
    name = f"logs{key}".replace("now", str(int(time.time() // 60)))
    data = joined(value, MIB)
    times = max(1, min(times, 8 * MIB // (len(data) + 100)))
    if command == "lpush":
        client.lpush(name, *[data] * times)
    elif command == "hset":
        first = joined(field, 1_000)
        client.hset(name, mapping={first + b"%d" % n if n else first: data for n in range(times)})
    else:
        client.set(name, data)


def _one(command: str, key: str, value: bytes, field: bytes = b"0") -> list[Write]:
    return [(command, key, [(field, 1)], [(value, 1)], 1)]


TARGETS = (
    Target(
        "redis",
        "whatever is in Redis, the page, make recent, alerts.py, verify.py and the consumer go on",
        st.lists(writes, min_size=1, max_size=4),
        served,
        [
            _one("hset", ":offsets", b"1", b"\xff"),
            _one("hset", ":offsets", b"\xff"),
            _one("hset", ":offsets", b"1", b"x"),
            _one("hset", ":offsets", b"abc"),
            _one("hset", ":epochs", b"x"),
            _one("set", ":topic", b"\xff"),
            _one("hset", ":counts:x", b"1", b"INFO"),
            _one("hset", ":counts:now", b"x", b"\xff"),
            _one("set", ":counts:now", b"x"),
            [("hset", ":alerts", [(b"x", 1)], [(b'{"x":', 1), (b"[", 5_000), (b"]", 5_000),
                                               (b"}", 1)], 1)],
            [("lpush", "", [], [(b"\x01", MIB)], 8), ("lpush", ":ERROR", [], [(b"a", MIB)], 8)],
            [("hset", ":dead-letters", [(b"x", 900)], [(b"1", 1)], 1_000)],
        ],
        seconds=1.0,
        bytes=96 * MIB,
    ),
)  # fmt: skip
