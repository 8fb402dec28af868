"""OTLP's protobuf: its outer levels are read in place, and of its records the attributes are bytes.

Most of them are repeated: one that was seen before is not decoded again.
"""

import base64
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from logpipeline.collector import wire
from logpipeline.collector.exchange import Invalid
from logpipeline.collector.shaping import Record
from logpipeline.events.lines import MOST

RESOURCE, SCOPE_LOGS = 1, 2  # fields of ResourceLogs
SCOPE, RECORDS = 1, 2  # fields of ScopeLogs
MOST_SHARED = 2**16  # bytes of a resource or scope: more of it would be in each event
SHORT = 100  # bytes of an attribute that is remembered

_Type = descriptor_pb2.FieldDescriptorProto
# The fields of a LogRecord: number and type.
FIELDS = {
    "time_unix_nano": (1, _Type.TYPE_FIXED64),
    "severity_number": (2, _Type.TYPE_INT32),
    "severity_text": (3, _Type.TYPE_STRING),
    "body": (5, _Type.TYPE_BYTES),
    "attributes": (6, _Type.TYPE_BYTES),
    "dropped_attributes_count": (7, _Type.TYPE_UINT32),
    "trace_id": (9, _Type.TYPE_BYTES),
    "span_id": (10, _Type.TYPE_BYTES),
    "observed_time_unix_nano": (11, _Type.TYPE_FIXED64),
    "event_name": (12, _Type.TYPE_STRING),
}


def _log_record() -> Any:
    """The class of a LogRecord whose nested messages are bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", syntax="proto3")
    message = file.message_type.add(name="Record")
    for name, (number, kind) in FIELDS.items():
        label = _Type.LABEL_REPEATED if name == "attributes" else _Type.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=label)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("Record"))


_record = _log_record().FromString


def scopes(body: bytes) -> Iterator[tuple[dict[str, Any], str, list[bytes]]]:
    """The resource's attributes, the scope's name and the records of each scope. Raises Invalid."""
    try:
        for number, start, end in wire.spans(body, 0, len(body)):
            if number == 1:
                yield from _of_resource(body, start, end)
    except (ValueError, DecodeError) as error:
        raise Invalid(400, f"the body is not an ExportLogsServiceRequest: {error}") from error


def _of_resource(
    body: bytes, start: int, end: int
) -> Iterator[tuple[dict[str, Any], str, list[bytes]]]:
    """Raises ValueError, DecodeError, Invalid."""
    parts = wire.spans(body, start, end)
    resource = Resource.FromString(_joined(body, parts, RESOURCE))
    attributes = of_pairs(resource.attributes)
    for number, *span in parts:
        if number == SCOPE_LOGS:
            inner = wire.spans(body, *span)
            scope = InstrumentationScope.FromString(_joined(body, inner, SCOPE))
            records = [body[start:end] for number, start, end in inner if number == RECORDS]
            yield attributes, scope.name, records


def _joined(body: bytes, parts: Iterable[wire.Span], wanted: int) -> bytes:
    """The message in field `wanted`; one in several parts is their sum. Raises ValueError."""
    found = b"".join([body[start:end] for number, start, end in parts if number == wanted])
    if len(found) > MOST_SHARED:
        raise ValueError(f"a resource or scope has {len(found):,} bytes, at most {MOST_SHARED:,}")
    return found


def record(data: bytes) -> Record:
    """Raises ValueError, with the reason, for an invalid one."""
    if len(data) > 2 * MOST:
        raise ValueError(f"too large: {len(data):,} bytes, at most {MOST:,}")
    try:
        made = _record(data)
        fields = dict(
            [_known(each) if len(each) <= SHORT else _attribute(each) for each in made.attributes]
        )
        message = _value(AnyValue.FromString(made.body))
    except DecodeError as error:
        raise ValueError(str(error)) from error
    if trace := made.trace_id:
        fields["trace_id"] = trace.hex()
    if span := made.span_id:
        fields["span_id"] = span.hex()
    if name := made.event_name:
        fields["event_name"] = name
    if dropped := made.dropped_attributes_count:
        fields["dropped_attributes_count"] = dropped
    nanos = made.time_unix_nano or made.observed_time_unix_nano
    return nanos, made.severity_number, made.severity_text, message, fields


def _attribute(data: bytes) -> tuple[str, Any]:
    """Raises DecodeError."""
    pair = KeyValue.FromString(data)
    return pair.key, _value(pair.value)


_known = lru_cache(4_096)(_attribute)


def of_pairs(pairs: Iterable[Any]) -> dict[str, Any]:
    """Attributes, of KeyValue messages."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    """An AnyValue as what JSON has; bytes as base64."""
    if text := value.string_value:
        return text
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_value(each) for each in inner.values]
    if kind == "kvlist_value":
        return of_pairs(inner.values)
    if kind == "bytes_value":
        return base64.b64encode(inner).decode()
    if kind == "double_value" and inner - inner:  # infinite or NaN, which JSON has not
        return str(inner)
    return inner
