"""Dead letters: invalid records are sent to a topic of their own, with the reason."""

import logging
import time
from contextlib import closing, suppress
from typing import NamedTuple

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)
from kafka.producer.future import FutureRecordMetadata

from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import Partition
from logpipeline.consumer.metrics import Metrics
from logpipeline.events.slices import Place, Reject, Slice
from logpipeline.kafka import clients, connection, topics
from logpipeline.kafka.settings import DeadLetterSettings
from logpipeline.outage import Outage

log = logging.getLogger(__name__)

STEP = 0.5  # seconds that one `send` waits for Kafka's answers
LOOK = 0.005  # seconds between checks of them
LATE = 8.0  # seconds without an answer after which it is asked why, unless Kafka is away
RETRY = 1.0  # seconds until a failed attempt is repeated
PROBE = 2.0  # seconds for a step of finding out why
CLOSE = 2.0  # seconds
FRAME = 1_024  # bytes that a batch may add to a record
BATCH = 16_384  # bytes
UNANSWERED = f"Kafka has not acknowledged them for {LATE:.0f} s: are enough replicas of %s in sync?"
Letter = tuple[Slice, Reject]  # with the slice that it is from


class SentLetter(NamedTuple):
    """The record of a dead letter: a topic that was deleted and created again has the same offsets
    again, and so has one of which Kafka has lost records."""

    topic_id: str
    partition: int
    offset: int
    epoch: int


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
        self._in_flight: dict[SentLetter, tuple[FutureRecordMetadata, str]] = {}  # with the reason
        # acknowledged, and perhaps not in the archive's checkpoint
        self._sent: set[SentLetter] = set()
        self._failure: BaseException | None = None  # the first of its kind
        self._retry_at = self._asked_at = 0.0  # time.monotonic()

    def send(self, batch: list[Slice]) -> bool:
        """Send the rejects of `batch` that the archive has not passed yet, and wait for at most
        STEP. Returns whether Kafka has them all; if it does not, call it again after a poll.

        Raises CheckpointError, OSError if the archive cannot be read.
        """
        left = self._left(batch)
        if not left:
            self._resolve()
            return True
        # One batch at a time: kafka-python's producer has no bound of its own.
        if not self._in_flight and self._may_post():
            self._post_all(left)
        self._await()
        self._settle()
        if self._left(batch):
            self._explain()
            return False
        self._resolve()
        return True

    def close(self) -> None:
        """Disconnect. What Kafka has not acknowledged is sent again after the next start."""
        if self._producer:
            with suppress(KafkaError):
                clients.close_producer(self._producer, CLOSE if self._metrics.kafka_up else 0)
            self._producer = None

    def _left(self, batch: list[Slice]) -> list[Letter]:
        """The rejects that neither Kafka nor the archive's checkpoint has."""
        if self._sent:
            passed = self._archive.position().partitions
            self._sent = {at for at in self._sent if _is_ahead(at, passed.get(at.partition))}
        if not any(part.rejects for part in batch):
            return []
        return [
            (part, reject)
            for part in self._archive.unseen(batch)
            for reject in part.rejects
            if _source(part, reject) not in self._sent
        ]

    def _may_post(self) -> bool:
        """Whether it is time to try; without a connection, once a poll has found Kafka again."""
        reachable = bool(self._producer) or bool(self._metrics.kafka_up)
        return reachable and time.monotonic() >= self._retry_at

    def _post_all(self, letters: list[Letter]) -> None:
        """Hand them to the producer; stop at the first one that it does not take."""
        self._asked_at = time.monotonic()
        for number, (part, reject) in enumerate(letters):
            try:
                future = self._post(part, reject)
            except (KafkaError, OSError) as problem:
                self._fail(problem, len(letters) - number)
                return
            self._in_flight[_source(part, reject)] = future, reject.reason
        if self._is_away():
            self._failure = None

    def _await(self) -> None:
        """Wait for Kafka's answers, at most STEP."""
        deadline = time.monotonic() + STEP
        while time.monotonic() < deadline:
            if all(future.is_done for future, _ in self._in_flight.values()):
                return
            time.sleep(LOOK)

    def _settle(self) -> None:
        """Account for Kafka's answers."""
        failed = []
        for at, (future, reason) in list(self._in_flight.items()):
            if not future.is_done:
                continue
            del self._in_flight[at]
            if future.exception:
                failed.append(future.exception)
            else:
                self._sent.add(at)
                self._metrics.tally.add_letter(reason)
        if failed:
            self._fail(failed[0], len(failed))
            self.close()  # an idempotent producer that has failed once keeps failing
            answered = {at: each for at, each in self._in_flight.items() if each[0].is_done}
            self._in_flight = answered  # which the next call accounts for

    def _fail(self, problem: BaseException, count: int) -> None:
        if self._is_away() or type(problem) is not type(self._failure):
            self._failure = problem  # the text of others of its type may differ at each attempt
        self._retry_at = time.monotonic() + RETRY
        self._asked_at = -LATE
        self._metrics.dead_letter_failures.inc(count)

    def _explain(self) -> None:
        """Report why Kafka does not take them, unless it is away: that is reported by poll."""
        if self._is_away() or not self._metrics.kafka_up:
            return
        if time.monotonic() - self._asked_at < LATE:
            return
        problem = topics.problem(self._settings, topics.to_read(self._settings), PROBE)
        self._asked_at = time.monotonic()
        if connection.NO_ANSWER not in problem:
            if not problem and self._failure:
                problem = connection.reason(self._settings, self._failure)
            reason = problem or UNANSWERED % self._topic
            self._outage.report(f"cannot send dead letters, retrying: {reason}")
            self._metrics.dead_letter_up.set(False)

    def _resolve(self) -> None:
        """Note that nothing waits any more."""
        self._failure = None
        if self._outage:
            self._outage.resolve("sending dead letters again")
            self._metrics.dead_letter_up.set(True)

    def _is_away(self) -> bool:
        return self._failure is not None and connection.NO_ANSWER in str(self._failure)

    def _post(self, part: Slice, reject: Reject) -> FutureRecordMetadata:
        """Send it; only its beginning if it is too large for the topic.

        Raises KafkaError, OSError.
        """
        producer = self._producer or self._connect()
        source = [
            ("source.topic", self._settings.kafka_topic.encode()),
            ("source.partition", b"%d" % part.partition),
            ("source.offset", b"%d" % reject.offset),
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
        if problem := connection.problem(self._settings, PROBE):  # a client would wait for longer
            raise KafkaConnectionError(problem)
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


def _source(part: Slice, reject: Reject) -> SentLetter:
    return SentLetter(part.topic_id, part.partition, reject.offset, part.epoch)


def _is_ahead(source: SentLetter, known: Partition | None) -> bool:
    """Whether the archive has not passed it."""
    return known is None or known.place.precedes(Place(source.offset + 1, source.epoch))
