"""Lag: the records of each partition that this consumer has not read yet."""

import time
from collections.abc import Mapping
from contextlib import suppress

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from logpipeline.recent.tally import Tally

EVERY = 1.0  # seconds


class PartitionLag:
    """Reports it to `tally`, as of Kafka's last answer for each partition of `consumer`."""

    def __init__(self, consumer: KafkaConsumer, tally: Tally) -> None:
        self._consumer = consumer
        self._tally = tally
        self._noted = time.monotonic()

    def note(self, positions: Mapping[int, int]) -> None:
        """Report it by these next offsets, at most once a second."""
        now = time.monotonic()
        if now - self._noted < EVERY:
            return
        self._noted = now
        lag = {}
        for at in self._consumer.assignment():
            with suppress(KafkaError, KeyError):  # it may just have been revoked
                end = self._consumer.highwater(at)
                if end is not None and at.partition in positions:
                    lag[at.partition] = max(0, end - positions[at.partition])
        self._tally.set_lag(lag)
