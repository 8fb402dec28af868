"""Uniform access: the lines of the commonest access logs, converted by columns."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import msgspec

from logpipeline.events import levels, requests
from logpipeline.events.formats import FORMATS
from logpipeline.events.text_formats import Row
from logpipeline.events.uniform import BEGINNINGS, Made, Match, Uniform, encoded, groups, guard

Texts = Iterable[str]

# The commonest of these lines, in which the row's pattern finds the same at twice the cost. What is
# not a month has no time.
QUICK = (
    r"(\d{1,3}+\.\d{1,3}+\.\d{1,3}+\.\d{1,3}+) \S++ \S++ "
    r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d):([0-6]\d) ([+-]\d{4})\] "
    r'"([A-Z]{2,20}+) ([^"\\ ]*+) HTTP/\d\.\d" (\d{3}) (\d{1,15}+)(?=\s|$)'
)


class UniformAccess(Uniform):
    """Converts lines of a row that has `access`, as `Row.understood` does."""

    def __init__(self, row: Row, tail: str, absent: frozenset[str]) -> None:
        super().__init__(row, tail, absent)
        self._quick = _same(re.compile(guard(row, absent) + QUICK, re.ASCII).match, row)

    def matches(self, texts: list[str]) -> list[Match | None]:
        if self._quick is None:
            return super().matches(texts)
        found: list[Match | None] = list(map(self._quick, texts))
        if None in found:
            found = [match or self._match(text) for match, text in zip(found, texts, strict=True)]
        return found

    def events(self, texts: list[str], matches: list[Match]) -> Made:
        columns = groups(matches)
        ats, seconds, zones, methods, paths, codes, sizes, clients = (
            columns[number - 1] for number in self._row.access
        )
        moments = list(zip(ats, seconds, zones, strict=True))
        stamps = self._stamps(moments)
        times = {moment: f',"timestamp":{stamp}' for moment, stamp in stamps.items()}
        starts = {code: _start(code) for code in {*codes}}
        durations = _durations(texts)
        made: Made = list(
            map(
                "".join,
                zip(
                    [starts[code][0] for code in codes],
                    encoded(texts),
                    map(times.__getitem__, moments),
                    *_requests(methods, paths),
                    [starts[code][1] for code in codes],
                    *([_sizes(sizes), durations] if durations else [_sizes(sizes)]),
                    repeat(',"client":'),
                    encoded(clients),
                    repeat(self._tail),
                ),
            )
        )
        if None in stamps.values():
            for number, moment in enumerate(moments):
                made[number] = made[number] if stamps[moment] else None
        return made


def _same(match: Callable[[str], Match | None], row: Row) -> Callable[[str], Match | None] | None:
    """A match, if it finds in the row's example what the row does."""
    [example] = [form.example for form in FORMATS if form.name == row.name]
    ours, theirs = match(example), row.match(example)
    return match if ours and theirs and ours.groups() == theirs.groups() else None


def _start(code: str) -> tuple[str, str]:
    """The beginning of an event with this status, and the field."""
    level = levels.of_status(code) if code[0] in "45" else None
    return BEGINNINGS[level], f',"status":{int(code)}'


def _requests(methods: Sequence[str | None], paths: Sequence[str | None]) -> tuple[Texts, Texts]:
    """The fields of what was requested: all but the path, and the path."""
    befores = {method: f',"method":"{method}","path":' if method else "" for method in {*methods}}
    texts = encoded(paths)
    if None in befores:
        texts = [text if method else "" for method, text in zip(methods, texts, strict=True)]
    return map(befores.__getitem__, methods), texts


def _sizes(sizes: Sequence[str | None]) -> list[str]:
    """The field of the bytes of each response that states them."""
    return [f',"bytes":{size if size[0] != "0" else int(size)}' if size else "" for size in sizes]


def _durations(texts: list[str]) -> Texts | None:
    """The field of the duration of each line that states one; None when no line does."""
    together = "\n".join(texts)
    # A single character is found at a hundredth of the cost.
    if ("=" in together and "rt=" in together) or ("_" in together and "_time" in together):
        return map(_duration, texts)
    if any(map(str.endswith, texts, repeat("ms"))):
        return map(_duration, texts)
    return None


def _duration(line: str) -> str:
    if not ("rt=" in line or "_time" in line or line[-2:] == "ms"):
        return ""
    fields: dict[str, object] = {}
    requests.add_duration(fields, line)
    return f",{msgspec.json.encode(fields)[1:-1].decode()}" if fields else ""
