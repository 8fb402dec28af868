"""Requests: the fields of an event that reports an HTTP request.

method, path, status, bytes (of the response), duration_ms and client.
"""

import re
from typing import Any

UNITS = {
    "s": 1_000.0,
    "ms": 1.0,
    "µs": 0.001,
    "us": 0.001,
    "μs": 0.001,
    "ns": 0.000_001,
    "m": 60_000,
}
TOOK = re.compile(r"([\d.]{1,20})([nuµμm]?s)")
# nginx's and Traefik's, behind the fields that all access logs have.
IN_SECONDS = re.compile(r"\b(?:rt|request_time|req_time)[=:] ?\"?(\d{1,9}\.\d{1,6})")
IN_MILLISECONDS = re.compile(r" (\d{1,12})ms\s*$")


def fields(found: re.Match[str], text: str) -> dict[str, Any]:
    """The fields in the groups of a pattern, and in the rest of the line."""
    made: dict[str, Any] = {}
    groups = found.groupdict()
    if method := groups.get("method"):
        made["method"] = method
        made["path"] = groups["path"]
    status = groups.get("status") or groups.get("code")
    if status and status.isdecimal():
        made["status"] = int(status)
    if (size := groups.get("bytes")) and size.isdecimal():
        made["bytes"] = int(size)
    if (took := _duration(groups, text)) is not None:
        made["duration_ms"] = took
    if client := groups.get("client"):
        made["client"] = client
    return made


def milliseconds(text: str) -> float | None:
    """A duration with its unit, such as 1.27ms."""
    found = TOOK.fullmatch(text)
    return rounded(found[1], UNITS[found[2]]) if found else None


def _duration(groups: dict[str, Any], text: str) -> float | None:
    if took := groups.get("ms"):
        return rounded(took)
    if took := groups.get("seconds"):
        return rounded(took, 1_000.0)
    if took := groups.get("took"):
        return milliseconds(took)
    if ("rt=" in text or "_time" in text) and (found := IN_SECONDS.search(text)):
        return rounded(found[1], 1_000.0)
    if text.endswith("ms") and (found := IN_MILLISECONDS.search(text)):
        return rounded(found[1])
    return None


def rounded(number: str | float, unit: float = 1.0) -> float | None:
    """A number of `unit` milliseconds; None for a dash or a negative number."""
    try:
        value = float(number)
    except ValueError:
        return None
    made = round(value * unit, 6)
    return None if made < 0 else int(made) if made == int(made) else made
