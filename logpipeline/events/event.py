"""LogEvent: what an event is, and why something else is not one."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

import msgspec

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# The names that loggers use for these five: Python, syslog (RFC 5424), log4j, slf4j,
# java.util.logging, .NET, Go's slog, Rust's tracing, Android, Windows.
ALIASES = {
    "DEBUG": ("DBG", "TRACE", "VERBOSE", "FINE", "FINER", "FINEST", "NOTSET", "ALL", "SILLY"),
    "INFO": ("INF", "INFORMATION", "INFORMATIONAL", "NOTICE", "CONFIG", "LOG", "OK", "SUCCESS"),
    "WARNING": ("WARN", "WRN"),
    "ERROR": ("ERR", "EROR", "SEVERE", "FAILURE"),
    "CRITICAL": ("CRIT", "CRT", "FATAL", "FTL", "EMERG", "EMERGENCY", "ALERT", "PANIC", "DPANIC"),
}
JSON_SPACE = b" \t\r\n"
# Of JSON: a string, which has no raw line break in it, or what may stand between two tokens.
STRING_OR_SPACE = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+')
LEVEL_OF = {
    spelling: level
    for level in LEVELS
    for name in (level, *ALIASES[level])
    for spelling in (name, name.lower(), name.title())
}

OPEN, CLOSE = b"{}"

# Objects and arrays inside each other: far fewer than a stack of Python's or C's can take, so that
# the answer is the same wherever it is asked.
DEEPEST = 100
# A string, also one that does not end: so no part of the value is looked at twice.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # signed: one level in, one level out
NO_STEPS = bytes({*range(256)} - {*b"[{]}"})

BEGINNING = 2**16  # bytes of a record that is too large, kept as its dead letter

# Why a record is invalid.
FIELDS = ("level", "message", "timestamp")
REASONS = (
    *("no value", "invalid UTF-8", "broken JSON", "not an object", "NaN", "unknown level"),
    *(f"{wrong} {name}" for wrong in ("missing", "mistyped") for name in FIELDS),
    *("nested too deeply", "too large", "unreadable batch"),
    "poison",  # an event, but nothing can be done with it: see poison.py
)


class InvalidRecord(Exception):  # noqa: N818 - it is a verdict about data, not a failure
    """The record is invalid; `reason` is one of REASONS, str() the sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Partial:
    """The beginning of a value that was not read whole, and why, as in NotAnEvent."""

    beginning: bytes
    reason: str
    sentence: str

    @classmethod
    def too_large(cls, beginning: bytes, size: int, most: float, what: str = "value") -> "Partial":
        """`size` is what it has, `most` what it may have, in bytes."""
        sentence = f"the {what} has {size:,} bytes; EVENT_MAX_BYTES is {most:,}"
        return cls(beginning[:BEGINNING], "too large", sentence)


Value = bytes | Partial | None  # of a record


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """The three fields that every event has; further fields stay in the record's bytes.

    `level` is one of LEVELS once `parse` has made the event, `timestamp` Unix seconds.
    """

    level: str
    message: str
    timestamp: float


_decoder = msgspec.json.Decoder(LogEvent)
_decode = _decoder.decode


def level_of(name: str) -> str | None:
    """Which of LEVELS a level's name means, in any letter case; None when it means none."""
    return LEVEL_OF.get(name) or LEVEL_OF.get(name.upper())


def parse(value: Value, most: float = math.inf) -> LogEvent:
    """The event in a record's value, which may have `most` bytes. Raises NotAnEvent."""
    if value is None:
        raise InvalidRecord("no value", "the record has no value")
    value = checked(value, most)
    if isinstance(value, Partial):
        raise InvalidRecord(value.reason, value.sentence)
    if is_deep(value):
        raise InvalidRecord("nested too deeply", f"the value is nested more than {DEEPEST} deep")
    try:
        event = _decode(value)
        # msgspec skips over unknown fields without looking at their UTF-8.
        if not value.isascii():
            value.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        event = _examine(value)
    if event.level in LEVELS:
        return event
    level = level_of(event.level)
    if level is None:
        raise InvalidRecord(
            "unknown level",
            f"level is {_short(event.level)}; it must be one of {', '.join(LEVELS)}, "
            "or another usual name of these",
        )
    return LogEvent(level, event.message, event.timestamp)


def checked(value: bytes | Partial, most: float) -> bytes | Partial:
    """The value if it has no more than `most` bytes, else its beginning."""
    if isinstance(value, Partial) or len(value) <= most:
        return value
    return Partial.too_large(value, len(value), most)


def parse_all(
    values: Sequence[Any], most: float = math.inf
) -> tuple[list[str], list[float]] | None:
    """The levels and timestamps of `values` by one call of the decoder, a fourth of the cost.

    None when not each of them surely is one event, as `parse` would have it, on one line.
    """
    try:
        # No value can end inside another's string, where a newline is not allowed, and between
        # "}" and "{" JSON needs a comma: so each line that the decoder accepts is whole.
        together = b"".join(values)  # or a TypeError for None
        if b"\n" in together or b"\r" in together:
            return None
        if len(together) > most and max(map(len, values)) > most:
            return None
        objects = _count(together, b"{")
        if {value[0] for value in values} != {OPEN}:
            return None
        # With no more "{" than that, no event can begin within a value either.
        if objects != len(values) and {value[-1] for value in values} != {CLOSE}:
            return None
        brackets = objects + _count(together, b"[")
        if brackets >= len(values) + DEEPEST and any(map(is_deep, values)):
            return None
        # msgspec skips over unknown fields without looking at their UTF-8.
        if not together.isascii():
            b"\n".join(values).decode()
        events = _decoder.decode_lines(b"\n".join(values))
    except (TypeError, IndexError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    levels = list(map(LEVEL_OF.get, [event.level for event in events]))
    if len(events) != len(values) or None in levels:
        return None
    return levels, [event.timestamp for event in events]  # type: ignore[return-value]


def is_event(value: bytes) -> bool:
    """Whether `parse` takes it."""
    try:
        parse(value)
    except InvalidRecord:
        return False
    return True


def is_deep(value: bytes) -> bool:
    """Whether objects and arrays are inside each other more than DEEPEST deep."""
    if _count(value, b"{") + _count(value, b"[") <= DEEPEST:
        return False
    steps = STRING.sub(b"", value).translate(STEPS, NO_STEPS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > DEEPEST


def one_line(value: bytes) -> bytes:
    """An event's bytes as a line of logs.txt, without the newline.

    They are the record's own, but an event that spans lines is written compactly on one.
    """
    if b"\n" not in value and b"\r" not in value:
        return value
    value = value.strip(JSON_SPACE)
    if b"\n" not in value and b"\r" not in value:
        return value
    return STRING_OR_SPACE.sub(rb"\1", value)


def _count(text: bytes, byte: bytes) -> int:
    """How often it is in there; where that is seldom, a fifth of the cost of bytes.count."""
    return len(text) - len(text.replace(byte, b""))


def _examine(value: bytes) -> LogEvent:
    """The slow, second look at what msgspec refused. Raises NotAnEvent with the exact reason.

    It also finds the events that are valid by RFC 8259 but not for msgspec: those with a
    lone surrogate such as \\ud800 in a string.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecord("invalid UTF-8", f"the value is not UTF-8: {error}") from None
    try:
        fields = json.loads(text, parse_int=float, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InvalidRecord("broken JSON", f"the value is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidRecord("not an object", f"the value is {_kind(fields)}, not a JSON object")
    level, message = _text(fields, "level"), _text(fields, "message")
    return LogEvent(level, message, _timestamp(fields))


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRecord("NaN", f"{name} is not a JSON number; a number must be finite")


def _text(fields: dict[str, Any], name: str) -> str:
    value = _field(fields, name)
    if not isinstance(value, str):
        raise InvalidRecord(f"mistyped {name}", f"{name} is {_kind(value)}; it must be a string")
    return value


def _timestamp(fields: dict[str, Any]) -> float:
    value = _field(fields, "timestamp")
    if not isinstance(value, float):
        raise InvalidRecord(
            "mistyped timestamp", f"timestamp is {_kind(value)}; it must be a number, Unix seconds"
        )
    if not math.isfinite(value):
        raise InvalidRecord(
            "NaN", "timestamp is too large; it must be a finite number, Unix seconds"
        )
    return value


def _field(fields: dict[str, Any], name: str) -> Any:
    if name not in fields:
        raise InvalidRecord(f"missing {name}", f"the field {name} is missing")
    return fields[name]


def _kind(value: Any) -> str:
    """What a decoded JSON value is, in JSON's own words."""
    kinds = {bool: "true or false", str: "a string", list: "an array", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
