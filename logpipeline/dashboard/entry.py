"""Entry: one event from Redis as the web page shows it, whatever text is in it."""

import json
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import msgspec

from logpipeline.events.event import level_of
from logpipeline.terminal import printable

UNKNOWN = "?"  # the level of what is no event
LINE = 400  # characters of a message in the list
NAME = 40  # characters of a service's or a field's name
DETAIL = 20_000  # characters of one field in the whole event
FIELDS = 200  # fields of the whole event
SEARCHED = 100_000  # characters of an event that a search looks at


@dataclass(frozen=True)
class Entry:
    """An event: `line` is its bytes in Redis, `timestamp` Unix seconds, the rest is for people.

    `id` tells it from the other entries of one look at Redis, and is the same in the next one.
    """

    id: str
    line: bytes
    level: str
    timestamp: float
    service: str
    message: str
    fields: dict[str, Any]

    @cached_property
    def searched(self) -> str:
        """What a search looks at, in no letter case: values as people read them."""
        values = (f"{name}={text(value)}" for name, value in self.fields.items())
        return " ".join([self.level, self.service, self.message, *values])[:SEARCHED].casefold()

    def has(self, words: str) -> bool:
        """Whether all the words are in it, in any letter case."""
        return all(word in self.searched for word in words.casefold().split())


def entry(id_: str, line: bytes) -> Entry:
    """The entry of a line in Redis, also of one that is no event."""
    try:
        fields = _decoded(line)
        level = level_of(fields["level"]) or UNKNOWN
        message, timestamp = text(fields["message"]), float(fields["timestamp"])
        service = short(text(fields.get("service", "")), NAME)
        if not isfinite(timestamp):
            raise ValueError("no time")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        shown = line.decode(errors="replace")
        return Entry(id_, line, UNKNOWN, 0.0, "", shown, {})
    further = {
        name: value
        for name, value in fields.items()
        if name not in {"level", "message", "timestamp", "service"}
    }
    return Entry(id_, line, level, timestamp, service, message, further)


def text(value: Any, indent: int | None = None) -> str:
    """A field's value as people read it: strings without quotes, the rest as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except RecursionError:
        return "nested too deeply to be shown"


def short(value: str, most: int) -> str:
    """At most `most` characters on one line, without anything that a reader would not see."""
    if len(value) <= most:
        return printable(value)
    return printable(value[:most]) + "…"


def long(value: str, most: int = DETAIL) -> str:
    """The same for the whole event: its line ends stay, and what is left out is counted."""
    lines = value[:most].replace("\r\n", "\n").split("\n")
    shown = "\n".join(printable(line.replace("\t", "    ")) for line in lines)
    left_out = len(value) - most
    return f"{shown}\n… {left_out:,} more characters are in the archive" if left_out > 0 else shown


def _decoded(line: bytes) -> Any:
    """Raises ValueError, RecursionError."""
    try:
        return msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return json.loads(line)  # takes lone surrogates and huge numbers too
