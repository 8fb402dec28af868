"""OTLP: POST /v1/logs of OpenTelemetry, in protobuf or JSON."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from logpipeline.collector import otlp_json, shaping, wire
from logpipeline.collector.exchange import Batch, Call, Invalid, Reply, as_json, check_count
from logpipeline.events.lines import MOST

PROTOBUF, JSON = "application/x-protobuf", "application/json"
UID = "log.record.uid"  # the attribute that names a record, by OpenTelemetry's conventions
# google.rpc.Code of each HTTP status; INTERNAL of others.
CODES = {400: 3, 401: 16, 403: 7, 408: 4, 409: 10, 413: 8, 415: 3, 422: 3, 429: 8, 503: 14}
RESOURCE, SCOPE_LOGS = 1, 2  # fields of ResourceLogs
SCOPE, RECORDS = 1, 2  # fields of ScopeLogs


class OtlpDialect:
    """OpenTelemetry's exporters."""

    def read(self, call: Call) -> Batch:
        kind = call.kind.lower()
        if kind == PROTOBUF:
            return _of_protobuf(call)
        if kind == JSON:
            return _of_json(call)
        raise Invalid(415, f"Content-Type must be {PROTOBUF} or {JSON}")

    def stored(self, call: Call, batch: Batch) -> Reply:
        rejected = len(batch.refused)
        words = "; ".join(f"record {index}: {why}" for index, why in batch.refused[:3])
        if call.kind.lower() == JSON:
            partial = {"rejectedLogRecords": str(rejected), "errorMessage": words}
            return Reply(200, as_json({"partialSuccess": partial} if rejected else {}))
        answer = ExportLogsServiceResponse()
        if rejected:
            answer.partial_success.rejected_log_records = rejected
            answer.partial_success.error_message = words
        return Reply(200, answer.SerializeToString(), PROTOBUF.encode())

    def failed(self, call: Call, status: int, sentence: str) -> Reply:
        code = CODES.get(status, 13)
        if call.kind.lower() != PROTOBUF:
            return Reply(status, as_json({"code": code, "message": sentence}))
        text = sentence.encode()  # google.rpc.Status: code = 1, message = 2
        size = bytes([len(text) & 127 | 128, len(text) >> 7])
        return Reply(status, b"\x08%c\x12%b%b" % (code, size, text), PROTOBUF.encode())


class Shared:
    """What the records of one scope share: its resource's fields, and its logger."""

    def __init__(self, call: Call, attributes: Mapping[str, Any], scope: str) -> None:
        fields = dict(attributes)
        service = fields.pop("service.name", None) or call.writer.service
        self.fields = ({"service": service} if service else {}) | fields
        if scope:
            self.fields["logger"] = scope
        self._default = call.writer.address
        self.key = self.key_of(self.fields)
        self.refusal = call.writer.refusal(_text(service))
        self.tail = shaping.tail_of(self.fields)

    def key_of(self, fields: Mapping[str, Any]) -> bytes:
        return (_text(fields.get("service")) or self._default).encode("utf-8", "replace")[:1_000]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _of_protobuf(call: Call) -> Batch:
    """Raises Invalid."""
    body, batch = call.body, Batch()
    try:
        found = list(_scopes(call, body))
        check_count(sum(len(records) for _, records in found))
    except (ValueError, DecodeError) as error:
        raise Invalid(400, f"the body is not an ExportLogsServiceRequest: {error}") from error
    for shared, records in found:
        for start, end in records:
            try:
                if end - start > 2 * MOST:
                    raise ValueError(f"too large: {end - start:,} bytes, at most {MOST:,}")
                _add(call, batch, shared, *_fields(LogRecord.FromString(body[start:end])))
            except (ValueError, DecodeError) as error:
                _refuse(batch, str(error))
    return batch


def _scopes(call: Call, body: bytes) -> Iterator[tuple[Shared, list[tuple[int, int]]]]:
    """What the records of each scope share, and where in the body they are. Raises ValueError,
    DecodeError."""
    for number, start, end in wire.spans(body, 0, len(body)):
        if number != 1:
            continue
        parts = wire.spans(body, start, end)
        resource = Resource()
        for part in parts:
            if part[0] == RESOURCE:
                resource.MergeFromString(_small(body, *part[1:]))
        attributes = of_pairs(resource.attributes)
        for part in parts:
            if part[0] == SCOPE_LOGS:
                inner = wire.spans(body, *part[1:])
                scope = InstrumentationScope()
                for each in inner:
                    if each[0] == SCOPE:
                        scope.MergeFromString(_small(body, *each[1:]))
                records = [each[1:] for each in inner if each[0] == RECORDS]
                yield Shared(call, attributes, scope.name), records


def _small(body: bytes, start: int, end: int) -> bytes:
    """A resource or scope: more of it would be in each event. Raises ValueError."""
    if end - start > 2**16:
        raise ValueError(f"the resource or scope at byte {start} has {end - start:,} bytes")
    return body[start:end]


def _fields(record: Any) -> tuple[int, int, str, Any, dict[str, Any]]:
    """Nanoseconds, severity's number and text, body, and the further fields of a LogRecord."""
    fields = of_pairs(record.attributes)
    if trace := record.trace_id:
        fields["trace_id"] = trace.hex()
    if span := record.span_id:
        fields["span_id"] = span.hex()
    if name := record.event_name:
        fields["event_name"] = name
    if dropped := record.dropped_attributes_count:
        fields["dropped_attributes_count"] = dropped
    nanos = record.time_unix_nano or record.observed_time_unix_nano
    return nanos, record.severity_number, record.severity_text, of_value(record.body), fields


def of_pairs(pairs: Iterable[Any]) -> dict[str, Any]:
    """Attributes, of KeyValue messages."""
    found = {}
    for pair in pairs:
        value = pair.value
        found[pair.key] = value.string_value or of_value(value)
    return found


def of_value(value: Any) -> Any:
    """An AnyValue as what JSON has; bytes as base64."""
    if text := value.string_value:
        return text
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [of_value(each) for each in inner.values]
    if kind == "kvlist_value":
        return of_pairs(inner.values)
    if kind == "bytes_value":
        return base64.b64encode(inner).decode()
    if kind == "double_value" and inner - inner:  # infinite or NaN, which JSON has not
        return str(inner)
    return inner


def _of_json(call: Call) -> Batch:
    """Raises Invalid."""
    batch = Batch()
    found = otlp_json.decoded(call.body)
    check_count(sum(len(records) for _, _, records in found))
    for attributes, scope, records in found:
        try:
            shared = Shared(call, otlp_json.of_pairs(attributes), scope)
        except ValueError as error:
            for _ in records:
                _refuse(batch, f"its resource: {error}")
            continue
        for record in records:
            try:
                _add(call, batch, shared, *record.fields())
            except ValueError as error:
                _refuse(batch, str(error))
    return batch


def _add(
    call: Call,
    batch: Batch,
    shared: Shared,
    nanos: int,
    number: int,
    text: str,
    body: Any,
    more: dict[str, Any],
) -> None:
    """Add an event. Raises ValueError with the reason when there is none."""
    level, stated = shaping.of_severity(number, text)
    if stated:
        more["severity_text"] = stated
    message = body if isinstance(body, str) else _message(body)
    key, why = shared.key, shared.refusal
    if shared.fields.keys().isdisjoint(more) and shaping.OWN.isdisjoint(more):
        tail = shaping.tail_of(more) + shared.tail
        value = shaping.joined(level, message, shaping.of_nanoseconds(nanos), tail)
    else:
        fields = {**shared.fields, **more}
        key, why = shared.key_of(fields), call.writer.refusal(_text(fields.get("service")))
        tail = shaping.tail_of(fields)
        value = shaping.joined(level, message, shaping.of_nanoseconds(nanos), tail)
    if why:
        raise ValueError(why)
    batch.count += 1
    batch.pairs.append((key, value))
    uid = more.get(UID)
    if uid or batch.ids:
        batch.ids += [b""] * (len(batch.pairs) - len(batch.ids) - 1)
        batch.ids.append(call.digest(b"otlp", str(uid).encode()) if uid else b"")


def _message(body: Any) -> str:
    return "" if body is None else as_json(body).decode()


def _refuse(batch: Batch, why: str) -> None:
    batch.refused.append((batch.count, why))
    batch.count += 1
