"""Readable: an event as a person reads it, whatever way JSON wrote it; numbers stay as written."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from logpipeline.events.event import level_of

SEPARATOR = "\0"  # between the texts of two fields
# What a person reads differently from the bytes: a JSON escape, and the two letters outside ASCII
# whose lower case is in it (K, İ).
DIFFERS = re.compile(rb"\\|\xe2\x84\xaa|\xc4\xb0")
WORDS = {True: "true", False: "false", None: "null"}


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Readable:
    """`level` is one of five, `timestamp` in Unix seconds, `fields` are all, decoded."""

    level: str
    timestamp: float
    fields: dict[str, Any]

    @property
    def text(self) -> str:
        """The message, and name=value of each other field but the timestamp, nested ones as
        http.status=500. SEPARATOR is between them."""
        parts = [self.fields["message"]]
        for name, value in self.fields.items():
            if name not in ("message", "timestamp"):
                parts += _texts(name, value)
        return SEPARATOR.join(parts)

    def values(self, name: str) -> list[str]:
        """The values of a field by its name, or that of a nested one, http.status; of an array each
        of its elements; an object has none. The level has two: its own spelling, and that of the
        five."""
        if name == "level":
            return [self.level, self.fields["level"]]
        return list(_values(self.fields, name))

    @property
    def service(self) -> str:
        """ "" for none."""
        return service_text(self.fields.get("service"))


def readable(line: bytes) -> Readable | None:
    """The event in a line; None if it is not one."""
    try:
        fields = _decode(line.decode())
        timestamp = fields["timestamp"]
        level = level_of(fields["level"])
        if not (level and isinstance(fields["message"], str) and isinstance(timestamp, Number)):
            return None
        seconds = float(timestamp)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Readable(level, seconds, fields) if math.isfinite(seconds) else None


def service_text(value: Any) -> str:
    return "" if value is None else str(leaf(value))  # no Number


def leaf(value: Any) -> str:
    """A value as text."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return WORDS[value]
    return json.dumps(value, ensure_ascii=False)


def _texts(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(f"{name}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(name, inner)
    else:
        yield f"{name}={leaf(value)}"


def _values(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from _values(inner, name)
    elif isinstance(value, dict):
        if name in value:
            yield from _leaves(value[name])
        at = name.find(".")
        while at >= 0:
            if (inner := value.get(name[:at])) is not None:
                yield from _values(inner, name[at + 1 :])
            at = name.find(".", at + 1)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif not isinstance(value, dict):
        yield leaf(value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse).decode
