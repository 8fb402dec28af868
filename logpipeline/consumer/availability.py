"""Availability: whether Kafka answers, in the log and in the metrics."""

import logging
import time

from logpipeline.consumer.metrics import Metrics
from logpipeline.kafka import connection
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.outage import Outage

log = logging.getLogger(__name__)

QUIET = 5.0  # seconds without records after which Kafka is probed
PROBE = 2.0  # seconds for a step of that probe


class Availability:
    """Kafka's, by its records, and by a probe while there are none."""

    def __init__(self, settings: KafkaSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._outage = Outage(log)
        self._heard = time.monotonic()

    def note(self, heard: bool) -> None:
        """Log once when Kafka becomes unavailable, and when it answers again. `heard` is whether
        records have just come; call it after each poll."""
        now = time.monotonic()
        if heard:
            self._heard = now
        elif now - self._heard < QUIET:
            return
        else:
            self._heard = now
            problem = connection.problem(self._settings, PROBE)
            heard = not problem
        if heard:
            self._outage.resolve("Kafka available again")
        else:
            connection.report_outage(self._outage, "Kafka unavailable, retrying", problem)
        self._metrics.kafka_up.set(heard)
