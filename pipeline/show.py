"""Show: the newest events in Redis, for people: python -m pipeline.show."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import redis

from pipeline import client
from pipeline.client import check_layout, connect, list_key
from pipeline.event import LEVELS, level_of

if TYPE_CHECKING:
    from config import Settings

COLOURS = {"DEBUG": 2, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 41}  # ANSI SGR codes
DIM = 2
TIMEOUT = 5.0  # seconds for an answer of Redis
EXAMPLES = """\
examples:
  make recent
  make recent LEVEL=ERROR N=50
  python -m pipeline.show --level warn

exit status: 0 also when there are no events, 1 when Redis can't be read,
2 for a level or setting that can't be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    import config  # what else is here is for other modules, which need no settings

    settings, options = config.load(argv, "The newest events, newest last.", _options, EXAMPLES)
    level = level_of(options.level) if options.level else None
    if options.level and not level:
        config.fail("show", f"LEVEL={options.level!r}: allowed is {', '.join(LEVELS)}")
    key = list_key(settings.redis_key, level or "")
    try:
        lines = _newest(settings, key, options.count)
    except (redis.RedisError, OSError) as error:
        config.fail("show", client.reason(settings, error), 1)
    if not lines:
        print(f"no events in {key} yet", file=sys.stderr)
    in_colour = coloured(sys.stdout)
    try:
        for line in reversed(lines):
            print(shown(line, in_colour))
        sys.stdout.flush()
    except BrokenPipeError:  # less or head was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def shown(line: bytes, in_colour: bool) -> str:
    """One event as a line for a terminal: local time, level, service, message, further fields."""
    try:
        event = json.loads(line)
        level = level_of(event.pop("level")) or "?"
        moment = float(event.pop("timestamp"))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
        stamp += f".{int(moment % 1 * 1000):03}"
        message = printable(event.pop("message"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return printable(line.decode(errors="replace"))  # somebody else's, as it is
    service = printable(_text(event.pop("service", "")))
    fields = " ".join(f"{printable(k)}={printable(_text(v))}" for k, v in event.items())
    parts = [
        paint(stamp, DIM, in_colour),
        paint(f"{level:8}", COLOURS.get(level, 0), in_colour),
        *([paint(service, DIM, in_colour)] if service else []),
        message,
        *([paint(fields, DIM, in_colour)] if fields else []),
    ]
    return " ".join(parts)


def printable(text: str) -> str:
    """The text without anything that a terminal would obey: controls, bidi marks, surrogates."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def paint(text: str, code: int, in_colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if in_colour else text


def coloured(stream: TextIO) -> bool:
    """Whether it is a terminal whose owner has not set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _newest(settings: "Settings", key: str, count: int) -> list[bytes]:
    """The newest lines, newest first. Raises redis.RedisError, OSError."""
    with connect(settings, TIMEOUT) as client:
        check_layout(client, settings.redis_key)
        lines: list[bytes] = client.lrange(key, 0, count - 1)
        return lines


def _options(parser: argparse.ArgumentParser) -> None:
    parser.prog = "python -m pipeline.show"
    parser.add_argument("--level", metavar="LEVEL", help="only this one: " + ", ".join(LEVELS))
    parser.add_argument("--count", type=_count, default=20, metavar="N", help="how many (20)")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
