"""Keys: what was sent with a key, so that it is stored once within an hour.

The digests are in memory, and in a topic of Kafka's, written in the transaction of the events that
they stand for: both are there, or neither.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable
from contextlib import closing

from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError

from logpipeline.collector.exchange import ID
from logpipeline.kafka import clients
from logpipeline.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

HOUR = 3_600.0
MOST = 500_000  # digests in memory, about 60 MB; more forget the oldest
KEPT = {"retention.ms": 2 * 3_600_000, "segment.ms": 3_600_000, "cleanup.policy": "delete"}
REQUEST_MS = 10_000
READ = 30.0  # seconds without a record: a dead sender's transaction is aborted after ten


class Keys:
    """The digests of the last hour. For one thread."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.topic = f"{settings.kafka_topic}.collector-keys"
        self._settings = settings
        self._known: set[bytes] = set()
        self._ages: deque[tuple[float, list[bytes]]] = deque()  # oldest first, Unix seconds
        self._next: int | None = None  # offset in the topic to read from

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._known

    def __len__(self) -> int:
        return len(self._known)

    def add(self, digests: Iterable[bytes], at: float) -> None:
        """Remember digests that were stored `at` this time, and forget the oldest."""
        fresh = [digest for digest in digests if digest not in self._known]
        if fresh:
            self._known.update(fresh)
            self._ages.append((at, fresh))
        while self._ages and (self._ages[0][0] < time.time() - HOUR or len(self._known) > MOST):
            self._known.difference_update(self._ages.popleft()[1])

    def create(self) -> None:
        """Create the topic if it is missing. Raises KafkaError, OSError."""
        options: dict[str, object] = {
            "num_partitions": 1,
            "replication_factor": self._settings.kafka_replication_factor,
            "configs": {name: str(value) for name, value in KEPT.items()},
        }
        with closing(clients.admin(self._settings)) as admin:
            if self.topic in admin.list_topics():
                return
            try:
                admin.create_topics({self.topic: options}, timeout_ms=10_000)
                log.info("created topic %s", self.topic)
            except TopicAlreadyExistsError:
                pass  # another collector was faster

    def read(self) -> None:
        """Read what was committed since the last time; at first, in the last hour.

        It waits for the end of transactions that are open. Raises KafkaError, OSError.
        """
        at = TopicPartition(self.topic, 0)
        with closing(clients.consumer(self._settings)) as consumer:
            with closing(
                clients.consumer(self._settings, isolation_level="read_uncommitted")
            ) as every:
                end = every.end_offsets([at], timeout_ms=REQUEST_MS)[at]
                if self._next is None or self._next > end:
                    self._next = self._first(every, at, end)
            consumer.assign([at])
            consumer.seek(at, self._next)
            deadline = time.monotonic() + READ
            while consumer.position(at, timeout_ms=REQUEST_MS) < end:
                for record in consumer.poll(timeout_ms=200).get(at, ()):
                    deadline = time.monotonic() + READ
                    digests = (record.value[n : n + ID] for n in range(0, len(record.value), ID))
                    self.add(digests, record.timestamp / 1_000)
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError(f"{self.topic} could not be read to its end")
            self._next = end

    @staticmethod
    def _first(consumer: object, at: TopicPartition, end: int) -> int:
        """The first offset of the last hour. Raises KafkaError."""
        times = {at: int((time.time() - HOUR) * 1_000)}
        try:
            found = consumer.offsets_for_times(times, timeout_ms=REQUEST_MS)[at]  # type: ignore[attr-defined]
        except KafkaError:
            return int(consumer.beginning_offsets([at], timeout_ms=REQUEST_MS)[at])  # type: ignore[attr-defined]
        return int(found.offset) if found else end
