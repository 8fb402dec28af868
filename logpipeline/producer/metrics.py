"""Metrics: those of the producer, read from its outbox at each scrape."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from logpipeline.kafka.outbox import Outbox


class ProducerMetrics(Collector):
    """The counts of an outbox; zero until it exists."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        box = self.outbox
        events = CounterMetricFamily(
            "log_producer_events", "Events that Kafka acknowledged, or did not", labels=["outcome"]
        )
        events.add_metric(["delivered"], box.delivered if box else 0)
        events.add_metric(["undelivered"], box.undelivered if box else 0)
        yield events
        size, outages = (box.delivered_bytes, box.outages) if box else (0, 0)
        yield CounterMetricFamily("log_producer_delivered_bytes", "Bytes of these events", size)
        yield CounterMetricFamily("log_producer_outages", "Outages of Kafka", outages)
        yield GaugeMetricFamily(
            "log_producer_waiting_events", "Events not acknowledged yet", box.waiting if box else 0
        )
        yield GaugeMetricFamily(
            "log_producer_kafka_up", "1 while Kafka answers", not self.missing()
        )

    def missing(self) -> str:
        """What keeps the producer from working, "" when nothing does."""
        return "Kafka does not answer" if self.outbox is None or self.outbox.unavailable else ""
