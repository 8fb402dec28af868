"""What a batch costs: one fsync of each file, one round trip to Redis, one commit. And waiting."""

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.consumer.fetcher import Fetcher
from redis import Redis as RedisClient

import consumer
from config import Settings
from logpipeline.consumer import availability
from logpipeline.consumer.metrics import Metrics
from logpipeline.consumer.subscription import Subscription
from logpipeline.events.slices import Slice
from logpipeline.kafka import topics
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.shutdown import Shutdown
from logpipeline.supervision import Supervision
from tests.support.records import event
from tests.support.topics import send
from tests.support.waiting import until

PATIENCE = 60.0  # seconds


@contextmanager
def consuming(settings: Settings, metrics: Metrics) -> Iterator[None]:
    """consumer.py's loop, in a thread of this process."""
    stop = Shutdown()
    args = settings, None, metrics, Supervision(logging.getLogger("test")), stop
    thread = threading.Thread(target=consumer.consume, args=args)
    thread.start()
    try:
        yield
    finally:
        stop.request()
        thread.join(PATIENCE)


def test_a_batch_is_one_fsync_of_each_file_one_round_trip_and_one_commit(
    settings: Settings, own_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"redis_url": own_redis.url})  # which counts its calls
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    done: Counter[str] = Counter()
    reached: dict[TopicPartition, int] = {}
    fdatasync, committed = os.fdatasync, Subscription._committed

    def count_sync(fd: int) -> None:
        done[Path(f"/proc/self/fd/{fd}").readlink().name] += 1
        fdatasync(fd)

    def count_commit(
        self: Subscription, offsets: dict[TopicPartition, OffsetAndMetadata], response: object
    ) -> None:
        if any(place.offset for place in offsets.values()):  # the first, after the join, has none
            done["commit"] += 1
        for at, place in offsets.items():  # kafka-python does not keep them in order
            reached[at] = max(place.offset, reached.get(at, 0))
        committed(self, offsets, response)

    monkeypatch.setattr(os, "fdatasync", count_sync)
    monkeypatch.setattr(Subscription, "_committed", count_commit)
    metrics = Metrics()

    with RedisClient.from_url(settings.redis_url) as redis, consuming(settings, metrics):

        def costs() -> Counter[str]:
            """So far. A step of Redis is one EVALSHA."""
            steps = redis.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
            batches = metrics.registry.get_sample_value("log_consumer_batch_events_count")
            return Counter(done) + Counter({"step": steps, "batch": int(batches or 0)})

        def arrive(start: int, end: int) -> None:
            """Send events, and wait until they are everywhere and committed."""
            values = [event(number) for number in range(start, end)]
            send(settings.kafka_bootstrap_servers, settings.kafka_topic, values)
            until(lambda: stored(redis, settings) == end, PATIENCE)
            until(lambda: sum(reached.values()) == end, PATIENCE)
            until(lambda: done["commit"] >= costs()["batch"], PATIENCE)

        arrive(0, 10)
        before = costs()
        for start in range(10, 3_010, 1_000):
            arrive(start, start + 1_000)
        spent = costs() - before

    assert 3 <= spent["batch"] < 300
    assert spent["logs.txt"] == spent["logs.txt.checkpoint"] == spent["batch"]
    assert spent["commit"] == spent["batch"]
    assert 3 <= spent["step"] <= spent["batch"]


def test_a_broker_that_hangs_does_not_keep_a_core_busy(
    settings: Settings, own_kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    assert topics.ensure(mine, Shutdown(), topics.to_read(mine))
    monkeypatch.setattr(availability, "QUIET", 1.0)
    rounds: list[int] = []  # of the library's loop, in each poll
    poll, fetch = Subscription.poll, Fetcher.fetch_records

    def count_poll(self: Subscription) -> list[Slice]:
        rounds.append(0)
        return poll(self)

    def count_round(self: Fetcher, *args: object, **options: object) -> object:
        rounds[-1] += 1
        return fetch(self, *args, **options)

    monkeypatch.setattr(Subscription, "poll", count_poll)
    monkeypatch.setattr(Fetcher, "fetch_records", count_round)
    metrics = Metrics()
    with consuming(mine, metrics):
        up = partial(metrics.registry.get_sample_value, "log_consumer_kafka_up")
        until(lambda: sum(rounds) > 5 and up() == 1, PATIENCE)
        own_kafka.pause()
        until(lambda: up() == 0, PATIENCE)
        rounds.clear()
        rounds.append(0)
        until(lambda: len(rounds) > 4, PATIENCE)
        hanging = rounds[1:4]
        own_kafka.resume()
    assert max(hanging) < 100


def stored(redis: RedisClient, settings: Settings) -> int:
    """The events that Redis has been given."""
    return sum(map(int, redis.hvals(f"{settings.redis_key}:offsets")))
