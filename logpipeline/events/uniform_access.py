"""Uniform access: the lines of an access log, converted together."""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat

from logpipeline.events import levels, requests
from logpipeline.events.text_formats import Row
from logpipeline.events.uniform import BEGINNINGS, Made, Match, Uniform, encoded, groups
from logpipeline.events.uniform_common import COMMON, UniformCommon

Texts = Iterable[str]


class UniformAccess(Uniform):
    """Converts lines of a row that has `access`, as `Row.understood` does."""

    def __init__(self, row: Row, tail: str, absent: frozenset[str]) -> None:
        super().__init__(row, tail, absent)
        self._common = UniformCommon(row, tail) if UniformCommon.fits(row) else None

    def matches(self, texts: list[str]) -> list[Match | None]:
        if not self._common:
            return super().matches(texts)
        found: list[Match | None] = list(map(COMMON.match, texts))
        if None in found:
            found = [match or self._match(text) for match, text in zip(found, texts, strict=True)]
        return found

    def events(self, texts: list[str], matches: list[Match]) -> Made:
        if not self._common:
            return self._others(texts, matches)
        common = [match.re is COMMON for match in matches]
        if False not in common:
            return self._common.events(texts, matches)
        made = iter(_chosen(self._common.events, texts, matches, common))
        rest = iter(_chosen(self._others, texts, matches, [not each for each in common]))
        return [next(made if each else rest) for each in common]

    def _others(self, texts: list[str], matches: list[Match]) -> Made:
        """The events of lines that have matches of the row, by columns."""
        columns = groups(matches)
        ats, seconds, zones, methods, paths, codes, sizes, clients = (
            columns[number - 1] for number in self._row.access
        )
        moments = list(zip(ats, seconds, zones, strict=True))
        stamps = self._stamps(moments)
        times = {moment: f',"timestamp":{stamp}' for moment, stamp in stamps.items()}
        starts = {code: BEGINNINGS[levels.of_status(code)] for code in {*codes}}
        responses = {code: f',"status":{int(code)}' for code in starts}
        durations = requests.durations(texts)
        made: Made = list(
            map(
                "".join,
                zip(
                    map(starts.__getitem__, codes),
                    encoded(texts),
                    map(times.__getitem__, moments),
                    *_requests(methods, paths),
                    map(responses.__getitem__, codes),
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


def _chosen(
    convert: Callable[[list[str], list[Match]], Made],
    texts: list[str],
    matches: list[Match],
    chosen: list[bool],
) -> Made:
    """The events of the chosen lines."""
    some = list(compress(texts, chosen))
    return convert(some, list(compress(matches, chosen))) if some else []


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
