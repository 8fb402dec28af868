"""JSON requests: the fields of an access log in JSON, under the names that all have."""

import re
from collections.abc import Container
from typing import Any

import msgspec

from logpipeline.events import requests
from logpipeline.events.json_names import LONGEST as LONGEST_NAME
from logpipeline.events.json_names import MOST, PART_OF, Role, plain
from logpipeline.events.json_values import decoded

Fields = dict[str, msgspec.Raw]
# Fields that only a report of a request has; "status", "path" and "size" are anything's.
PROOF = {"method", "request", "response"}
PORT = re.compile(r"(?<=\d\.\d)(\d{0,2}):\d{1,5}$")
LONGEST = 2**16  # bytes of a value


class PartNames(dict[str, str | None]):
    """The part of a request that a name means."""

    def __missing__(self, name: str) -> str | None:
        part = PART_OF.get(plain(name))
        if len(self) < MOST and len(name) <= LONGEST_NAME:
            self[name] = part
        return part


PARTS = PartNames()


def add(fields: Fields, some: list[tuple[Role, str]], others: Fields) -> str | None:
    """Add a request's parts to `others`. Returns its status, if it is HTTP's."""
    made, status = stated(fields, some)
    for name, value in made.items():
        others[name] = msgspec.Raw(msgspec.json.encode(value))
    return status


def stated(fields: Fields, some: list[tuple[Role, str]]) -> tuple[dict[str, Any], str | None]:
    """A request's parts, as an event has them, and its status, if it is HTTP's."""
    found = _parts(fields, some)
    status = str(found.get("status", ""))
    if not (status.isdecimal() and len(status) == 3):
        found.pop("status", None)
        status = ""
    is_one = "method" in found and (status or "path" in found)
    return _made(found) if is_one else {}, status or None


def _parts(fields: Fields, some: list[tuple[Role, str]]) -> dict[str, Any]:
    """The values by their parts' names; those of a nested request come first."""
    found: dict[str, Any] = {}
    for role, name in some:
        raw = bytes(fields[name])
        part = PART_OF[role.what]
        if len(raw) > LONGEST:
            continue
        value = decoded(raw)
        if part in {"request", "response"}:
            found = _nested(value) | found if isinstance(value, (dict, str)) else found
        elif not isinstance(value, (dict, list, bool)) and value is not None:
            if part == "duration_ms":
                value = in_milliseconds(value, name, fields)
            found.setdefault(part, value)
    return found


def _nested(value: dict[str, Any] | str) -> dict[str, Any]:
    """The parts in an object, such as Caddy's request, or in nginx' "GET /pay HTTP/1.1"."""
    if isinstance(value, str):
        method, _, rest = value.partition(" ")
        path = rest.rpartition(" HTTP/")[0] or rest
        is_one = method.isupper() and method.isalpha() and path
        return {"method": method, "path": path} if is_one else {}
    found: dict[str, Any] = {}
    for name, each in value.items():
        part = PARTS[name]
        if part and part not in {"request", "response"} and isinstance(each, (str, int, float)):
            found.setdefault(
                part, in_milliseconds(each, name, value) if part == "duration_ms" else each
            )
    return found


def _made(found: dict[str, Any]) -> dict[str, Any]:
    """The parts as an event has them, in one order; those that mean nothing are left out."""
    made: dict[str, Any] = {}
    for name in ("method", "path", "client"):
        if name in found and isinstance(value := found[name], str):
            made[name] = value
    if "client" in made:
        made["client"] = PORT.sub(r"\1", made["client"].partition(",")[0])
    for name in ("status", "bytes"):
        if name in found and (number := str(found[name])).isdecimal():
            made[name] = int(number)
    if isinstance(took := found.get("duration_ms"), (int, float)):
        made["duration_ms"] = took
    return made


def in_milliseconds(value: Any, name: str, names: Container[str]) -> float | None:
    """A duration by its name and its form: seconds, Traefik's and Echo's nanoseconds, Envoy's
    milliseconds, "1.2ms". `names` are those of the object's fields."""
    if isinstance(value, str) and (found := requests.milliseconds(value)) is not None:
        return found
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if plain(name).endswith("ms") or name == "responseTime" or "response_flags" in names:
        return requests.rounded(number)
    if name == "Duration" or "latency_human" in names:
        return requests.rounded(number, 0.000_001)
    return requests.rounded(number, 1_000.0)
