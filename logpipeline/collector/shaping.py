"""Shaping: the bytes of an event from the fields of a protocol."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from logpipeline.events import event, times
from logpipeline.events.event import BRACKETS
from logpipeline.events.json_formats import encoded
from logpipeline.events.lines import BEGINNINGS, MOST

# OpenTelemetry's severity numbers: four each of TRACE, DEBUG, INFO, WARN, ERROR and FATAL.
SEVERITIES = [level for level in ("DEBUG", *event.LEVELS) for _ in range(4)]
OWN = {"level", "message", "timestamp"}
SHORT = 40  # characters of a level's name, with room for others'
BILLION = 1_000_000_000


# Nanoseconds, severity's number and text, the body, and the other fields.
Record = tuple[int, int, str, Any, dict[str, Any]]


def of_nanoseconds(nanos: int) -> bytes:
    """A time in nanoseconds as JSON in seconds, of which no digit is lost; now for 0."""
    if nanos < BILLION:
        return b"0.%09d" % nanos if nanos else times.now().encode()
    digits = b"%d" % nanos
    return b"%b.%b" % (digits[:-9], digits[-9:].rstrip(b"0") or b"0")


def message_of(value: Any) -> str:
    """The message in a body that may be any value. Raises ValueError for one that JSON has not."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encoded(value).decode()


def of_severity(number: int, text: str) -> tuple[str, str]:
    """The level of OpenTelemetry's severity, INFO without one; and its text, if that says more."""
    return _of_severity(number, text) if len(text) < SHORT else (_of_severity(number, "")[0], text)


@lru_cache(maxsize=1_024)
def _of_severity(number: int, text: str) -> tuple[str, str]:
    named = event.level_of(text.strip())
    level = SEVERITIES[number - 1] if 0 < number <= len(SEVERITIES) else named or "INFO"
    return level, "" if level == named else text


def made(level: str, message: str, timestamp: bytes, fields: Mapping[str, Any]) -> bytes:
    """An event with these `fields`. Raises ValueError, with the reason, when there is none."""
    return joined(level, message, timestamp, tail_of(fields))


def tail_of(fields: Mapping[str, Any]) -> bytes:
    """Fields as the end of an event, each with a comma before it. Raises ValueError."""
    if not OWN.isdisjoint(fields):
        fields = {f"original_{name}" if name in OWN else name: fields[name] for name in fields}
    return b"," + _encoded(fields)[1:-1] if fields else b""


def _encoded(value: Any) -> bytes:
    """Raises ValueError for what JSON has not."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error


def joined(level: str, message: str, timestamp: bytes, tail: bytes) -> bytes:
    """An event. Raises ValueError, with the reason, when there is none."""
    start = BEGINNINGS[level]
    return checked(b'%b%b,"timestamp":%b%b}' % (start, encoded(message), timestamp, tail))


def checked(value: bytes) -> bytes:
    """The event's bytes. Raises ValueError when Kafka or the consumer would refuse them."""
    if len(value) > MOST:
        raise ValueError(f"too large: {len(value):,} bytes, at most {MOST:,}")
    if value.count(b"[") + value.count(b"{") > BRACKETS and event.is_deep(value):
        raise ValueError(f"nested too deeply: more than {event.DEEPEST} levels")
    return value
