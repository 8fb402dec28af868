"""Shapes: lines of JSON with the same names and kinds of values, converted by one pattern.

A pattern is built from a line, and copies what stays as it is; lines that it does not match, and
those that are not certain, are converted by their plan.
"""

import re
from collections.abc import Callable
from itertools import repeat
from typing import Any

import msgspec

from logpipeline.events import json_requests, json_values
from logpipeline.events.json_names import PART_OF
from logpipeline.events.outlines import Pairs, kind_of
from logpipeline.events.plans import BEGINNINGS, Plan, joined

Names = tuple[str, ...]  # of a field, and of the object that holds it before it
Column = tuple[bytes, ...]
Made = list[bytes | None]

# The commonest first: without an escape; whole numbers.
STRING = r'"[^"\\]*+(?:"|(?:\\["\\/bfnrt][^"\\]*+)++")'
NUMBER = (
    r"(?:[1-9]\d{0,17}+(?![\d.eE])"
    r"|-?+(?:0|[1-9]\d*+)(?:\.\d++(?:[eE][+-]?+\d++)?+|[eE][+-]?+\d++)?+)"
)
WORD = r"(?:true|false|null)"
SCALAR = rf"(?:{STRING}|{NUMBER}|{WORD})"
SIMPLE = r'"[^"\\]*+"'  # a string that is encoded as it was written
ISO = r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)"'
WHOLE_ISO = re.compile(ISO)
DEPTH = 2  # of the objects and lists in a value that is copied
# Parts of a request: how they are written as a number or a string.
PARTS = {
    "status": (r"([1-9]\d\d)", r'"([1-9]\d\d)"'),
    "bytes": (r"(0|[1-9]\d{0,14}+)", r'"(0|[1-9]\d{0,14}+)"'),
    "duration_ms": (f"({NUMBER})", f"({SIMPLE})"),
    **dict.fromkeys(("method", "path"), ("", f"({SIMPLE})")),
    "client": ("", r'("(?:[^"\\,:]*+"|[^"\\,.]*+"))'),  # neither a list nor with a port
}
NUMBERS = {"status", "bytes"}
NESTED = {"request", "response"}
ORDER = ("method", "path", "client", "status", "bytes", "duration_ms")
MOST = 1_000  # values of a duration that are kept


class UncertainError(Exception):
    """Lines like this one must be converted by their plan."""


class Shape:
    """Makes the events of the lines that `match`, which have no control characters. Raises
    UncertainError, ValueError."""

    def __init__(self, pairs: Pairs, plan: Plan, spaced: bool) -> None:
        self._plan, self._pairs, self._values = plan, pairs, dict(pairs)
        self._comma, self._colon = (", ", ": ") if spaced else (",", ":")
        self._groups = 0
        self._group_of: dict[str, int] = {}  # by role or part
        self._copied: list[bytes | int] = []  # what follows the time: texts and groups
        self._durations: dict[bytes, bytes] = {}
        self._duration = ""  # the name of its field
        self._beside: frozenset[str] = frozenset()  # the names of the same object
        self._candidates: set[Names] = set()  # fields that may be parts
        taken = {name for _, name in plan.roles.values()}
        if not plan.is_certain or not taken.isdisjoint(name for _, name in plan.request):
            raise UncertainError
        if plan.may_be_ours and kind_of(self._values["timestamp"]) != "string":
            raise UncertainError
        self._parts = self._chosen() if plan.reports else {}
        self.match: Callable[[bytes], Any] = re.compile(self._pattern().encode()).fullmatch
        self._add_parts()

    def events(self, matches: list[re.Match[bytes]]) -> Made:
        """None where it is not certain."""
        columns = list(zip(*map(re.Match.groups, matches), strict=True))
        levels = columns[self._group_of["level"] - 1]
        stated = {raw: self._plan.level(raw) for raw in {*levels}}
        begins = {raw: BEGINNINGS[level] if level else b"" for raw, level in stated.items()}
        seconds = self._seconds(columns)
        made: Made = list(
            map(
                b"".join,
                zip(
                    [begins[raw] for raw in levels],
                    columns[self._group_of["message"] - 1],
                    repeat(b',"timestamp":'),
                    [each or b"" for each in seconds],
                    *(
                        repeat(each) if isinstance(each, bytes) else columns[each - 1]
                        for each in self._copied
                    ),
                    self._took(columns),
                    repeat(self._plan.end),
                ),
            )
        )
        if None in seconds or None in stated.values():
            certain = [stated[raw] and each for raw, each in zip(levels, seconds, strict=True)]
            made = [value if each else None for value, each in zip(made, certain, strict=True)]
        return made

    def _seconds(self, columns: list[Column]) -> list[bytes | None]:
        """The times; None for an invalid one."""
        first = self._group_of["time"] - 1
        if "zone" not in self._group_of:
            return self._plan.all_seconds(columns[first])
        ats, fractions, zones = columns[first : first + 3]
        moments = list(zip(ats, zones, strict=True))
        whole = {moment: self._plan.whole_seconds(*moment) for moment in {*moments}}
        if None in fractions or not all(map(_is_positive, whole.values())):
            return [
                joined(whole[moment], fraction)
                for moment, fraction in zip(moments, fractions, strict=True)
            ]
        starts = [whole[moment] for moment in moments]
        return list(map(b".".join, zip(starts, fractions, strict=True)))  # type: ignore[arg-type]

    def _took(self, columns: list[Column]) -> Any:
        """The field of a request's duration."""
        if not self._duration:
            return repeat(b"")
        known = self._durations
        column = columns[self._group_of["duration_ms"] - 1]
        if len(known) > MOST:
            known.clear()
        for raw in {*column} - known.keys():
            value = json_values.decoded(raw)
            took = json_requests.in_milliseconds(value, self._duration, self._beside)
            known[raw] = b"" if took is None else b',"duration_ms":' + msgspec.json.encode(took)
        return [known[raw] for raw in column]

    def _chosen(self) -> dict[Names, str]:
        """The fields that are a request's parts, as `json_requests.stated` chooses them."""
        found: dict[str, Names] = {}
        for role, name in self._plan.request:
            part, value = PART_OF[role.what], self._values[name]
            self._candidates.add((name,))
            if part not in NESTED:
                if kind_of(value) in {"string", "number"}:
                    found.setdefault(part, (name,))
            elif isinstance(value, Pairs):
                self._choose_inside(name, value, found)
            elif isinstance(value, str):
                raise UncertainError
        if "method" in found and ("status" in found or "path" in found):
            return {names: part for part, names in found.items()}
        return {}

    def _choose_inside(self, name: str, pairs: Pairs, found: dict[str, Names]) -> None:
        if len({*pairs.names}) < len(pairs):
            raise UncertainError
        for inner, value in pairs:
            part = json_requests.PARTS[inner]
            if not part or part in NESTED:
                continue
            if isinstance(value, bool):
                raise UncertainError
            self._candidates.add((name, inner))
            if kind_of(value) in {"string", "number"}:
                found.setdefault(part, (name, inner))

    def _pattern(self) -> str:
        """The pattern of a line; and what of it is copied."""
        fields: list[str] = []
        compact, running = self._comma == ",", False
        taken = {name: kind for kind, (_, name) in self._plan.roles.items()}
        for name, value in self._pairs:
            shown = self._plan.shown.get(name)
            copied = shown == name and compact
            if running and not copied:
                fields[-1] += ")"
            elif running:
                fields.append(self._key(name) + self._copy(name, value))
                continue
            running = copied
            if name in taken:
                fields.append(self._key(name) + self._role(taken[name], value))
            elif copied:
                self._copied += (b",", self._next_group())
                fields.append("(" + self._key(name) + self._copy(name, value))
            else:
                before = b"," + msgspec.json.encode(shown) + b":"
                self._copied += (before, self._next_group())
                fields.append(f"{self._key(name)}({self._copy(name, value)})")
        return rf"\{{{self._comma.join(fields)}{')' if running else ''}\}}"

    def _key(self, name: str) -> str:
        return re.escape(msgspec.json.encode(name).decode()) + self._colon

    def _next_group(self, name: str = "") -> int:
        self._groups += 1
        if name:
            self._group_of[name] = self._groups
        return self._groups

    def _role(self, kind: str, value: Any) -> str:
        """The pattern of the level, the message or the time."""
        self._next_group(kind)
        if kind == "message":
            if not isinstance(value, str):
                raise UncertainError
            return f"({STRING})"
        if kind_of(value) == "number":
            return f"({NUMBER})"
        if not isinstance(value, str):
            raise UncertainError
        if kind == "time" and WHOLE_ISO.fullmatch(f'"{value}"'):
            self._next_group()
            self._next_group("zone")
            return ISO
        return f"({SIMPLE})"

    def _copy(self, *field: Any) -> str:
        """The pattern of a field's value that is copied."""
        *path, value = field
        names = tuple(path)
        if names in self._parts:
            return self._part(self._parts[names], value)
        if names not in self._candidates:
            return self._any(value)
        if isinstance(value, Pairs) and len(names) == 1:
            inner = [self._key(name) + self._copy(*names, name, each) for name, each in value]
            return rf"\{{{self._comma.join(inner)}\}}"
        kinds = {"string": STRING, "number": NUMBER, "word": WORD}
        return kinds.get(kind_of(value)) or self._any(value)

    def _part(self, part: str, value: Any) -> str:
        pattern = PARTS[part][isinstance(value, str)]
        if not pattern:
            raise UncertainError
        self._next_group(part)
        return pattern

    def _any(self, value: Any) -> str:
        """The pattern of values of about this kind."""
        return _container(self._comma, self._colon) if kind_of(value) == "container" else SCALAR

    def _add_parts(self) -> None:
        """Let the parts follow that are not copied under their names already."""
        names_of = {part: names for names, part in self._parts.items()}
        shown = {*self._plan.shown.values()}
        for part in ORDER:
            if part not in names_of:
                continue
            names = names_of[part]
            if part in shown:
                number = kind_of(self._values[part]) == "number"
                if part == "duration_ms" or names != (part,) or number != (part in NUMBERS):
                    raise UncertainError
            elif part == "duration_ms":
                self._duration = names[-1]
                among = self._pairs if len(names) == 1 else self._values[names[0]]
                self._beside = frozenset(among.names)
            else:
                self._copied += (b',"%b":' % part.encode(), self._group_of[part])


def _is_positive(number: bytes | None) -> bool:
    return number is not None and number[:1] != b"-"


def _container(comma: str, colon: str) -> str:
    """The pattern of an object or a list, which may hold others."""
    item = SCALAR
    for _ in range(DEPTH):
        pair = f"{STRING}{colon}{item}"
        filled = rf"\{{(?:{pair}(?:{comma}{pair})*+)?+\}}|\[(?:{item}(?:{comma}{item})*+)?+\]"
        item = rf"(?:{SCALAR}|{filled})"
    return item
