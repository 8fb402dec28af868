"""Show: the newest events in Redis, for people: python -m logpipeline.recent."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

import redis

from logpipeline import command_line
from logpipeline.events.event import LEVELS, level_of
from logpipeline.recent import redis_client
from logpipeline.recent.newest import SCANNED, Line, head
from logpipeline.recent.redis_client import check_layout, connect, list_key
from logpipeline.recent.settings import RedisSettings

COLOURS = {"DEBUG": 2, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 41}  # ANSI SGR codes
DIM = 2
LONGEST = 4_000  # characters of an event that are shown
NAME = 100  # characters of its service
TIMEOUT = 5.0  # seconds for an answer of Redis
UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError),
)
EXAMPLES = """\
examples:
  make recent
  make recent LEVEL=ERROR N=50
  python -m logpipeline.recent --level warn

exit status: 0 also when there are no events, 1 when Redis can't be read,
2 for a level or setting that can't be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(
        RedisSettings, argv, "Show the newest events, newest last.", _options, EXAMPLES
    )
    level = level_of(options.level) if options.level else None
    if options.level and not level:
        command_line.fail("show", f"LEVEL={options.level!r}: allowed is {', '.join(LEVELS)}")
    key = list_key(settings.redis_key, level or "")
    try:
        lines = _newest(settings, key, options.count)
    except (redis.RedisError, OSError) as error:
        command_line.fail("show", redis_client.reason(settings, error), 1)
    if not lines:
        print(f"no events in {key} yet", file=sys.stderr)
    if len(lines) < options.count and sum(line.size for line in lines) >= SCANNED:
        print(f"events before these {len(lines)} are left out: they are large", file=sys.stderr)
    in_colour = coloured(sys.stdout)
    try:
        for line in reversed(lines):
            print(shown(line.text, in_colour, line.size))
        sys.stdout.flush()
    except BrokenPipeError:  # less or head was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def shown(line: bytes, in_colour: bool, size: int = 0) -> str:
    """One event as a line for a terminal: local time, level, service, message, further fields.

    More than LONGEST characters are left out, with a mark that says how many bytes the event has:
    `size`, when `line` is only its beginning.
    """
    stamp, level, service, message, fields = _parts(line)
    cut = len(message) + len(fields) > LONGEST or len(line) < size
    parts = [
        (stamp, DIM),
        (level and f"{level:8}", COLOURS.get(level, 0)),
        (service, DIM),
        (printable(message[:LONGEST]), None),
        (printable(fields[: max(0, LONGEST - len(message))]), DIM),
        (f"… ({size or len(line):,} bytes)" if cut else "", DIM),
    ]
    return " ".join(paint(text, code, in_colour) for text, code in parts if text)


def _parts(line: bytes) -> tuple[str, str, str, str, str]:
    """Time, level, service, message and fields of an event; of anything else the text alone."""
    try:
        event = json.loads(line)
        level = level_of(event.pop("level")) or "?"
        moment = float(event.pop("timestamp"))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
        stamp += f".{int(moment % 1 * 1000):03}"
        message = event.pop("message")
        if not isinstance(message, str):
            raise TypeError("the message is no string")
        service = short(_text(event.pop("service", "")), NAME)
        return stamp, level, service, message, _fields(event, LONGEST - len(message))
    except UNREADABLE:
        return "", "", "", line.decode(errors="replace"), ""


def _fields(event: dict[str, Any], most: int) -> str:
    """name=value of each field, of those after `most` characters none."""
    text = ""
    for name, value in event.items():
        if len(text) > most:
            break
        text += f" {name}={_text(value)}"
    return text[1:]


def short(text: str, most: int) -> str:
    """As `printable`, of `most` characters at most, and a sign that there were more."""
    return printable(text) if len(text) <= most else printable(text[:most]) + "…"


def printable(text: str) -> str:
    """The text without anything that a terminal would obey: controls, bidi marks, surrogates."""
    return text if text.isprintable() else text.translate(VISIBLE)


class _Visible(dict[int, str]):
    """What is shown for a character, by its code."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if not character.isprintable():
            character = character.encode("unicode_escape").decode()
        return character


VISIBLE = _Visible((code, _Visible()[code]) for code in range(256))


def paint(text: str, code: int | None, in_colour: bool) -> str:
    return text if code is None or not in_colour else f"\x1b[{code}m{text}\x1b[0m"


def coloured(stream: TextIO) -> bool:
    """Whether it is a terminal whose owner has not set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _newest(settings: RedisSettings, key: str, count: int) -> list[Line]:
    """The newest lines, newest first. Raises redis.RedisError, OSError."""
    with connect(settings, TIMEOUT) as client:
        check_layout(client, settings.redis_key)
        return head(client, key, 0, count - 1)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.prog = "python -m logpipeline.recent"
    parser.add_argument("--level", metavar="LEVEL", help="only this one: " + ", ".join(LEVELS))
    parser.add_argument("--count", type=_count, default=20, metavar="N", help="how many (20)")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
