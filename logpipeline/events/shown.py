"""Shown: an event as one line for a terminal."""

import json
import time
from typing import Any

from logpipeline.events.event import level_of
from logpipeline.terminal import paint, printable, short

COLOURS = {"DEBUG": 2, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 41}  # ANSI SGR codes
DIM = 2
LONGEST = 4_000  # characters of an event that are shown
NAME = 100  # characters of its service
UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError),
)


def shown(line: bytes, in_colour: bool, size: int = 0, most: int = LONGEST) -> str:
    """One event as a line for a terminal: local time and its offset from UTC,
    level, service, message, further fields.

    It shows `most` characters at most, then a mark with the event's size in bytes: `size`, when
    `line` is only its beginning.
    """
    stamp, level, service, message, fields = _parts(line, most)
    cut = len(message) + len(fields) > most or len(line) < size
    parts = [
        (stamp, DIM),
        (level and f"{level:8}", COLOURS.get(level, 0)),
        (service, DIM),
        (printable(message[:most]), None),
        (printable(fields[: max(0, most - len(message))]), DIM),
        (f"… ({size or len(line):,} bytes)" if cut else "", DIM),
    ]
    return " ".join(paint(text, code, in_colour) for text, code in parts if text)


def _parts(line: bytes, most: int) -> tuple[str, str, str, str, str]:
    """Time, level, service, message and fields of an event; of anything else only the text."""
    try:
        event = json.loads(line)
        level = level_of(event.pop("level")) or "?"
        moment = float(event.pop("timestamp"))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
        stamp += f".{int(moment % 1 * 1000):03}{_offset(moment)}"
        message = event.pop("message")
        if not isinstance(message, str):
            raise TypeError("the message must be a string")
        service = short(_text(event.pop("service", "")), NAME)
        return stamp, level, service, message, _fields(event, most - len(message))
    except UNREADABLE:
        return "", "", "", line.decode(errors="replace"), ""


def _offset(moment: float) -> str:
    """Of local time from UTC: Z or +01:00."""
    text = time.strftime("%z", time.localtime(moment))
    return "Z" if text == "+0000" else f"{text[:3]}:{text[3:]}"


def _fields(event: dict[str, Any], most: int) -> str:
    """name=value of each field, until there are `most` characters."""
    text = ""
    for name, value in event.items():
        if len(text) > most:
            break
        text += f" {name}={_text(value)}"
    return text[1:]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
