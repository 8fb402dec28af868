"""Plans: how the lines of JSON with one set of names become events.

What the names alone decide is decided once: which of them is the level, the message and the time,
and what stands before each of the others.
"""

import re
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from logpipeline.events import json_formats, json_levels, json_requests, json_values, times
from logpipeline.events.event import LEVELS
from logpipeline.events.json_formats import OURS, Fields
from logpipeline.events.json_names import PART_OF

ROLES = ("message", "level", "time")
MOST = 200  # values that are kept
LONGEST = 60  # bytes of a value that is kept
BEGINNINGS = {level: f'{{"level":"{level}","message":'.encode() for level in LEVELS}
ISO_TIME = re.compile(rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)"')


class Plan:
    """Makes the events of the lines that have these `names`, in this order.

    `roles` are the fields that are level, message and time, `shown` the names of the others in the
    event, `request` those that may be a part of a request, which the line `reports`.
    """

    def __init__(self, names: tuple[str, ...], service: bytes) -> None:
        known = json_formats.known_roles(names)
        self.roles = {kind: known[kind][0] for kind in ROLES if kind in known}
        self.request = known.get("request", [])
        parts = {PART_OF[role.what] for role, _ in self.request}
        self.reports = not parts.isdisjoint(json_requests.PROOF)
        self.may_be_ours = {*OURS} <= {*names}
        self._names = dict.fromkeys(names, msgspec.Raw())
        self._levels: dict[bytes, str | None] = {}
        self._seconds: dict[tuple[bytes, bytes], bytes | None] = {}
        taken = {name for _, name in self.roles.values()}
        self.shown = {
            name: f"original_{name}" if name in OURS else name
            for name in names
            if name not in taken
        }
        self._befores = [
            (name, b"," + msgspec.json.encode(other) + b":") for name, other in self.shown.items()
        ]
        shown = {*self.shown.values()}
        end = b',"service":' + service if service and "service" not in shown else b""
        self.end = end + b"}"
        self.is_certain = (
            len(self.roles) == len(taken) == len(ROLES)
            and self.roles["message"][1] != "log"
            and len(shown) == len(self.shown)
            and "service" not in known
            and "_HOSTNAME" not in names
        )

    def event(self, fields: Fields) -> bytes | None:
        """None where it is not certain. Raises ValueError."""
        message, level, moment = (bytes(fields[name]) for _, name in self.roles.values())
        if message[:1] != b'"' or (self.may_be_ours and bytes(fields["timestamp"])[:1] != b'"'):
            return None
        if level[:1] == b"{":  # which may hold other fields
            return None
        stated = self.level(level)
        seconds = self.seconds(moment) if stated else None
        if stated is None or seconds is None:
            return None
        parts = [BEGINNINGS[stated], message, b',"timestamp":', seconds]
        made = json_requests.stated(fields, self.request)[0] if self.reports else None
        if made and not made.keys().isdisjoint(self.shown.values()):
            parts.append(self._merged(fields, made))
        else:
            for name, before in self._befores:
                parts += (before, fields[name])
            if made:
                parts += (b",", msgspec.json.encode(made)[1:-1])
        parts.append(self.end)
        return b"".join(parts)

    def level(self, raw: bytes) -> str | None:
        """The names of the other fields decide on whose scale a number is, not their values."""
        stated = self._levels.get(raw)
        if stated is None:
            role, name = self.roles["level"]
            stated = json_levels.stated(role.what, name, raw, self._names)
            if len(self._levels) < MOST and len(raw) <= LONGEST:
                self._levels[raw] = stated
        return stated

    def seconds(self, raw: bytes) -> bytes | None:
        """The time in Unix seconds; None for an invalid one."""
        found = ISO_TIME.fullmatch(raw)
        if not found:
            return self._other_seconds(raw)
        at, fraction, zone = found.groups()
        return joined(self.whole_seconds(at, zone), fraction)

    def all_seconds(self, raws: Sequence[bytes]) -> list[bytes | None]:
        """The same of many times."""
        sizes = {*map(len, raws)}
        digits = sizes.pop()
        places = times.PLACES.get(digits)
        together = b"".join(raws)
        if sizes or not places or not together.isdigit() or min(raws) < b"1":
            return list(map(self.seconds, raws))
        if places < 0:
            return list(raws)
        return list(map(b".".join, struct.iter_unpack(f"{digits - places}s{places}s", together)))

    def whole_seconds(self, at: bytes, zone: bytes) -> bytes | None:
        """The seconds of a time without its fraction."""
        whole = self._seconds.get((at, zone))
        if whole is None:
            whole = self._other_seconds(b'"' + at + zone + b'"')
            if len(self._seconds) >= MOST:
                self._seconds.clear()
            self._seconds[at, zone] = whole
        return whole

    def _other_seconds(self, raw: bytes) -> bytes | None:
        role, name = self.roles["time"]
        seconds = json_values.time(role.what, name, raw)
        return None if seconds is None else seconds.encode()

    def _merged(self, fields: Fields, made: dict[str, Any]) -> bytes:
        """The other fields, of which some are those of the request."""
        others: dict[str, Any] = {shown: fields[name] for name, shown in self.shown.items()}
        return b"," + msgspec.json.encode(others | made)[1:-1]


def joined(whole: bytes | None, fraction: bytes | None) -> bytes | None:
    """Whole seconds and the digits after the point."""
    if whole is None or fraction is None:
        return whole
    return times.joined(int(whole), fraction.decode()).encode()
