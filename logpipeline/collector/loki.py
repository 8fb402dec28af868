"""Loki: POST /loki/api/v1/push, in JSON or in snappy and protobuf."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from logpipeline.collector import encodings, shaping, wire
from logpipeline.collector.exchange import Batch, Call, Invalid, Reply, check_count, check_parts
from logpipeline.events import text_formats, times
from logpipeline.events.event import level_of, parse
from logpipeline.events.lines import Lines

PROTOBUF, JSON = "application/x-protobuf", "application/json"
# Labels and metadata that name the level, the service and the trace, the most specific first.
LEVELS = ("detected_level", "level", "severity", "severity_text", "lvl", "loglevel")
SERVICES = ("service", "service_name", "app", "application", "job", "container")
TRACES = ("trace_id", "traceID", "traceId", "trace")
LABEL = re.compile(r'\s*([a-zA-Z_][\w.:]*)\s*=\s*("(?:[^"\\]|\\.)*"|`[^`]*`)\s*(?:,|$)')
LATEST = 2**64  # nanoseconds
# A string of Go, as strconv.Quote writes it.
ESCAPE = re.compile(
    r"""\\(?:([abfnrtv\\'"])|([0-3][0-7]{2})|(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U00[\da-fA-F]{6})|.)"""
)
LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

Entry = tuple[int, str, Mapping[str, str]]  # nanoseconds, line, structured metadata
Labels = dict[str, str]


class LokiDialect:
    """Promtail, Alloy, Fluent Bit and language clients."""

    def read(self, call: Call) -> Batch:
        kind = call.kind.lower()
        if kind not in {PROTOBUF, JSON}:
            raise Invalid(415, f"Content-Type must be {PROTOBUF} or {JSON}")
        batch = Batch()
        for labels, entries in (_of_json if kind == JSON else _of_protobuf)(call.body):
            for entry in entries:
                _add(call, batch, labels, entry)
        return batch

    def stored(self, call: Call, batch: Batch) -> Reply:
        if not batch.refused:
            return Reply(204)
        shown = "; ".join(f"entry {index}: {why}" for index, why in batch.refused[:5])
        count = len(batch.refused)
        text = f"{count:,} of {batch.count:,} entries are invalid; the others are in: {shown}"
        return self.failed(call, 400, text)

    def failed(self, call: Call, status: int, sentence: str) -> Reply:
        return Reply(status, f"{sentence}\n".encode(), b"text/plain; charset=utf-8")


def _add(call: Call, batch: Batch, labels: Labels, entry: Entry | str) -> None:
    """Add the event of an entry, or of its refusal the reason."""
    try:
        if isinstance(entry, str):
            raise ValueError(entry)
        nanos, line, metadata = entry
        fields: dict[str, Any] = {**labels, **metadata}
        level, stated = _first(fields, LEVELS), None
        if level is None:
            stated = _level_in(line)
        elif fields[level].upper() == level_of(fields[level]):
            stated = fields.pop(level).upper()
        else:
            stated = level_of(fields[level])
        service = _aliased(fields, "service", SERVICES) or call.writer.service
        if service:
            fields["service"] = service
        _aliased(fields, "trace_id", TRACES)
        if why := call.writer.refusal(service):
            raise ValueError(why)
        value = shaping.made(stated or "INFO", line, shaping.of_nanoseconds(nanos), fields)
        batch.pairs.append(((service or call.writer.address).encode(), value))
    except ValueError as error:
        batch.refused.append((batch.count, str(error)))
    batch.count += 1


def _level_in(line: str) -> str | None:
    """The level that a line names, also one of JSON."""
    if line[:1] != "{":
        return text_formats.read(line)[0]
    text = line.encode("utf-8", "replace")
    made = Lines().event(text, len(text))
    return parse(made).level if made else None


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of `names` whose value is a level."""
    return next((name for name in names if name in fields and level_of(fields[name])), None)


def _aliased(fields: dict[str, Any], name: str, names: tuple[str, ...]) -> str:
    """Give the field of the first of `names` the usual name; its own stays. Returns the value."""
    for each in names:
        if value := fields.get(each):
            fields[name] = value
            return str(value)
    return ""


class _OldEntry(msgspec.Struct):
    ts: str
    line: str


class _JsonStream(msgspec.Struct):
    stream: dict[str, str] = {}
    values: list[msgspec.Raw] = []
    labels: str = ""  # these two are of /api/prom/push
    entries: list[_OldEntry] = []


class _Push(msgspec.Struct):
    streams: list[_JsonStream] = []


_push = msgspec.json.Decoder(_Push).decode
_entry = msgspec.json.Decoder(tuple[str, str, dict[str, str]]).decode
_bare = msgspec.json.Decoder(tuple[str, str]).decode


def _of_json(body: bytes) -> Iterator[tuple[Labels, list[Entry | str]]]:
    """Raises Invalid."""
    check_parts(body)
    try:
        streams = _push(body).streams
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(400, f"the body is not a push request: {error}") from error
    check_count(sum(len(stream.values) + len(stream.entries) for stream in streams))
    for stream in streams:
        labels = stream.stream | _checked_labels(stream.labels or "{}")
        entries = [_json_entry(bytes(raw)) for raw in stream.values]
        yield labels, [*entries, *map(_old_entry, stream.entries)]


def _checked_labels(text: str) -> Labels:
    """Raises Invalid."""
    try:
        return labels_of(text)
    except ValueError as error:
        raise Invalid(400, f"the body is not a push request: {error}") from error


def _old_entry(entry: _OldEntry) -> Entry | str:
    """An entry with its time in RFC 3339, or why it is none."""
    seconds = times.of_text(entry.ts)
    if seconds is None or seconds.startswith("-"):
        return "its ts is not a time"
    whole, _, rest = seconds.partition(".")
    return int(whole) * shaping.BILLION + int(rest[:9].ljust(9, "0")), entry.line, {}


def _json_entry(raw: bytes) -> Entry | str:
    """An entry, or why it is none."""
    try:
        stamp, line = _bare(raw)
        metadata: Labels = {}
    except msgspec.MsgspecError:
        try:
            stamp, line, metadata = _entry(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            return f"it must be [nanoseconds, line, metadata]: {error}"
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 20 and int(stamp) < LATEST):
        return "its time is not a number of nanoseconds"
    return int(stamp), line, metadata


def _of_protobuf(body: bytes) -> Iterator[tuple[Labels, list[Entry | str]]]:
    """PushRequest{streams = 1}, StreamAdapter{labels = 1, entries = 2}. Raises Invalid."""
    try:
        data = encodings.unsnap(body)
    except encodings.TooMuch as error:
        raise Invalid(413, str(error)) from error
    except ValueError as error:
        raise Invalid(400, f"the body is not a block of snappy: {error}") from error
    try:
        streams = [
            wire.spans(data, start, end)
            for number, start, end in wire.spans(data, 0, len(data))
            if number == 1
        ]
        check_count(sum(len(stream) for stream in streams))
        for stream in streams:
            text = b"".join(data[start:end] for number, start, end in stream if number == 1)
            entries = (span for span in stream if span[0] == 2)
            yield labels_of(text.decode()), [_entry_of(data, *span[1:]) for span in entries]
    except ValueError as error:
        raise Invalid(400, f"the body is not a push request: {error}") from error


def labels_of(text: str) -> Labels:
    """The labels in {job="shop", level="error"}. Raises ValueError."""
    rest = text.strip()
    if not (rest.startswith("{") and rest.endswith("}")):
        raise ValueError("labels must be in braces")
    rest, found, at = rest[1:-1].rstrip(), {}, 0
    while at < len(rest):
        label = LABEL.match(rest, at)
        if not label:
            raise ValueError(f"invalid labels at {rest[at : at + 20]!r}")
        found[label[1]] = _unquoted(label[2])
        at = label.end()
    return found


def _unquoted(value: str) -> str:
    """A string of Go. Raises ValueError."""
    if value[0] == "`":
        return value[1:-1]
    if "\\" not in value:
        return value[1:-1]
    return ESCAPE.sub(_unescaped, value[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    """Raises ValueError."""
    letter, octal, hexadecimal = found.groups()
    if letter:
        return LETTERS.get(letter, letter)
    if not (octal or hexadecimal):
        raise ValueError(f"invalid escape in a label: {found[0]!r}")
    return chr(int(octal, 8) if octal else int(hexadecimal[1:], 16))


def _entry_of(data: bytes, start: int, end: int) -> Entry | str:
    """EntryAdapter{timestamp = 1, line = 2, structuredMetadata = 3}. Raises ValueError."""
    nanos, line = 0, ""
    metadata: Labels = {}
    for number, first, last in wire.spans(data, start, end):
        if number == 1:
            stamp = wire.numbers(data, first, last)
            nanos = stamp.get(1, 0) * shaping.BILLION + stamp.get(2, 0)
        elif number == 2:
            line = data[first:last].decode("utf-8", "replace")
        elif number == 3:
            pair = {each[0]: data[each[1] : each[2]] for each in wire.spans(data, first, last)}
            name = pair.get(1, b"").decode("utf-8", "replace")
            metadata[name] = pair.get(2, b"").decode("utf-8", "replace")
    if nanos >= LATEST:
        return "its time is not a number of nanoseconds"
    return nanos, line, metadata
