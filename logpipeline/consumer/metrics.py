"""Metrics: what Prometheus sees of the consumer.

The consumer counts per batch, never per event. The delay of a batch is that of its first event
in each partition, by the event's own timestamp: the one that has waited longest. The others
count by themselves, and are read when Prometheus asks.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.samples import Sample

from logpipeline.events.event import LEVELS, REASONS
from logpipeline.events.slices import Slice
from logpipeline.recent.backlog import News

BATCHES = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000)  # events
STEPS = ("start", "poll", "dead_letter", "append", "offer", "commit", "redis", "keep")
DELAYS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600)  # seconds


class Up:
    """Whether something is there, and how often it went away."""

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


class Metrics:
    """The consumer's counters and gauges, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = self._counter(
            "events", "Events that a sink got: logs.txt, Redis", ["sink", "level"]
        )
        self._bytes = self._counter("archive_bytes", "Bytes appended to logs.txt")
        self.rotations = self._counter("rotations", "Times that logs.txt was rotated")
        self._batch = self._histogram("batch_events", "Events of a batch in logs.txt", BATCHES)
        self._delay = self._histogram(
            "delay_seconds", "From a batch's oldest event to the sink", DELAYS, ["sink"]
        )
        self.dead_letters = self._counter("dead_letters", "Invalid records", ["reason"])
        self.gap_records = self._counter("gap_records", "Records Kafka deleted before being read")
        failures = self._counter("failures", "What failed and is tried again", ["step"])
        self.archive_failures = failures.labels("append")
        self.commit_failures = failures.labels("commit")
        self.dead_letter_failures = failures.labels("dead_letter")
        self.redis_failures = failures.labels("redis")
        self.keep_failures = failures.labels("keep")
        self.ship_failures = failures.labels("ship")
        self.unexpected_errors = self._counter(
            "unexpected_errors", "Errors that nobody foresaw, retried", ["step"]
        )
        outages = self._counter("outages", "Times that something went away", ["of"])
        self.archive_up = self._up("archive", "1 while logs.txt can be appended to", outages)
        self.kafka_up = self._up("kafka", "1 while Kafka answers", outages)
        self.redis_up = self._up("redis", "1 while Redis takes the newest events", outages)
        self.store_up = self._up("store", "1 while ARCHIVE_URL takes rotated files", outages)
        for up in (self.archive_up, self.store_up):
            up.set(True)  # until the first problem
        self.lag: dict[int, int] = {}  # partition → records behind
        self._lag = self._gauge("lag_records", "Records not read yet", ["partition"])
        self._checkpoint = self._gauge(
            "last_checkpoint_timestamp_seconds", "When logs.txt was last known to be on disk"
        )
        self.rotated_files = self._gauge("rotated_files", "Rotated files that are kept here")
        self.rotated_bytes = self._gauge("rotated_bytes", "Bytes that these take on disk")
        self.shipped_files = self._counter("shipped_files", "Rotated files sent to ARCHIVE_URL")
        self.shipped_bytes = self._counter("shipped_bytes", "Bytes of these")
        self.unshipped_files = self._gauge(
            "unshipped_files", "Rotated files that are not in ARCHIVE_URL yet"
        )
        # From zero on: Prometheus takes the first value of a series for no increase.
        for reason in REASONS:
            self.dead_letters.labels(reason)
        for step in STEPS:
            self.unexpected_errors.labels(step)
        for sink in ("archive", "redis"):
            self._delay.labels(sink)
            for level in LEVELS:
                self._events.labels(sink, level)

    def watch_checkpoint(self, path: Path) -> None:
        """Let the age of the checkpoint be that of this file: 0 when it is missing."""
        self._checkpoint.set_function(lambda: path.stat().st_mtime if path.exists() else 0)

    def archived(self, batch: Iterable[Slice], size: int) -> None:
        """Count what was appended to logs.txt, `size` in bytes."""
        events = 0
        now = time.time()
        for part in batch:
            events += len(part.lines)
            for (_, level), number in part.counts.items():
                self._events.labels("archive", level).inc(number)
            if part.times:
                self._waited("archive", part.times[0], now)
        self._bytes.inc(size)
        self._batch.observe(events)

    def stored(self, news: News, anew: bool) -> None:
        """Count what was put into Redis. Its lists hold the newest events alone: the delay is that
        of the oldest of these, and there is none when the lists were made `anew`."""
        for (_, level), number in news.counts.items():
            self._events.labels("redis", level).inc(number)
        if news.times and not anew:
            self._waited("redis", news.times[0], time.time())

    def behind(self, lag: Mapping[int, int]) -> None:
        """Note how many records this consumer has not read of each of its partitions."""
        for partition in self.lag.keys() - lag.keys():
            self._lag.remove(partition)
        for partition, records in lag.items():
            self._lag.labels(partition).set(records)
        self.lag = dict(lag)  # a new one each time: see Recent

    def letters(self) -> dict[str, int]:
        """Reason → dead letters so far."""
        return {sample.labels["reason"]: int(sample.value) for sample in _totals(self.dead_letters)}

    def missing(self) -> str:
        """What keeps the consumer from its work, "" when nothing does. Redis is not needed."""
        needed = {"Kafka does not answer": self.kafka_up, "logs.txt can't grow": self.archive_up}
        return "; ".join(sentence for sentence, up in needed.items() if not up)

    def totals(self) -> str:
        """The counts so far, for people."""
        samples = _totals(self._events)
        events = sum(sample.value for sample in samples if sample.labels["sink"] == "archive")
        letters = sum(self.letters().values())
        return f"{events:,.0f} events to the archive, {letters:,} dead letters"

    def _waited(self, sink: str, since: float, now: float) -> None:
        self._delay.labels(sink).observe(max(0.0, now - since))

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"log_consumer_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"log_consumer_{name}", meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        name = f"log_consumer_{name}"
        return Histogram(name, meaning, labels, registry=self.registry, buckets=buckets)

    def _up(self, name: str, meaning: str, outages: Counter) -> Up:
        return Up(self._gauge(f"{name}_up", meaning), outages.labels(name))


def _totals(counter: Counter) -> list[Sample]:
    samples = (sample for metric in counter.collect() for sample in metric.samples)
    return [sample for sample in samples if sample.name.endswith("_total")]
