"""Sink: the metrics of a sink of events, logs.txt or Redis.

They are updated per batch, never per event. The delay of a batch is that of its first event, which
has waited longest, by the event's own timestamp.
"""

import time
from collections.abc import Mapping

from logpipeline.events.event import LEVELS
from logpipeline.metrics import Instruments

DELAYS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600)  # seconds
LONGEST = 30 * 24 * 3600  # seconds; what is older was not waiting for the pipeline
SKEW = 600  # seconds that a clock may be ahead of this one


class Sink:
    """The events that the sink `name` received, by level, and their delay."""

    def __init__(self, instruments: Instruments, name: str) -> None:
        events = instruments.counter(
            "events", "Events that a sink received: logs.txt, Redis", ["sink", "level"]
        )
        delay = instruments.histogram(
            "delay_seconds", "Seconds from a batch's oldest event to the sink", DELAYS, ["sink"]
        )
        # Start at zero: to Prometheus the first value of a series is not an increase.
        self._events = {level: events.labels(name, level) for level in LEVELS}
        self._delay = delay.labels(name)
        self.total = 0

    def got(self, counts: Mapping[tuple[int, str], int]) -> None:
        """Count events per (minute, level)."""
        for (_, level), number in counts.items():
            self._events[level].inc(number)
            self.total += number

    def waited(self, since: float) -> None:
        """Record the delay of an event whose timestamp is `since`, unless that is absurd."""
        delay = time.time() - since
        if -SKEW <= delay <= LONGEST:  # others would spoil the sum
            self._delay.observe(max(0.0, delay))
