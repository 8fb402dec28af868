"""Uniform heads: lines that begin with a time, perhaps a level, and where they are from."""

import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from logpipeline.events import levels
from logpipeline.events.text_formats import INSIDE, LOGGER, TAIL_ROWS, Row
from logpipeline.events.uniform import BEGINNINGS, Made, Match, Uniform, encoded, groups

PLAIN = {"at", "s", "f", "z", "service", "tag", "host", "logger", "pri"}  # names of groups

Columns = list[tuple[Any, ...]]  # of the groups of all matches
Column = Sequence[Any]


class UniformHeads(Uniform):
    """Converts lines of a row that `fits`, by columns, as `Row.understood` does."""

    def __init__(self, row: Row, tail: str, absent: frozenset[str]) -> None:
        super().__init__(row, tail, absent)
        self._end = re.compile(row.pattern, re.ASCII).groups + 1  # that of the row's own match
        self._is_frame = "service" in row.groups

    @staticmethod
    def fits(row: Row) -> bool:
        """Whether the row has a time with its date, and nothing that needs a closer look."""
        names = {name for name, number in row.groups.items() if number not in row.levels}
        return "at" in names <= PLAIN and not (row.is_java and row.named)

    def events(self, texts: list[str], matches: list[Match]) -> Made:
        columns: Columns = groups(matches)
        at, second, part, zone = (self._column(columns, name) for name in ("at", "s", "f", "z"))
        moments = list(zip(at, second, zone, strict=True))
        stamps = self._stamps([each for each in moments if each[0] is not None])
        # Its fraction would count backwards from a time before 1970.
        known = {each: stamp for each, stamp in stamps.items() if stamp and stamp[0] != "-"}
        stated = self._stated(columns)
        made: Made = list(
            map(
                "".join,
                zip(
                    [BEGINNINGS[level] for level in stated],
                    encoded(texts),
                    repeat(',"timestamp":'),
                    [known.get(moment, "") for moment in moments],
                    [f".{fraction}" if fraction else "" for fraction in part],
                    *self._fields(columns, stated),
                ),
            )
        )
        certain = self._certain(texts, matches, stated)
        if len(known) < len(stamps) or None in at or not all(certain):
            for number, moment in enumerate(moments):
                made[number] = made[number] if moment in known and certain[number] else None
        return made

    def _suffix(self) -> str:
        return rf"()(?:{LOGGER.pattern})?" if self._row.is_java else "()"

    def _column(self, columns: Columns, name: str) -> Column:
        place = self._row.groups.get(name)
        return columns[place - 1] if place else [None] * len(columns[0])

    def _certain(self, texts: list[str], matches: list[Match], stated: Column) -> list[bool]:
        """Whether nothing that follows the match of a line has a meaning."""
        if self._is_frame:  # in which there may be another line
            ends = [match.end(self._end) for match in matches]
            return [not INSIDE.match(line, end) for line, end in zip(texts, ends, strict=True)]
        if not self._row.is_iso or None not in stated:
            return [True] * len(texts)
        return [
            level is not None or not any(row.match(line, match.end(self._end)) for row in TAIL_ROWS)
            for line, match, level in zip(texts, matches, stated, strict=True)
        ]

    def _stated(self, columns: Columns) -> list[str | None]:
        """The levels."""
        names: Column = [None] * len(columns[0])
        for number in reversed(self._row.levels):
            if any(column := columns[number - 1]):
                names = [one or other for one, other in zip(column, names, strict=True)]
        known = {name: levels.named(name) if name else None for name in {*names}}
        stated = [known[name] for name in names]
        if "pri" in self._row.groups:
            numbers = self._column(columns, "pri")
            scale = {pri: levels.on_scale(int(pri), "syslog") if pri else None for pri in numbers}
            stated = [level or scale[pri] for level, pri in zip(stated, numbers, strict=True)]
        return stated

    def _fields(self, columns: Columns, stated: Column) -> list[Iterable[str]]:
        """The ends of the events: the fields, and the service."""
        if self._row.is_java:
            loggers = columns[self._end]
            shown = _named("logger", loggers)
            if None in stated:
                shown = [text if level else "" for text, level in zip(shown, stated, strict=True)]
            return [shown, repeat(self._tail)]
        fields: list[Iterable[str]] = []
        tails: Iterable[str] = repeat(self._tail)
        for name in self._row.named:
            values = self._column(columns, name)
            field = "service" if name == "tag" else name
            fields.append(_named(field, values))
            if field == "service":
                tails = ["}" if value else tail for value, tail in zip(values, tails, strict=False)]
        return [*fields, tails]


def _named(name: str, values: Column) -> list[str]:
    """The field in each event that has a value for it."""
    return [
        f',"{name}":{text}' if value else ""
        for value, text in zip(values, encoded(values), strict=True)
    ]
