"""Outbox: the events on their way to Kafka, a bounded number of them, each delivered once.

Idempotent and acknowledged by all replicas: what Kafka has said it has, it has once, and the
events of one key stay in their order, through outages too.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
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

# Kafka may be away so long at 500 events/s for 100 s. kafka-python takes about 1 KB beside the
# bytes of each, and has no bound of its own.
MOST_EVENTS = 50_000
MOST_BYTES = 32 * 2**20
QUIET = 5.0  # seconds without an acknowledgement until Kafka is said to be away
PROBE = 2.0  # seconds, to say why it is away
FLUSH = 7.0  # seconds that a stop waits for acknowledgements; Docker kills after 10
STEP = 0.005  # seconds between looks at what Kafka has taken

# Of kafka-python: a batch that is given up wedges it, so none ever is; and a record that
# passes a larger max_request_size, but not the broker, fails all that follow.
RELIABLE = {
    "acks": "all",
    "enable_idempotence": True,
    "delivery_timeout_ms": 2**31 - 1,
    "max_request_size": 2**20,
}
# An event waits 5 ms for company; under load batches grow while those before are on their way.
BATCHED = {"compression_type": "lz4", "linger_ms": 5, "batch_size": 2**17}


class Outbox:
    """Sends (key, value) pairs to KAFKA_TOPIC. `delivered` and `undelivered` count events.

    Raises KafkaError when Kafka can't be reached: `when_ready` waits for it. For one thread.
    """

    def __init__(self, settings: KafkaSettings, stop: Shutdown) -> None:
        self.delivered = 0
        self.delivered_bytes = 0
        self.undelivered = 0
        self._given_up = False
        self._settings = settings
        self._stop = stop
        # (future, bytes, what to call), oldest first.
        self._waiting: deque[tuple[Any, int, OnAck | None]] = deque()
        self._bytes = 0
        self._quiet_since = time.monotonic()
        self.away = False  # Kafka
        self.outages = 0
        self._said: set[type] = set()
        self._producer = clients.producer(
            settings,
            max_block_ms=1_000,
            partitioner=ByKey(),
            **RELIABLE,
            **BATCHED,
        )
        self._producer._unregister_cleanup()  # at exit it would close before what still sends

    @classmethod
    def when_ready(cls, settings: KafkaSettings, stop: Shutdown) -> Self | None:
        """Waits for Kafka, and makes missing topics. None when `stop` was requested first."""
        for _ in stop.backoff():
            if not topics.ensure(settings, stop, topics.to_send(settings)):
                break
            try:
                return cls(settings, stop)
            except (KafkaError, OSError) as error:
                log.warning("waiting: %s", connection.reason(settings, error))
        return None

    def send(self, key: bytes, value: bytes, on_ack: OnAck | None = None) -> bool:
        """Take one event, once there is room. False when a stop came first: it is not taken.

        `on_ack` is called by `send`, `settle` or `close` once Kafka has accepted or refused the
        event and all that were sent before it; never for one that `close` gives up.
        """
        while self.settle() and self._full():
            if self._stop.wait(STEP):
                return False
        try:
            future = self._producer.send(self._settings.kafka_topic, value, key)
        except MessageSizeTooLargeError as error:
            future = Future().failure(error)
        except KafkaTimeoutError:  # it knows of no such topic, which somebody has deleted
            needs = topics.to_send(self._settings)
            return topics.ensure(self._settings, self._stop, needs) and self.send(
                key, value, on_ack
            )
        self._waiting.append((future, len(value), on_ack))
        self._bytes += len(value)
        return True

    @property
    def waiting(self) -> int:
        """Events that Kafka has not acknowledged yet."""
        return len(self._waiting)

    def close(self, patience: float = FLUSH) -> None:
        """Wait until Kafka has everything; after a request to stop, `patience` seconds at most."""
        while self.settle() and not self._stop:
            time.sleep(STEP)
        deadline = time.monotonic() + patience
        while self.settle() and time.monotonic() < deadline:
            time.sleep(STEP)
        if self._waiting:
            self._given_up = True
            # Fails what is left, which close() would wait for, and leave its thread behind.
            self._producer._sender.force_close()
            self._producer._sender.join(1)
        self._producer.close(timeout=1)
        self.settle()
        self.undelivered += len(self._waiting)

    def forget(self) -> None:
        """Let go of the connection in a forked child: it is the parent's."""
        self._producer._closed = True

    def _full(self) -> bool:
        return len(self._waiting) >= MOST_EVENTS or self._bytes >= MOST_BYTES

    def settle(self) -> int:
        """Count what is done, and say when Kafka goes and comes. Returns how many are waiting."""
        waiting, now = self._waiting, time.monotonic()
        if not waiting or waiting[0][0].is_done:
            self._quiet_since = now
        elif now - self._quiet_since > QUIET and not self.away:
            problem = "" if self._stop else connection.problem(self._settings, PROBE)
            why = f" ({problem})" if problem else ""
            log.warning("Kafka is away: %s events are waiting%s", f"{len(waiting):,}", why)
            self.away = True
            self.outages += 1
        while waiting and waiting[0][0].is_done:
            future, size, on_ack = waiting.popleft()
            self._bytes -= size
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
        if self.away:
            log.info("Kafka is back")
            self.away = False

    def _refuse(self, error: Exception) -> None:
        self.undelivered += 1
        if type(error) not in self._said:
            reason = connection.reason(self._settings, error)
            log.error("not delivered (the first of its kind, others are counted): %s", reason)
            self._said.add(type(error))


class ByKey(Partitioner):  # type: ignore[misc]
    """Kafka's usual partition for a key, with its hash remembered: in Python it is slow."""

    def partition(
        self, topic: str, key: Any, serialized_key: bytes, value: Any, serialized: Any, cluster: Any
    ) -> int:
        return _hash(serialized_key) % len(cluster.partitions_for_topic(topic))


@lru_cache(maxsize=10_000)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF
