"""Entry: one event from Redis as the web page shows it, safe for any content."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any

import msgspec

from logpipeline.events.event import level_of
from logpipeline.terminal import printable

UNKNOWN = "?"  # the level of an invalid record
LINE = 400  # characters of a message in the list
SERVICE = 600  # characters of a service's name, with invisible ones as \\U0001f4dc
NAME = 40  # characters of a field's name
EXTRA = 160  # characters of the further fields in the list
DETAIL = 20_000  # characters of one field in the whole event
FIELDS = 200  # fields of the whole event
SEARCHED = 100_000  # characters of an event that a search matches
COLOUR = re.compile(r"\x1b\[[0-9;:]*[mK]")  # grep has K after each
OWN = {"level", "message", "timestamp", "service"}


@dataclass(frozen=True)
class EventEntry:
    """An event: `line` is its bytes in Redis, `timestamp` Unix seconds, the rest is for display.

    `head` is the shortened message, `extra` the further fields on one line, `searched` the text
    that a search matches, case-folded. The complete fields are decoded on access: a thousand
    hostile events as Python objects would take a gigabyte.

    `id` is unique among the entries of one read of Redis, and stays the same in the next one.
    """

    id: str
    line: bytes
    level: str
    timestamp: float
    service: str
    head: str
    extra: str
    searched: bytes

    @property
    def message(self) -> str:
        fields = _decoded(self.line)
        return _message(fields) if fields else self.line.decode(errors="replace")

    @property
    def fields(self) -> dict[str, Any]:
        """The further fields."""
        fields = _decoded(self.line) or {}
        return {name: value for name, value in fields.items() if name not in OWN}


def entry(id_: str, line: bytes) -> EventEntry:
    """The entry of a line in Redis, which may be an invalid record."""
    fields = _decoded(line)
    if fields is None:
        shown = line.decode(errors="replace")
        return EventEntry(id_, line, UNKNOWN, 0.0, "", short(shown, LINE), "", _searched([shown]))
    level, message = level_of(fields["level"]) or UNKNOWN, _message(fields)
    service = text(fields.get("service", ""))
    further = {name: value for name, value in fields.items() if name not in OWN}
    values = (f"{name}={text(value)}" for name, value in further.items())
    return EventEntry(
        id_,
        line,
        level,
        float(fields["timestamp"]),
        short(service, SERVICE // 3)[:SERVICE],
        short(message, LINE),
        _extra(further),
        _searched(chain([level, service, message], values)),
    )


def text(value: Any, indent: int | None = None) -> str:
    """A field's value for display: strings without quotes, others as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except RecursionError:
        return "nested too deeply to show"


def short(value: str, most: int) -> str:
    """At most `most` characters on one line, with invisible characters escaped."""
    if len(value) <= most:
        return printable(value)
    return printable(value[:most]) + "…"


def long(value: str, most: int = DETAIL) -> str:
    """The same for the whole event: line ends stay, and omitted characters are counted."""
    lines = value[:most].replace("\r\n", "\n").split("\n")
    shown = "\n".join(printable(line.replace("\t", "    ")) for line in lines)
    left_out = len(value) - most
    return f"{shown}\n… {left_out:,} more characters are in the archive" if left_out > 0 else shown


def _message(fields: dict[str, Any]) -> str:
    """Without a terminal's colours."""
    message = text(fields["message"])
    return COLOUR.sub("", message) if "\x1b" in message else message


def _decoded(line: bytes) -> dict[str, Any] | None:
    """The fields of an event; None of an invalid record."""
    try:
        fields = _parsed(line)
        level_of(fields["level"])
        valid = isfinite(float(fields["timestamp"])) and "message" in fields
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return fields if valid else None


def _parsed(line: bytes) -> Any:
    """Raises ValueError, RecursionError."""
    try:
        return msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return json.loads(line)  # takes lone surrogates and huge numbers too


def _searched(parts: Iterable[str]) -> bytes:
    """In bytes, as one emoji would make four of each character."""
    some, room = [], SEARCHED
    for part in parts:
        some.append(part[:room])
        room -= len(part) + 1
        if room <= 0:
            break
    return " ".join(some).casefold().encode("utf-8", "surrogatepass")


def _extra(fields: dict[str, Any]) -> str:
    """The further fields on one line, as many as fit."""
    parts, room = [], EXTRA
    for name, value in fields.items():
        part = f"{short(name, NAME)}={short(_head(value), NAME)}"
        room -= len(part) + 1
        if room < 0:
            parts.append("…")
            break
        parts.append(part)
    return " ".join(parts)


def _head(value: Any) -> str:
    """The value as text; of something nested, only that it is."""
    if isinstance(value, dict):
        return "{…}"
    return "[…]" if isinstance(value, list) else text(value)
