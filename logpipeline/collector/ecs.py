"""ECS: Elastic's nested fields that name the level, the service and the trace."""

import re

import msgspec

NESTED = re.compile(rb'"(?:log|service|trace)"\s*:\s*\{')
# Field of ECS → its name here: a logger's usual one.
NAMES = (("log", "level", "log.level"), ("service", "name", "service"), ("trace", "id", "trace_id"))

NOTHING = msgspec.Raw(b"")

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_inner = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def is_nested(body: bytes) -> bool:
    """Whether one of those fields may be in there."""
    return NESTED.search(body) is not None


def flattened(document: bytes) -> bytes:
    """The document with service.name as service, log.level as log.level, trace.id as trace_id;
    all of its other fields stay. One that is not valid JSON is returned unchanged."""
    if not is_nested(document):
        return document
    try:
        fields = _decode(document)
        for outer, name, ours in NAMES:
            raw = bytes(fields.get(outer, NOTHING))
            value = _inner(raw).get(name, NOTHING) if raw[:1] == b"{" else NOTHING
            if bytes(value)[:1] == b'"':
                _lift(fields, outer, name, ours, value)
        return msgspec.json.encode(fields)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return document


def _lift(
    fields: dict[str, msgspec.Raw], outer: str, name: str, ours: str, value: msgspec.Raw
) -> None:
    """Move one field out of its object; what else is in there stays, by its full names."""
    for each, other in _inner(bytes(fields.pop(outer))).items():
        if each != name:
            fields[f"{outer}.{each}"] = other
    fields[ours] = value
