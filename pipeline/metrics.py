"""Metrics: what Prometheus sees of a consumer."""

import logging

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

log = logging.getLogger(__name__)


class Metrics:
    """The consumer's counters and gauges, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = self._counter("events", "Events appended to logs.txt", ["level"])
        self.bytes = self._counter("archive_bytes", "Bytes appended to logs.txt")
        self.batches = self._counter("batches", "Batches appended to logs.txt")
        self.dead_letters = self._counter("dead_letters", "Records that are no event", ["reason"])
        self.gap_records = self._counter("gap_records", "Records Kafka deleted before being read")
        self.commit_failures = self._counter("commit_failures", "Commits that Kafka did not take")
        self.archive_failures = self._counter("archive_failures", "Failed tries to append a batch")
        self.archive_up = self._gauge("archive_up", "1 while logs.txt can be appended to")
        self.kafka_up = self._gauge("kafka_up", "1 while Kafka answers")
        self.redis_up = self._gauge("redis_up", "1 while Redis takes the newest events")

    def serve(self, host: str, port: int) -> None:
        """Answer http://host:port/metrics from a thread; 0 is off. A taken port is only said."""
        if not port:
            return
        try:
            start_http_server(port, host, self.registry)
        except OSError as error:
            log.warning("no metrics: METRICS_PORT=%d on %s: %s", port, host, error)

    def totals(self) -> str:
        """The counts so far, for people."""
        events = sum(self._samples(self.events))
        letters = sum(self._samples(self.dead_letters))
        return f"{events:,.0f} events to the archive, {letters:,.0f} dead letters"

    @staticmethod
    def _samples(counter: Counter) -> list[float]:
        samples = (sample for metric in counter.collect() for sample in metric.samples)
        return [sample.value for sample in samples if sample.name.endswith("_total")]

    def _counter(self, name: str, meaning: str, labels: list[str] | None = None) -> Counter:
        return Counter(f"log_consumer_{name}", meaning, labels or [], registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"log_consumer_{name}", meaning, registry=self.registry)
