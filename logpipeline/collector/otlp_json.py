"""OTLP's JSON: its messages, typed."""

from collections.abc import Iterable
from typing import Any

import msgspec

from logpipeline.collector.exchange import Invalid, check_parts

LATEST = 2**64  # nanoseconds: fixed64 in protobuf
SEVERITY = "SEVERITY_NUMBER_"
NAMES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # of four severity numbers each


class _Values(msgspec.Struct):
    values: list["_AnyValue"] = []


class _KeyValues(msgspec.Struct):
    values: list["_KeyValue"] = []


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


class JsonRecord(msgspec.Struct, rename="camel"):
    """A LogRecord."""

    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: _AnyValue | None = None
    attributes: list[_KeyValue] = []
    dropped_attributes_count: int = 0
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None

    def fields(self) -> tuple[int, int, str, Any, dict[str, Any]]:
        """Nanoseconds, severity's number and text, body, and the further fields. Raises
        ValueError."""
        fields = of_pairs(self.attributes)
        own = ("trace_id", "span_id", "event_name", "dropped_attributes_count")
        fields |= {name: value for name in own if (value := getattr(self, name))}
        nanos = _nanos(self.time_unix_nano) or _nanos(self.observed_time_unix_nano)
        number = _severity(self.severity_number)
        return nanos, number, self.severity_text or "", of_value(self.body), fields


class _Scope(msgspec.Struct):
    name: str = ""


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: _Scope | None = None
    log_records: list[JsonRecord] = []


class _Resource(msgspec.Struct):
    attributes: list[_KeyValue] = []


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] = []


class _Request(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] = []


_decode = msgspec.json.Decoder(_Request).decode
Scopes = list[tuple[list[_KeyValue], str, list[JsonRecord]]]


def decoded(body: bytes) -> Scopes:
    """The resource's attributes, the scope's name and the records of each scope. Raises Invalid."""
    check_parts(body)
    try:
        request = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(400, f"the body is not an ExportLogsServiceRequest: {error}") from error
    return [
        (
            logs.resource.attributes if logs.resource else [],
            scope.scope.name if scope.scope else "",
            scope.log_records,
        )
        for logs in request.resource_logs
        for scope in logs.scope_logs
    ]


def of_pairs(pairs: Iterable[_KeyValue]) -> dict[str, Any]:
    """Attributes. Raises ValueError."""
    return {pair.key: of_value(pair.value) for pair in pairs}


def of_value(value: _AnyValue | None) -> Any:
    """An AnyValue as what JSON has; bytes stay base64. Raises ValueError."""
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return int(value.int_value)
    if value.double_value is not None:
        return value.double_value
    if value.array_value is not None:
        return [of_value(each) for each in value.array_value.values]
    if value.kvlist_value is not None:
        return of_pairs(value.kvlist_value.values)
    return value.bytes_value if value.bool_value is None else value.bool_value


def _nanos(value: int | str | None) -> int:
    """Raises ValueError."""
    nanos = int(value or 0)
    if not 0 <= nanos < LATEST:
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
