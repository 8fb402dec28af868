"""Topic reader: the records that a topic has now."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from logpipeline.events.columns import Headers
from logpipeline.events.event import Value
from logpipeline.kafka import clients
from logpipeline.kafka.records import Records
from logpipeline.kafka.settings import KafkaSettings, ReaderSettings

REQUEST_MS = 10_000


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A record of Kafka; `time` is Kafka's own, in Unix seconds."""

    topic: str
    partition: int
    offset: int
    time: float
    key: bytes | None
    value: Value
    headers: Headers

    def __str__(self) -> str:
        """Its position."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


def topic_ids(settings: KafkaSettings, *names: str) -> dict[str, str]:
    """The ids of the topics that exist. Raises KafkaError, OSError."""
    with closing(clients.admin(settings)) as admin:
        found = admin.describe_topics(list(names))
    return {topic["name"]: str(topic["topic_id"]) for topic in found if topic["topic_id"]}


def read(
    settings: ReaderSettings, name: str, since: float = 0.0, settled: bool = False
) -> Iterator[TopicRecord]:
    """The records of an existing topic, each partition's in order: all from time `since` (Unix
    seconds) on, and possibly some before. Records that arrive meanwhile are left out, and so are
    those after the beginning of an open transaction; `settled`: its end is waited for, as long as
    `Records` does. Raises KafkaError."""
    isolation = "read_uncommitted" if settled else "read_committed"
    with closing(clients.consumer(settings, isolation_level=isolation)) as consumer:
        ats = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name) or ()]
        firsts = _firsts(consumer, ats, since)
        ends = consumer.end_offsets(ats, timeout_ms=REQUEST_MS)
    spans = {at: (first, ends[at]) for at, first in firsts.items()}
    with closing(Records(settings, spans, details=True)) as records:
        while records.unread:
            for at, polled in records.poll(ats).items():
                columns = polled.offsets, polled.keys, polled.values, polled.details
                for offset, key, value, (stamp, headers) in zip(*columns, strict=True):
                    rest = offset, stamp / 1_000, key, value, headers
                    yield TopicRecord(at.topic, at.partition, *rest)


def _firsts(
    consumer: KafkaConsumer, ats: list[TopicPartition], since: float
) -> dict[TopicPartition, int]:
    """Partition → first offset. A broker searches for a time by unpacking whole records, and does
    not answer when one exceeds its memory. Raises KafkaError."""
    try:
        times = {at: int(since * 1_000) for at in ats}
        found = consumer.offsets_for_times(times, timeout_ms=REQUEST_MS)
    except KafkaTimeoutError:
        firsts: dict[TopicPartition, int] = consumer.beginning_offsets(ats, timeout_ms=REQUEST_MS)
        return firsts
    return {at: place.offset for at, place in found.items() if place}
