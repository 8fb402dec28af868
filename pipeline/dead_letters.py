"""Dead letters: what is no event goes to a topic of its own, with the reason."""

import logging
import math
import time
from contextlib import suppress
from dataclasses import replace

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from kafka.producer.future import FutureRecordMetadata

from config import Settings
from pipeline import topic
from pipeline.archive import Archive
from pipeline.batch import Reject, Slice
from pipeline.complaint import Complaint
from pipeline.metrics import Metrics
from pipeline.stop import Stop

log = logging.getLogger(__name__)

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
Letter = tuple[int, Reject]  # with its partition
CUT = 512 * 1024  # bytes kept of a value that the dead-letter topic does not take whole
PATIENCE = 2.0  # seconds
STEP = 0.005  # seconds between looks at what Kafka has taken


class DeadLetters:
    """The topic KAFKA_DEAD_LETTER_TOPIC. Its connection is made for the first reject."""

    def __init__(self, settings: Settings, archive: Archive, metrics: Metrics) -> None:
        self._settings = settings
        self._archive = archive
        self._metrics = metrics
        self._producer: KafkaProducer | None = None
        self._complaint = Complaint(log)
        self._reached: dict[tuple[str, int], int] = {}  # topic id, partition → next offset

    def send(self, batch: list[Slice], stop: Stop) -> bool:
        """Store the rejects of `batch` that the archive has not passed yet.

        It waits while Kafka is away. True once Kafka has them all; False when it was told to
        stop first. Raises CheckpointError, OSError when the archive can't be read.
        """
        if not any(part.rejects for part in batch):
            return True
        letters = [
            (part.partition, reject)
            for part in self._archive.unseen(batch)
            for reject in part.rejects
            if reject.offset >= self._reached.get((self._archive.topic_id, part.partition), 0)
        ]
        for _ in stop.backoff():
            letters = self._send(letters, stop)
            if not letters:
                for part in batch:
                    self._reached[self._archive.topic_id, part.partition] = part.end
                return True
        return False

    def close(self) -> None:
        """Let go of the connection. What Kafka has not taken is sent again at the next start."""
        if self._producer:
            with suppress(KafkaError):
                self._producer.close(timeout=PATIENCE)

    def _send(self, letters: list[Letter], stop: Stop) -> list[Letter]:
        """Send each once. Returns those that Kafka has not taken."""
        sent = [(letter, self._post(*letter, stop)) for letter in letters]
        self._await([future for _, future in sent if not isinstance(future, KafkaError)], stop)
        left = []
        for (partition, reject), future in sent:
            error = future if isinstance(future, KafkaError) else future.exception
            if isinstance(error, TOO_LARGE):
                left.append((partition, _cut(reject)))
            elif error or not future.is_done:
                self._complaint.say(f"dead letters: trying again: {error}")
                left.append((partition, reject))
            else:
                self._metrics.dead_letters.labels(reject.reason).inc()
                self._complaint.over("dead letters: Kafka takes them again")
        return left

    @staticmethod
    def _await(futures: list[FutureRecordMetadata], stop: Stop) -> None:
        """Wait for Kafka's answers; after a request to stop, a last few seconds."""
        deadline = math.inf
        while not all(future.is_done for future in futures) and time.monotonic() < deadline:
            if stop:
                deadline = min(deadline, time.monotonic() + PATIENCE)
            time.sleep(STEP)

    def _post(
        self, partition: int, reject: Reject, stop: Stop
    ) -> FutureRecordMetadata | KafkaError:
        headers = {
            "error": reject.error,
            "source.topic": self._settings.kafka_topic,
            "source.partition": str(partition),
            "source.offset": str(reject.offset),
        }
        key = reject.key
        if key is None and reject.value is None:
            key = b""  # kafka-python sends no record without either
        try:
            return self._connected().send(
                self._settings.kafka_dead_letter_topic,
                reject.value,
                key,
                [(name, value.encode()) for name, value in headers.items()],
            )
        except KafkaTimeoutError as error:  # it may know of no such topic, as somebody deleted it
            topic.ensure(self._settings, stop)
            return error
        except KafkaError as error:
            return error

    def _connected(self) -> KafkaProducer:
        """Raises KafkaError."""
        if self._producer is None:
            self._producer = KafkaProducer(
                bootstrap_servers=self._settings.kafka_bootstrap_servers.split(","),
                bootstrap_timeout_ms=5_000,
                acks="all",
                compression_type="lz4",
                max_request_size=topic.DEAD_LETTER_BYTES,
                max_block_ms=5_000,
                # A batch that exceeds it in an outage wedges the idempotent producer for good.
                delivery_timeout_ms=2**31 - 1,
                metrics_enabled=False,
            )
        return self._producer


def _cut(reject: Reject) -> Reject:
    """For a dead-letter topic that somebody made with a lower max.message.bytes."""
    value = reject.value or b""
    note = f"{reject.error} (cut: the first {CUT} of {len(value)} bytes)"
    return replace(reject, value=value[:CUT], error=note)
