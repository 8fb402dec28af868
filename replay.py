#!/usr/bin/env python3
"""Dead letters or rotated files → the topic again.

Sends dead letters of a given time that have become valid events, after a fix, or the events of
rotated files. Each is sent once, no matter how often this is run or killed, with its original bytes
and key, and with a header `replayed` that gives its source. One runs at a time for a topic.
"""

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from kafka.errors import KafkaError

import config
from logpipeline import command_line
from logpipeline.kafka import connection, topics
from logpipeline.kafka.transactions import TooLarge
from logpipeline.moment import A_TIME, moment
from logpipeline.outage import Outage
from logpipeline.replay import journal
from logpipeline.replay.files import RotatedEvents, Unreadable
from logpipeline.replay.journal import JournalError, Overtaken
from logpipeline.replay.letters import ReplayedLetters
from logpipeline.replay.run import Run
from logpipeline.replay.selection import Selection
from logpipeline.replay.window import Window
from logpipeline.shutdown import Shutdown

log = logging.getLogger("replay")

PROGRAM = "replay.py"
RATE = 1_000.0  # events a second
A_RATE = "a number from 0.001, or 0 for full speed"
MOST_NAME = 249  # characters of a topic's
EXAMPLES = """\
examples:
  python replay.py --since 2h --dry-run          count what would be sent
  python replay.py --since 2h                    send the dead letters of the last two hours
  python replay.py --since 2026-11-24T09:00 --to 2026-11-24T12:00 --rate 200
  python replay.py --file logs-20261124T190501.123456Z.txt.zst --kafka-topic copy
  python replay.py --since 2h --again second     send them once more, sent or not

exit status: 0 when Kafka has every event of that time, 1 when it does not (the same command resumes
where this one stopped), 2 for an option or a setting that cannot be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(config.Replay, argv, __doc__ or "", add_options, EXAMPLES)
    command_line.log_to_stderr()
    stop = Shutdown().on_signals()
    source = chosen(settings, options, stop)
    selection = Selection(source, settings.event_max_bytes)
    run = Run(settings, options.again, stop)
    start, complete = time.monotonic(), False
    try:
        if options.dry_run:
            count = preview(settings, run, selection)
            log.info("would send %s events; %s%s", f"{count:,}", selection, source)
            return 0
        complete = until_sent(settings, run, selection, options.rate, stop)
    except (Unreadable, JournalError, Overtaken) as problem:
        log.error("%s", problem)
    seconds = time.monotonic() - start
    log.info(
        "sent %s events again in %.1f s (%s/s); %s%s",
        *(f"{run.sent:,}", seconds, f"{run.sent / seconds:,.0f}", selection, source),
    )
    return 0 if complete and not selection.refused else 1


def preview(settings: config.Replay, run: Run, selection: Selection) -> int:
    """How many events would be sent. Raises Unreadable, JournalError; SystemExit if Kafka is
    unavailable."""
    try:
        if problem := connection.problem(settings):
            command_line.fail(PROGRAM, problem, 1)
        return sum(1 for _ in selection.of(run.journal()))
    except (KafkaError, OSError) as error:
        command_line.fail(PROGRAM, connection.reason(settings, error), 1)


def until_sent(
    settings: config.Replay, run: Run, selection: Selection, rate: float, stop: Shutdown
) -> bool:
    """Send through Kafka's outages, until it has all. False if a request to stop came first.

    Raises Unreadable, JournalError, Overtaken.
    """
    outage = Outage(log)
    for _ in stop.backoff():
        try:
            if topics.ensure(settings, stop, topics.to_send(settings)):
                run.go(selection, rate)
                return not stop
        except TooLarge:
            pass  # the selection leaves it out from now on
        except (KafkaError, OSError) as problem:
            outage.report(f"cannot send, retrying: {connection.reason(settings, problem)}")
    return False


def chosen(
    settings: config.Replay, options: argparse.Namespace, stop: Shutdown
) -> ReplayedLetters | RotatedEvents:
    """What the options select. Raises SystemExit if they contradict one another."""
    if len(journal.name(settings)) > MOST_NAME:
        command_line.fail(
            PROGRAM, f"KAFKA_TOPIC={settings.kafka_topic}: must have at most 240 characters here"
        )
    if options.since is None and not options.file:
        command_line.fail(PROGRAM, f"--since or --file is required; --since must be {A_TIME}")
    window = Window(options.since or 0.0, options.to)
    if window.since >= window.to:
        command_line.fail(PROGRAM, "--to must be a time after --since")
    if not options.file:
        return ReplayedLetters(settings, window)
    for path in options.file:
        if path.resolve() == settings.log_file.resolve():
            command_line.fail(PROGRAM, f"--file {path}: must be a file that is no longer written")
    return RotatedEvents(options.file, window, stop)


def add_options(parser: argparse.ArgumentParser) -> None:
    def option(
        flag: str, parse: Callable[[str], float], must_be: str, meaning: str, default: float | None
    ) -> None:
        def checked(text: str) -> float:
            with suppress(ValueError):
                return parse(text)
            return command_line.fail(parser.prog, f"{flag} {text}: must be {must_be}")

        parser.add_argument(
            flag, type=checked, default=default, metavar="N", help=f"{meaning}: {must_be}"
        )

    option(
        "--since", moment, A_TIME, "send dead letters written, or events dated, from then on", None
    )
    option("--to", moment, A_TIME, "and before then (default: no limit)", math.inf)
    parser.add_argument(
        "--file",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="send the events of these files, .zst, .gz or plain",
    )
    option("--rate", pace, A_RATE, f"send so many events a second (default: {RATE:,.0f})", RATE)
    parser.add_argument(
        "--again",
        default="",
        metavar="WORD",
        help="send again what was sent before, once for this word",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="report what would be sent, and send nothing"
    )


def pace(text: str) -> float:
    """Raises ValueError."""
    rate = float(text)
    if not (rate == 0 or 0.001 <= rate < 2**63):
        raise ValueError
    return rate


if __name__ == "__main__":
    sys.exit(main())
