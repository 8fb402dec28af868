"""Metrics: the counters and gauges of one program, in a registry of its own."""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Up:
    """Whether a server is available, and how often it became unavailable."""

    def __init__(self, gauge: Gauge, outages: Counter) -> None:
        self._gauge = gauge
        self._outages = outages
        self._up: bool | None = None  # not known yet

    def __bool__(self) -> bool:
        return bool(self._up)

    def set(self, up: bool) -> None:
        if not up and self._up is not False:
            self._outages.inc()
        self._up = up
        self._gauge.set(up)


class Instruments:
    """Creates metrics whose names begin with `prefix`. Rooms that request the same one share it."""

    def __init__(self, prefix: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = prefix
        self._created: dict[str, Any] = {}

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        counter: Counter = self._get(Counter, name, meaning, labels)
        return counter

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        gauge: Gauge = self._get(Gauge, name, meaning, labels)
        return gauge

    def histogram(
        self, name: str, meaning: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        histogram: Histogram = self._get(Histogram, name, meaning, labels, buckets=buckets)
        return histogram

    def failures(self, step: str) -> Counter:
        """The failures of a step that is retried."""
        return self.counter("failures", "Failures that are retried", ["step"]).labels(step)

    def up(self, name: str, meaning: str) -> Up:
        """The availability of a server that a program needs, or can use."""
        outages = self.counter("outages", "Times that a server became unavailable", ["of"])
        return Up(self.gauge(f"{name}_up", meaning), outages.labels(name))

    def _get(
        self, kind: Any, name: str, meaning: str, labels: Sequence[str], **options: Any
    ) -> Any:
        if name not in self._created:
            full = f"{self._prefix}_{name}"
            self._created[name] = kind(full, meaning, labels, registry=self.registry, **options)
        return self._created[name]


def total(counter: Counter) -> int:
    """The sum of a counter over all of its labels."""
    samples = [sample for metric in counter.collect() for sample in metric.samples]
    return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))
