"""Uniform: the lines of one text format, converted together.

A format's pattern stands behind negative look-aheads for those that are tried before it, so the
first match stays the first. `Lines.event` converts the uncertain lines.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec

from logpipeline.events import times
from logpipeline.events.event import LEVELS
from logpipeline.events.text_formats import INSIDE, LETTERS, ROWS, Row

Match = re.Match[str]
Made = list[str | None]  # an event for each line; None where it is not certain
Moment = tuple[str, str, str | None]  # down to the minute, the second, the zone

NAMED_GROUP = re.compile(r"\(\?P<\w+>")
BEGINNINGS: dict[str | None, str] = {
    level: f'{{"level":"{level or "INFO"}","message":' for level in (None, *LEVELS)
}

_encoder = msgspec.json.Encoder()


class Uniform:
    """Converts lines of the format `row`; `tail` is the end of an event without fields.

    No line has one of the texts `absent`.
    """

    def __init__(self, row: Row, tail: str, absent: frozenset[str]) -> None:
        self._row, self._tail = row, tail
        pattern = guard(row, absent) + row.pattern + self._suffix()
        self._match = re.compile(pattern, re.ASCII).match

    def matches(self, texts: list[str]) -> list[Match | None]:
        """The match of each line, None for a line that is not of this format."""
        return list(map(self._match, texts))

    def events(self, texts: list[str], matches: list[Match]) -> Made:
        """The events of lines that have `matches`."""
        row, tail = self._row, self._tail
        stated = [row.understood(match, text) for match, text in zip(matches, texts, strict=True)]
        fields = encoded([each and each.fields for each in stated])
        made: Made = []
        for each, text, line, more in zip(stated, encoded(texts), texts, fields, strict=True):
            if each is None or (each.rest and INSIDE.match(line, each.rest)):
                made.append(None)
                continue
            end = tail
            if each.fields:
                end = f",{more[1:]}" if "service" in each.fields else f",{more[1:-1]}{tail}"
            stamp = each.seconds or times.now()
            made.append(f'{BEGINNINGS[each.level]}{text},"timestamp":{stamp}{end}')
        return made

    def _suffix(self) -> str:
        """A pattern that follows the row's, and matches anything."""
        return ""

    def _stamps(self, moments: Iterable[Moment]) -> dict[Moment, str | None]:
        """The whole Unix seconds; None for an invalid time."""
        clock = self._row.clock
        return {each: times.seconds(each[0], clock, each[1], None, each[2]) for each in {*moments}}


def encoded(values: Sequence[object]) -> list[str]:
    """Each value as JSON."""
    lines = _encoder.encode_lines(values).decode().split("\n")
    lines.pop()
    return lines


def groups(matches: list[Match]) -> list[tuple[Any, ...]]:
    """The groups of all matches, by columns."""
    return list(zip(*map(re.Match.groups, matches), strict=True))


def guard(row: Row, absent: frozenset[str]) -> str:
    """What a line must and must not begin with so that `row` is the first that may match it."""
    kinds: dict[str, list[str]] = {}  # by what must not match
    for kind, rows in ROWS.items():
        if row in rows:
            before = [each for each in _before(row, rows) if each.needs not in absent]
            earlier = "|".join(_nameless(each.lead or each.pattern) for each in before)
            kinds.setdefault(f"(?!{earlier})" if earlier else "", []).append(kind)
    digits_first = sorted(kinds.items(), key=lambda each: "0" not in each[1])
    ways = [_first(some) + earlier for earlier, some in digits_first]
    return f"(?:{'|'.join(ways)})" if ways else "(?!)"


@cache
def needs(row: Row) -> frozenset[str]:
    """The texts without which a row before this one does not match."""
    before = [each for rows in ROWS.values() if row in rows for each in _before(row, rows)]
    return frozenset(each.needs for each in before if each.needs and not each.lead)


def _before(row: Row, rows: list[Row]) -> list[Row]:
    return rows[: rows.index(row)]


def _nameless(pattern: str) -> str:
    return f"(?:{NAMED_GROUP.sub('(?:', pattern)})"


def _first(kinds: list[str]) -> str:
    """A look-ahead for the first characters of some kinds, or for most of them."""
    characters = "".join("0-9" if kind == "0" else re.escape(kind) for kind in kinds if kind != "a")
    ways = [f"[{characters}]"] if characters else []
    if "a" in kinds:
        ways.append(f"(?![{''.join(sorted(LETTERS))}])[A-Za-z]")
    return f"(?={'|'.join(ways)})"
