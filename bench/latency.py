"""Latency: from an event's timestamp to logs.txt on disk, and to Redis.

The observer checks two small things every millisecond: the checkpoint, which is written once the
events are on disk, and the offsets in Redis. The events are matched to them afterwards.
"""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import redis
from kafka import KafkaConsumer, TopicPartition

from bench.contender import ROOT
from bench.stage import PATIENCE, Stage
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.events.columns import Columns
from logpipeline.events.event import parse
from logpipeline.kafka import fetcher
from logpipeline.localstack.child import spawn

LOOK = 0.001  # seconds
WARM_UP = 2.0  # seconds whose events do not count
Sightings = list[tuple[float, Mapping[int, int]]]  # (Unix seconds, partition → next offset)


@dataclass(frozen=True)
class Latency:
    """`rate` is what the producer achieved, in events/s; p50, p99 and p99.9 are in seconds."""

    wanted: int
    rate: float
    archive: tuple[float, float, float]
    recent: tuple[float, float, float]


def measure(
    stage: Stage,
    rate: int,
    seconds: float,
    beside: Callable[[Path], AbstractContextManager[object]] = nullcontext,
) -> Latency:
    """Run producer.py and consumer.py with their default settings, for `seconds` at `rate`, and
    `beside` with the path of logs.txt meanwhile.

    Raises TimeoutError.
    """
    topic = stage.topic(4)
    environment = stage.environment(topic)
    count = int(rate * (WARM_UP + seconds))
    command = [sys.executable, str(ROOT / "consumer.py")]
    with spawn(command, env=environment, stderr=subprocess.DEVNULL) as consumer:
        try:
            stage.wait_for_group(environment["KAFKA_GROUP_ID"], 1)
            command = [sys.executable, str(ROOT / "producer.py"), "--seed", "1"]
            command += ["--rate", str(rate), "--count", str(count)]
            with spawn(command, env=environment, stderr=subprocess.DEVNULL) as producer:
                try:
                    with beside(Path(environment["LOG_FILE"])):
                        archive, recent = _observe(environment, topic, count)
                finally:
                    producer.kill()
        finally:
            consumer.kill()
    made = _timestamps(stage, topic)
    first, last = min(min(times) for times in made.values()), max(max(t) for t in made.values())
    since = first + WARM_UP
    return Latency(
        rate,
        count / (last - first),
        _quantiles(_waits(made, archive, since)),
        _quantiles(_waits(made, recent, since)),
    )


def _observe(environment: Mapping[str, str], topic: str, count: int) -> tuple[Sightings, Sightings]:
    """The sightings of the archive and of Redis until both had all events."""
    checkpoint = Path(environment["LOG_FILE"] + ".checkpoint")
    key = f"{environment['REDIS_KEY']}:offsets"
    archive: Sightings = [(0.0, {})]
    recent: Sightings = [(0.0, {})]
    deadline = time.monotonic() + PATIENCE + count / 1_000
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        while sum(archive[-1][1].values()) < count or sum(recent[-1][1].values()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError("the events did not all arrive")
            known = Checkpoint.load(checkpoint)
            if known and topic in known.topics:
                partitions = known.topics[topic].partitions.items()
                _note(archive, {number: place.next for number, place in partitions})
            stored = client.hgetall(key)
            _note(recent, {int(number): int(offset) for number, offset in stored.items()})
            time.sleep(LOOK)
    return archive, recent


def _note(sightings: Sightings, nexts: Mapping[int, int]) -> None:
    if nexts != sightings[-1][1]:
        sightings.append((time.time(), nexts))


def _timestamps(stage: Stage, topic: str) -> dict[int, list[float]]:
    """The timestamps of the events in each partition that is not empty, by their offsets."""
    with closing(KafkaConsumer(bootstrap_servers=stage.kafka.bootstrap)) as consumer:
        fetcher.install(consumer)
        ats = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(ats)
        consumer.seek_to_beginning()
        missing = sum(consumer.end_offsets(ats).values())
        found: dict[int, list[float]] = {}
        while missing:
            for at, polled in consumer.poll(500, 10_000).items():
                values = Columns.of(polled).values
                found.setdefault(at.partition, []).extend(parse(v).timestamp for v in values)
                missing -= len(values)
    return found


def _waits(made: Mapping[int, list[float]], sightings: Sightings, since: float) -> list[float]:
    """Seconds from each event with a time after `since` to the first sighting that has it."""
    waits = []
    for partition, times in made.items():
        seen = 0
        for now, nexts in sightings:
            upto = nexts.get(partition, 0)
            waits += [now - t for t in itertools.islice(times, seen, upto) if t > since]
            seen = max(seen, upto)
    return waits


def _quantiles(waits: list[float]) -> tuple[float, float, float]:
    cuts = quantiles(waits, n=1_000)
    return cuts[499], cuts[989], cuts[998]
