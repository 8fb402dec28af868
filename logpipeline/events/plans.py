"""Plans: how the lines of JSON with one set of names become events.

What the names alone decide is decided once: which of them is the level, the message and the time,
and what stands before each of the others.
"""

import re
from typing import Any

import msgspec

from logpipeline.events import json_formats, json_levels, json_requests, json_values, times
from logpipeline.events.event import BRACKETS, LEVELS
from logpipeline.events.json_formats import OURS, Fields
from logpipeline.events.json_names import PART_OF

ROLES = ("message", "level", "time")
MOST = 200  # plans, and values of a plan, that are kept
LONGEST = 60  # bytes of a value that is kept
BEGINNINGS = {level: f'{{"level":"{level}","message":'.encode() for level in LEVELS}
ISO_TIME = re.compile(rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)"')

_decode = msgspec.json.Decoder(Fields).decode


class Plan:
    """Makes the events of the lines that have these `names`, in this order."""

    def __init__(self, names: tuple[str, ...], service: bytes) -> None:
        known = json_formats.known_roles(names)
        self._service = service
        self._roles = roles = [known[kind][0] for kind in ROLES if kind in known]
        self._request = known.get("request", [])
        parts = {PART_OF[role.what] for role, _ in self._request}
        self._reports = not parts.isdisjoint(json_requests.PROOF)
        self._may_be_ours = {*OURS} <= {*names}
        self._levels: dict[bytes, str | None] = {}
        self._seconds: dict[tuple[bytes, bytes], str | None] = {}
        taken = {name for _, name in roles}
        others = [name for name in names if name not in taken]
        shown = [f"original_{name}" if name in OURS else name for name in others]
        self._others = list(zip(others, shown, strict=True))
        self._shown = frozenset(shown)
        self._befores = [
            (name, b"," + msgspec.json.encode(other) + b":") for name, other in self._others
        ]
        end = b',"service":' + service if service and "service" not in shown else b""
        self._end = end + b"}"
        self.is_certain = (
            len(roles) == len(taken) == len(ROLES)
            and roles[0][1] != "log"
            and len({*shown}) == len(shown)
            and "service" not in known
            and "_HOSTNAME" not in names
        )

    def event(self, fields: Fields) -> bytes | None:
        """None where it is not certain. Raises ValueError."""
        (_, message_name), (level_role, level_name), (time_role, time_name) = self._roles
        message, level, moment = (
            bytes(fields[name]) for name in (message_name, level_name, time_name)
        )
        if message[:1] != b'"' or (self._may_be_ours and bytes(fields["timestamp"])[:1] != b'"'):
            return None
        if level[:1] == b"{":  # which may hold other fields
            return None
        stated = self._levels.get(level) or self._level(level_role.what, level_name, level, fields)
        if stated is None:
            return None
        seconds = self._time(time_role.what, time_name, moment)
        if seconds is None:
            return None
        parts = [BEGINNINGS[stated], message, b',"timestamp":', seconds.encode()]
        made = json_requests.stated(fields, self._request)[0] if self._reports else None
        if made and not self._shown.isdisjoint(made):
            parts.append(self._merged(fields, made))
        else:
            for name, before in self._befores:
                parts += (before, fields[name])
            if made:
                parts += (b",", msgspec.json.encode(made)[1:-1])
        parts.append(self._end)
        return b"".join(parts)

    def _level(self, what: str, name: str, raw: bytes, fields: Fields) -> str | None:
        """The names of the other fields decide on whose scale a number is, not their values."""
        stated = json_levels.stated(what, name, raw, fields)
        if len(self._levels) < MOST and len(raw) <= LONGEST:
            self._levels[raw] = stated
        return stated

    def _time(self, what: str, name: str, raw: bytes) -> str | None:
        found = ISO_TIME.fullmatch(raw)
        if not found:
            return json_values.time(what, name, raw)
        at, fraction, zone = found.groups()
        moment = at, zone
        whole = self._seconds.get(moment)
        if whole is None:
            whole = json_values.time(what, name, b'"' + at + zone + b'"')
            if len(self._seconds) >= MOST:
                self._seconds.clear()
            self._seconds[moment] = whole
        if whole is None or fraction is None:
            return whole
        return times.joined(int(whole), fraction.decode())

    def _merged(self, fields: Fields, made: dict[str, Any]) -> bytes:
        """The other fields, of which some are those of the request."""
        others: dict[str, Any] = {shown: fields[name] for name, shown in self._others}
        return b"," + msgspec.json.encode(others | made)[1:-1]


class Plans:
    """Plans by names; an event without a service gets `service`, which is JSON, or empty."""

    def __init__(self, service: bytes) -> None:
        self._service = service
        self._plans: dict[tuple[str, ...], Plan] = {}

    def events(self, lines: list[bytes]) -> list[bytes | None]:
        """The event in each line, None where that is not certain."""
        brackets = sum(map(bytes.count, lines, [b"{"] * len(lines)))
        brackets += sum(map(bytes.count, lines, [b"["] * len(lines)))
        if brackets - len(lines) < BRACKETS:
            return [self._event(line) for line in lines]
        return [
            self._event(line) if line.count(b"[") + line.count(b"{") <= BRACKETS else None
            for line in lines
        ]

    def _event(self, line: bytes) -> bytes | None:
        try:
            fields = _decode(line)
            names = tuple(fields)
            plan = self._plans.get(names) or self._plan(names)
            return plan.event(fields) if plan.is_certain else None
        except (ValueError, RecursionError):
            return None

    def _plan(self, names: tuple[str, ...]) -> Plan:
        plan = Plan(names, self._service)
        if json_formats.are_few(names):
            if len(self._plans) >= MOST:
                self._plans.clear()
            self._plans[names] = plan
        return plan
