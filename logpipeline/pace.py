"""Pace: a rate of events, kept against the clock and not from sleep to sleep."""

import time
from collections.abc import Iterator
from itertools import count
from typing import TypeVar

from logpipeline.shutdown import Shutdown

Event = TypeVar("Event")

CATCH_UP = 5.0  # seconds of events that follow at once after a stall; the rest of the delay stays
NAP = 0.002  # seconds; a shorter sleep is not worth its cost


def paced(
    events: Iterator[Event], rate: float, most: int | None, stop: Shutdown
) -> Iterator[Event]:
    """At most `most` of `events`: the n-th n / `rate` seconds after the first.

    `rate` is in events a second; 0 sets no limit. Each event is generated when it is due, not
    before. After a request to stop, the rest is due at once: `events` must end.
    """
    start = time.monotonic()
    for number in count() if most is None else range(most):
        if rate:
            late = time.monotonic() - start - number / rate
            if late < 0:
                stop.wait(max(NAP, -late))
            elif late > CATCH_UP:
                start += late - CATCH_UP
        try:
            event = next(events)
        except StopIteration:
            return
        yield event
