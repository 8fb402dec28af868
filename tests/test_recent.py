"""The newest events in a real Redis, which goes away, comes back, and forgets."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis as RedisClient
from redis import RedisError

from config import Settings
from logpipeline.archive.archive import Archive, ArchiveTail
from logpipeline.archive.offset_gap import Contradiction
from logpipeline.consumer.metrics import Metrics
from logpipeline.events.event import LEVELS
from logpipeline.events.slices import Place, Slice, read
from logpipeline.localstack.redis import Redis
from logpipeline.recent import backlog, recent
from logpipeline.recent.backlog import Backlog
from logpipeline.recent.recent import Recent
from logpipeline.recent.redis_client import NewerLayout, check_layout, list_key
from tests.support.records import Record, event, events
from tests.support.waiting import until

CAP = 20
BEGAN = int(time.time()) - 20 * 3600  # Unix seconds of the first event, as the others follow soon


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look soon at a Redis that may have forgotten, or may be back."""
    monkeypatch.setattr(recent, "LOOK_AFTER", 0.5)
    monkeypatch.setattr(recent, "BACKOFF", (0.2, 0.2, 0.2, 0.2))


class Pair:
    """An archive and what keeps its newest events in Redis, fed as the consumer feeds them."""

    def __init__(self, settings: Settings, start: dict[int, int] | None = None) -> None:
        self.archive = Archive(settings.log_file, settings.kafka_topic)
        self.archive.open("topic-id")
        self.metrics = Metrics()
        self.recent = Recent(settings, self.archive, self.metrics.recent)
        self.starts = self.recent.replay_from(
            "topic-id", start or self.archive.position().next or {0: 0, 1: 0}
        )

    def store(self, *batch: Slice) -> None:
        self.archive.append(list(batch))
        self.recent.offer(list(batch))

    def close(self) -> None:
        self.recent.close()
        self.archive.close()


Open = Callable[..., Pair]


@pytest.fixture
def small(settings: Settings, own_redis: Redis) -> Settings:
    """Settings with a Redis of the test's own and a small cap."""
    return settings.model_copy(update={"redis_max_logs": CAP, "redis_url": own_redis.url})


@pytest.fixture
def opened(small: Settings) -> Iterator[Open]:
    with ExitStack() as cleanup:
        yield lambda *args: cleanup.enter_context(closing(Pair(small, *args)))


@pytest.fixture
def client(small: Settings) -> Iterator[RedisClient]:
    with RedisClient.from_url(small.redis_url, decode_responses=True) as client:
        yield client


def stored(client: RedisClient, key: str) -> dict[str, Any]:
    """What Redis has: lists by name, counts by (minute, level), offsets."""
    counts: Counter[tuple[int, str]] = Counter()
    for name in client.scan_iter(f"{key}:counts:*"):
        for level, number in client.hgetall(name).items():
            counts[int(name.rpartition(":")[2]), str(level)] = int(number)
    return {
        "lists": {level: client.lrange(list_key(key, level), 0, -1) for level in ("", *LEVELS)},
        "counts": counts,
        "offsets": {int(k): int(v) for k, v in client.hgetall(f"{key}:offsets").items()},
    }


def expected(lines: list[bytes], cap: int = CAP) -> dict[str, list[str]]:
    """The lists after these lines, oldest first."""
    texts = [line.decode() for line in lines]
    levels = [json.loads(text)["level"] for text in texts]
    lists = {
        level: [t for t, its in zip(texts, levels, strict=True) if its == level] for level in LEVELS
    }
    return {name: some[::-1][:cap] for name, some in ({"": texts} | lists).items()}


def counted(lines: list[bytes]) -> Counter[tuple[int, str]]:
    found = [json.loads(line) for line in lines]
    return Counter((int(line["timestamp"] // 60), line["level"]) for line in found)


def mixed(partition: int, start: int, end: int) -> Slice:
    """A slice of every level, over several minutes."""
    records = [
        Record(n, event(n, partition=partition, level=LEVELS[n % 5], timestamp=BEGAN + n))
        for n in range(start, end)
    ]
    return read(partition, start, records)


def joined(partition: int, start: int, end: int, made: list[Slice]) -> Slice:
    """The slice that has the events of these, which have one each."""
    return Slice(
        partition,
        start,
        end,
        list(range(start, end)),
        [part.lines[0] for part in made],
        [part.levels[0] for part in made],
        [part.minutes[0] for part in made],
        times=[part.times[0] for part in made],
    )


def settled(client: RedisClient, key: str, offsets: dict[int, int], timeout: float = 20) -> None:
    def there() -> bool:
        try:
            return bool(stored(client, key)["offsets"] == offsets)
        except (RedisError, ValueError):  # it is away, or has what is none of ours
            return False

    until(there, timeout, f"Redis is not at {offsets}")


def test_a_first_start_makes_nothing_anew(
    opened: Open, client: RedisClient, small: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pair = opened()
    until(lambda: client.get(f"{small.redis_key}:topic") == "topic-id")
    pair.store(events(0, 0, 5))
    settled(client, small.redis_key, {0: 5})
    assert caplog.text == ""


def test_lists_are_newest_first_capped_and_counted(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    batches = [[mixed(0, 0, 3)], [mixed(0, 3, 70), mixed(1, 0, 90)], [mixed(1, 90, 95)]]
    for batch in batches:
        pair.store(*batch)
    settled(client, small.redis_key, {0: 70, 1: 95})
    lines = [line for batch in batches for part in batch for line in part.lines]
    found = stored(client, small.redis_key)
    assert found["lists"] == expected(lines)
    assert found["counts"] == counted(lines)
    assert 0 < client.ttl(f"{small.redis_key}:counts:{mixed(0, 0, 1).minutes[0]}") <= 24 * 3600


def test_events_of_other_times_than_the_last_day_are_listed_and_not_counted(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    now = time.time()
    known = [now, now - 23 * 3600, now + 300]
    odd = [now - 25 * 3600, now + 1_200, 0, -5, 1.7e308, -1.7e308, 1e15, *range(0, 60 * 90, 60)]
    made = [events(0, n, n + 1, timestamp=at) for n, at in enumerate([*known, *odd])]
    pair = opened()
    pair.store(joined(0, 0, len(made), made))
    settled(client, small.redis_key, {0: len(made)})
    for _ in range(2):
        found = stored(client, small.redis_key)
        assert found["counts"] == Counter((int(at // 60), "INFO") for at in known)
        lines = [part.lines[0] for part in made]
        assert found["lists"] == expected(lines)
        client.flushall()  # the lists are made from logs.txt
        settled(client, small.redis_key, {0: len(made)})
    value = pair.metrics.registry.get_sample_value("log_consumer_uncounted_events_total")
    assert value in {2 * len(odd), 3 * len(odd)}  # from logs.txt twice, or about to be


def test_a_count_is_forgotten_after_a_day(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    pair.store(mixed(0, 0, 5))
    settled(client, small.redis_key, {0: 5})
    minute = mixed(0, 0, 1).minutes[0]
    end = client.expiretime(f"{small.redis_key}:counts:{minute}")
    assert end == minute * 60 + 60 + 24 * 3600


@pytest.mark.parametrize(
    "damage",
    [
        lambda client, key: client.hset(f"{key}:offsets", "abc", "1"),
        lambda client, key: client.hset(f"{key}:offsets", "0", "abc"),
        lambda client, key: client.hset(f"{key}:offsets", "0", "-7"),
        lambda client, key: client.hset(f"{key}:offsets", "0", "007"),
        lambda client, key: client.hset(f"{key}:offsets", "0", "9" * 5_000),
        lambda client, key: client.hset(f"{key}:offsets", b"\xff", b"\xff"),
        lambda client, key: client.hset(f"{key}:offsets", mapping=dict.fromkeys(range(20_000), 1)),
        lambda client, key: client.set(f"{key}:topic", b"\xff"),
        lambda client, key: client.set(f"{key}:topic", "x" * 10**6),
    ],
)
def test_offsets_that_are_none_make_the_lists_anew(
    opened: Open,
    client: RedisClient,
    small: Settings,
    damage: Callable[[RedisClient, str], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = small.redis_key
    pair = opened()
    pair.store(mixed(0, 0, 30))
    settled(client, key, {0: 30})
    damage(client, key)
    assert pair.recent.replay_from("topic-id", {1: 5}) == {1: 5}
    pair.store(mixed(0, 30, 50))
    settled(client, key, {0: 50})
    found = stored(client, key)
    assert found["lists"] == expected(mixed(0, 0, 50).lines)
    assert found["counts"] >= counted(mixed(0, 0, 30).lines)
    assert found["counts"] <= counted(mixed(0, 0, 50).lines)
    pair.store(mixed(0, 50, 60))
    settled(client, key, {0: 60})
    assert stored(client, key)["lists"] == expected(mixed(0, 0, 60).lines)
    assert "Traceback" not in caplog.text


def test_what_redis_has_is_left_out(opened: Open, client: RedisClient, small: Settings) -> None:
    pair = opened()
    pair.store(mixed(0, 0, 30))
    settled(client, small.redis_key, {0: 30})
    again = opened({0: 30})
    assert again.starts == {0: 30}
    again.recent.offer([mixed(0, 10, 40)])
    again.archive.append([mixed(0, 10, 40)])
    settled(client, small.redis_key, {0: 40})
    found = stored(client, small.redis_key)
    assert found["lists"] == expected(mixed(0, 0, 40).lines)
    assert found["counts"] == counted(mixed(0, 0, 40).lines)


def test_a_start_asks_for_what_redis_lacks(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    pair.store(mixed(0, 0, 30))
    settled(client, small.redis_key, {0: 30})
    pair.archive.append([mixed(0, 30, 50)])
    pair.close()
    again = opened({0: 50})
    assert again.starts == {0: 30}
    again.recent.offer([mixed(0, 30, 50)])
    settled(client, small.redis_key, {0: 50})
    found = stored(client, small.redis_key)
    assert found["lists"] == expected(mixed(0, 0, 50).lines)
    assert found["counts"] == counted(mixed(0, 0, 50).lines)


@pytest.mark.parametrize("most", [10, 50_000])
def test_an_outage_loses_and_doubles_nothing(
    opened: Open,
    client: RedisClient,
    own_redis: Redis,
    small: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    most: int,
) -> None:
    monkeypatch.setattr(backlog, "MOST_EVENTS", most)
    caplog.set_level("INFO")
    pair = opened()
    pair.store(mixed(0, 0, 30), mixed(1, 0, 5))
    settled(client, small.redis_key, {0: 30, 1: 5})
    own_redis.kill()
    for start in range(30, 90, 4):
        began = time.monotonic()
        pair.store(mixed(0, start, start + 4), mixed(1, start - 25, start - 21))
        assert time.monotonic() - began < recent.QUICK
        time.sleep(0.03)
    own_redis.start()
    settled(client, small.redis_key, {0: 90, 1: 65})
    found = stored(client, small.redis_key)
    lines = [json.loads(line) for line in small.log_file.read_bytes().splitlines()]
    assert len(lines) == 155
    assert found["lists"] == expected(small.log_file.read_bytes().splitlines())
    assert found["counts"] == counted(small.log_file.read_bytes().splitlines())
    until(lambda: "Redis available again" in caplog.text)
    assert caplog.text.count("Redis unavailable; archiving continues") == 1


def test_a_wiped_redis_gets_the_end_of_the_archive_without_any_news(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    pair.store(mixed(0, 0, 50))
    settled(client, small.redis_key, {0: 50})
    client.flushall()
    settled(client, small.redis_key, {0: 50})
    found = stored(client, small.redis_key)
    assert found["lists"] == expected(mixed(0, 0, 50).lines)
    assert found["counts"] == counted(mixed(0, 0, 50).lines)


def test_an_older_redis_gets_the_end_of_the_archive_and_counts_nothing_twice(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    key = small.redis_key
    pair.store(mixed(0, 0, 20))
    settled(client, key, {0: 20})
    names = list(client.scan_iter(f"{key}*"))
    with RedisClient.from_url(small.redis_url) as raw:
        snapshot = {name: raw.dump(name) for name in names}
        pair.store(mixed(0, 20, 50))
        settled(client, key, {0: 50})
        with raw.pipeline(transaction=True) as back:
            back.flushall()
            for name, value in snapshot.items():
                back.restore(name, 0, value)
            back.execute()
    pair.store(mixed(0, 50, 60))
    settled(client, key, {0: 60})
    found = stored(client, key)
    assert found["lists"] == expected(mixed(0, 0, 60).lines)
    assert found["counts"] <= counted(mixed(0, 0, 60).lines)
    assert found["counts"] >= counted(mixed(0, 0, 20).lines)


@pytest.mark.parametrize("late", [False, True])
def test_what_is_archived_while_the_lists_are_rebuilt_is_counted_once(
    late: bool,
    opened: Open,
    client: RedisClient,
    small: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, before = opened(), mixed(0, 0, 20)
    pair.store(before)
    settled(client, small.redis_key, {0: 20})
    news, more = mixed(0, 20, 50), mixed(0, 50, 70)
    tail = pair.archive.tail
    offering = threading.Timer(0.1, pair.recent.offer, [[news]])

    def racing(most: int) -> ArchiveTail:
        monkeypatch.setattr(pair.archive, "tail", tail)
        pair.archive.append([news])
        offering.start() if late else pair.recent.offer([news])
        found = tail(most)
        if not late:
            pair.store(more)  # after what was read
        return found

    monkeypatch.setattr(pair.archive, "tail", racing)
    pair.recent.miss()
    offering.finished.wait(20) if late else None
    settled(client, small.redis_key, {0: 50 if late else 70})
    lines = [*before.lines, *news.lines, *([] if late else more.lines)]
    found = stored(client, small.redis_key)
    assert found["lists"] == expected(lines)
    assert found["counts"] == counted(lines)


def put_back(redis: Redis, keys: dict[bytes, bytes]) -> None:
    """In one step, while it is up."""
    with RedisClient.from_url(redis.url) as raw, raw.pipeline(transaction=True) as back:
        back.flushall()
        for name, value in keys.items():
            back.restore(name, 0, value)
        back.execute()


@pytest.mark.parametrize("by", ["a restart", "a restart while it is away", "replaced keys"])
@pytest.mark.parametrize("news", [10, 0])
def test_a_redis_put_back_to_an_older_dump_gets_the_newest_events_again_none_twice(
    opened: Open, client: RedisClient, small: Settings, own_redis: Redis, by: str, news: int
) -> None:
    pair = opened()
    key = small.redis_key
    pair.store(mixed(0, 0, 30), mixed(1, 0, 5))
    settled(client, key, {0: 30, 1: 5})
    client.save()
    dump = own_redis.folder / "dump.rdb"
    older = dump.read_bytes()
    with RedisClient.from_url(small.redis_url) as raw:
        keys = {name: raw.dump(name) for name in raw.scan_iter()}
    pair.store(mixed(0, 30, 60))
    settled(client, key, {0: 60, 1: 5})
    if by == "replaced keys":
        put_back(own_redis, keys)
        pair.store(mixed(0, 60, 60 + news))
    else:
        own_redis.kill()
        shutil.rmtree(own_redis.folder / "appendonlydir")
        dump.write_bytes(older)
        if by == "a restart while it is away":
            pair.store(mixed(0, 60, 60 + news))
        start_from_dump(own_redis)
        pair.store(*([mixed(0, 60, 60 + news)] if by == "a restart" else []))
    settled(client, key, {0: 60 + news, 1: 5})
    found = stored(client, key)
    lines = small.log_file.read_bytes().splitlines()
    assert found["lists"] == expected(lines)
    assert found["counts"] <= counted(lines)
    assert found["counts"] >= counted(mixed(0, 0, 30).lines + mixed(0, 60, 60 + news).lines)


def start_from_dump(redis: Redis) -> None:
    """Start it as its documentation says: without its appended file, which is made then."""
    without = Redis(redis.folder, redis.port, ["--appendonly", "no"])
    without.start()
    without.wait_ready()
    redis.process = without.process  # which kills it at the end


def later(partition: int, start: int, end: int) -> Slice:
    """Other events at these offsets, of a higher leader epoch than `earlier` ones."""
    made = [
        events(partition, 1_000 + n, 1_001 + n, level=LEVELS[n % 5], timestamp=BEGAN + n)
        for n in range(start, end)
    ]
    return replace(joined(partition, start, end, made), epoch=3)


def earlier(partition: int, start: int, end: int) -> Slice:
    return replace(mixed(partition, start, end), epoch=1)


def lose(pair: Pair, partition: int, offset: int) -> None:
    """As the consumer notes that Kafka has lost the records from `offset` on."""
    assert pair.archive.begin(partition, offset)
    assert pair.recent.replay_from("topic-id", {partition: offset}) == {partition: offset}


@pytest.mark.parametrize("away", [False, True])
def test_reused_offsets_are_listed_and_counted_beside_those_that_kafka_lost(
    opened: Open, client: RedisClient, small: Settings, own_redis: Redis, away: bool
) -> None:
    pair = opened()
    pair.store(earlier(0, 0, 30), mixed(1, 0, 10))
    settled(client, small.redis_key, {0: 30, 1: 10})
    if away:
        own_redis.kill()
    pair.store(earlier(0, 30, 50))
    lose(pair, 0, 20)
    pair.store(later(0, 20, 25))
    pair.store(later(0, 25, 45), mixed(1, 10, 20))
    if away:
        own_redis.start()
    settled(client, small.redis_key, {0: 45, 1: 20})
    found = stored(client, small.redis_key)
    lines = small.log_file.read_bytes().splitlines()
    assert len(lines) == 50 + 25 + 20
    assert found["lists"] == expected(lines)
    assert found["counts"] == counted(lines)
    assert client.hget(f"{small.redis_key}:epochs", "0") == "3"


def test_a_start_after_a_loss_asks_for_the_new_records_that_redis_lacks(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    pair.store(earlier(0, 0, 50))
    settled(client, small.redis_key, {0: 50})
    pair.close()
    pair.archive.begin(0, 20)
    pair.archive.append([later(0, 20, 45)])
    again = opened()
    assert again.starts == {0: 20}
    again.recent.offer([later(0, 20, 45)])
    settled(client, small.redis_key, {0: 45})
    again.store(later(0, 45, 48))
    settled(client, small.redis_key, {0: 48})
    found = stored(client, small.redis_key)
    lines = small.log_file.read_bytes().splitlines()
    assert found["lists"] == expected(lines)
    assert found["counts"] == counted(lines)


@pytest.mark.parametrize("in_time", [True, False])
def test_a_consumer_that_wakes_up_after_a_loss_changes_nothing(
    opened: Open, client: RedisClient, small: Settings, in_time: bool
) -> None:
    """It still has records that were lost, at the very offset of Redis, or from before it on."""
    late, pair = opened(), opened()
    pair.store(earlier(0, 0, 40))
    settled(client, small.redis_key, {0: 40})
    lose(pair, 0, 20)
    pair.store(later(0, 20, 40))
    settled(client, small.redis_key, {0: 40})
    until(lambda: client.hget(f"{small.redis_key}:epochs", "0") == "3")
    with pytest.raises(Contradiction, match="do not continue those before offset 40"):
        late.store(earlier(0, 40, 50))
    with pytest.raises(Contradiction):
        pair.archive.append([replace(later(0, 30, 50), epoch=5)])
    if in_time:
        late.recent.offer([earlier(0, 40, 50)])
    pair.store(later(0, 40, 45))
    settled(client, small.redis_key, {0: 45})
    if not in_time:
        late.recent.offer([earlier(0, 40, 50)])
    until(lambda: not late.recent._sending and not late.recent._offered)
    assert client.hget(f"{small.redis_key}:offsets", "0") == "45"
    found = stored(client, small.redis_key)
    lines = small.log_file.read_bytes().splitlines()
    assert found["lists"] == expected(lines)


def test_under_load_a_wiped_redis_is_made_anew_once(
    opened: Open, client: RedisClient, small: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pair = opened()
    batches = [mixed(0, start, start + 500) for start in range(0, 60_000, 500)]
    for batch in batches[:60]:
        pair.store(batch)
    client.flushall()
    for batch in batches[60:]:
        pair.store(batch)
        time.sleep(0.005)
    settled(client, small.redis_key, {0: 60_000})
    assert caplog.text.count("rebuilt its lists from the end of logs.txt") <= 3
    found = stored(client, small.redis_key)
    lines = [line for batch in batches for line in batch.lines]
    assert found["lists"] == expected(lines)
    assert found["counts"] == counted(lines)


def test_two_consumers_of_one_archive_put_each_event_in_once(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    one, two = opened({0: 0}), opened({1: 0})
    for start in range(0, 4_000, 20):
        one.store(mixed(0, start, start + 20))
        two.store(mixed(1, start, start + 20))
        if start == 2_000:
            client.flushall()
    settled(client, small.redis_key, {0: 4_000, 1: 4_000})
    found = stored(client, small.redis_key)
    lines = mixed(0, 0, 4_000).lines + mixed(1, 0, 4_000).lines
    assert found["counts"] == counted(lines)
    assert len(found["lists"][""]) == len({*found["lists"][""]}) == CAP
    for level in LEVELS:
        for partition in (0, 1):
            numbers = [
                json.loads(line)["timestamp"]
                for line in found["lists"][level]
                if json.loads(line)["partition"] == partition
            ]
            assert numbers == sorted(numbers, reverse=True)


def test_a_key_that_somebody_uses_for_something_else_is_said_and_waited_for(
    opened: Open, client: RedisClient, small: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    pair = opened()
    pair.store(mixed(0, 0, 5))
    settled(client, small.redis_key, {0: 5})
    client.set(f"{small.redis_key}:ERROR", "mine")
    pair.store(mixed(0, 5, 15))
    until(lambda: "WRONGTYPE" in caplog.text)
    assert client.llen(small.redis_key) == 5
    client.delete(f"{small.redis_key}:ERROR")
    settled(client, small.redis_key, {0: 15})
    assert stored(client, small.redis_key)["counts"] == counted(mixed(0, 0, 15).lines)
    assert client.llen(small.redis_key) == 15


def test_a_newer_layout_is_refused_in_one_line_and_let_alone(
    opened: Open, client: RedisClient, small: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    version = f"{small.redis_key}:version"
    pair = opened()
    pair.store(mixed(0, 0, 5))
    settled(client, small.redis_key, {0: 5})
    assert client.get(version) == "1"
    client.set(version, 2)
    pair.store(mixed(0, 5, 15))
    until(lambda: f"{version} is 2, from a newer version; this one supports 1" in caplog.text)
    with pytest.raises(NewerLayout, match="upgrade this one, or set another REDIS_KEY"):
        check_layout(client, small.redis_key)
    assert client.llen(small.redis_key) == 5
    client.delete(version)
    settled(client, small.redis_key, {0: 15})
    assert client.llen(small.redis_key) == 15
    assert client.get(version) == "1"


def test_a_redis_that_hangs_does_not_hold_up_the_archive_or_the_end(
    opened: Open, own_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "TIMEOUT", 1.0)
    pair = opened()
    own_redis.pause()
    began = time.monotonic()
    for start in range(0, 1_000, 10):
        pair.store(mixed(0, start, start + 10))
    pair.close()
    assert time.monotonic() - began < recent.TIMEOUT + 2
    own_redis.resume()


def test_a_topic_made_again_starts_the_offsets_anew(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    pair.store(mixed(0, 0, 30), mixed(1, 0, 30))
    settled(client, small.redis_key, {0: 30, 1: 30})
    pair.archive.open("another id")
    assert pair.recent.replay_from("another id", {0: 0}) == {0: 0}
    pair.store(mixed(0, 0, 10))
    settled(client, small.redis_key, {0: 10})
    lines = mixed(0, 0, 30).lines + mixed(1, 0, 30).lines + mixed(0, 0, 10).lines
    found = stored(client, small.redis_key)
    assert found["lists"] == expected(lines)
    assert found["counts"] == counted(lines)


def test_a_backlog_is_bounded_and_says_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MOST_EVENTS", 25)
    log = Backlog(5)
    assert not log
    for start in range(0, 100, 10):
        log.add(mixed(0, start, start + 10))
    assert sum(len(part.lines) for part in log._slices) <= 25
    assert log.ends() == {0: Place(100)}
    assert log.after({0: Place(5)}) is None
    assert log.after({0: Place(50)}) is None
    assert log.after({0: Place(101)}) is not None
    for stood in (0, 80, 85, 99):
        news = log.after({0: Place(stood)})
        assert news is not None
        assert news.spans == {0: [stood, 100]}
        assert news.counts == counted(mixed(0, stood, 100).lines)
        assert list(news.lists[""]) == mixed(0, max(95, stood), 100).lines
    assert log.counts({0: Place(0)}) == counted(mixed(0, 0, 100).lines)
    assert log.counts({0: Place(90)}) == counted(mixed(0, 90, 100).lines)
    nothing = log.after({0: Place(100)})
    assert nothing is not None
    assert not nothing.spans


def test_backlogs_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MOST_EVENTS", 25)
    log = Backlog(5)
    for start in (0, 20, 100, 200):
        later = Backlog(5)
        for at in range(start, {0: 20, 20: 100, 100: 200, 200: 210}[start], 10):
            later.add(mixed(0, at, at + 10))
        log.extend(later)
    news = log.after({0: Place(0)})
    assert news is not None
    assert news.spans == {0: [0, 210]}
    assert news.counts == counted(mixed(0, 0, 210).lines)
    assert list(news.lists[""]) == mixed(0, 205, 210).lines


def test_large_events_and_any_bytes_come_through(
    opened: Open, client: RedisClient, small: Settings
) -> None:
    pair = opened()
    lines = [event(n, message="x" * 10**6 + "\x00\x7fé🎉") for n in range(3)]
    part = events(0, 0, 3)
    part.lines[:] = lines
    pair.store(part)
    settled(client, small.redis_key, {0: 3})
    assert stored(client, small.redis_key)["lists"][""] == [line.decode() for line in lines[::-1]]


@pytest.fixture
def roomy(small: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose lists are bounded by their bytes: few in memory, 16 times as many in Redis."""
    monkeypatch.setattr(backlog, "LIST_BYTES", 2_000)
    monkeypatch.setattr(backlog, "LINE_BYTES", 0)
    return small.model_copy(update={"redis_max_logs": 1_000})


def sized(start: int, end: int) -> Slice:
    """Events of all levels and sizes, some of them larger than all that memory should hold."""
    return joined(0, start, end, [each_sized(n) for n in range(start, end)])


def each_sized(n: int) -> Slice:
    more = "x" * (5_000 if n % 97 == 0 else n % 7 * 90)
    return events(0, n, n + 1, level=LEVELS[n % 5], more=more, timestamp=BEGAN + n)


def assert_newest(client: RedisClient, key: str, lines: list[bytes]) -> None:
    """That each list has the newest lines, all that should be, and no more bytes than allowed."""
    for level, whole in expected(lines, 10**6).items():
        found = client.lrange(list_key(key, level), 0, -1)
        size = len("".join(map(str, found)).encode())
        assert found == whole[: len(found)], level
        assert size <= 16 * 2_000, level
        assert size >= 2_000 or len(found) == len(whole), level


def test_lists_are_bounded_by_their_bytes(roomy: Settings, client: RedisClient) -> None:
    key = roomy.redis_key
    lines: list[bytes] = []
    sizes: list[int] = []
    with closing(Pair(roomy, {0: 0})) as pair:
        for start in range(0, 600, 3):
            part = sized(start, start + 3)
            lines += part.lines
            pair.store(part)
            settled(client, key, {0: start + 3})
            if start == 300:
                client.delete(f"{key}:bytes")
            if start % 30 == 0:
                assert_newest(client, key, lines)
                sizes.append(len("".join(map(str, client.lrange(key, 0, -1)))))
        assert max(sizes) > 16_000
        client.delete(*client.scan_iter(f"{key}*"))
        settled(client, key, {0: 600})
        assert_newest(client, key, lines)


def test_lists_that_an_outage_has_cut_have_no_holes(
    roomy: Settings,
    client: RedisClient,
    own_redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "MOST_BYTES", 1_500)
    key, lines = roomy.redis_key, sized(0, 40).lines
    with closing(Pair(roomy, {0: 0})) as pair:
        pair.store(sized(0, 40))
        settled(client, key, {0: 40})
        own_redis.kill()
        for start in range(40, 500, 5):
            part = sized(start, start + 5)
            lines += part.lines
            pair.store(part)
        own_redis.start()
        settled(client, key, {0: 500})
        assert_newest(client, key, lines)
        assert stored(client, key)["counts"] == counted(lines)


def test_a_backlog_is_bounded_by_its_bytes_and_its_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MOST_BYTES", 20_000)
    monkeypatch.setattr(backlog, "LIST_BYTES", 2_000)
    monkeypatch.setattr(backlog, "MOST_EVENTS", 50)
    log = Backlog(3)
    for start in range(0, 1_000, 2):
        log.add(sized(start, start + 2))
        assert sum(len(line) for part in log._slices for line in part.lines) <= 20_000
        kept = {id(line): line for lines in log._folded.lists.values() for line in lines}
        assert sum(map(len, kept.values())) <= 6 * (2 * 2_000 + 5_300)
    for start in range(1_000, 1_200):
        log.add(Slice(0, start, start + 1))
    assert len(log._slices) <= 50
    assert log.ends() == {0: Place(1_200)}


def test_redis_backlog_keeps_no_record_that_is_none_of_its_own(
    opened: Open, own_redis: Redis
) -> None:
    own_redis.kill()
    pair = opened({0: 0})
    record = Record(0, b"no event" * 1_000)
    pair.store(read(0, 0, [record]))
    offered = [*pair.recent._offered._slices, *pair.recent._sending._slices]
    assert not any(part.rejects for part in offered)
    assert pair.recent._offered.ends() | pair.recent._sending.ends() == {0: Place(1)}
