"""Uniform heads: lines that begin with a time, perhaps a level, and where they are from."""

import re
from collections.abc import Sequence
from typing import Any

from logpipeline.events import levels
from logpipeline.events.text_formats import INSIDE, LOGGER, TAIL_ROWS, Row
from logpipeline.events.uniform import BEGINNINGS, Made, Match, Uniform, encoded

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
        columns: Columns = list(zip(*[match.groups() for match in matches], strict=True))
        at, second, part, zone = (self._column(columns, name) for name in ("at", "s", "f", "z"))
        moments = list(zip(at, second, zone, strict=True))
        stamps = self._stamps([each for each in moments if each[0] is not None])
        stated = self._stated(columns)
        ends = self._fields(columns, stated)
        is_certain = self._certain(texts, matches, stated)
        made: Made = []
        for text, moment, fraction, level, end, certain in zip(
            encoded(texts), moments, part, stated, ends, is_certain, strict=True
        ):
            stamp = stamps.get(moment)
            if stamp is None or stamp[0] == "-" or not certain:
                made.append(None)
                continue
            if fraction:
                stamp = f"{stamp}.{fraction}"
            made.append(f'{BEGINNINGS[level]}{text},"timestamp":{stamp}{end}')
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
        found = [columns[number - 1] for number in self._row.levels]
        names: Column = [None] * len(columns[0])
        for column in reversed(found):
            names = column if column is found[-1] else list(map(_either, column, names))
        known = {name: levels.named(name) if name else None for name in {*names}}
        stated = [known[name] for name in names]
        if "pri" in self._row.groups:
            numbers = self._column(columns, "pri")
            scale = {pri: levels.on_scale(int(pri), "syslog") if pri else None for pri in numbers}
            stated = [level or scale[pri] for level, pri in zip(stated, numbers, strict=True)]
        return stated

    def _fields(self, columns: Columns, stated: Column) -> list[str]:
        """The ends of the events: the fields, and the service."""
        tail = self._tail
        if self._row.is_java:
            loggers = columns[self._end]
            return [
                f',"logger":{text}{tail}' if logger and level else tail
                for logger, level, text in zip(loggers, stated, encoded(loggers), strict=True)
            ]
        ends = [""] * len(stated)
        for name in self._row.named:
            values = self._column(columns, name)
            field = "service" if name == "tag" else name
            ends = [
                f'{end},"{field}":{text}' if value else end
                for end, value, text in zip(ends, values, encoded(values), strict=True)
            ]
        own = ',"service":'
        return [end + ("}" if end.startswith(own) else tail) for end in ends]


def _either(first: str | None, second: str | None) -> str | None:
    return first or second
