"""Show the newest events in Redis to people: python -m logpipeline.recent."""

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import redis

from logpipeline import command_line
from logpipeline.events.event import LEVELS, level_of
from logpipeline.events.shown import shown
from logpipeline.recent import redis_client
from logpipeline.recent.newest import SCANNED, Line, head
from logpipeline.recent.redis_client import check_layout, connect, list_key
from logpipeline.recent.settings import NewestSettings, RedisSettings
from logpipeline.terminal import coloured

TIMEOUT = 5.0  # seconds for an answer of Redis
EXAMPLES = """\
examples:
  make recent
  make recent LEVEL=ERROR N=50
  python -m logpipeline.recent --level warn

exit status: 0 also when there are no events, 1 when Redis cannot be read,
2 for a level or setting that cannot be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(
        NewestSettings,
        argv,
        "Show the newest events, newest last.",
        _options,
        EXAMPLES,
        shows_times=True,
    )
    level = level_of(options.level) if options.level else None
    if options.level and not level:
        command_line.fail("recent", f"LEVEL={options.level!r}: must be one of {', '.join(LEVELS)}")
    key = list_key(settings.redis_key, level or "")
    try:
        lines = _newest(settings, key, options.count)
    except (redis.RedisError, OSError) as error:
        command_line.fail("recent", redis_client.reason(settings, error), 1)
    if not lines:
        print(f"no events in {key} yet", file=sys.stderr)
    if len(lines) < options.count and sum(line.size for line in lines) >= SCANNED:
        print(f"leaving out events before these {len(lines)}: they are large", file=sys.stderr)
    in_colour = coloured(sys.stdout)
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may lack a character
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        for line in reversed(lines):
            print(shown(line.text, in_colour, line.size))
        sys.stdout.flush()
    except BrokenPipeError:  # less or head was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _newest(settings: RedisSettings, key: str, count: int) -> list[Line]:
    """The newest lines, newest first. Raises redis.RedisError, OSError."""
    with connect(settings, TIMEOUT) as client:
        check_layout(client, settings.redis_key)
        return head(client, key, 0, count - 1)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.prog = "python -m logpipeline.recent"
    parser.add_argument(
        "--level", metavar="LEVEL", help="show this level alone: " + ", ".join(LEVELS)
    )
    parser.add_argument("--count", type=_count, default=20, metavar="N", help="show so many (20)")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
