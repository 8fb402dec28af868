"""Plain: a Python value as JSON has it, whatever it is."""

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

NESTED = 100  # levels of an event, itself the first: more makes it an invalid record
AS_TEXT = {datetime, date, time, timedelta, UUID, Decimal}  # by msgspec, in the usual forms


def text(value: Any, make: Callable[[Any], str] = str) -> str:
    """`make` of it, as JSON can have it. Raises nothing."""
    if type(value) is str and make is str and value.isascii():
        return value
    try:
        made = str.__str__(make(value))
    except Exception as error:  # noqa: BLE001 - whatever somebody's __str__ raises
        return f"<{type(value).__name__}: {make.__name__} raised {type(error).__name__}>"
    # UTF-8 has no bytes for half surrogate pairs.
    return made if made.isascii() else msgspec.json.decode(encoded(made), type=str)


def is_plain(value: Any) -> bool:
    """Whether it certainly is as JSON has it: this is quick, and true of most values."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    return (kind is int and -(2**63) <= value < 2**64) or value is None or kind is bool


class Plain:
    """A value as JSON has it: what JSON has nothing for becomes text.

    It stops in the middle of what is surely too large for a record: then `cut` is true.
    """

    def __init__(self, value: Any) -> None:
        self._left = 4 * MOST  # bytes, of which none counts more than twice
        self._above: list[int] = []  # the containers around a value, by their ids
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
        except Exception:  # noqa: BLE001 - whatever somebody's properties raise
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
    """As JSON's consumers can read it, else as text."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    number = int(value)
    if -(2**63) <= number < 2**64:
        return number
    return str(number) if number.bit_length() < 10_000 else hex(number)  # str() has a bound


def _names(kind: type) -> list[str]:
    """Those of a dataclass, a msgspec.Struct or a class of attrs; none of another one."""
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    if names := getattr(kind, "__struct_fields__", ()):
        return list(names)
    return [field.name for field in getattr(kind, "__attrs_attrs__", ())]


def _attributes(value: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(value, name)) for name in names)
