"""Dead letters: invalid records are sent to a topic of their own, with the reason."""

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
from logpipeline.events.slices import Place, Reject, Slice
from logpipeline.kafka import clients, connection, topics
from logpipeline.kafka.settings import DeadLetterSettings
from logpipeline.outage import Outage
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds to wait for Kafka after a request to stop
STEP = 0.005  # seconds between checks of Kafka's answers
FRAME = 1_024  # bytes that a batch may add to a record
BATCH = 16_384  # bytes
NONE = Place(0)
Letter = tuple[Slice, Reject]  # with the slice that it is from


class DeadLetters:
    """The topic KAFKA_DEAD_LETTER_TOPIC. It connects for the first reject."""

    def __init__(self, settings: DeadLetterSettings, archive: Archive, metrics: Metrics) -> None:
        self._settings = settings
        self._topic = settings.kafka_dead_letter_topic
        self._archive = archive
        self._metrics = metrics
        self._producer: KafkaProducer | None = None
        self._limit = 0  # bytes of the largest record that the topic takes
        self._outage = Outage(log)
        self._reached: dict[tuple[str, int], Place] = {}  # topic id, partition → what it has

    def send(self, batch: list[Slice], stop: Shutdown) -> bool:
        """Send the rejects of `batch` that the archive has not passed yet.

        Waits while Kafka is unavailable. Returns True once Kafka has them all; False if a request
        to stop came first. Raises CheckpointError, OSError if the archive cannot be read.
        """
        if not any(part.rejects for part in batch):
            return True
        letters = [
            (part, reject)
            for part in self._archive.unseen(batch)
            for reject in part.after(
                self._reached.get((part.topic_id, part.partition), NONE)
            ).rejects
        ]
        for _ in stop.backoff():
            letters = self._send(letters, stop)
            if not letters:
                for part in batch:
                    self._reached[part.topic_id, part.partition] = part.place
                return True
        return False

    def close(self) -> None:
        """Disconnect. What Kafka has not acknowledged is sent again after the next start."""
        if self._producer:
            with suppress(KafkaError):
                self._producer.close(timeout=PATIENCE)
            self._producer = None

    def _send(self, letters: list[Letter], stop: Shutdown) -> list[Letter]:
        """Send each once. Returns those that Kafka has not acknowledged."""
        sent = []
        try:
            for letter in letters:
                sent.append((letter, self._post(*letter)))
        except (KafkaError, OSError) as problem:
            reason = connection.reason(self._settings, problem)
            self._outage.report(f"cannot send dead letters, retrying: {reason}")
            topics.ensure(self._settings, stop, topics.to_read(self._settings))  # may be deleted
        left = letters[len(sent) :]
        self._await([future for _, future in sent], stop)
        for letter, future in sent:
            if future.is_done and not future.exception:
                self._metrics.tally.add_letter(letter[1].reason)
            else:
                left.append(letter)
        if failure := next((future.exception for _, future in sent if future.exception), None):
            reason = connection.reason(self._settings, failure)
            self._outage.report(f"cannot send dead letters, retrying: {reason}")
            self.close()  # an idempotent producer that has failed once keeps failing
        self._metrics.dead_letter_failures.inc(len(left))
        if not left:
            self._outage.resolve("sending dead letters again")
        return left

    @staticmethod
    def _await(futures: list[FutureRecordMetadata], stop: Shutdown) -> None:
        """Wait for Kafka's answers; after a request to stop, at most PATIENCE."""
        deadline = math.inf
        while not all(future.is_done for future in futures) and time.monotonic() < deadline:
            if stop:
                deadline = min(deadline, time.monotonic() + PATIENCE)
            time.sleep(STEP)

    def _post(self, part: Slice, reject: Reject) -> FutureRecordMetadata:
        """Send it; only its beginning if it is too large for the topic.

        Raises KafkaError, OSError.
        """
        producer = self._producer or self._connect()
        source = [
            ("source.topic", self._settings.kafka_topic.encode()),
            ("source.partition", b"%d" % part.partition),
            ("source.offset", b"%d" % reject.offset),
            # A topic that was deleted and created again has the same offsets once more.
            ("source.topic_id", part.topic_id.encode()),
            # Records that Kafka lost have the offsets of later ones, but an earlier leader epoch.
            ("source.leader_epoch", b"%d" % part.epoch),
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
            # A record below this limit, but above the topic's, fails all those after it.
            max_request_size=self._limit,
            batch_size=min(BATCH, self._limit),
            max_block_ms=5_000,
            # A batch that exceeds it in an outage wedges the idempotent producer for good.
            delivery_timeout_ms=2**31 - 1,
        )
        return self._producer
