"""Uniform common: the commonest lines of access logs, whose parts need no care in JSON."""

import re
from itertools import repeat

from logpipeline.events import levels, requests, times
from logpipeline.events.formats import FORMATS
from logpipeline.events.text_formats import Row
from logpipeline.events.uniform import BEGINNINGS, Made, Match, encoded, groups

# The row's pattern finds the same in these lines, at twice the cost. Nothing found needs an escape,
# nor has a zero before it. No row before that one matches a line that begins with an address.
COMMON = (
    r"(\d{1,3}+\.\d{1,3}+\.\d{1,3}+\.\d{1,3}+) [^\[\"]*+"
    r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:[0-6]\d [+-]\d{4})\] "
    r'"([A-Z]{2,20}+) ([^"\\ \x00-\x1f]*+) HTTP/\d\.\d" (\d{3}) (0|[1-9]\d{0,14}+)(?=\s|$)'
)


class UniformCommon:
    """Converts the commonest lines of a row that `fits`, by columns, as `Row.understood` does."""

    pattern = re.compile(COMMON, re.ASCII)

    def __init__(self, row: Row, tail: str) -> None:
        self._clock = row.clock
        self._tail = f'"{tail}'

    @staticmethod
    def fits(row: Row) -> bool:
        """Whether the pattern finds in the row's example what the row does."""
        [example] = [form.example for form in FORMATS if form.name == row.name]
        ours, theirs = UniformCommon.pattern.match(example), row.match(example)
        if not ours or not theirs or not row.access:
            return False
        at, second, zone, *others, client = theirs.group(*row.access)
        return ours.groups() == (client, f"{at}:{second} {zone}", *others)

    def events(self, texts: list[str], matches: list[Match]) -> Made:
        """The events of lines that have `matches` of the pattern."""
        clients, moments, methods, paths, codes, sizes = groups(matches)
        stamps = {moment: self._stamp(moment) for moment in {*moments}}
        befores = {method: f',"method":"{method}","path":"' for method in {*methods}}
        starts = {code: beginning(code) for code in {*codes}}
        responses = {code: f'","status":{int(code)},"bytes":' for code in starts}
        durations = requests.durations(texts)
        made: Made = list(
            map(
                "".join,
                zip(
                    map(starts.__getitem__, codes),
                    encoded(texts),
                    map(stamps.__getitem__, moments),
                    map(befores.__getitem__, methods),
                    paths,
                    map(responses.__getitem__, codes),
                    sizes,
                    *([durations] if durations else []),
                    repeat(',"client":"'),
                    clients,
                    repeat(self._tail),
                ),
            )
        )
        if "" in stamps.values():
            for number, moment in enumerate(moments):
                made[number] = made[number] if stamps[moment] else None
        return made

    def _stamp(self, moment: str) -> str:
        """The field of the time; nothing for an invalid one, such as one of an unknown month."""
        seconds = times.seconds(moment[:17], self._clock, moment[18:20], None, moment[21:])
        return f',"timestamp":{seconds}' if seconds else ""


def beginning(code: str) -> str:
    """The beginning of an event with this status."""
    return BEGINNINGS[levels.of_status(code) if code[0] in "45" else None]
