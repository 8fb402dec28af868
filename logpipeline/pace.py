"""Pace: a rate of events, kept against the clock and not from sleep to sleep."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from logpipeline.shutdown import Shutdown

Event = TypeVar("Event")

CATCH_UP = 5.0  # seconds of events that follow at once after a stall; the rest of the delay stays
NAP = 0.002  # seconds; a shorter sleep is not worth its cost


def paced(
    events: Iterator[Event], rate: float, most: int | None, stop: Shutdown
) -> Iterator[Event]:
    """As `bursts`, but one by one."""
    for [event] in bursts(events, rate, most, stop, 1):
        yield event


def bursts(
    events: Iterator[Event], rate: float, most: int | None, stop: Shutdown, largest: int
) -> Iterator[list[Event]]:
    """At most `most` of `events`: the n-th n / `rate` seconds after the first; those that are due
    together, up to `largest`.

    `rate` is in events a second; 0 sets no limit. Each event is generated when it is due, not
    before. After a request to stop, the rest is due at once: `events` must end.
    """
    start, number = time.monotonic(), 0
    while most is None or number < most:
        due = largest
        if rate:
            late = time.monotonic() - start - number / rate
            if late < 0:
                stop.wait(max(NAP, -late))
                late = time.monotonic() - start - number / rate
            elif late > CATCH_UP:
                start += late - CATCH_UP
                late = CATCH_UP
            due = min(largest, 1 + int(max(0, late) * rate))
        burst = list(islice(events, due if most is None else min(due, most - number)))
        if not burst:
            return
        number += len(burst)
        yield burst
