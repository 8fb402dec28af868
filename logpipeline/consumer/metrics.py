"""Metrics: what Prometheus reads from the consumer, composed of what its rooms count."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.events.event import REASONS
from logpipeline.metrics import Instruments
from logpipeline.recent.metrics import RecentMetrics
from logpipeline.recent.tally import Tally

STEPS = ("start", "poll", "dead_letter", "append", "offer", "commit", "redis", "keep")


class Metrics(Collector):
    """The consumer's counters and gauges, those of its sinks, and the `tally`, which it shows."""

    def __init__(self) -> None:
        make = Instruments("log_consumer")
        self.registry = make.registry
        self.archive = ArchiveMetrics(make)
        self.recent = RecentMetrics(make)
        self.tally = Tally()
        self.gap_records = make.counter("gap_records", "Records Kafka deleted before being read")
        self.lost_records = make.counter(
            "lost_records", "Records Kafka lost after being read: logs.txt still has their events"
        )
        self.commit_failures = make.failures("commit")
        self.dead_letter_failures = make.failures("dead_letter")
        self.kafka_up = make.up("kafka", "1 while Kafka answers")
        self.dead_letter_up = make.up("dead_letter", "1 unless dead letters wait for Kafka")
        self.dead_letter_up.set(True)
        self.unexpected_errors = make.counter(
            "unexpected_errors", "Unexpected errors, retried", ["step"]
        )
        # From zero: Prometheus does not count the first value of a series as an increase.
        for step in STEPS:
            self.unexpected_errors.labels(step)
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The tally."""
        letters = CounterMetricFamily(
            "log_consumer_dead_letters", "Invalid records", labels=["reason"]
        )
        for reason, number in (dict.fromkeys(REASONS, 0) | self.tally.letters).items():
            letters.add_metric([reason], number)
        yield letters
        lag = GaugeMetricFamily(
            "log_consumer_lag_records", "Records not read yet", labels=["partition"]
        )
        for partition, records in self.tally.lag.items():
            lag.add_metric([str(partition)], records)
        yield lag

    def missing(self) -> str:
        """What keeps the consumer from its work, "" if nothing does. Redis is not needed."""
        needed = {
            "Kafka does not answer": self.kafka_up,
            "dead letters cannot be sent": self.dead_letter_up,
            "logs.txt cannot be written": self.archive.up,
        }
        return "; ".join(sentence for sentence, up in needed.items() if not up)

    def totals(self) -> str:
        """The counts so far, for people."""
        letters = self.tally.letters.total()
        return f"{self.archive.events:,} events to the archive, {letters:,} dead letters"
