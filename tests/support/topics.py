"""Topics: what is in a topic of a real broker, what a group has committed, and how to send."""

import gc
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import CoordinatorNotAvailableError

from config import Settings

Pair = tuple[bytes, bytes]
Send = Callable[..., None]
PROMPT = 5  # milliseconds, not 100, until kafka-python asks for metadata a second time


def records(servers: str, topic: str) -> dict[int, list[Pair]]:
    """All that the topic has: partition → (key, value) in order."""
    found: dict[int, list[Pair]] = defaultdict(list)
    for record in read_all(servers, topic):
        found[record.partition].append((record.key, record.value))
    return found


def committed(admin: KafkaAdminClient, settings: Settings) -> dict[int, int]:
    """Partition → offset that the consumer group has committed; none while Kafka creates the topic
    of the commits, for the first group of all."""
    try:
        found = admin.list_group_offsets(settings.kafka_group_id)[settings.kafka_group_id]
    except CoordinatorNotAvailableError:
        return {}
    return {at.partition: commit.offset for at, commit in found.items()}


def read_all(servers: str, topic: str) -> list[ConsumerRecord]:
    """All records of the topic, as kafka-python has them, but for what transactions took back."""
    with sockets_left():
        return _read_all(servers, topic)


@contextmanager
def sockets_left() -> Iterator[None]:
    """Collect the sockets that kafka-python leaves, when a broker refuses one or when it is closed
    while it connects: to be warned of in whichever test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


def read_until(servers: str, topic: str, count: int, patience: float) -> list[ConsumerRecord]:
    """The first `count` records of a topic that exists, as they come, by one consumer. Raises
    AssertionError after `patience` seconds without a further one."""
    found: list[ConsumerRecord] = []
    with (
        sockets_left(),
        closing(KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")) as consumer,
    ):
        consumer.assign([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
        while len(found) < count:
            batches = consumer.poll(int(patience * 1_000), max_records=10_000).values()
            assert batches, f"{len(found):,} of {count:,} records after {patience:g} s of silence"
            for batch in batches:
                found += batch
    return found


def read_to(consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]) -> list[ConsumerRecord]:
    """The records from the consumer's positions to these offsets."""
    found = []
    while any(consumer.position(at) < end for at, end in ends.items()):
        for batch in consumer.poll(500, max_records=10_000).values():
            found += batch
    return found


def _read_all(servers: str, topic: str) -> list[ConsumerRecord]:
    with closing(
        KafkaConsumer(
            bootstrap_servers=servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
    ) as consumer:
        consumer._cluster.config["retry_backoff_ms"] = PROMPT
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        return read_to(consumer, consumer.end_offsets(partitions))


def send(
    servers: str,
    topic: str,
    values: Iterable[bytes | None],
    partition: int | None = None,
    key: bytes | None = b"key",
) -> None:
    """Put values into a topic that exists, and wait until the broker has them.

    Few and short ones are one batch, so that a consumer gets all of them at once.
    """
    with sending(servers) as put:
        put(topic, values, partition, key)


@contextmanager
def sending(servers: str) -> Iterator[Send]:
    """`send` by one producer, to be called several times."""

    def put(
        topic: str,
        values: Iterable[bytes | None],
        partition: int | None = None,
        key: bytes | None = b"key",
    ) -> None:
        futures = [producer.send(topic, value, key, partition=partition) for value in values]
        producer.flush(timeout=60)
        for future in futures:
            future.get(timeout=30)

    with (
        sockets_left(),
        closing(KafkaProducer(bootstrap_servers=servers, linger_ms=60_000)) as producer,
    ):
        producer._metadata.config["retry_backoff_ms"] = PROMPT
        yield put
