"""Uniform access: the lines of the commonest access logs, converted by columns."""

import msgspec

from logpipeline.events import levels, requests
from logpipeline.events.uniform import BEGINNINGS, Made, Match, Uniform, encoded


class UniformAccess(Uniform):
    """Converts lines of a row that has `access`, as `Row.understood` does."""

    def events(self, texts: list[str], matches: list[Match]) -> Made:
        access, tail = self._row.access, self._tail
        columns = list(zip(*[match.group(*access) for match in matches], strict=True))
        ats, seconds, zones, methods, paths, codes, sizes, clients = columns
        stamps = self._stamps(zip(ats, seconds, zones, strict=True))
        starts = {code: _start(code) for code in {*codes}}
        took = _durations(texts)
        made: Made = []
        for text, at, second, zone, method, path, code, size, client, taken in zip(
            *(encoded(texts), ats, seconds, zones, methods, encoded(paths), codes, sizes),
            *(encoded(clients), took),
            strict=True,
        ):
            stamp = stamps[at, second, zone]
            if stamp is None:
                made.append(None)
                continue
            begin, status = starts[code]
            request = f',"method":"{method}","path":{path}' if method else ""
            sent = f',"bytes":{size if size[0] != "0" else int(size)}' if size else ""
            made.append(
                f'{begin}{text},"timestamp":{stamp}{request},"status":{status}{sent}{taken}'
                f',"client":{client}{tail}'
            )
        return made


def _start(code: str) -> tuple[str, str]:
    """The beginning of an event with this status, and the status."""
    level = levels.of_status(code) if code[0] in "45" else None
    return BEGINNINGS[level], str(int(code))


def _durations(texts: list[str]) -> list[str]:
    """The field of the duration of each line that states one."""
    together = "\n".join(texts) + "\n"
    if not ("rt=" in together or "_time" in together or "ms\n" in together):
        return [""] * len(texts)
    return list(map(_duration, texts))


def _duration(line: str) -> str:
    if not ("rt=" in line or "_time" in line or line[-2:] == "ms"):
        return ""
    fields: dict[str, object] = {}
    requests.add_duration(fields, line)
    return f",{msgspec.json.encode(fields)[1:-1].decode()}" if fields else ""
