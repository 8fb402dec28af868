"""Sink: what a sink of events counts, logs.txt or Redis.

It counts per batch, never per event. The delay of a batch is that of its first event, by the
event's own timestamp: the one that has waited longest.
"""

import time
from collections.abc import Mapping

from logpipeline.events.event import LEVELS
from logpipeline.metrics import Instruments

DELAYS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600)  # seconds
LONGEST = 30 * 24 * 3600  # seconds; what is older was not waiting for the pipeline
SKEW = 600  # seconds that a clock may be ahead of this one


class Sink:
    """The events that the sink `name` got, by level, and how late they were."""

    def __init__(self, instruments: Instruments, name: str) -> None:
        events = instruments.counter(
            "events", "Events that a sink got: logs.txt, Redis", ["sink", "level"]
        )
        delay = instruments.histogram(
            "delay_seconds", "From a batch's oldest event to the sink", DELAYS, ["sink"]
        )
        # From zero on: Prometheus takes the first value of a series for no increase.
        self._events = {level: events.labels(name, level) for level in LEVELS}
        self._delay = delay.labels(name)
        self.total = 0

    def got(self, counts: Mapping[tuple[int, str], int]) -> None:
        """Count events per (minute, level)."""
        for (_, level), number in counts.items():
            self._events[level].inc(number)
            self.total += number

    def waited(self, since: float) -> None:
        """Note an event whose timestamp is `since`, in Unix seconds, unless that can't be."""
        delay = time.time() - since
        if -SKEW <= delay <= LONGEST:  # no other time may ruin the sum
            self._delay.observe(max(0.0, delay))
