"""Source: the origin of producer.py's events."""

import argparse
import logging
import random
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import NamedTuple

from logpipeline.events.lines import fitted
from logpipeline.events.redaction import Redaction
from logpipeline.kafka.encoding import Pair
from logpipeline.kafka.outbox import Outbox
from logpipeline.pace import Pace, bursts
from logpipeline.producer.simulator import simulate, spoil
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

LARGEST = 5_000  # events of a burst
BURST = 500  # simulated ones


class EventBatch(NamedTuple):
    """Events in order. `acknowledge` takes the number of the source's oldest events that Kafka has
    accepted or refused since the last call."""

    pairs: list[Pair]
    acknowledge: Callable[[int], object] | None = None


class Source:
    """Events in order, those of a key in one partition; a request to stop ends them.

    `size` is in bytes, None when unknown; `position` counts the bytes read. `complete` is False
    when some of the input was not read.
    """

    size: int | None = None
    position = 0
    complete = True

    def bursts(self, outbox: Outbox) -> Iterator[EventBatch]:
        """Those that are there together. After a request to stop, only those already read. They are
        for `outbox`."""
        raise NotImplementedError

    def paced(self, outbox: Outbox, pace: Pace) -> Iterator[EventBatch]:
        """Bursts of those events that are due together."""
        for pairs, acknowledge in self.bursts(outbox):
            begin = 0
            while begin < len(pairs):
                due = pace.due(min(LARGEST, len(pairs) - begin))
                if not due:
                    return
                pace.count(due)
                yield EventBatch(pairs[begin : begin + due], acknowledge)
                begin += due

    def summary(self) -> str:
        """The source's part of the line of totals."""
        return ""

    def close(self) -> None:
        """Called after the outbox has closed, when all deliveries are known."""


def sent(burst: EventBatch, outbox: Outbox) -> bool:
    """Send events. False when a stop was requested first."""
    pairs, acknowledge = burst
    if acknowledge is None:
        return outbox.send_all(pairs)
    return outbox.send_all(pairs, lambda _: acknowledge(len(pairs)))


class Simulated(Source):
    """The endless events of a small company, by --seed, --rate and --malformed, redacted."""

    def __init__(
        self, options: argparse.Namespace, stop: Shutdown, redaction: Redaction | None = None
    ) -> None:
        self._redaction = redaction
        self._options = options
        self._stop = stop

    def paced(self, outbox: Outbox, pace: Pace) -> Iterator[EventBatch]:
        """Each event is made when it is due, not before."""
        options, stop = self._options, self._stop
        seed = random.getrandbits(32) if options.seed is None else options.seed
        log.info("--seed %d --rate %g repeats these events", seed, options.rate)
        events = simulate(seed, options.rate)
        if options.malformed:
            events = spoil(events, options.malformed, seed)
        for burst in bursts(takewhile(lambda _: not stop, events), pace, BURST):
            yield EventBatch([(key, self._redacted(value)) for key, value in burst])

    def _redacted(self, value: bytes) -> bytes:
        return fitted(self._redaction.event(value)) if self._redaction else value


def nuls(count: int) -> str:
    """The part of the line of totals on NULs that were dropped, if there were any."""
    return f", {count:,} NUL bytes dropped" if count else ""
