"""Pace: a rate of events, kept against the clock and not from sleep to sleep."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from logpipeline.shutdown import Shutdown

Event = TypeVar("Event")

CATCH_UP = 5.0  # seconds of events that follow at once after a stall; the rest of the delay stays
NAP = 0.002  # seconds; a shorter sleep is not worth its cost


class Pace:
    """`rate` events a second: the n-th is due n / `rate` seconds after the first; 0: no limit.

    After `most` events none is due. After a request to stop, one is always due.
    """

    def __init__(self, rate: float, most: int | None, stop: Shutdown) -> None:
        self._rate, self._most, self._stop = rate, most, stop
        self._start, self._number = time.monotonic(), 0

    def due(self, largest: int) -> int:
        """Wait until an event is due. Returns how many are, up to `largest`; 0 after the last."""
        if self._most is not None:
            largest = min(largest, self._most - self._number)
        if not self._rate or largest <= 0:
            return largest
        late = self._late()
        if late < 0:
            self._stop.wait(max(NAP, -late))
            late = self._late()
        elif late > CATCH_UP:
            self._start += late - CATCH_UP
            late = CATCH_UP
        return min(largest, 1 + int(max(0, late) * self._rate))

    def count(self, number: int) -> None:
        """Record that so many events are sent."""
        self._number += number

    def _late(self) -> float:
        return time.monotonic() - self._start - self._number / self._rate


def paced(
    events: Iterator[Event], rate: float, most: int | None, stop: Shutdown
) -> Iterator[Event]:
    """Those of `events` that Pace lets go, one by one."""
    for [event] in bursts(events, Pace(rate, most, stop), 1):
        yield event


def bursts(events: Iterator[Event], pace: Pace, largest: int) -> Iterator[list[Event]]:
    """Those of `events` that are due together, up to `largest`.

    Each event is generated when it is due, not before. After a request to stop, `events` must end.
    """
    while due := pace.due(largest):
        burst = list(islice(events, due))
        if not burst:
            return
        pace.count(len(burst))
        yield burst
