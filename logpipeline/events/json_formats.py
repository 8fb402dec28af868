"""JSON formats: the fields of an event, from the JSON lines of other programs.

pino, bunyan, winston, zap, zerolog, slog, logrus, structlog, loguru, hclog, python-json-logger,
Serilog, log4j, ECS, logstash, GELF, GCP, OpenTelemetry, Postgres, MongoDB, Nextcloud, Docker's
json-file, journald (`journalctl -o json`), and the access logs of nginx, Caddy and Traefik.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from logpipeline.events import json_levels, json_requests, json_values, levels, text_formats
from logpipeline.events.event import is_deep
from logpipeline.events.json_names import Role, roles
from logpipeline.events.json_values import decoded

Fields = dict[str, msgspec.Raw]
Known = dict[str, list[tuple[Role, str]]]
Stated = tuple[str | None, bytes, str | None, Fields]

OURS = ("level", "message", "timestamp")
JSON = text_formats.Row(text_formats.Format("JSON", "", r"(?!)", "", "{}"))
MOST_NAMES, LONGEST = 50, 4_000  # of a set of fields that is remembered, and their characters
HEX = re.compile(rb"\\[^x]|((?:\\x[0-9A-Fa-f]{2})+)")

_decode = msgspec.json.Decoder(Fields).decode


def decode(line: bytes) -> Fields | None:
    """The fields of a JSON object, each with its own bytes; None when the line is not an object, or
    is nested too deeply for an event."""
    if is_deep(line):
        return None
    try:
        return _decode(line)
    except msgspec.MsgspecError:
        return _decode_slowly(line)


def mapped(fields: Fields, line: str) -> Stated | None:
    """Level, message as JSON, time, and the other fields; None when the first three are missing.

    Without a message field the `line` is the message. A level or a time without a field is read
    from the message, which may itself be a line of a log.
    """
    names = tuple(fields)
    known = known_roles(names)
    message_name, text = _first(fields, known.get("message"), json_values.message)
    level_name, level = _level(fields, known.get("level"))
    time_name, seconds = _first(fields, known.get("time"), json_values.time)
    if not (message_name or level_name or time_name or _is_request(fields, known)):
        return None
    taken = {
        name
        for name in (message_name, level_name, time_name)
        if name and not json_values.has_more(name, fields[name])
    }
    others = {
        f"original_{name}" if name in OURS else name: value
        for name, value in fields.items()
        if name not in taken
    }
    if "request" in known:
        status = json_requests.add(fields, known["request"], others)
        level = level or (status and levels.of_status(status))
    if text is None:
        text = line
    elif level is None or seconds is None or message_name == "log":
        level, seconds = _with_inside(text, message_name == "log", level, seconds, others)
    level = level or json_levels.of_an_error(fields)
    if "service" in known or "host" in known:
        _add_origin(fields, known, others)
    raw = bytes(fields[message_name]) if message_name else b""
    whole = raw[:1] == b'"' and message_name != "log"
    return level, raw if whole else encoded(text), seconds, others


def chosen(fields: Fields) -> list[str]:
    """Which fields are the level, the message and the time, as "level=severity"."""
    known = known_roles(tuple(fields))
    names = {
        "level": _level(fields, known.get("level"))[0],
        "message": _first(fields, known.get("message"), json_values.message)[0],
        "time": _first(fields, known.get("time"), json_values.time)[0],
    }
    return [f"{role}={name}" for role, name in names.items() if name]


def inside(text: str) -> text_formats.Understood | None:
    """What a logger's JSON states that is a part of a line: level, time, and its other fields."""
    fields = decode(text.encode("utf-8", "replace"))
    if not fields:
        return None
    stated = mapped(fields, text)
    if stated is None:
        return None
    level, _, seconds, others = stated
    return text_formats.Understood(level, seconds, dict(others), JSON)


def encoded(text: str) -> bytes:
    """A string as JSON; lone surrogates, which UTF-8 cannot encode, are replaced."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(text))


def _with_inside(
    text: str, is_wrapped: bool, level: str | None, seconds: str | None, others: Fields
) -> tuple[str | None, str | None]:
    """Level and time, where they are missing, of a message that is itself a line of a log. The
    fields of a line that is `is_wrapped` are added to `others`."""
    if text[:1] == "{":
        stated = inside(text) or text_formats.NOTHING
    else:
        stated = text_formats.understand(text)
    if is_wrapped and stated.fields:
        for name, value in stated.fields.items():
            if name not in others and name not in OURS:
                others[name] = raw(value)
    return level or stated.level, seconds or stated.seconds


def _is_request(fields: Fields, known: Known) -> bool:
    return "request" in known and bool(json_requests.stated(fields, known["request"])[0])


def raw(value: Any) -> msgspec.Raw:
    return value if isinstance(value, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(value))


def known_roles(names: tuple[str, ...]) -> Known:
    """The fields that have a role, by its kind, in the order of their ranks."""
    return _known(names) if are_few(names) else _known.__wrapped__(names)


def are_few(names: tuple[str, ...]) -> bool:
    """Whether they are worth the memory to remember them."""
    return len(names) <= MOST_NAMES and sum(map(len, names)) <= LONGEST


@lru_cache(maxsize=1_000)
def _known(names: tuple[str, ...]) -> Known:
    """Cached: the lines of a log have few sets of fields."""
    known: Known = {}
    for name in names:
        for role in roles(name):
            known.setdefault(role.kind, []).append((role, name))
    for some in known.values():
        some.sort(key=_rank)
    return known


def _rank(some: tuple[Role, str]) -> int:
    return some[0].rank


def _first(
    fields: Fields,
    some: list[tuple[Role, str]] | None,
    meaning: Callable[[str, str, bytes], str | None],
) -> tuple[str | None, str | None]:
    """The first field with a valid value, and its meaning; two None without one."""
    for role, name in some or ():
        if (found := meaning(role.what, name, bytes(fields[name]))) is not None:
            return name, found
    return None, None


def _level(fields: Fields, some: list[tuple[Role, str]] | None) -> tuple[str | None, str | None]:
    for role, name in some or ():
        raw_level = bytes(fields[name])
        if (found := json_levels.stated(role.what, name, raw_level, fields)) is not None:
            return name, found
    return None, None


def _add_origin(fields: Fields, known: Known, others: Fields) -> None:
    """Add the service and the host of OpenTelemetry and journald."""
    for role, name in (*known.get("service", ()), *known.get("host", ())):
        if role.kind == "host" and name != "_HOSTNAME":
            continue
        value = decoded(bytes(fields[name]))
        if isinstance(value, dict):
            value = json_values.attribute(value, "service.name")
        if isinstance(value, str) and value:
            others.setdefault(role.kind, raw(value))


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decode_slowly(line: bytes) -> Fields | None:
    """Decode what msgspec refuses: a lone surrogate in a string, which RFC 8259 allows, and nginx'
    \\x22, which it does not."""
    try:
        fields = json.loads(HEX.sub(_unescaped, line) if b"\\x" in line else line)
        if not isinstance(fields, dict):
            return None
        return {
            _whole(name): msgspec.Raw(json.dumps(value, allow_nan=False).encode())
            for name, value in fields.items()
        }
    except ValueError:
        return None


def _unescaped(found: re.Match[bytes]) -> bytes:
    """nginx' escaped bytes as JSON has them."""
    if not found[1]:
        return found[0]
    text = bytes.fromhex(found[1].decode().replace("\\x", "")).decode("utf-8", "replace")
    return json.dumps(text)[1:-1].encode()
