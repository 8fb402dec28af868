"""LogRecord: turns a Python log record into the bytes of an event, whatever its fields hold."""

import logging
import math
import reprlib
import time
from bisect import bisect
from typing import Any

import msgspec

from logpipeline.events import event
from logpipeline.events.json_formats import encoded
from logpipeline.events.lines import MOST
from logpipeline.events.redaction import Redaction
from logpipeline.producer.json_value import Plain, is_plain, text

BOUNDS = (20, 30, 40, 50)  # lowest levelno of INFO, WARNING, ERROR and CRITICAL
MOST_FIELDS = 500  # that an event keeps when it is too large
MOST_NAME = 100  # characters of a field's name in such an event
STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def event_of(
    record: logging.LogRecord, service: str = "", redaction: Redaction | None = None
) -> bytes:
    """The event of a record, in at most MOST bytes. `service` is used if the record has none."""
    fields: dict[str, Any] = {
        "level": _level(record),
        "message": _message(record),
        "timestamp": _timestamp(record),
        "logger": text(record.name),
    }
    if service:
        fields["service"] = text(service)
    if exception := _exception(record):
        fields["exception"] = exception
    if record.stack_info:
        fields["stack"] = text(record.stack_info)
    cut = _add_extra(record, fields)
    made = msgspec.json.encode(fields)
    if redaction is not None:
        made = redaction.event(made)
        if len(made) > MOST:
            fields = msgspec.json.decode(made)
    return made if len(made) <= MOST else _fitted(fields, cut)


def _level(record: logging.LogRecord) -> str:
    try:
        return event.LEVELS[bisect(BOUNDS, record.levelno)]
    except TypeError:  # a record made by hand
        return event.level_of(text(record.levelname)) or "INFO"


def _message(record: logging.LogRecord) -> str:
    """The record's text, or the message beside its arguments if they do not fit together."""
    try:
        return text(record.getMessage())
    except Exception:  # noqa: BLE001 - an argument's __str__ may raise anything
        return f"{text(record.msg)} {_arguments(record.args)}"


def _arguments(args: Any) -> str:
    try:
        return text(repr(args))
    except Exception:  # noqa: BLE001
        return ", ".join(text(each, repr) for each in (args if isinstance(args, tuple) else [args]))


def _timestamp(record: logging.LogRecord) -> float:
    try:
        seconds = float(record.created)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    return seconds if math.isfinite(seconds) else time.time()


def _exception(record: logging.LogRecord) -> str:
    try:
        if record.exc_info and record.exc_info[0]:
            return text(logging.Formatter().formatException(record.exc_info))
    except Exception:  # noqa: BLE001 - exc_info may hold anything
        return text(record.exc_info, reprlib.repr)
    return text(record.exc_text) if record.exc_text else ""


def _add_extra(record: logging.LogRecord, fields: dict[str, Any]) -> set[str]:
    """Add the record's `extra` to `fields`. Returns the names of the fields that were cut."""
    cut = set()
    for key, value in list(vars(record).items()):
        if key in STANDARD:
            continue
        name = text(key)
        while name in fields and name != "service":
            name = f"original_{name}"
        if is_plain(value):
            fields[name] = value
            continue
        plain = Plain(value)
        fields[name] = plain.value
        if plain.cut:
            cut.add(name)
    return cut


def _fitted(fields: dict[str, Any], cut: set[str]) -> bytes:
    """The event of fields that are too large together, with the longest ones cut."""
    if (more := len(fields) - MOST_FIELDS) > 0:
        fields = dict(list(fields.items())[:MOST_FIELDS])
        fields["cut_fields"] = more
    raws = {name: msgspec.json.encode(value) for name, value in fields.items()}
    names = {name: name if len(name) <= MOST_NAME else name[:MOST_NAME] + "…" for name in raws}
    frame = 2 + sum(len(encoded(name)) + 2 for name in names.values())
    most = _most([len(raw) for raw in raws.values()], MOST - frame)
    made = {
        names[name]: msgspec.Raw(
            raw if len(raw) <= most else _shortened(raw, most, names[name], name in cut)
        )
        for name, raw in raws.items()
    }
    return msgspec.json.encode(made)


def _most(sizes: list[int], room: int) -> int:
    """The size to which the largest fields must be cut for all of them to fit into `room`."""
    left = len(sizes)
    for size in sorted(sizes):
        if size * left > room:
            break
        room -= size
        left -= 1
    return room // max(left, 1)


def _shortened(raw: bytes, most: int, name: str, is_part: bool) -> bytes:
    """A JSON string of at most `most` bytes: the beginning of a value, and a mark.

    `is_part` says that `raw` itself is the beginning of a larger value.
    """
    whole = msgspec.json.decode(raw) if raw[:1] == b'"' else raw.decode()
    size = f"{'more than ' if is_part else ''}{len(whole.encode()):,}"
    mark = encoded(f" … [cut: {name} has {size} bytes]")[1:]
    shown = encoded(whole[:most])[: max(1, most - len(mark))]
    while not _is_whole(shown + b'"'):
        shown = shown[:-1]
    return shown + mark


def _is_whole(raw: bytes) -> bool:
    """Whether the JSON string ends between two characters, not inside one."""
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True
