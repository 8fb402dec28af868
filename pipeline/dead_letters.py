"""Dead letters: what is no event goes to a topic of its own, with the reason."""

import logging
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
from pipeline.archive import Archive
from pipeline.batch import Reject, Slice
from pipeline.metrics import Metrics
from pipeline.stop import Stop
from pipeline.topic import DEAD_LETTER_BYTES

log = logging.getLogger(__name__)

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
Letter = tuple[int, Reject]  # with its partition
CUT = 512 * 1024  # bytes kept of a value that the dead-letter topic does not take whole
PATIENCE = 3.0  # seconds


class DeadLetters:
    """The topic KAFKA_DEAD_LETTER_TOPIC. Its connection is made for the first reject."""

    def __init__(self, settings: Settings, archive: Archive, metrics: Metrics) -> None:
        self._settings = settings
        self._archive = archive
        self._metrics = metrics
        self._producer: KafkaProducer | None = None
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
        if self._producer:
            self._producer.close(timeout=PATIENCE)

    def _send(self, letters: list[Letter], stop: Stop) -> list[Letter]:
        """Send each once. Returns those that Kafka has not taken."""
        sent, left = [], []
        for partition, reject in letters:
            try:
                sent.append((partition, reject, self._post(partition, reject)))
            except KafkaError as problem:
                log.warning("dead letters: %s; trying again", problem)
                left.append((partition, reject))
        for partition, reject, future in sent:
            error = self._outcome(future, stop)
            if error is None:
                self._metrics.dead_letters.labels(reject.reason).inc()
            elif isinstance(error, TOO_LARGE):
                left.append((partition, _cut(reject)))
            else:
                log.warning("dead letters: %s; trying again", error)
                left.append((partition, reject))
        return left

    @staticmethod
    def _outcome(future: FutureRecordMetadata, stop: Stop) -> KafkaError | None:
        """What became of a letter on its way; a request to stop is given a last few seconds."""
        while True:
            try:
                future.get(timeout=PATIENCE)
                return None
            except KafkaTimeoutError as error:
                if stop or future.is_done:
                    return error
            except KafkaError as error:
                return error

    def _post(self, partition: int, reject: Reject) -> FutureRecordMetadata:
        """Raises KafkaError."""
        if self._producer is None:
            self._producer = KafkaProducer(
                bootstrap_servers=self._settings.kafka_bootstrap_servers.split(","),
                acks="all",
                compression_type="lz4",
                max_request_size=DEAD_LETTER_BYTES,
                max_block_ms=5_000,
                # A batch that exceeds it in an outage wedges the idempotent producer for good.
                delivery_timeout_ms=2**31 - 1,
                metrics_enabled=False,
            )
        source = {
            "topic": self._settings.kafka_topic,
            "partition": str(partition),
            "offset": str(reject.offset),
        }
        headers = [("error", reject.error.encode())]
        headers += [(f"source.{name}", value.encode()) for name, value in source.items()]
        key = reject.key
        if key is None and reject.value is None:
            key = b""  # kafka-python sends no record without either
        return self._producer.send(
            self._settings.kafka_dead_letter_topic, reject.value, key, headers
        )


def _cut(reject: Reject) -> Reject:
    """For a dead-letter topic that somebody made with a lower max.message.bytes."""
    value = reject.value or b""
    note = f"{reject.error} (cut: the first {CUT} of {len(value)} bytes)"
    return replace(reject, value=value[:CUT], error=note)
