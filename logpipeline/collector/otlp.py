"""OTLP: POST /v1/logs of OpenTelemetry, in protobuf or JSON."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from logpipeline.collector import otlp_json, otlp_protobuf, shaping
from logpipeline.collector.exchange import Batch, Call, Invalid, Reply, as_json, check_count
from logpipeline.collector.shaping import Record

PROTOBUF, JSON = "application/x-protobuf", "application/json"
UID = "log.record.uid"  # the attribute that names a record, by OpenTelemetry's conventions
# google.rpc.Code of each HTTP status; INTERNAL of others.
CODES = {400: 3, 401: 16, 403: 7, 408: 4, 409: 10, 413: 8, 415: 3, 422: 3, 429: 8, 503: 14}


class OtlpDialect:
    """OpenTelemetry's exporters."""

    def read(self, call: Call) -> Batch:
        kind = call.kind.lower()
        if kind == PROTOBUF:
            return _read(call, otlp_protobuf.scopes(call.body), otlp_protobuf.record)
        if kind == JSON:
            return _read(call, otlp_json.scopes(call.body), otlp_json.record)
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
    """What the records of one scope share: its resource's fields, and its logger. Raises
    ValueError."""

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


def _read(
    call: Call,
    scopes: Iterable[tuple[Mapping[str, Any], str, Sequence[Any]]],
    decode: Callable[[Any], Record],
) -> Batch:
    """The events of all records. Raises Invalid."""
    batch, found, count = Batch(), [], 0
    for each in scopes:
        found.append(each)
        count += len(each[2]) or 1
        check_count(count)
    for attributes, scope, records in found:
        try:
            shared = Shared(call, attributes, scope)
        except ValueError as error:
            batch.refused += [
                (batch.count + n, f"its resource: {error}") for n in range(len(records))
            ]
            batch.count += len(records)
            continue
        for record in records:
            try:
                _add(call, batch, shared, decode(record))
            except ValueError as error:
                batch.refused.append((batch.count, str(error)))
            batch.count += 1
    return batch


def _add(call: Call, batch: Batch, shared: Shared, record: Record) -> None:
    """Add an event. Raises ValueError with the reason when there is none."""
    nanos, number, text, body, more = record
    level, stated = shaping.of_severity(number, text)
    if stated:
        more["severity_text"] = stated
    if "service.name" in more and "service" not in shared.fields:
        more["service"] = more.pop("service.name")
    key, why = shared.key, shared.refusal
    if "service" not in more and shared.fields.keys().isdisjoint(more):
        tail = shaping.tail_of(more) + shared.tail
    else:
        fields = {**shared.fields, **more}
        key, why = shared.key_of(fields), call.writer.refusal(_text(fields.get("service")))
        tail = shaping.tail_of(fields)
    if why:
        raise ValueError(why)
    message = shaping.message_of(body)
    value = shaping.joined(level, message, shaping.of_nanoseconds(nanos), tail)
    batch.pairs.append((key, value))
    uid = more.get(UID)
    if uid or batch.ids:
        batch.ids += [b""] * (len(batch.pairs) - len(batch.ids) - 1)
        batch.ids.append(call.digest(b"otlp", str(uid).encode()) if uid else b"")
