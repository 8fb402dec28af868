"""Plain: turns any Python value into one that JSON can hold."""

import math
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from logpipeline.events.json_formats import encoded
from logpipeline.events.lines import MOST

NESTED = 100  # levels of nesting, the event itself included: a deeper record is invalid
AS_TEXT = {datetime, date, time, timedelta, UUID, Decimal}  # msgspec writes the usual forms


def text(value: Any, make: Callable[[Any], str] = str) -> str:
    """The result of `make(value)`, as text that JSON can hold. Never raises."""
    if type(value) is str and make is str and value.isascii():
        return value
    try:
        made = str.__str__(make(value))
    except Exception as error:  # noqa: BLE001 - a __str__ may raise anything
        return f"<{type(value).__name__}: {make.__name__} raised {type(error).__name__}>"
    # UTF-8 cannot encode lone surrogates.
    return made if made.isascii() else msgspec.json.decode(encoded(made), type=str)


def is_plain(value: Any) -> bool:
    """Whether JSON can hold the value as it is: a quick check, which most values pass."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    return (kind is int and -(2**63) <= value < 2**64) or value is None or kind is bool


class Plain:
    """A value that JSON can hold; whatever JSON has no type for becomes text.

    `cut` is true if the rest of the value was left out because it cannot fit into a record.
    """

    def __init__(self, value: Any) -> None:
        self._left = 4 * MOST  # bytes; none is counted more than twice
        self._above: list[int] = []  # ids of the containers around the value
        self.value = self._plain(value)

    @property
    def cut(self) -> bool:
        return self._left < 0

    def _plain(self, value: Any) -> Any:
        self._left -= 2
        made = value if is_plain(value) else self._converted(value)
        if isinstance(made, str):
            self._left -= len(made)
        return made

    def _converted(self, value: Any) -> Any:
        try:
            return self._made(type(value), value)
        except Exception:  # noqa: BLE001 - a property may raise anything
            return text(value, reprlib.repr)

    def _made(self, kind: type, value: Any) -> Any:
        if kind is str:
            return text(value)
        if kind in AS_TEXT:
            return msgspec.Raw(msgspec.json.encode(value))
        if isinstance(value, Enum):
            return self._plain(value.value)
        if isinstance(value, (int, float)):
            return _number(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value).decode("utf-8", "backslashreplace")
        if isinstance(value, msgspec.Raw):
            return self._plain(msgspec.json.decode(value))
        if isinstance(value, dict):
            return self._container(value, lambda: self._object(list(value.items())))
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._container(value, lambda: list(self._each(list(value))))
        if names := _names(kind):
            return self._container(value, lambda: self._object(_attributes(value, names)))
        return text(value)

    def _container(self, value: Any, make: Callable[[], Any]) -> Any:
        if id(value) in self._above or len(self._above) >= NESTED - 1:
            return text(value, reprlib.repr)
        self._above.append(id(value))
        try:
            return make()
        finally:
            self._above.pop()

    def _object(self, items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        made = {}
        for name, value in items:
            if self.cut:
                break
            key = text(name)
            self._left -= len(key)
            made[key] = self._plain(value)
        return made

    def _each(self, values: list[Any]) -> Iterator[Any]:
        for value in values:
            if self.cut:
                break
            yield self._plain(value)


def _number(value: float) -> Any:
    """A number that every JSON parser can read, or else its text."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    number = int(value)
    if -(2**63) <= number < 2**64:
        return number
    return str(number) if number.bit_length() < 10_000 else hex(number)  # str() has a limit


def _names(kind: type) -> list[str]:
    """The field names of a dataclass, msgspec.Struct or attrs class; none for other classes."""
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    if names := getattr(kind, "__struct_fields__", ()):
        return list(names)
    return [field.name for field in getattr(kind, "__attrs_attrs__", ())]


def _attributes(value: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(value, name)) for name in names)
