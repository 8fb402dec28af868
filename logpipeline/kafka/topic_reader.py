"""Reading: what a topic has now."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from kafka import TopicPartition

from logpipeline.kafka import clients
from logpipeline.kafka.records import Records
from logpipeline.kafka.settings import KafkaSettings

REQUEST_MS = 10_000


def topic_ids(settings: KafkaSettings, *names: str) -> dict[str, str]:
    """The ids of those topics that are there. Raises KafkaError, OSError."""
    with closing(clients.admin(settings)) as admin:
        found = admin.describe_topics(list(names))
    return {topic["name"]: str(topic["topic_id"]) for topic in found if topic["topic_id"]}


def read(settings: KafkaSettings, name: str, since: float = 0.0) -> Iterator[Any]:
    """The records of a topic that is there, from the first of that time (Unix seconds) on, each
    partition's in order. What comes meanwhile is left out. Raises KafkaError."""
    with closing(clients.consumer(settings)) as consumer:
        ats = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name) or ()]
        times = {at: int(since * 1_000) for at in ats}
        firsts = consumer.offsets_for_times(times, timeout_ms=REQUEST_MS)
        ends = consumer.end_offsets(ats, timeout_ms=REQUEST_MS)
    spans = {at: (firsts[at].offset, ends[at]) for at in ats if firsts[at]}
    with closing(Records(settings, spans)) as records:
        while records.unread:
            for polled in records.poll(ats).values():
                yield from polled
