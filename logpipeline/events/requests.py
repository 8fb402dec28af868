"""Requests: the fields of an event that reports an HTTP request.

method, path, status, bytes (of the response), duration_ms and client.
"""

import math
import re
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

import msgspec

PARTS = ("method", "path", "status", "bytes", "client")
UNITS = {
    "s": 1_000.0,
    "ms": 1.0,
    "µs": 0.001,
    "us": 0.001,
    "μs": 0.001,
    "ns": 0.000_001,
    "m": 60_000,
}
# logfmt's names: Heroku's router, lograge, logrus.
PAIRS = {
    **{"method": "method", "http_method": "method", "path": "path", "uri": "path", "url": "path"},
    **{"status": "status", "status_code": "status", "bytes": "bytes", "size": "bytes"},
    **{"duration": "took", "latency": "took", "elapsed": "took", "took": "took"},
    **{"duration_ms": "ms", "service": "service", "controller": "controller"},
    **{"fwd": "client", "remote_addr": "client", "remote_ip": "client", "client_ip": "client"},
    **{"ip": "client"},
}
METHOD = re.compile(r"[A-Z]{3,20}")
TOOK = re.compile(r"([\d.]{1,20})([nuµμm]?s)")
# nginx's and Traefik's, behind the fields that all access logs have.
IN_SECONDS = re.compile(r"\b(?:rt|request_time|req_time)[=:] ?\"?(\d{1,9}\.\d{1,6})")
IN_MILLISECONDS = re.compile(r" (\d{1,12})ms\s*$")


class Groups:
    """The groups of a pattern that are a request's parts."""

    def __init__(self, groups: Mapping[str, int]) -> None:
        self._parts = [groups.get(name, 0) for name in PARTS]
        self._took = {name: groups[name] for name in ("ms", "seconds", "took") if name in groups}
        if "code" in groups:
            self._parts[2] = groups["code"]

    def fields(self, found: re.Match[str], text: str) -> dict[str, Any]:
        """The fields in a match, and in the rest of the line."""
        method, path, status, size, client = found.group(*self._parts)
        has_method, _, has_status, has_size, has_client = self._parts
        made: dict[str, Any] = {}
        if has_method and method:
            made["method"] = method
            made["path"] = path
        if has_status and status and status != "-":
            made["status"] = int(status)
        if has_size and size and size != "-":
            made["bytes"] = int(size)
        if self._took:
            self._add_duration(made, found)
        else:
            add_duration(made, text)
        if has_client and client:
            made["client"] = client
        return made

    def _add_duration(self, made: dict[str, Any], found: re.Match[str]) -> None:
        for name, group in self._took.items():
            text = found[group] or "-"
            unit = 1_000.0 if name == "seconds" else 1.0
            took = milliseconds(text) if name == "took" else rounded(text, unit)
            if took is not None:
                made["duration_ms"] = took


def of_pairs(parts: dict[str, str]) -> dict[str, Any] | None:
    """The fields of a request that logfmt reports; None if it reports none."""
    method, status = parts.get("method", ""), parts.get("status", "")
    has_status = len(status) == 3 and status.isdecimal()
    if not METHOD.fullmatch(method) or not (has_status or "path" in parts):
        return None
    made: dict[str, Any] = {"method": method}
    if path := parts.get("path"):
        made["path"] = path
    if has_status:
        made["status"] = int(status)
    if (size := parts.get("bytes", "")).isdecimal():
        made["bytes"] = int(size)
    if (took := _took(parts)) is not None:
        made["duration_ms"] = took
    if client := parts.get("client", "").partition(",")[0]:
        made["client"] = client
    return made


def _took(parts: dict[str, str]) -> float | None:
    """Milliseconds: Heroku's service=12ms. Of a number without a unit only lograge's is known."""
    text = parts.get("took", "-")
    found = milliseconds(text)
    if found is None:
        found = rounded(parts.get("ms") or (text if "controller" in parts else "-"))
    return milliseconds(parts.get("service", "")) if found is None else found


def milliseconds(text: str) -> float | None:
    """A duration with its unit, such as 1.27ms."""
    found = TOOK.fullmatch(text)
    return rounded(found[1], UNITS[found[2]]) if found else None


def rounded(number: str | float, unit: float = 1.0) -> float | None:
    """A number of `unit` milliseconds; None for a dash, a negative or an endless number."""
    try:
        value = float(number)
    except ValueError:
        return None
    made = round(value * unit, 6)
    if not 0 <= made < math.inf:
        return None
    return int(made) if made == int(made) else made


def add_duration(made: dict[str, Any], text: str) -> None:
    """Add the duration that nginx or Traefik wrote behind the other fields, if one did."""
    if not ("rt=" in text or "_time" in text or text[-2:] == "ms"):
        return
    if found := IN_SECONDS.search(text):
        made["duration_ms"] = rounded(found[1], 1_000.0)
    elif found := IN_MILLISECONDS.search(text):
        made["duration_ms"] = rounded(found[1])


def durations(texts: list[str]) -> Iterable[str] | None:
    """The field, as JSON, of the duration that each line states; None when no line does."""
    together = "\n".join(texts)
    # A single character is found at a hundredth of the cost.
    if ("=" in together and "rt=" in together) or ("_" in together and "_time" in together):
        return map(_duration, texts)
    if any(map(str.endswith, texts, repeat("ms"))):
        return map(_duration, texts)
    return None


def _duration(line: str) -> str:
    fields: dict[str, object] = {}
    add_duration(fields, line)
    return f",{msgspec.json.encode(fields)[1:-1].decode()}" if fields else ""
