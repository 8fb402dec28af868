"""Source: the origin of producer.py's events."""

import argparse
import logging
import random
from collections.abc import Iterator
from itertools import takewhile
from typing import cast

from logpipeline.events.lines import fitted
from logpipeline.events.redaction import Redaction
from logpipeline.kafka.outbox import OnAck, Outbox
from logpipeline.producer.simulator import simulate, spoil
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

Pair = tuple[bytes, bytes]  # a record's key and value
Event = Pair | tuple[bytes, bytes, OnAck]  # the arguments of Outbox.send


class Source:
    """Events in order, those of a key in one partition; a request to stop ends them.

    `size` is in bytes, None when unknown; `position` counts the bytes read. `complete` is False
    when some of the input was not read. `burst` is the number of events that may be sent together:
    1 if one may have to wait for the next, or has a callback.
    """

    size: int | None = None
    position = 0
    complete = True
    burst = 1

    def events(self, outbox: Outbox) -> Iterator[Event]:
        """After a request to stop, only those already read. They are for `outbox`."""
        raise NotImplementedError

    def summary(self) -> str:
        """The source's part of the line of totals."""
        return ""

    def close(self) -> None:
        """Called after the outbox has closed, when all deliveries are known."""


def sent(burst: list[Event], outbox: Outbox, redaction: Redaction | None = None) -> bool:
    """Send events that are due together, redacted. False when a stop was requested first."""
    if redaction:
        burst = [
            cast("Event", (key, fitted(redaction.event(value)), *on_ack))
            for key, value, *on_ack in burst
        ]
    if len(burst) == 1:
        return outbox.send(*burst[0])
    return outbox.send_all(cast("list[Pair]", burst))


class Simulated(Source):
    """The endless events of a small company, by --seed, --rate and --malformed."""

    burst = 500

    def __init__(self, options: argparse.Namespace, stop: Shutdown) -> None:
        self._options = options
        self._stop = stop

    def events(self, outbox: Outbox) -> Iterator[Pair]:
        options, stop = self._options, self._stop
        seed = random.getrandbits(32) if options.seed is None else options.seed
        log.info("--seed %d --rate %g repeats these events", seed, options.rate)
        events = simulate(seed, options.rate)
        if options.malformed:
            events = spoil(events, options.malformed, seed)
        return takewhile(lambda _: not stop, events)


def nuls(count: int) -> str:
    """The part of the line of totals on NULs that were dropped, if there were any."""
    return f", {count:,} NUL bytes dropped" if count else ""
