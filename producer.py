#!/usr/bin/env python3
"""Log events → Kafka.

Simulates the services of a small company and sends their events to the topic: keyed by
service, so that one service's events stay in their order.
"""

import argparse
import logging
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

import config
from pipeline.endpoint import Endpoint
from pipeline.metrics import ProducerMetrics
from pipeline.outbox import Outbox
from pipeline.pace import paced
from pipeline.progress import Progress
from pipeline.simulator import simulate, spoil
from pipeline.stop import Stop

log = logging.getLogger("producer")

EXAMPLES = """\
examples:
  python producer.py                             ten events a second, until Ctrl-C
  python producer.py --rate 500 --count 30000    a minute of traffic
  python producer.py --rate 0 --count 1000000    a million, as fast as it goes
  python producer.py --seed 42 --count 1000      the same thousand each time
  python producer.py --malformed 0.01            with something for the dead letters

exit status: 0 when Kafka has every event, 1 when it has not (the last line says how many),
2 for an option or a setting that can't be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = config.load(argv, __doc__ or "", add_options, EXAMPLES)
    config.log_to_stderr()
    stop = Stop().on_signals()
    metrics = ProducerMetrics()
    endpoint = Endpoint(metrics.registry, stop, metrics.missing)
    endpoint.serve(settings.metrics_host, settings.producer_metrics_port, "PRODUCER_METRICS_PORT")
    metrics.outbox = outbox = Outbox.when_ready(settings, stop)
    if outbox is None:
        log.info("sent nothing: stopped before Kafka was there")
        return 0
    start = time.monotonic()
    with closing(Progress(outbox, options.count)) as progress, closing(outbox):
        for key, value in paced(simulated(options), options.rate, options.count, stop):
            if not outbox.send(key, value):
                break
            progress.show()
    return totals(outbox, time.monotonic() - start)


def simulated(options: argparse.Namespace) -> Iterator[tuple[bytes, bytes]]:
    """The events that the options ask for, as (key, value), without end."""
    seed = random.getrandbits(32) if options.seed is None else options.seed
    log.info("--seed %d --rate %g makes the same events again", seed, options.rate)
    events = simulate(seed, options.rate)
    return spoil(events, options.malformed, seed) if options.malformed else events


def totals(outbox: Outbox, seconds: float) -> int:
    """Say them in one line. Returns the exit status."""
    log.info(
        "sent %s events in %.1f s (%s/s), %s undelivered",
        f"{outbox.delivered:,}",
        seconds,
        f"{outbox.delivered / seconds:,.0f}",
        f"{outbox.undelivered:,}",
    )
    return 1 if outbox.undelivered else 0


def add_options(parser: argparse.ArgumentParser) -> None:
    def number(
        flag: str, kind: type, allowed: str, meaning: str, least: float = 0, most: float = 2**63
    ) -> None:
        def parse(text: str) -> float:
            with suppress(ValueError):
                value: float = kind(text)
                if value == 0 or least <= value < most:
                    return value
            return config.fail(parser.prog, f"{flag} {text}: allowed is {allowed}")

        parser.add_argument(flag, type=parse, metavar="N", help=f"{meaning}: {allowed}")

    parser.set_defaults(rate=10.0, malformed=0.0)
    whole, unpaced = "a whole number from 0", "0 for as fast as it goes, or from 0.001"
    number("--rate", float, unpaced, "events a second (default: 10)", least=0.001)
    number("--count", int, whole, "stop after so many events (default: never)")
    number("--seed", int, whole, "repeat the run of this seed (default: a new one)")
    number("--malformed", float, "from 0 to below 1", "share of broken events (default: 0)", most=1)


if __name__ == "__main__":
    sys.exit(main())
