"""Shaping: the bytes of an event from the fields of a protocol."""

from collections.abc import Mapping
from typing import Any

import msgspec

from logpipeline.events import event, times
from logpipeline.events.json_formats import encoded
from logpipeline.events.lines import BRACKETS, MOST

# OpenTelemetry's severity numbers: four each of TRACE, DEBUG, INFO, WARN, ERROR and FATAL.
SEVERITIES = [level for level in ("DEBUG", *event.LEVELS) for _ in range(4)]
OWN = {"level", "message", "timestamp"}
BILLION = 1_000_000_000


def of_nanoseconds(nanos: int) -> bytes:
    """A time in nanoseconds as JSON in seconds, of which no digit is lost; now for 0."""
    if not nanos:
        return times.now().encode()
    whole, rest = divmod(nanos, BILLION)
    if not rest:
        return b"%d" % whole
    return (b"%d.%09d" % (whole, rest)).rstrip(b"0")


def of_severity(number: int, text: str) -> str:
    """The level of OpenTelemetry's severity; INFO without one."""
    level = SEVERITIES[number - 1] if 0 < number <= len(SEVERITIES) else None
    return level or event.level_of(text.strip()) or "INFO"


def made(level: str, message: str, timestamp: bytes, fields: Mapping[str, Any]) -> bytes:
    """An event with these `fields`. Raises ValueError, with the reason, when there is none."""
    whole: dict[str, Any] = {
        "level": level,
        "message": message,
        "timestamp": msgspec.Raw(timestamp),
        **fields,
    }
    if not OWN.isdisjoint(fields):
        whole = {f"original_{name}" if name in OWN else name: fields[name] for name in fields}
        whole |= {"level": level, "message": message, "timestamp": msgspec.Raw(timestamp)}
    try:
        value = msgspec.json.encode(whole)
    except UnicodeEncodeError:  # lone surrogates
        value = msgspec.json.encode(whole | {"message": msgspec.Raw(encoded(message))})
    return checked(value)


def checked(value: bytes) -> bytes:
    """The event's bytes. Raises ValueError when Kafka or the consumer would refuse them."""
    if len(value) > MOST:
        raise ValueError(f"too large: {len(value):,} bytes, at most {MOST:,}")
    if value.count(b"[") + value.count(b"{") > BRACKETS and event.is_deep(value):
        raise ValueError(f"nested too deeply: more than {event.DEEPEST} levels")
    return value
