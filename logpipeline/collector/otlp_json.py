"""OTLP's JSON: its messages, typed."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from logpipeline.collector.exchange import Invalid, check_parts
from logpipeline.collector.shaping import Record

LATEST = 2**64  # nanoseconds: fixed64 in protobuf
NUMBER, DIGITS = re.compile(r"-?[0-9]+"), 20
INTEGERS = range(-(2**63), 2**63)
SEVERITY = "SEVERITY_NUMBER_"
NAMES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # of four severity numbers each
# The names of protobuf, which parsers of its JSON take as well. A body of them has such ends.
SNAKE = re.compile(rb'"[a-z]+(?:_[a-z]+)+"(?=\s*:)')
ENDS = (b'_logs"', b'_nano"', b'_value"')


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
    attributes: list[_KeyValue] | None = None
    dropped_attributes_count: int | str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


R = TypeVar("R", _Record, msgspec.Raw)


class _Scope(msgspec.Struct):
    name: str | None = None


class _ScopeLogs(msgspec.Struct, Generic[R], rename="camel"):
    scope: _Scope | None = None
    log_records: list[R] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_KeyValue] | None = None


class _ResourceLogs(msgspec.Struct, Generic[R], rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs[R]] | None = None


class _Request(msgspec.Struct, Generic[R], rename="camel"):
    resource_logs: list[_ResourceLogs[R]] | None = None


_request = msgspec.json.Decoder(_Request[_Record]).decode
_raw_request = msgspec.json.Decoder(_Request[msgspec.Raw]).decode
_record = msgspec.json.Decoder(_Record).decode


def scopes(body: bytes) -> Iterator[tuple[dict[str, Any], str, list[Any]]]:
    """The resource's attributes, the scope's name and the records of each scope. Raises Invalid."""
    check_parts(body)
    if any(end in body for end in ENDS):
        body = SNAKE.sub(_camel, body)
    try:
        for logs in _decoded(body).resource_logs or ():
            attributes = _of_pairs((logs.resource and logs.resource.attributes) or ())
            for scope in logs.scope_logs or ():
                name = (scope.scope and scope.scope.name) or ""
                yield attributes, name, scope.log_records or []
    except (ValueError, RecursionError) as error:
        raise Invalid(400, f"the body is not an ExportLogsServiceRequest: {error}") from error


def _decoded(body: bytes) -> _Request[Any]:
    """With its records, or the bytes of each when one of them is invalid. Raises ValueError,
    RecursionError."""
    try:
        return _request(body)
    except (ValueError, RecursionError):
        return _raw_request(body)


def _camel(name: re.Match[bytes]) -> bytes:
    first, *others = name[0].split(b"_")
    return first + b"".join(each.capitalize() for each in others)


def record(given: _Record | msgspec.Raw) -> Record:
    """Raises ValueError, with the reason, for an invalid one."""
    try:
        made = given if isinstance(given, _Record) else _record(given)
        fields = _of_pairs(made.attributes or ())
        body = _value(made.body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if trace := made.trace_id and _id(made.trace_id, 16):
        fields["trace_id"] = trace
    if span := made.span_id and _id(made.span_id, 8):
        fields["span_id"] = span
    if made.event_name:
        fields["event_name"] = made.event_name
    if dropped := made.dropped_attributes_count:
        fields["dropped_attributes_count"] = dropped
    nanos = _nanos(made.time_unix_nano) or _nanos(made.observed_time_unix_nano)
    number = _severity(made.severity_number)
    return nanos, number, made.severity_text or "", body, fields


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
    if (number := _number(value)) not in INTEGERS:
        raise ValueError("an intValue must be an integer of 64 bits")
    return number


def _number(value: int | str) -> int:
    """The number that the digits are; LATEST for anything else."""
    if isinstance(value, int):
        return value
    return int(value) if len(value) <= DIGITS and NUMBER.fullmatch(value) else LATEST


def _id(text: str, size: int) -> str:
    """An id of so many bytes in hexadecimal, also of one in base64; "" for zeros."""
    if len(text) == 4 * -(-size // 3):
        try:
            text = base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return text
    return text.lower() if text.strip("0") else ""


def _nanos(value: int | str | None) -> int:
    """Raises ValueError."""
    nanos = _number(value or 0)
    if not 0 <= nanos < LATEST:
        raise ValueError("a time must be a number of nanoseconds")
    return nanos


def _severity(value: int | str | None) -> int:
    """The number, also of an enum's name: SEVERITY_NUMBER_ERROR2. Raises ValueError."""
    if not isinstance(value, str):
        return value or 0
    name = value.removeprefix(SEVERITY)
    stem = name.rstrip("234")
    if stem in NAMES:
        return 4 * NAMES.index(stem) + int(name[len(stem) :] or 1)
    return _number(value) if value.isdecimal() else 0
