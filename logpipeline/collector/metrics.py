"""Metrics: those of the collector."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from logpipeline.kafka.outbox import Outbox
from logpipeline.metrics import Instruments

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class CollectorMetrics(Collector):
    """What came in, by protocol, and what Kafka made of it."""

    def __init__(self) -> None:
        made = Instruments("log_collector")
        self.registry: CollectorRegistry = made.registry
        self.requests = made.counter("requests", "Answers", ["protocol", "status"])
        self.events = made.counter("events", "Events that Kafka acknowledged", ["protocol"])
        self.refused = made.counter("refused_events", "Events that were refused", ["protocol"])
        self.dropped = made.counter("dropped_events", "Events of syslog over UDP that were dropped")
        self.delay = made.histogram("kafka_seconds", "From a batch to its acknowledgement", SECONDS)
        self.waiting = made.gauge("waiting_events", "Events that Kafka has not acknowledged")
        self.connections = made.gauge("connections", "Open connections")
        self.up = made.gauge("kafka_up", "1 while Kafka answers")
        self._outbox: Outbox | None = None
        self._outages = 0  # of earlier outboxes
        self.registry.register(self)

    def watch(self, outbox: Outbox) -> None:
        """Take the outages from this outbox from now on."""
        if self._outbox:
            self._outages += self._outbox.outages
        self._outbox = outbox

    def shown(self) -> CollectorRegistry:
        """The registry to show: with several workers, one that adds up all of theirs."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not folder:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return together

    def collect(self) -> Iterator[Metric]:
        outages = self._outages + (self._outbox.outages if self._outbox else 0)
        yield CounterMetricFamily("log_collector_outages", "Outages of Kafka", outages)
