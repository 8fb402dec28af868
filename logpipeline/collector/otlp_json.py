"""OTLP's JSON: its messages, typed. A record's attributes stay bytes until they are needed, as most of
them are repeated: one that was seen before is not decoded again."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from logpipeline.collector import shaping
from logpipeline.collector.exchange import Invalid, check_parts
from logpipeline.collector.shaping import Field, Record

LATEST = 2**64  # nanoseconds: fixed64 in protobuf
INTEGERS = range(-(2**63), 2**63)
SEVERITY = "SEVERITY_NUMBER_"
NAMES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # of four severity numbers each
SHORT = 200  # bytes of an attribute that is remembered
# The names of protobuf, which parsers of its JSON take as well.
SNAKE = re.compile(rb'"[a-z]+(?:_[a-z]+)+"(?=\s*:)')


class _Values(msgspec.Struct):
    values: list["_AnyValue"] | None = None


class _KeyValues(msgspec.Struct):
    values: list["_KeyValue"] | None = None


class _AnyValue(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _Values | None = None
    kvlist_value: _KeyValues | None = None
    bytes_value: str | None = None


class _KeyValue(msgspec.Struct):
    key: str = ""
    value: _AnyValue | None = None


class _Record(msgspec.Struct, rename="camel"):
    """A LogRecord."""

    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: _AnyValue | None = None
    attributes: list[msgspec.Raw] | None = None
    dropped_attributes_count: int | str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _Scope(msgspec.Struct):
    name: str | None = None


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: _Scope | None = None
    log_records: list[msgspec.Raw] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_KeyValue] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


_request = msgspec.json.Decoder(_Request).decode
_record = msgspec.json.Decoder(_Record).decode
_pair = msgspec.json.Decoder(_KeyValue).decode


def scopes(body: bytes) -> Iterator[tuple[dict[str, Any], str, list[bytes]]]:
    """The resource's attributes, the scope's name and the records of each scope. Raises Invalid."""
    check_parts(body)
    if b'"resource_logs"' in body:
        body = SNAKE.sub(_camel, body)
    try:
        for logs in _request(body).resource_logs or ():
            attributes = _of_pairs((logs.resource and logs.resource.attributes) or ())
            for scope in logs.scope_logs or ():
                name = (scope.scope and scope.scope.name) or ""
                yield attributes, name, [bytes(raw) for raw in scope.log_records or ()]
    except (ValueError, RecursionError) as error:
        raise Invalid(400, f"the body is not an ExportLogsServiceRequest: {error}") from error


def _camel(name: re.Match[bytes]) -> bytes:
    first, *others = name[0].split(b"_")
    return first + b"".join(each.capitalize() for each in others)


def record(data: bytes) -> Record:
    """Raises ValueError, with the reason, for an invalid one."""
    if b"_" in data and SNAKE.search(data):
        data = SNAKE.sub(_camel, data)
    try:
        made = _record(data)
        fields = [_field(bytes(raw)) for raw in made.attributes or ()]
        message = shaping.message(_value(made.body))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if trace := _id(made.trace_id or "", 16):
        fields.append(shaping.field("trace_id", trace))
    if span := _id(made.span_id or "", 8):
        fields.append(shaping.field("span_id", span))
    if made.event_name:
        fields.append(shaping.field("event_name", made.event_name))
    if dropped := int(made.dropped_attributes_count or 0):
        fields.append(shaping.field("dropped_attributes_count", dropped))
    nanos = _nanos(made.time_unix_nano) or _nanos(made.observed_time_unix_nano)
    number = _severity(made.severity_number)
    return nanos, number, made.severity_text or "", message, fields


def _field(data: bytes) -> Field:
    """Raises ValueError, RecursionError."""
    return _known(data) if len(data) <= SHORT else _attribute(data)


def _attribute(data: bytes) -> Field:
    """Raises ValueError, RecursionError."""
    pair = _pair(data)
    return shaping.field(pair.key, _value(pair.value))


_known = lru_cache(4_096)(_attribute)


def _of_pairs(pairs: Iterable[_KeyValue]) -> dict[str, Any]:
    """Attributes. Raises ValueError, RecursionError."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: _AnyValue | None) -> Any:
    """An AnyValue as what JSON has; bytes stay base64. Raises ValueError, RecursionError."""
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _integer(value.int_value)
    if value.double_value is not None:
        return value.double_value
    if value.array_value is not None:
        return [_value(each) for each in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _of_pairs(value.kvlist_value.values or ())
    return value.bytes_value if value.bool_value is None else value.bool_value


def _integer(value: int | str) -> int:
    """Raises ValueError."""
    if len(str(value)) > 20 or (number := int(value)) not in INTEGERS:
        raise ValueError("an intValue is not a number of 64 bits")
    return number


def _id(text: str, size: int) -> str:
    """An id of so many bytes in hexadecimal, also of one in base64; "" for none, or zeros."""
    if len(text) == len(base64.b64encode(bytes(size))):
        try:
            text = base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return text
    return text.lower() if text.strip("0") else ""


def _nanos(value: int | str | None) -> int:
    """Raises ValueError."""
    if len(str(value or 0)) > 20 or not 0 <= (nanos := int(value or 0)) < LATEST:
        raise ValueError("timeUnixNano is not a number of 64 bits")
    return nanos


def _severity(value: int | str | None) -> int:
    """The number, also of an enum's name: SEVERITY_NUMBER_ERROR2. Raises ValueError."""
    if not isinstance(value, str):
        return value or 0
    name = value.removeprefix(SEVERITY)
    stem = name.rstrip("234")
    if stem in NAMES:
        return 4 * NAMES.index(stem) + int(name[len(stem) :] or 1)
    return int(value) if value.isdecimal() else 0
