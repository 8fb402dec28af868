"""Outbox: a bounded number of events on their way to Kafka, each delivered once.

It is idempotent, and all replicas acknowledge: an acknowledged event is in Kafka once, and the
events of one key keep their order, even in outages.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

from kafka.errors import BrokerResponseError, KafkaError, KafkaTimeoutError

from logpipeline.kafka import clients, connection, topics
from logpipeline.kafka.batching import batching
from logpipeline.kafka.encoding import Pair
from logpipeline.kafka.partitioning import ByKey
from logpipeline.kafka.parts import Part, Refused
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

OnAck = Callable[[], object]
OnAcks = Callable[[int], object]  # called with the number of events that Kafka has refused

# At 500 events/s of usual size these cover an outage of 90 s, and producer.py stays below 80 MB.
MOST_EVENTS = 50_000
MOST_BYTES = 8 * 2**20
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
# An event waits 5 ms for others; under load batches grow while earlier ones are in flight. A busy
# partition is as fast as its batches are large: with these producer.py still stays below 80 MB.
BATCHED = {"compression_type": "lz4", "linger_ms": 5, "batch_size": 7 * 2**17}


class Outbox:
    """Sends (key, value) pairs to KAFKA_TOPIC. `delivered` and `undelivered` count events.

    Raises KafkaError when Kafka is unavailable: `when_ready` waits for it. For one thread.
    """

    def __init__(self, settings: KafkaSettings, stop: Shutdown) -> None:
        self.delivered = 0
        self.delivered_bytes = 0
        self.undelivered = 0
        self._given_up = False
        self._settings = settings
        self._stop = stop
        # Of each call, oldest first.
        self._waiting: deque[tuple[list[Part], OnAcks | None]] = deque()
        self._events = self._bytes = 0
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
        self._batching = batching(self._producer, settings.kafka_topic)

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

        `on_ack` is called by `send`, `send_all`, `settle` or `close` once Kafka has accepted or
        refused the event and all earlier ones; never for an event that `close` abandons.
        """
        return self.send_all([(key, value)], on_ack and (lambda _: on_ack()))

    def send_all(self, pairs: Sequence[Pair], on_ack: OnAcks | None = None) -> bool:
        """Accept all `pairs`, once there is room. False, and none is accepted, when a stop was
        requested first.

        `on_ack` is called once for all of them, as `send` does, with the number of those that
        Kafka has refused: 0 when Kafka has all.
        """
        while self.settle() and self._full():
            if self._stop.wait(STEP):
                return False
        parts = self._parts(pairs)
        if parts is None:
            return False
        self._waiting.append((parts, on_ack))
        self._events += len(pairs)
        self._bytes += sum([part.size for part in parts])
        return True

    def _parts(self, pairs: Sequence[Pair]) -> list[Part] | None:
        """Send them. None when a stop was requested before the topic existed."""
        try:
            return self._batching.add(pairs)
        except KafkaTimeoutError:  # the topic has been deleted
            needs = topics.to_send(self._settings)
            ready = topics.ensure(self._settings, self._stop, needs)
            return self._parts(pairs) if ready else None
        except BrokerResponseError as error:  # the topic may not be used
            return [Refused(error, len(value)) for _, value in pairs]

    @property
    def waiting(self) -> int:
        """Events that Kafka has not acknowledged yet."""
        return self._events

    def close(self, patience: float | None = None) -> None:
        """Wait until Kafka has every event; after a request to stop, at most `patience` seconds,
        FLUSH if it is None."""
        while self.settle() and not self._stop:
            time.sleep(STEP)
        deadline = time.monotonic() + (FLUSH if patience is None else patience)
        while self.settle() and time.monotonic() < deadline:
            time.sleep(STEP)
        if self._waiting:
            self._given_up = True
            # Fails the remaining events: close() would wait for them, and leak its thread.
            self._producer._sender.force_close()
            self._producer._sender.join(1)
        self._producer.close(timeout=1)
        self.settle()
        self.undelivered += self._events

    def forget(self) -> None:
        """Abandon the connection in a forked child: it belongs to the parent."""
        self._producer._closed = True

    def _full(self) -> bool:
        return self._events >= MOST_EVENTS or self._bytes >= MOST_BYTES

    def settle(self) -> int:
        """Count finished events and report outages. Returns the number of waiting events."""
        now = time.monotonic()
        if not self._waiting or self._is_settled():
            self._quiet_since = now
        elif now - self._quiet_since > QUIET and not self.unavailable:
            self._report_outage()
        while self._waiting and self._is_settled():
            self._count(*self._waiting.popleft())
        return self._events

    def _is_settled(self) -> bool:
        """Whether Kafka has answered for the oldest events."""
        return all(part.is_settled() for part in self._waiting[0][0])

    def _report_outage(self) -> None:
        problem = "" if self._stop else connection.problem(self._settings, PROBE)
        why = f" ({problem})" if problem else ""
        count = f"{self._events:,}"
        log.warning("Kafka unavailable, retrying: %s events are waiting%s", count, why)
        self.unavailable = True
        self.outages += 1
        if not problem:  # the topic may have been deleted
            topics.ensure(self._settings, self._stop, topics.to_send(self._settings))

    def _count(self, parts: list[Part], on_ack: OnAcks | None) -> None:
        refused = 0
        for part in parts:
            errors, size = part.refusals()
            self._events -= part.events
            self._bytes -= part.size
            if len(errors) < part.events:
                self._accept(part.events - len(errors), part.size - size)
            for error in errors:
                self._refuse(error)
            refused += len(errors)
        if on_ack and not self._given_up:
            on_ack(refused)

    def _accept(self, count: int, size: int) -> None:
        self.delivered += count
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
