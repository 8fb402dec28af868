"""Metrics: those of the collector."""

import os

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from logpipeline.metrics import Instruments

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class CollectorMetrics:
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
        self.outages = made.counter("outages", "Outages of Kafka")

    def shown(self) -> CollectorRegistry:
        """The registry to show: with several workers, one that adds up all of theirs."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not folder:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return together
