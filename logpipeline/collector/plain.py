"""Plain: POST /events with an event, an array of events, or one a line."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from logpipeline.collector.exchange import (
    Batch,
    Call,
    Invalid,
    Pair,
    Reply,
    Writer,
    as_json,
    check_count,
    check_parts,
)
from logpipeline.collector.shaping import checked
from logpipeline.events import event
from logpipeline.events.event import MILLISECONDS
from logpipeline.events.lines import BYTE_ORDER_MARK, MOST, Lines
from logpipeline.events.objects import Objects

KINDS = {
    *("", "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl"),
    *("application/json-seq", "application/x-json-stream", "application/stream+json"),
    *("application/x-www-form-urlencoded", "application/octet-stream", "text/plain"),
}
RECORD = b"\x1e"  # before each value of application/json-seq (RFC 7464)
LONGEST_KEY = 1_000  # bytes of a record's key
SHOWN = 100  # refused events in an answer

_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_lines = msgspec.json.Decoder(msgspec.Raw).decode_lines
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_any = msgspec.json.Decoder(msgspec.Raw).decode


class _Served(msgspec.Struct):
    service: Any = None


_service = msgspec.json.Decoder(_Served).decode
_services = msgspec.json.Decoder(_Served).decode_lines


class PlainDialect:
    """JSON as any logger writes it."""

    def read(self, call: Call) -> Batch:
        if call.kind.lower() not in KINDS:
            raise Invalid(415, "Content-Type must be application/json or application/x-ndjson")
        return mapped(call, items(call.body))

    def stored(self, call: Call, batch: Batch) -> Reply:
        answer: dict[str, object] = {"accepted": len(batch.pairs)}
        if not batch.refused:
            return Reply(200, as_json(answer))
        shown = [{"index": index, "error": why} for index, why in batch.refused[:SHOWN]]
        count = len(batch.refused)
        answer |= {"error": f"{count:,} of {batch.count:,} events are invalid; the others are in"}
        return Reply(400, as_json(answer | {"refused": count, "errors": shown}))

    def failed(self, call: Call, status: int, sentence: str) -> Reply:
        return Reply(status, as_json({"error": sentence}))


def items(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The values in a body; those of an array are valid JSON. Raises Invalid."""
    text = body.removeprefix(BYTE_ORDER_MARK)
    if text[:1] == RECORD:
        text = text.replace(RECORD, b"\n")
    text = text.strip()
    if not text:
        raise Invalid(400, "the body is empty: send an event, an array of them, or one a line")
    check_parts(text)
    if text[:1] == b"[":
        try:
            return _array(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Invalid(400, f"the body is not a JSON array: {error}") from error
    if b"\n" not in text:
        return [text]
    if _is_one(text):
        return [text]
    check_count(text.count(b"\n") + 1)
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def _is_one(text: bytes) -> bool:
    """Whether this is one object on several lines."""
    if text[:1] != b"{" or text[-1:] != b"}" or text[: text.find(b"\n")].rstrip()[-1:] == b"}":
        return False
    try:
        _any(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def mapped(call: Call, values: Sequence[bytes | msgspec.Raw]) -> Batch:
    """The events of JSON values, as the producer maps a logger's lines."""
    check_count(len(values))
    batch = Batch(count=len(values))
    for index, found in enumerate(shaped(call, [bytes(value) for value in values], "")):
        if isinstance(found, str):
            batch.refused.append((index, found))
        else:
            batch.pairs.append(found)
    return batch


def shaped(call: Call, values: list[bytes], source: str) -> Sequence[Pair | str]:
    """Of each JSON value the record, or why there is none. The key is the event's service; without
    one the `source`, or where the request comes from."""
    default = (source or call.writer.address).encode()
    if not call.writer.service and (pairs := _as_they_are(values, default)):
        return pairs
    service = call.writer.service
    lines, together = Lines(service), _together(service, values)
    return [
        _owned(call.writer, default, made)
        if made and len(made) <= MOST
        else _record(call.writer, lines, value, default)
        for made, value in zip(together, values, strict=True)
    ]


@lru_cache(64)
def _objects(service: str) -> Objects:
    """Those of a token's service: what the names of a logger's fields mean is found out once."""
    return Objects(as_json(service) if service else b"")


def _together(service: str, values: list[bytes]) -> Sequence[bytes | None]:
    """The events of a logger's JSON, by few calls for each; None where that is not certain."""
    whole = b"".join(values)
    try:
        whole.decode() if not whole.isascii() else None
    except UnicodeDecodeError:
        return [None] * len(values)
    if b"\n" in whole or b"\r" in whole:
        return [None] * len(values)
    return _objects(service).events(values, whole)


def _as_they_are(values: list[bytes], default: bytes) -> list[Pair] | None:
    """The records of values that are events already, by few calls for all of them; None when one
    is not."""
    found = event.parse_all(values, MOST)
    if found is None or not values or max(found[1]) >= MILLISECONDS:
        return None
    served = _services(b"\n".join(values))
    return [
        (_encoded(each.service) if isinstance(each.service, str) else default, value)
        for each, value in zip(served, values, strict=True)
    ]


def _record(writer: Writer, lines: Lines, value: bytes, default: bytes) -> Pair | str:
    try:
        return _owned(writer, default, of_object(lines, value))
    except ValueError as error:
        return str(error)


def _owned(writer: Writer, default: bytes, made: bytes) -> Pair | str:
    """An event's record: it has the writer's service, or one that the writer may use."""
    service = service_of(made)
    if not service and writer.service:
        service = writer.service
        made = as_json(_fields(made) | {"service": msgspec.Raw(as_json(service))})
    return writer.refusal(service) or (_encoded(service) if service else default, made)


def _encoded(service: str) -> bytes:
    return service.encode()[:LONGEST_KEY]


def of_object(lines: Lines, value: bytes) -> bytes:
    """The event in a JSON object. Raises ValueError with the reason when there is none."""
    value = value.strip()
    if len(value) > MOST:
        raise ValueError(f"too large: {len(value):,} bytes, at most {MOST:,}")
    if value[:1] != b"{":
        raise ValueError("not a JSON object")
    if event.is_deep(value):
        raise ValueError(f"nested too deeply: more than {event.DEEPEST} levels")
    try:
        if not value.isascii():
            value.decode()
        _any(value)
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start}") from error
    except msgspec.MsgspecError as error:
        raise ValueError(f"broken JSON: {error}") from error
    if b"\n" in value or b"\r" in value:
        value = event.one_line(value)
    before = lines.cut
    made = lines.event(value, len(value))
    if made is None or lines.cut != before:
        raise ValueError(f"too large as an event: at most {MOST:,} bytes")
    return checked(made)


def service_of(made: bytes) -> str:
    """The service of an event; "" when it has none that is text."""
    if b'"service"' not in made:
        return ""
    service = _service(made).service
    return service if isinstance(service, str) else ""
