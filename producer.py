#!/usr/bin/env python3
"""Log events → Kafka.

Ships the lines of log files (--input), follows files that are being written (--follow), or
simulates the services of a small company. The lines of a file, or the events of a service, share
one key and so keep their order.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import NoReturn

import config
from logpipeline import command_line
from logpipeline.events.redaction import Redaction
from logpipeline.health import Endpoint
from logpipeline.kafka.outbox import Outbox
from logpipeline.pace import Pace
from logpipeline.producer.follow import Follow
from logpipeline.producer.input import Input
from logpipeline.producer.input_process import InputProcess
from logpipeline.producer.metrics import ProducerMetrics
from logpipeline.producer.progress import Progress
from logpipeline.producer.source import Simulated, Source, sent
from logpipeline.producer.tail import TailError
from logpipeline.shutdown import Shutdown

log = logging.getLogger("producer")

PROGRAM = "producer.py"
SIMULATED_RATE = 10.0  # events a second

EXAMPLES = """\
examples:
  python producer.py --input app.log.1 app.log   every line of two files
  python producer.py --follow app.log '/var/log/nginx/*.log'
  python producer.py --input app.log --multiline '^[0-9]{4}-'
  journalctl -o json -f | python producer.py --input - --service journal
  python producer.py                             ten simulated events a second, until Ctrl-C
  python producer.py --rate 500 --count 30000    a minute of traffic
  python producer.py --rate 0 --count 1000000    a million, as fast as possible
  python producer.py --seed 42 --count 1000      the same thousand each time
  python producer.py --malformed 0.01            with invalid records for the dead letters

exit status: 0 when Kafka has every event, 1 when an event was not delivered or a file was not read
to its end (the last line has the counts), 2 when an option or a setting is invalid
"""


def main(argv: Sequence[str] | None = None) -> int:
    command_line.collect_rarely()
    settings, options = command_line.load(
        config.Producer, argv, __doc__ or "", add_options, EXAMPLES
    )
    command_line.log_to_stderr()
    stop = Shutdown().on_signals()
    redaction = command_line.resolved(PROGRAM, settings.redaction)
    source = chosen(settings, options, stop, redaction)
    metrics = ProducerMetrics()
    endpoint = Endpoint(metrics.registry, stop, metrics.missing)
    endpoint.serve(settings.metrics_host, settings.producer_metrics_port, "PRODUCER_METRICS_PORT")
    metrics.outbox = outbox = Outbox.when_ready(settings, stop)
    if outbox is None:
        log.info("sent nothing: stopped before Kafka became available")
        return 1 if options.input else 0
    start = time.monotonic()
    with (
        closing(source),
        closing(Progress(outbox, source, options.count)) as progress,
        closing(outbox),
    ):
        bursts = source.paced(outbox, Pace(options.rate, options.count, stop))
        for burst in bursts:
            if not sent(burst, outbox):
                outbox.undelivered += sum(len(each.pairs) for each in (burst, *bursts))
            progress.show()
    if redaction:
        log.info("redacted %s", redaction.summary() or "nothing")
    return totals(outbox, source, time.monotonic() - start)


def chosen(
    settings: config.Producer,
    options: argparse.Namespace,
    stop: Shutdown,
    redaction: Redaction | None,
) -> Source:
    """The source that the options select; its events are redacted. Raises SystemExit for options
    that cannot be used."""
    shipped = options.input or options.follow
    if options.rate is None:
        options.rate = 0.0 if shipped else SIMULATED_RATE
    if options.input and options.follow:
        refuse("--follow cannot be combined with --input")
    for flag, given in (("--seed", options.seed), ("--malformed", options.malformed)):
        if shipped and given is not None:
            refuse(f"{flag} cannot be combined with --input or --follow")
    if options.service is not None and not shipped:
        refuse("--service requires --input or --follow")
    try:
        if options.follow:
            return Follow(options.follow, options.service, settings, stop, redaction)
        if options.input:
            source = Input(options.input, options.service, settings.multiline, redaction)
            if source.empty:
                raise SystemExit(1)  # it has logged why
            return InputProcess(source, stop, redaction)
    except TailError as error:
        refuse(f"--follow {error}")
    except OSError as error:
        refuse(f"{error.filename or 'input'} cannot be read: {error.strerror}")
    return Simulated(options, stop, redaction)


def refuse(sentence: str) -> NoReturn:
    command_line.fail(PROGRAM, sentence)


def totals(outbox: Outbox, source: Source, seconds: float) -> int:
    """Log them in one line. Returns the exit status."""
    log.info(
        "sent %s events in %.1f s (%s/s), %s undelivered%s",
        f"{outbox.delivered:,}",
        seconds,
        f"{outbox.delivered / seconds:,.0f}",
        f"{outbox.undelivered:,}",
        source.summary(),
    )
    return 0 if source.complete and not outbox.undelivered else 1


def add_options(parser: argparse.ArgumentParser) -> None:
    def number(
        flag: str, kind: type, must_be: str, meaning: str, least: float = 0, most: float = 2**63
    ) -> None:
        def parse(text: str) -> float:
            with suppress(ValueError):
                value: float = kind(text)
                if value == 0 or least <= value < most:
                    return value
            return command_line.fail(parser.prog, f"{flag} {text}: must be {must_be}")

        parser.add_argument(flag, type=parse, metavar="N", help=f"{meaning}; {must_be}")

    parser.add_argument(
        "--input", nargs="+", metavar="FILE", help="ship these files; - is standard input"
    )
    parser.add_argument(
        "--follow", nargs="+", metavar="FILE", help="ship new lines of these files, like tail -F"
    )
    parser.add_argument(
        "--service",
        help="set the service of shipped lines (default: the file's name up to its first dot)",
    )
    whole, unpaced = "a whole number from 0", "0 for no limit, or a number from 0.001"
    rate = "send N events a second (default: 10 simulated, 0 shipped)"
    number("--rate", float, unpaced, rate, least=0.001)
    number("--count", int, whole, "stop after N events (default: never)")
    number("--seed", int, whole, "repeat the run with seed N (default: a new seed)")
    share = "a number from 0 to below 1"
    number("--malformed", float, share, "break this share of the events (default: 0)", most=1)


if __name__ == "__main__":
    sys.exit(main())
