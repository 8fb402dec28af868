"""Drain: how much a topic has, and the lag of a consumer group's logs.txt behind it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from config import Settings
from logpipeline.archive.checkpoint import Checkpoint


def end_offsets(settings: Settings) -> dict[int, int]:
    """Kafka's next offset of each partition of the topic. Raises KafkaError."""
    from kafka import KafkaConsumer, TopicPartition

    servers = settings.kafka_bootstrap_servers.split(",")
    with closing(KafkaConsumer(bootstrap_servers=servers)) as consumer:
        partitions = consumer.partitions_for_topic(settings.kafka_topic) or ()
        ats = [TopicPartition(settings.kafka_topic, partition) for partition in partitions]
        return {at.partition: end for at, end in consumer.end_offsets(ats).items()}


@contextmanager
def watching(settings: Settings) -> Iterator[Callable[[], int]]:
    """The number of offsets in use, as often as it is asked for: over one connection."""
    from kafka import KafkaConsumer, TopicPartition

    servers = settings.kafka_bootstrap_servers.split(",")
    with closing(KafkaConsumer(bootstrap_servers=servers)) as consumer:
        partitions = consumer.partitions_for_topic(settings.kafka_topic)
        ats = [TopicPartition(settings.kafka_topic, partition) for partition in partitions]
        yield lambda: sum(consumer.end_offsets(ats).values())


def lag(settings: Settings, ends: dict[int, int]) -> int:
    """How many offsets before `ends` the checkpoint has not got to. Raises CheckpointError."""
    path = settings.log_file.with_name(settings.log_file.name + ".checkpoint")
    checkpoint = Checkpoint.load(path)
    topic = checkpoint.topics.get(settings.kafka_topic) if checkpoint else None
    known = topic.partitions if topic else {}
    return sum(max(0, end - (known[p].next if p in known else 0)) for p, end in ends.items())
