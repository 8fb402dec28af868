"""Event: its three fields, and why a record is invalid."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

import msgspec

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Names that loggers use for these five: Python, syslog (RFC 5424), log4j, slf4j,
# java.util.logging, .NET, Go's slog and logrus, Rust's tracing, Android, Windows, GCP, MySQL.
ALIASES = {
    "DEBUG": (
        *("DBG", "DBUG", "DEBU", "TRACE", "TRC", "TRCE", "TRAC", "VERBOSE", "VERB", "VRB"),
        *("FINE", "FINER", "FINEST", "NOTSET", "ALL", "SILLY"),
    ),
    "INFO": (
        *("INF", "INFORMATION", "INFORMATIONAL", "NOTICE", "NOTE", "CONFIG", "LOG", "OK"),
        *("SUCCESS", "DEFAULT", "SYSTEM", "AUDIT"),
    ),
    "WARNING": ("WARN", "WRN", "WARNI"),
    "ERROR": ("ERR", "ERRO", "EROR", "SEVERE", "FAIL", "FAILED", "FAILURE"),
    "CRITICAL": (
        *("CRIT", "CRT", "CRITI", "FATAL", "FATA", "FTL", "EMERG", "EMERGENCY", "ALERT", "ALRT"),
        *("PANIC", "PANI", "DPANIC", "DISASTER"),
    ),
}
JSON_SPACE = b" \t\r\n"
# A JSON string, which has no raw line break in it, or the white space between two tokens.
STRING_OR_SPACE = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+')
LEVEL_OF = {
    spelling: level
    for level in LEVELS
    for name in (level, *ALIASES[level])
    for spelling in (name, name.lower(), name.title())
}

OPEN, CLOSE = b"{}"

# Levels of nested objects and arrays: far fewer than Python's or C's stack holds, so that every
# program gets the same result.
DEEPEST = 100
BRACKETS = 64  # fewer cannot be nested too deeply
MILLISECONDS = 1e11  # a timestamp of ours from here on is not in seconds
# A string, also an unterminated one: so no part of the value is scanned twice.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
WHOLE_STRINGS = re.compile(rb'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")++', re.DOTALL)
WINDOW = 2**16  # bytes: a pattern's matches in all of a large value would take 40 times its memory
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # signed: one level in, one level out
NO_STEPS = bytes({*range(256)} - {*b"[{]}"})

BEGINNING = 2**16  # bytes of a record that is too large, kept in its dead letter

# Why a record is invalid.
FIELDS = ("level", "message", "timestamp")
REASONS = (
    *("no value", "invalid UTF-8", "broken JSON", "not an object", "NaN", "unknown level"),
    *(f"{wrong} {name}" for wrong in ("missing", "mistyped") for name in FIELDS),
    *("nested too deeply", "too large", "unreadable batch"),
    "poison",  # an event that cannot be processed: see poison.py
)


class InvalidRecord(Exception):  # noqa: N818 - it describes data, not a failure
    """A record is invalid; `reason` is one of REASONS, str() the sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Partial:
    """The beginning of a value that was not read completely, and why, as in InvalidRecord."""

    beginning: bytes
    reason: str
    sentence: str

    @classmethod
    def too_large(cls, beginning: bytes, size: int, most: float, what: str = "value") -> "Partial":
        """`size` is the actual size, `most` the maximum, in bytes."""
        sentence = f"the {what} has {size:,} bytes; EVENT_MAX_BYTES is {most:,}"
        return cls(beginning[:BEGINNING], "too large", sentence)


Value = bytes | Partial | None  # of a record


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """The three fields that every event has; further fields stay in the record's bytes.

    `level` is one of LEVELS in an event from `parse`; `timestamp` is in Unix seconds.
    """

    level: str
    message: str
    timestamp: float


_decoder = msgspec.json.Decoder(LogEvent)
_decode = _decoder.decode


def level_of(name: str) -> str | None:
    """The one of LEVELS that a name means, in any letter case; None for an unknown name."""
    return LEVEL_OF.get(name) or LEVEL_OF.get(name.upper())


def parse(value: Value, most: float = math.inf) -> LogEvent:
    """The event in a record's value of at most `most` bytes. Raises InvalidRecord."""
    if value is None:
        raise InvalidRecord("no value", "the record has no value")
    value = checked(value, most)
    if isinstance(value, Partial):
        raise InvalidRecord(value.reason, value.sentence)
    if is_deep(value):
        raise InvalidRecord("nested too deeply", f"the value has more than {DEEPEST} nested levels")
    try:
        event = _decode(value)
        # msgspec does not check the UTF-8 of unknown fields.
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
            f"level is {_short(event.level)}; it must be {', '.join(LEVELS)}, "
            "or another common name for one of these",
        )
    return LogEvent(level, event.message, event.timestamp)


def checked(value: bytes | Partial, most: float) -> bytes | Partial:
    """The value, or only its beginning if it has more than `most` bytes."""
    if isinstance(value, Partial) or len(value) <= most:
        return value
    return Partial.too_large(value, len(value), most)


def parse_all(
    values: Sequence[Any], most: float = math.inf
) -> tuple[list[str], list[float]] | None:
    """The levels and timestamps of `values` by one call of the decoder, at a quarter of the cost.

    None unless each value is certainly one event, as `parse` defines it, on one line.
    """
    try:
        # No value can end inside another's string, where a newline is invalid, and JSON needs
        # a comma between "}" and "{": so each line that the decoder accepts is complete.
        together = b"".join(values)  # raises TypeError for None
        if b"\n" in together or b"\r" in together:
            return None
        if len(together) > most and max(map(len, values)) > most:
            return None
        objects = _count(together, b"{")
        if {value[0] for value in values} != {OPEN}:
            return None
        # With no more "{" than values, no event can begin inside a value either.
        if objects != len(values) and {value[-1] for value in values} != {CLOSE}:
            return None
        brackets = objects + _count(together, b"[")
        if brackets >= len(values) + DEEPEST and any(map(is_deep, values)):
            return None
        # msgspec does not check the UTF-8 of unknown fields.
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
    """Whether `parse` accepts the value."""
    try:
        parse(value)
    except InvalidRecord:
        return False
    return True


def is_deep(value: bytes) -> bool:
    """Whether objects and arrays are nested in more than DEEPEST levels."""
    if _count(value, b"{") + _count(value, b"[") <= DEEPEST:
        return False
    depth = 0
    for part in _windows(value):
        steps = memoryview(STRING.sub(b"", part).translate(STEPS, NO_STEPS)).cast("b")
        if max(accumulate(steps, initial=depth)) > DEEPEST:
            return True
        depth += sum(steps)
    return False


def _windows(value: bytes) -> Iterator[bytes]:
    """Parts of about WINDOW bytes that cut no string."""
    at = 0
    while at < len(value):
        part = WHOLE_STRINGS.match(value, at, at + WINDOW) or STRING.match(value, at)
        assert part is not None  # the second one is for a string that does not end in the window
        yield part[0]
        at = part.end()


def one_line(value: bytes) -> bytes:
    """An event's bytes as a line of logs.txt, without the newline.

    They are the record's own bytes, but an event that spans lines is joined into one.
    """
    if b"\n" not in value and b"\r" not in value:
        return value
    value = value.strip(JSON_SPACE)
    if b"\n" not in value and b"\r" not in value:
        return value
    return STRING_OR_SPACE.sub(rb"\1", value)


def _count(text: bytes, byte: bytes) -> int:
    """How often `byte` occurs; where it is rare, at a fifth of the cost of bytes.count."""
    return len(text) - len(text.replace(byte, b""))


def _examine(value: bytes) -> LogEvent:
    """Parse slowly what msgspec refused. Raises InvalidRecord with the exact reason.

    It accepts events that are valid by RFC 8259 but not for msgspec: those with a lone surrogate
    such as \\ud800 in a string.
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
    """The type of a decoded JSON value, in JSON's own terms."""
    kinds = {bool: "true or false", str: "a string", list: "an array", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
