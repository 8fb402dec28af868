"""JSON formats: the fields of an event, from the JSON lines of other programs.

pino, bunyan, winston, zap, zerolog, slog, logrus, structlog, python-json-logger, Serilog, ECS,
logstash, GELF, GCP, MongoDB, Docker's json-file and journald (`journalctl -o json`).
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from logpipeline.events import text_formats, times
from logpipeline.events.event import is_deep, level_of

Fields = dict[str, msgspec.Raw]

# Names that loggers use, the most specific first. A field counts only when its value is valid.
MESSAGES = (
    *("message", "msg", "MESSAGE", "@m", "@mt", "short_message", "textPayload", "Message"),
    *("log", "event", "text", "body"),
)
LEVELS = (
    *("level", "severity", "levelname", "lvl", "log.level", "loglevel", "level_name", "Level"),
    *("LogLevel", "severity_text", "severityText", "@l", "PRIORITY", "levelno", "s"),
)
TIMES = (
    *("timestamp", "time", "@timestamp", "ts", "datetime", "@t", "asctime", "Timestamp"),
    *("eventTime", "_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP", "date", "created", "t"),
)
OURS = ("level", "message", "timestamp")

_decode = msgspec.json.Decoder(Fields).decode


def decode(line: bytes) -> Fields | None:
    """The fields of a JSON object, each with its own bytes; None when the line is not an object, or
    is nested too deeply for an event."""
    if is_deep(line):
        return None
    try:
        return _decode(line)
    except msgspec.MsgspecError:
        return _decode_slowly(line)


def mapped(fields: Fields, line: str) -> tuple[str | None, bytes, str | None, Fields] | None:
    """Level, message as JSON, time, and the other fields; None when the first three are missing.

    Without a message field the `line` is the message. A level or a time without a field is read
    from the message, which may itself be a line of a log.
    """
    message_name, text = _first(fields, MESSAGES, _message)
    level_name, level = _first(fields, LEVELS, _level)
    time_name, seconds = _first(fields, TIMES, _time)
    if not (message_name or level_name or time_name):
        return None
    if text is None:
        text = line
    elif level is None or seconds is None:
        stated = inner(text)
        level, seconds = level or stated[0], seconds or stated[1]
    if level is None and "status" in fields:
        level = text_formats.of_status(bytes(fields["status"]).decode().strip('"'))
    taken = {message_name, level_name, time_name}
    others = {
        f"original_{name}" if name in OURS else name: value
        for name, value in fields.items()
        if name not in taken
    }
    raw = bytes(fields[message_name]) if message_name else b""
    whole = raw[:1] == b'"' and message_name != "log"
    return level, raw if whole else encoded(text), seconds, others


def inner(text: str) -> text_formats.Reading:
    """The level and time in a line of text or of a logger's JSON."""
    if text[:1] == "{" and (fields := decode(text.encode("utf-8", "replace"))):
        return _first(fields, LEVELS, _level)[1], _first(fields, TIMES, _time)[1]
    return text_formats.read(text)


def encoded(text: str) -> bytes:
    """A string as JSON; lone surrogates, which UTF-8 cannot encode, are replaced."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(text))


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _first(
    fields: Fields, names: tuple[str, ...], meaning: Callable[[str, bytes], str | None]
) -> tuple[str | None, str | None]:
    """The first of `names` with a valid value, and its meaning; two None without one."""
    for name in names:
        if name in fields and (found := meaning(name, bytes(fields[name]))) is not None:
            return name, found
    return None, None


def _message(name: str, raw: bytes) -> str | None:
    kind = raw[:1]
    if kind == b'"':
        text = str(_value(raw))
        return text.removesuffix("\n") if name == "log" else text  # Docker keeps the newline
    if name == "MESSAGE" and kind == b"[":  # journald: bytes that are not UTF-8, as numbers
        with suppress(TypeError, ValueError):
            return bytes(_value(raw)).decode("utf-8", "replace")
    if name in {"message", "msg"} and raw != b"null":
        return raw.decode()
    return None


def _level(name: str, raw: bytes) -> str | None:
    text = raw.decode().strip('" ')
    if text.isdecimal() and text.isascii():
        return _numbered(int(text[:9]), name)
    if name == "s":  # MongoDB's; other programs use it for anything
        return text_formats.named(text[:1]) if text.rstrip("12345") in text_formats.SHORT else None
    return level_of(text)


def _numbered(number: int, name: str) -> str:
    """The level of a number: below 8 syslog's (journald, GELF), then the tens of pino and bunyan,
    those of Python, which are one level higher, and Monolog's hundreds."""
    if number < 8:
        return text_formats.SYSLOG_LEVELS[number]
    if number >= 100:
        number = number // 10 + 10
    elif name == "levelno":
        number += 10
    return ("DEBUG", "DEBUG", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")[min(number // 10, 6)]


def _time(name: str, raw: bytes) -> str | None:
    kind = raw[:1]
    if kind == b'"':
        return times.of_text(str(_value(raw)))
    if kind == b"{":  # MongoDB: {"$date": "2024-03-23T22:56:07.890+00:00"}
        date = _value(raw).get("$date")
        return times.of_text(date) if isinstance(date, str) else None
    return times.of_number(raw.decode())


def _value(raw: bytes) -> Any:
    """Decode JSON, also what msgspec refuses: lone surrogates, endless numbers."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return json.loads(raw, parse_int=float)


def _decode_slowly(line: bytes) -> Fields | None:
    """Decode JSON that RFC 8259 allows and msgspec refuses: a lone surrogate in a string."""
    try:
        fields = json.loads(line)
        if not isinstance(fields, dict):
            return None
        return {
            _whole(name): msgspec.Raw(json.dumps(value, allow_nan=False).encode())
            for name, value in fields.items()
        }
    except ValueError:
        return None
