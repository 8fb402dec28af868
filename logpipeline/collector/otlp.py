"""OTLP: POST /v1/logs of OpenTelemetry, in protobuf or JSON."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from logpipeline.collector import otlp_json, otlp_protobuf, shaping
from logpipeline.collector.exchange import Batch, Call, Invalid, Reply, as_json, check_count
from logpipeline.collector.shaping import Field, Record

PROTOBUF, JSON = "application/x-protobuf", "application/json"
UID = "log.record.uid"  # the attribute that names a record, by OpenTelemetry's conventions
MOST_NAMES = 1_000  # sets of names that are remembered of a scope
# google.rpc.Code of each HTTP status; INTERNAL of others.
CODES = {400: 3, 401: 16, 403: 7, 408: 4, 409: 10, 413: 8, 415: 3, 422: 3, 429: 8, 503: 14}
# Attributes that decide on an event's key or id; others are just fields.
SPECIAL = shaping.OWN | {"service", UID}


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
        self._certain: set[tuple[str, ...]] = set()
        self.key = self.key_of(self.fields)
        self.refusal = call.writer.refusal(_text(service))
        self.tail = shaping.tail_of(self.fields)

    def key_of(self, fields: Mapping[str, Any]) -> bytes:
        return (_text(fields.get("service")) or self._default).encode("utf-8", "replace")[:1_000]

    def is_certain(self, names: tuple[str, ...]) -> bool:
        """Whether fields with these names can follow each other, and these, as they are."""
        if names in self._certain:
            return True
        several = {*names}
        if len(several) < len(names) or several & SPECIAL or several & self.fields.keys():
            return False
        if len(self._certain) < MOST_NAMES:
            self._certain.add(names)
        return True


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
    nanos, number, text, message, fields = record
    level, stated = shaping.of_severity(number, text)
    if stated:
        fields.append(shaping.severity_text(stated))
    names, parts = zip(*fields, strict=True) if fields else ((), ())
    if not shared.is_certain(names):
        _add_merged(call, batch, shared, (level, message, nanos), fields)
        return
    if shared.refusal:
        raise ValueError(shared.refusal)
    tail = b"".join(parts) + shared.tail
    value = shaping.joined(level, message, shaping.of_nanoseconds(nanos), tail)
    batch.pairs.append((shared.key, value))


def _add_merged(
    call: Call,
    batch: Batch,
    shared: Shared,
    stated: tuple[str, bytes, int],
    own: Sequence[Field],
) -> None:
    """Add an event whose fields decide on its key or id, or come before those that are shared."""
    level, message, nanos = stated
    decoded = {name: msgspec.json.decode(b"{%b}" % part[1:])[name] for name, part in own}
    fields = {**shared.fields, **decoded}
    if why := call.writer.refusal(_text(fields.get("service"))):
        raise ValueError(why)
    stamp = shaping.of_nanoseconds(nanos)
    value = shaping.joined(level, message, stamp, shaping.tail_of(fields))
    batch.pairs.append((shared.key_of(fields), value))
    if uid := decoded.get(UID):
        batch.ids += [b""] * (len(batch.pairs) - len(batch.ids) - 1)
        batch.ids.append(call.digest(b"otlp", str(uid).encode()))
