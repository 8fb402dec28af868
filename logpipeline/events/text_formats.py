"""Text formats: what a line of text states: level, time, and fields.

A line's first character selects the rows of FORMATS that are tried, in order; the first match wins.
What they do not give is looked for in the line's head. A level counts only where its format has
one: a word such as "error" in the message is text.
"""

import re
from typing import Any, NamedTuple

from logpipeline.events import levels, moments, requests, times
from logpipeline.events.formats import FORMATS, TAILS
from logpipeline.events.levels import COLOURS, named
from logpipeline.events.parts import ANY_CASE, LETTER, LEVEL, THEN_LEVEL, Format

__all__ = ["COLOURS", "FORMATS", "MOST", "Format", "Row", "Understood", "read", "understand"]

PAIRS = re.compile(r'([\w.@/-]{1,64}+)=("[^"\\]*+(?:\\.[^"\\]*+)*+"|\S*+)', re.ASCII)  # logfmt
PAIR_LEVELS = {"level", "lvl", "severity", "loglevel", "@level", "priority", "at"}
PAIR_TIMES = {"time", "ts", "t", "timestamp", "datetime", "eventtime", "@timestamp"}
MOST = 8_192  # characters of a line that are scanned: an access log's status follows the URL
NEXT_LEVEL = re.compile(THEN_LEVEL, re.ASCII)
ANY_LEVEL = re.compile(rf"(?<![\w.=/-])(?:{LEVEL}|{LETTER})", re.ASCII)
BESIDE = re.compile(rf"\W*({ANY_CASE})[\s,]{{1,3}}\Z", re.ASCII)
# How the text in syslog's frame begins that may itself be a line of a log.
INSIDE = re.compile(
    rf"\{{|@cee:|\[?\d{{4}}[-/.]\d|[\da-f:][\w.:]{{2,45}}+ (?:\S+ ){{0,3}}\[\d|[IWEF]\d{{4}} "
    rf"|\[?\d{{10}}\.\d|[A-Za-z_]{{1,20}}+=|[TDIWEF] \| |{LEVEL}",
    re.ASCII,
)
# A Java logger: dotted, or a class before a dash, or a class in its package.
LOGGER = re.compile(
    r"[\s:|\]-]*+(?:\d++ --- )?(?:\[[^\]]*+\]\s*+){0,2}(?:- )?\[?"
    r"((?:[A-Za-z_$][\w$-]{0,80}+\.){1,20}(?![\w$]*(?:Exception|Error)\b)[\w$-]{1,80}+"
    r"(?=\s*[:\]|]|\s+- |\s\[[^\]]*+\]\s*- )|[A-Z][\w$]{1,80}+(?= - )"
    r"|(?:[a-z_]\w{0,80}+\.){2,20}[A-Z][\w$]{1,80}+(?:\.[\w$]{1,80}+)?(?= \S))",
    re.ASCII,
)
BRACKETED = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|\"[^\"]*\"")
MOST_WORDS = 6  # before a time
ACCESS_GROUPS = ("at", "s", "z", *requests.PARTS)
KEYS = ("time", "timestamp", "@timestamp", "date", "datetime", "ts", "at", "t")

Reading = tuple[str | None, str | None]  # one of LEVELS, Unix seconds; None if missing
Fields = dict[str, Any]


class Understood(NamedTuple):
    """What a line states. `row` is its format; its own text begins at `rest`, 0 for the whole."""

    level: str | None = None
    seconds: str | None = None
    fields: Fields | None = None
    row: "Row | None" = None
    rest: int = 0


NOTHING = Understood()
_new = tuple.__new__


def read(text: str) -> Reading:
    """The level and the time in a line."""
    found = understand(text)
    return found.level, found.seconds


def understand(text: str, likely: "Row | None" = None) -> Understood:
    """What a line states. `likely` is the format of the line before it, which is tried first if
    none that comes before it in the table can match."""
    text = text[:MOST]
    if "\x1b[" in text:
        text = COLOURS.sub("", text)
    first = text[:1]
    kind = first if first in ROWS else "0" if first.isdecimal() else "a" if first.isalpha() else ""
    if likely is not None and (earlier := likely.earlier.get(kind)) and not earlier(text):
        found = likely.match(text)
        if found and (stated := likely.understood(found, text)):
            return stated
    for row in ROWS.get(kind, ()):
        if row.needs in text:
            found = row.match(text)
            if found and (stated := row.understood(found, text)):
                return stated
    if "=" in text and first.isalpha() and PAIRS.match(text):
        return _pairs(text)
    return _in_head(text) if ":" in text or "." in text or kind == "0" else NOTHING


class Row:
    """A compiled format. `earlier` tells, by kind, whether a row before it in the table may match
    a line; a kind is missing if that would cost as much as to try these rows."""

    def __init__(self, form: Format) -> None:
        pattern = re.compile(form.pattern, re.ASCII)
        groups = pattern.groupindex
        self.name = form.name
        self.match = pattern.match
        self.needs = form.needs
        self.lead, self.pattern, self.clock = form.lead, form.pattern, form.clock
        self.earlier: dict[str, Any] = {}
        self.levels = [groups[name] for name in groups if name[0] == "l" and name != "logger"]
        self._moment = [groups.get(name, 0) for name in ("at", "s", "f", "z")]
        self.groups = groups
        self._has = groups.keys()
        self._is_request = not groups.keys().isdisjoint(("status", "method", "client"))
        self._level_of_all = form.level or None
        self._request = requests.Groups(groups)
        self.access = (
            [groups[name] for name in ACCESS_GROUPS] if groups.keys() == {*ACCESS_GROUPS} else []
        )
        self.named = [name for name in ("service", "tag", "host", "logger") if name in groups]
        self._is_frame = "service" in groups or "tai" in groups
        self.is_yearless = form.clock in times.YEARLESS
        self.is_java = "l3" in groups and form.first != "a["
        self.is_iso = "l3" in groups and not form.clock

    def understood(self, found: re.Match[str], text: str) -> Understood | None:
        """What a matching line states; None when its time is invalid."""
        if self.access:
            return self._of_access(found, text)
        level, has = self._level(found), self._has
        seconds, end = None, found.end()
        fields: Fields | None = self._request.fields(found, text) if self._is_request else None
        if "at" in has and found["at"]:
            seconds = self._seconds(found)
            if seconds is None:
                return None
        elif "epoch" in has:
            seconds = times.joined(int(found["epoch"]), found["f"] if "f" in has else None)
        elif "number" in has:
            seconds = times.of_number(found["number"])
        elif "tai" in has:
            seconds = times.of_tai(found["tai"], found["nanos"])
            if seconds is None:
                return None
        elif text[:1] != "<":
            seconds = _time_in_head(text)
        for name in self.named:
            if value := found[name]:
                fields = fields or {}
                fields["service" if name == "tag" else name] = value
        if level is not None and self.is_java and (logger := LOGGER.match(text, end)):
            fields = fields or {}
            fields["logger"] = logger[1]
        elif level is None and self.is_iso and end < len(text):
            for tail in TAIL_ROWS:
                if after := tail.match(text, end):
                    return tail.after(after, text, seconds)
        rest = end if self._is_frame else 0
        return _new(Understood, (level, seconds, fields, self, rest))  # at a third of the cost

    def _of_access(self, found: re.Match[str], text: str) -> Understood | None:
        """The same for the commonest access logs, at half of the cost."""
        at, second, zone, method, path, status, size, client = found.group(*self.access)
        seconds = times.seconds(at, self.clock, second, None, zone)
        if seconds is None:
            return None
        level = levels.of_status(status) if status[0] in "45" else None
        fields: Fields = {"method": method, "path": path} if method else {}
        fields["status"] = int(status)
        if size:
            fields["bytes"] = int(size)
        requests.add_duration(fields, text)
        fields["client"] = client
        return _new(Understood, (level, seconds, fields, self, 0))

    def after(self, found: re.Match[str], text: str, seconds: str | None) -> Understood:
        """What a line with an ISO time states, whose rest matches."""
        fields = self._request.fields(found, text) if self._is_request else {}
        fields |= {name: found[name] for name in self.named if found[name]}
        rest = found.end() if self._is_frame else 0
        return Understood(self._level(found), seconds, fields, self, rest)

    def _seconds(self, found: re.Match[str]) -> str | None:
        at, second, fraction, zone = found.group(*self._moment)
        if not self._moment[2]:
            fraction = found["ms"].zfill(3) if "ms" in self._has and not self._is_request else None
        if not self._moment[3]:
            zone = None
        if "clock" in self._has:
            at = f"{at} {found['clock']}"
        if "more" in self._has:
            at = f"{at} {found['more'].strip()}"
        return times.seconds(at, self.clock, second, fraction, zone)

    def _level(self, found: re.Match[str]) -> str | None:
        last = found.lastindex
        for group in (last,) if last in self.levels else self.levels:
            if name := found[group]:
                return named(name)
        if "pri" in self._has:
            return levels.on_scale(int(found["pri"]), "syslog")
        if "status" in self._has and found["status"]:
            return levels.of_status(found["status"])
        return self._level_of_all


def _time_in_head(text: str) -> str | None:
    """The time in the head of a line whose format has none."""
    found = moments.find(text)
    return found.seconds if found and _is_head(text, found.start) else None


def _in_head(text: str) -> Understood:
    """The time and the level in the head of a line without a known format."""
    found = moments.find(text)
    if not found or not _is_head(text, found.start):
        return NOTHING
    after = NEXT_LEVEL.match(text, found.end)
    name = after and after.lastindex and after[after.lastindex]
    end = after.end() if name and after else found.end
    if not name and (before := ANY_LEVEL.search(text, 0, found.start)):
        name = before[before.lastindex or 0]
    elif not name and (before := BESIDE.match(text[: found.start])):
        name = before[1]
    level = named(name) if name else None
    fields = {"logger": logger[1]} if level and (logger := LOGGER.match(text, end)) else None
    return Understood(level, found.seconds, fields, IN_HEAD)


def _is_head(text: str, end: int) -> bool:
    """Whether what precedes a time is no sentence, whose time would be another one's."""
    before = text[:end].rstrip()
    if not before:
        return True
    if before[0] == "{":  # JSON that is cut, or has other fields
        return before.endswith(':"') and before[:-2].strip('" ').rpartition('"')[2] in KEYS
    words = BRACKETED.sub(" ", before).split()
    if len(words) > MOST_WORDS:
        return False
    last = words[-1] if words else ""
    if last[-1:] in ("=", ":") and last[-2:] != "==":
        last = last[:-1]
        return last.lower() in KEYS or named(last) is not None or not last.strip("[|:=#")
    if last.isalpha() and last.islower():
        return named(last) is not None or last == "time"
    return last[-1:] not in ("'", "(") and not last.endswith('="')


def _pairs(text: str) -> Understood:
    """logfmt: time=2024-03-23T22:56:07Z level=error msg="no such order"."""
    level = seconds = date = None
    parts: Fields = {}
    for found in PAIRS.finditer(text):
        name, value = found[1].lower(), found[2].strip('"')
        if level is None and name in PAIR_LEVELS:
            level = named(value) if not value.isdecimal() else None
        elif seconds is None and name in PAIR_TIMES:
            seconds = times.of_text(value) or (date and times.of_text(f"{date} {value}"))
        elif name == "date":
            date = value
        elif name in requests.PAIRS:
            parts.setdefault(requests.PAIRS[name], value)
    fields = requests.of_pairs(parts)
    if fields and level is None:
        level = levels.of_status(fields.get("status", ""))
    return Understood(level, seconds, fields, LOGFMT)


def _before(rows: list[Row], leads: list[str]) -> Any:
    """Whether one of the rows may match a line; None without a quick way to know."""
    if not all(leads):
        return None
    pattern = "|".join(leads) if rows else r"(?!)"
    return re.compile(pattern, re.ASCII).match


def _kinds(form: Format) -> set[str]:
    """The first characters of a format's lines; "a" stands for the letters that no format names."""
    return {*form.first, *LETTERS} if "a" in form.first else {*form.first}


def _rows() -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    leads: dict[str, list[str]] = {}
    for form in FORMATS:
        row = Row(form)
        for kind in _kinds(form):
            before = rows.setdefault(kind, [])
            row.earlier[kind] = _before(before, leads.setdefault(kind, []))
            before.append(row)
            leads[kind].append(form.lead)
    return rows


LETTERS = {letter for form in FORMATS for letter in form.first if letter.isalpha()}
ROWS = _rows()
TAIL_ROWS = [Row(form) for form in TAILS]
LOGFMT = Row(Format("logfmt", "a", r"(?!)", "", 'level=error msg="no such order"'))
IN_HEAD = Row(Format("a date and time in the line's head", "", r"(?!)", "", ""))
