"""Source: where producer.py's events come from."""

import argparse
import logging
import random
from collections.abc import Iterator
from itertools import takewhile

from logpipeline.kafka.outbox import OnAck, Outbox
from logpipeline.producer.simulator import simulate, spoil
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

Pair = tuple[bytes, bytes]  # a record's key and value
Event = Pair | tuple[bytes, bytes, OnAck]  # what Outbox.send takes


class Source:
    """Its events in order, each key's in one partition; a stop ends them.

    `size` is in bytes, None when it is not known, and `position` how far it has been read.
    `complete` says whether all that there was has become events.
    """

    size: int | None = None
    position = 0
    complete = True

    def events(self, outbox: Outbox) -> Iterator[Event]:
        """After a request to stop only what has been taken already. `outbox` is where they go."""
        raise NotImplementedError

    def summary(self) -> str:
        """For the line of totals: what else there is to say."""
        return ""

    def close(self) -> None:
        """After the outbox: what is delivered is known now."""


class Simulated(Source):
    """The services of a small company, as --seed, --rate and --malformed ask for, without end."""

    def __init__(self, options: argparse.Namespace, stop: Shutdown) -> None:
        self._options = options
        self._stop = stop

    def events(self, outbox: Outbox) -> Iterator[Pair]:
        options, stop = self._options, self._stop
        seed = random.getrandbits(32) if options.seed is None else options.seed
        log.info("--seed %d --rate %g makes the same events again", seed, options.rate)
        events = simulate(seed, options.rate)
        if options.malformed:
            events = spoil(events, options.malformed, seed)
        return takewhile(lambda _: not stop, events)
