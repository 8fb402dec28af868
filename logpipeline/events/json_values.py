"""JSON values: the message and the time in a field's value, also a nested one."""

import json
import re
from contextlib import suppress
from typing import Any

import msgspec

from logpipeline.events import moments, times

LONGEST_TIME = 100  # characters
NESTED = {"fields", "properties"}  # they hold a message only as an object: tracing, Azure
HOLDERS = NESTED | {"log", "record", "jsonPayload", "json_payload"}  # of more than it
DOTNET_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")


def message(what: str, name: str, raw: bytes) -> str | None:
    """The text of a message; None if the value is none."""
    kind = raw[:1]
    if kind == b'"':
        if what in NESTED:
            return None
        text = str(decoded(raw))
        return text.removesuffix("\n") if name == "log" else text  # Docker keeps the newline
    if name == "MESSAGE" and kind == b"[":  # journald: bytes that are not UTF-8, as numbers
        with suppress(TypeError, ValueError):
            return bytes(decoded(raw)).decode("utf-8", "replace")
    if kind == b"{" and (found := _nested_message(what, raw)) is not None:
        return found
    if name in {"message", "msg"} and raw != b"null":
        return raw.decode()
    return None


def time(what: str, name: str, raw: bytes) -> str | None:
    """The Unix seconds of a time; None if the value is none."""
    kind = raw[:1]
    if kind == b'"':
        return of_text(str(decoded(raw)))
    if kind == b"{":
        return _nested_time(what, decoded(raw))
    return times.of_number(raw.decode())


def of_text(text: str) -> str | None:
    """The time in a string that holds nothing else."""
    if (found := times.of_text(text)) is not None or len(text) > LONGEST_TIME:
        return found
    text = text.strip(" []")
    if date := DOTNET_DATE.fullmatch(text):
        return times.of_number(date[1])
    moment = moments.find(text)
    return moment.seconds if moment and moment[:2] == (0, len(text)) else None


def has_more(name: str, raw: msgspec.Raw) -> bool:
    """Whether a field that is the message, the level or the time holds others too."""
    return name in HOLDERS and bytes(raw)[:1] == b"{" and len(decoded(bytes(raw))) > 1


def attribute(value: dict[str, Any], name: str) -> Any:
    """An attribute of an OpenTelemetry resource, in each of its encodings; None without it."""
    inner = value.get("attributes", value)
    if isinstance(inner, list):
        inner = {each.get("key"): each.get("value") for each in inner if isinstance(each, dict)}
    found = inner.get(name) if isinstance(inner, dict) else None
    return found.get("stringValue") if isinstance(found, dict) else found


def decoded(raw: bytes) -> Any:
    """Decode JSON, also what msgspec refuses: lone surrogates, endless numbers."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json.loads(raw, parse_int=float)


def _nested_message(what: str, raw: bytes) -> str | None:
    """OpenTelemetry's body.stringValue, GCP's jsonPayload.message, loguru's record.message."""
    if what not in {"body", "jsonpayload", "record", *NESTED}:
        return None
    value = decoded(raw)
    for name in ("stringValue", "string_value") if what == "body" else ("message", "msg"):
        if isinstance(value.get(name), str):
            return str(value[name])
    return None


def _nested_time(what: str, value: Any) -> str | None:
    """MongoDB's {"$date": …}, log4j's instant, GCP's seconds and nanos, loguru's record.time."""
    if what == "record" and isinstance(value.get("time"), dict):
        value = value["time"]
    if isinstance(value.get("date"), str) and isinstance(value.get("timezone"), str):  # PHP's
        return times.of_text(f"{value['date']} {value['timezone']}")
    date = value.get("$date")
    if isinstance(date, dict):
        date = date.get("$numberLong")
    if isinstance(date, str):
        return times.of_text(date)
    for whole, part in (("epochSecond", "nanoOfSecond"), ("seconds", "nanos")):
        if isinstance(value.get(whole), int) and not isinstance(value[whole], bool):
            nanos = value.get(part)
            fraction = f".{nanos:09}" if isinstance(nanos, int) and 0 <= nanos < 10**9 else ""
            return times.of_number(f"{value[whole]}{fraction}")
    stamp = value.get("timestamp")
    return times.of_number(repr(stamp)) if isinstance(stamp, (int, float)) else None
