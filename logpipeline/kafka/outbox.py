"""Outbox: a bounded number of events on their way to Kafka, each delivered once.

It is idempotent, and all replicas acknowledge: an acknowledged event is in Kafka once, and the
events of one key keep their order, even in outages.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Self

from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from kafka.future import Future
from kafka.partitioner import Partitioner
from kafka.partitioner.default import murmur2

from logpipeline.kafka import clients, connection, topics
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

OnAck = Callable[[], object]
OnAcks = Callable[[int], object]  # called with the number of events that Kafka has refused

# At 500 events/s these cover an outage of 100 s. kafka-python takes about 1 KB for each beside its
# bytes, and has no bound of its own.
MOST_EVENTS = 50_000
MOST_BYTES = 32 * 2**20
QUIET = 5.0  # seconds without an acknowledgement until an outage is reported
PROBE = 2.0  # seconds to find the reason of an outage
FLUSH = 7.0  # seconds that a stop waits for acknowledgements; Docker kills after 10
STEP = 0.005  # seconds between checks for acknowledgements

# kafka-python hangs once a batch times out, so none ever does; and a record that is smaller than
# max_request_size but too large for the broker makes all later sends fail.
RELIABLE = {
    "acks": "all",
    "enable_idempotence": True,
    "delivery_timeout_ms": 2**31 - 1,
    "max_request_size": 2**20,
}
# An event waits 5 ms for others; under load batches grow while earlier ones are in flight.
BATCHED = {"compression_type": "lz4", "linger_ms": 5, "batch_size": 2**17}


class Outbox:
    """Sends (key, value) pairs to KAFKA_TOPIC. `delivered` and `undelivered` count events.

    Raises KafkaError when Kafka is unavailable: `when_ready` waits for it. For one thread.
    """

    def __init__(self, settings: KafkaSettings, stop: Shutdown) -> None:
        self.delivered = 0
        self.delivered_bytes = 0
        self.undelivered = 0
        self._given_up = False
        self._refused_last = False
        self._settings = settings
        self._stop = stop
        # (future, bytes, callback), oldest first.
        self._waiting: deque[tuple[Any, int, OnAck | None]] = deque()
        self._bytes = 0
        self._quiet_since = time.monotonic()
        self.unavailable = False  # Kafka
        self.outages = 0
        self._reported: set[type] = set()
        self._producer = clients.producer(
            settings,
            max_block_ms=1_000,
            partitioner=ByKey(),
            **RELIABLE,
            **BATCHED,
        )
        self._producer._unregister_cleanup()  # at exit it would close before its users

    @classmethod
    def when_ready(cls, settings: KafkaSettings, stop: Shutdown) -> Self | None:
        """Wait for Kafka and create missing topics. None when `stop` was requested first."""
        for _ in stop.backoff():
            if not topics.ensure(settings, stop, topics.to_send(settings)):
                break
            try:
                return cls(settings, stop)
            except (KafkaError, OSError) as error:
                log.warning("waiting: %s", connection.reason(settings, error))
        return None

    def send(self, key: bytes, value: bytes, on_ack: OnAck | None = None) -> bool:
        """Accept one event, once there is room. False when a stop was requested first.

        `on_ack` is called by `send`, `settle` or `close` once Kafka has accepted or refused the
        event and all earlier ones; never for an event that `close` abandons.
        """
        while self.settle() and self._full():
            if self._stop.wait(STEP):
                return False
        try:
            future = self._producer.send(self._settings.kafka_topic, value, key)
        except MessageSizeTooLargeError as error:
            future = Future().failure(error)
        except KafkaTimeoutError:  # the topic has been deleted
            needs = topics.to_send(self._settings)
            return topics.ensure(self._settings, self._stop, needs) and self.send(
                key, value, on_ack
            )
        self._waiting.append((future, len(value), on_ack))
        self._bytes += len(value)
        return True

    def send_all(self, pairs: Sequence[tuple[bytes, bytes]], on_ack: OnAcks | None = None) -> bool:
        """Accept all `pairs`, once there is room. False, and none is accepted, when a stop was
        requested first.

        `on_ack` is called once for all of them, as `send` does, with the number of those that
        Kafka has refused: 0 when Kafka has all.
        """
        refused = 0

        def count(last: bool) -> None:
            nonlocal refused
            refused += self._refused_last
            if last and on_ack:
                on_ack(refused)

        if not pairs and on_ack:
            on_ack(0)
        sent = [
            self.send(key, value, partial(count, number == len(pairs)))
            for number, (key, value) in enumerate(pairs, 1)
        ]
        return all(sent)

    @property
    def waiting(self) -> int:
        """Events that Kafka has not acknowledged yet."""
        return len(self._waiting)

    def close(self, patience: float = FLUSH) -> None:
        """Wait until Kafka has every event; after a request to stop, at most `patience` seconds."""
        while self.settle() and not self._stop:
            time.sleep(STEP)
        deadline = time.monotonic() + patience
        while self.settle() and time.monotonic() < deadline:
            time.sleep(STEP)
        if self._waiting:
            self._given_up = True
            # Fails the remaining events: close() would wait for them, and leak its thread.
            self._producer._sender.force_close()
            self._producer._sender.join(1)
        self._producer.close(timeout=1)
        self.settle()
        self.undelivered += len(self._waiting)

    def forget(self) -> None:
        """Abandon the connection in a forked child: it belongs to the parent."""
        self._producer._closed = True

    def _full(self) -> bool:
        return len(self._waiting) >= MOST_EVENTS or self._bytes >= MOST_BYTES

    def settle(self) -> int:
        """Count finished events and report outages. Returns the number of waiting events."""
        waiting, now = self._waiting, time.monotonic()
        if not waiting or waiting[0][0].is_done:
            self._quiet_since = now
        elif now - self._quiet_since > QUIET and not self.unavailable:
            problem = "" if self._stop else connection.problem(self._settings, PROBE)
            why = f" ({problem})" if problem else ""
            count = f"{len(waiting):,}"
            log.warning("Kafka unavailable, retrying: %s events are waiting%s", count, why)
            self.unavailable = True
            self.outages += 1
        while waiting and waiting[0][0].is_done:
            future, size, on_ack = waiting.popleft()
            self._bytes -= size
            self._refused_last = bool(future.exception)
            if future.exception:
                self._refuse(future.exception)
            else:
                self._accept(size)
            if on_ack and not self._given_up:
                on_ack()
        return len(waiting)

    def _accept(self, size: int) -> None:
        self.delivered += 1
        self.delivered_bytes += size
        if self.unavailable:
            log.info("Kafka available again")
            self.unavailable = False

    def _refuse(self, error: Exception) -> None:
        self.undelivered += 1
        if type(error) not in self._reported:
            reason = connection.reason(self._settings, error)
            log.error("event not delivered (further errors of this kind are counted): %s", reason)
            self._reported.add(type(error))


class ByKey(Partitioner):  # type: ignore[misc]
    """Kafka's default partition for a key, with a cached hash: in Python it is slow."""

    def partition(
        self, topic: str, key: Any, serialized_key: bytes, value: Any, serialized: Any, cluster: Any
    ) -> int:
        return _hash(serialized_key) % len(cluster.partitions_for_topic(topic))


@lru_cache(maxsize=10_000)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF
