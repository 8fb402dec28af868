"""Uniform common: the commonest lines of access logs, whose parts need no care in JSON."""

import re
from itertools import repeat

from logpipeline.events import levels, requests, times
from logpipeline.events.formats import FORMATS
from logpipeline.events.text_formats import Row
from logpipeline.events.uniform import BEGINNINGS, Made, Match, encoded

# The row's pattern finds the same in these lines, at twice the cost. Nothing found needs an escape,
# nor has a zero before it. No row before that one matches a line that begins with an address.
COMMON = re.compile(
    r"(\d{1,3}+\.\d{1,3}+\.\d{1,3}+\.\d{1,3}+) [^\[\"]*+"
    r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:[0-6]\d [+-]\d{4})\] "
    r'"([A-Z]{2,20}+) ([^"\\ \x00-\x1f]*+) HTTP/\d\.\d" (\d{3}) (0|[1-9]\d{0,14}+)(?=\s|$)',
    re.ASCII,
)


class UniformCommon:
    """Converts the commonest lines of a row that `fits`, together, as `Row.understood` does."""

    def __init__(self, row: Row, tail: str) -> None:
        self._clock = row.clock
        self._tail = f'"{tail}'

    @staticmethod
    def fits(row: Row) -> bool:
        """Whether the pattern finds in the row's example what the row does."""
        [example] = [form.example for form in FORMATS if form.name == row.name]
        ours, theirs = COMMON.match(example), row.match(example)
        if not ours or not theirs or not row.access:
            return False
        at, second, zone, *others, client = theirs.group(*row.access)
        return ours.groups() == (client, f"{at}:{second} {zone}", *others)

    def events(self, texts: list[str], matches: list[Match]) -> Made:
        """The events of lines that have `matches` of COMMON."""
        found = [match.groups() for match in matches]
        stamps = {at: self._stamp(at) for at in {each[1] for each in found}}
        befores = {name: f',"method":"{name}","path":"' for name in {each[2] for each in found}}
        starts = {code: BEGINNINGS[levels.of_status(code)] for code in {each[4] for each in found}}
        responses = {code: f'","status":{int(code)},"bytes":' for code in starts}
        durations, tail = requests.durations(texts) or repeat(""), self._tail
        made: Made = [
            f"{starts[code]}{text}{stamps[at]}{befores[method]}{path}"
            f'{responses[code]}{size}{duration},"client":"{client}{tail}'
            for (client, at, method, path, code, size), text, duration in zip(
                found, encoded(texts), durations, strict=False
            )
        ]
        if "" in stamps.values():
            return [one if stamps[each[1]] else None for each, one in zip(found, made, strict=True)]
        return made

    def _stamp(self, moment: str) -> str:
        """The field of the time; nothing for an invalid one, such as one of an unknown month."""
        seconds = times.seconds(moment[:17], self._clock, moment[18:20], None, moment[21:])
        return f',"timestamp":{seconds}' if seconds else ""
