"""Dead letters: what is no event goes to a topic of its own, with the reason."""

import logging
import math
import time
from contextlib import closing, suppress

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError
from kafka.producer.future import FutureRecordMetadata

from logpipeline.archive.archive import Archive
from logpipeline.consumer.metrics import Metrics
from logpipeline.events.slices import Reject, Slice
from logpipeline.kafka import clients, connection, topics
from logpipeline.kafka.settings import DeadLetterSettings
from logpipeline.outage import Outage
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds
STEP = 0.005  # seconds between looks at what Kafka has taken
FRAME = 1_024  # bytes that a batch may add to a record
BATCH = 16_384  # bytes
Letter = tuple[Slice, Reject]  # with the slice that it is from


class DeadLetters:
    """The topic KAFKA_DEAD_LETTER_TOPIC. Its connection is made for the first reject."""

    def __init__(self, settings: DeadLetterSettings, archive: Archive, metrics: Metrics) -> None:
        self._settings = settings
        self._topic = settings.kafka_dead_letter_topic
        self._archive = archive
        self._metrics = metrics
        self._producer: KafkaProducer | None = None
        self._limit = 0  # bytes of the largest record that the topic takes
        self._outage = Outage(log)
        self._reached: dict[tuple[str, int], int] = {}  # topic id, partition → next offset

    def send(self, batch: list[Slice], stop: Shutdown) -> bool:
        """Store the rejects of `batch` that the archive has not passed yet.

        It waits while Kafka is away. True once Kafka has them all; False when it was told to
        stop first. Raises CheckpointError, OSError when the archive can't be read.
        """
        if not any(part.rejects for part in batch):
            return True
        letters = [
            (part, reject)
            for part in self._archive.unseen(batch)
            for reject in part.rejects
            if reject.offset >= self._reached.get((part.topic_id, part.partition), 0)
        ]
        for _ in stop.backoff():
            letters = self._send(letters, stop)
            if not letters:
                for part in batch:
                    self._reached[part.topic_id, part.partition] = part.end
                return True
        return False

    def close(self) -> None:
        """Let go of the connection. What Kafka has not taken is sent again at the next start."""
        if self._producer:
            with suppress(KafkaError):
                self._producer.close(timeout=PATIENCE)
            self._producer = None

    def _send(self, letters: list[Letter], stop: Shutdown) -> list[Letter]:
        """Send each once. Returns those that Kafka has not taken."""
        sent = []
        try:
            for letter in letters:
                sent.append((letter, self._post(*letter)))
        except (KafkaError, OSError) as problem:
            reason = connection.reason(self._settings, problem)
            self._outage.report(f"dead letters: trying again: {reason}")
            topics.ensure(self._settings, stop, topics.to_read(self._settings))  # maybe deleted
        left = letters[len(sent) :]
        self._await([future for _, future in sent], stop)
        for letter, future in sent:
            if future.is_done and not future.exception:
                self._metrics.tally.add_letter(letter[1].reason)
            else:
                left.append(letter)
        if failure := next((future.exception for _, future in sent if future.exception), None):
            reason = connection.reason(self._settings, failure)
            self._outage.report(f"dead letters: trying again: {reason}")
            self.close()  # an idempotent producer that has failed once goes on failing
        self._metrics.dead_letter_failures.inc(len(left))
        if not left:
            self._outage.resolve("dead letters: Kafka takes them again")
        return left

    @staticmethod
    def _await(futures: list[FutureRecordMetadata], stop: Shutdown) -> None:
        """Wait for Kafka's answers; after a request to stop, a last few seconds."""
        deadline = math.inf
        while not all(future.is_done for future in futures) and time.monotonic() < deadline:
            if stop:
                deadline = min(deadline, time.monotonic() + PATIENCE)
            time.sleep(STEP)

    def _post(self, part: Slice, reject: Reject) -> FutureRecordMetadata:
        """Put it on its way; the beginning of one that the topic does not take whole.

        Raises KafkaError, OSError.
        """
        producer = self._producer or self._connect()
        source = [
            ("source.topic", self._settings.kafka_topic.encode()),
            ("source.partition", b"%d" % part.partition),
            ("source.offset", b"%d" % reject.offset),
            # A topic that was deleted and made again has the same offsets once more.
            ("source.topic_id", part.topic_id.encode()),
        ]
        key = reject.key
        if key is None and reject.value is None:
            key = b""  # kafka-python sends no record without either
        try:
            error = reject.error.encode()
            return producer.send(self._topic, reject.value, key, [("error", error), *source])
        except MessageSizeTooLargeError:
            value = reject.value and reject.value[: self._limit // 2]
            error = f"{reject.error} (cut: the first {len(value or b'')} bytes)".encode()
            key = key and key[: self._limit // 4]
            return producer.send(self._topic, value, key, [("error", error), *source])

    def _connect(self) -> KafkaProducer:
        """Raises KafkaError, OSError."""
        resource = ConfigResource(ConfigResourceType.TOPIC, self._topic, ["max.message.bytes"])
        with closing(clients.admin(self._settings)) as admin:
            described = admin.describe_configs([resource], config_filter="all")
        limit = described["topic"].get(self._topic, {}).get("max.message.bytes")
        if limit is None:
            raise UnknownTopicOrPartitionError(f"no topic {self._topic}")
        self._limit = int(limit["value"]) - FRAME
        self._producer = clients.producer(
            self._settings,
            acks="all",
            compression_type="lz4",
            # What passes this, but not the topic's own limit, fails all that comes after it.
            max_request_size=self._limit,
            batch_size=min(BATCH, self._limit),
            max_block_ms=5_000,
            # A batch that exceeds it in an outage wedges the idempotent producer for good.
            delivery_timeout_ms=2**31 - 1,
        )
        return self._producer
