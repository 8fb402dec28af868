"""JSON levels: the level in a field's value; a number by the logger that it belongs to."""

import re
from functools import lru_cache
from typing import Any

import msgspec

from logpipeline.events import levels
from logpipeline.events.json_values import decoded

SCALES = {  # by a field's plain name
    "severitynumber": "opentelemetry",
    "levelno": "python",
    "levelnumber": "python",
    "levelvalue": "log4j",
    "syslogseverity": "syslog",
}
WINDOWS = ("INFO", "CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")  # of an event log
NESTED = {"log", "record"}  # they hold a level only as an object
NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
LONGEST = 60  # characters of a level


def stated(what: str, name: str, raw: bytes, fields: dict[str, msgspec.Raw]) -> str | None:
    """The level in a value; None when it is none. The other fields tell whose numbers it has."""
    if len(raw) > LONGEST:
        return _nested(what, decoded(raw)) if raw[:1] == b"{" else None
    level = _alone(what, name, raw)
    return Belonging(fields).level(what, name, raw) if level == "" else level


@lru_cache(maxsize=1_000)
def _alone(what: str, name: str, raw: bytes) -> str | None:
    """The level in a value by itself; "" when it depends on the other fields."""
    if raw[:1] == b"{":
        return _nested(what, decoded(raw))
    if what in NESTED:
        return None
    text = str(decoded(raw)) if b"\\" in raw else raw.decode().strip('" ')
    if what == "s":  # MongoDB's; other programs use it for anything
        return levels.named(text) if text.rstrip("12345") in levels.SHORT else None
    if not NUMBER.fullmatch(text):
        return levels.named(text)
    number = float(text)
    if what in SCALES:
        return _on_known_scale(number, SCALES[what])
    if name in {"LogLevel", "logLevel"} and 0 <= number <= 6:  # Microsoft.Extensions.Logging
        return levels.on_scale(number, "microsoft")
    if what == "severity" and number >= 100:
        return levels.on_scale(number, "google")
    for least, scale in ((10_000, "log4j"), (700, "java"), (100, "hundreds"), (9, "tens")):
        if number >= least:
            return levels.on_scale(number, scale)
    return ""


def _on_known_scale(number: float, scale: str) -> str | None:
    if scale == "opentelemetry" and not 1 <= number <= 24:
        return None
    return levels.on_scale(number, scale)


def _nested(what: str, value: Any) -> str | None:
    """ECS's log.level, loguru's record.level.name."""
    inner = value.get("level") if what in NESTED else None
    if isinstance(inner, dict):
        inner = inner.get("name")
    return levels.named(inner) if isinstance(inner, str) else None


class Belonging:
    """The fields of a line, by which it is known whose small numbers its levels are."""

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        self._fields = fields

    def level(self, what: str, name: str, raw: bytes) -> str | None:
        number = float(raw.decode().strip('" '))
        if self._is_syslog(what, name) and 0 <= number < 8:
            return levels.on_scale(number, "syslog")
        return self._small(number)

    def _is_syslog(self, what: str, name: str) -> bool:
        """Whether journald, GELF or a syslog daemon wrote the line."""
        has = self._fields
        if what == "priority":
            return name == "PRIORITY" or "SYSLOG_IDENTIFIER" in has or "facility" in has
        if what == "severity":
            return "facility" in has or "syslog_facility" in has
        return "short_message" in has

    def _small(self, number: float) -> str | None:
        """The level of a small number: Nextcloud's, or the verbosity of logr."""
        has = self._fields
        if not has.keys().isdisjoint(("ProviderName", "LevelDisplayName")) and 0 <= number <= 5:
            return WINDOWS[int(number)]
        if "reqId" in has or ("app" in has and "remoteAddr" in has):
            return levels.on_scale(number, "small")
        if "logger" in has or "caller" in has:
            return "INFO" if number <= 0 else "DEBUG"
        return None


def of_an_error(fields: dict[str, msgspec.Raw]) -> str | None:
    """The level of logr's and klog's errors, which have no other sign."""
    if not ("ts" in fields or "logger" in fields) or "v" in fields:
        return None
    for name in ("error", "err"):
        if name in fields and bytes(fields[name])[:1] in (b'"', b"{"):
            return "ERROR"
    return None
