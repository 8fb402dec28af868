"""Moments: one full date and time in the head of a line, in whatever order and style.

A time that is read wrong is worse than none: a date that can be two days is not stated, and neither
is a time whose zone is not known.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from logpipeline.events import times, zones

HEAD = 160  # characters of a line in which its time is looked for
WIDEST = 40  # characters of a date
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAME = (
    r"(?i:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}[,.]? {1,3})"
DATE = (
    rf"(?<![\w.:/-]){WEEKDAY}?(?:"
    rf"(?P<y1>\d{{4}})[-/. ](?P<m1>\d\d?|{NAME})[-/. ](?P<d1>\d\d?)"  # 2024-05-01, 2024/May/1
    r"|(?P<y2>\d{4})(?P<m2>\d\d)(?P<d2>\d\d)"
    r"|(?P<y9>\d{4})-?W(?P<m9>\d\d)-?(?P<d9>[1-7])"  # 2024-W18-3, a week's day
    r"|(?P<y0>(?:19|20)\d\d)-(?P<d0>\d{3})"  # 2024-122, a year's day
    rf"|(?P<d3>\d\d?)[-/. ](?P<m3>{NAME})[-/. ,]{{1,2}}(?P<y3>\d{{4}}|\d\d)"  # 1 May 2024
    rf"|(?P<da>\d\d)(?P<ma>{NAME})(?P<ya>\d{{4}})"  # 01MAY2024
    rf"|(?P<m4>{NAME})\.? {{1,2}}(?P<d4>\d\d?),? {{1,2}}(?P<y4>\d{{4}})"  # May 1, 2024
    r"|(?P<m5>\d\d?)/(?P<d5>\d\d?)/(?P<y5>\d{4}|\d\d)"  # 05/01/2024
    r"|(?P<d6>\d\d?)\.(?P<m6>\d\d?)\.(?P<y6>\d{4}|\d\d)"  # 01.05.2024
    r"|(?P<m7>\d\d?)-(?P<d7>\d\d?)-(?P<y7>\d{4})"  # 13-05-2024
    r"|(?P<y8>\d\d)(?P<m8>\d\d)(?P<d8>\d\d)"  # 240501
    ")"
)
UNREADABLE = (
    r"(?P<bad>[+-]\d[\d:]*+| ?(?![AP]M)[A-Z]{3,5}(?=[\])]| \d{4}\b)| [A-Z][a-z]+/[A-Z]\w*+)"
)
CLOCK = re.compile(
    r"(?<![\d.])(?<!\D\d\d:)(?<!\D\d:)(?P<h>\d\d?)(?P<c>[:.])(?P<n>\d\d)"
    r"(?:(?P=c)(?P<s>[0-6]\d)|(?=[ \u00a0\u202f][AaPp][Mm]\b))(?:[.,:](?P<f>\d{1,9})(?!\d))?"
    r"(?:[ \u00a0\u202f]?(?P<a>[AaPp])\.?[Mm](?![A-Za-z\d])\.?)?"
    rf"(?: ?\(?(?P<z>{zones.ZONE})\)?|{UNREADABLE})?(?!\d|:\d)",
    re.ASCII,
)
BEFORE = re.compile(DATE + r"(?:T|[:_ |]|::|-|\] ?\[|,? {1,3}(?:- |at |\| )?)\Z", re.ASCII)
AFTER = re.compile(r"[ ,|]{1,2}" + DATE + r"(?![\w.:/])", re.ASCII)
CTIME = re.compile(rf"{WEEKDAY}?(?P<m>{NAME}) {{1,2}}(?P<d>\d\d?) {{1,2}}\Z", re.ASCII)
YEAR = re.compile(r" (?P<y>(?:19|20)\d\d)(?![\w:.])", re.ASCII)
COMPACT = re.compile(
    r"(?<![\w.:/-])(?P<y>(?:19|20)\d\d)"
    r"(?:(?P<m>\d\d)(?P<d>\d\d)|W(?P<w>\d\d)(?P<v>[1-7])(?=T))[T_ -]?"
    r"(?P<h>\d\d)(?P<n>\d\d)(?P<s>[0-6]\d)(?:[.,](?P<f>\d{1,9}))?(?P<z>Z|[+-]\d{4})?(?![\w.])",
    re.ASCII,
)
QUICK = re.compile(
    r"\d[:.]\d\d(?:[:.]\d\d|.[AaPp][Mm])|\d{12}|\d{8}[T_ -]\d{6}|\d{4}W\d{3}T", re.ASCII
)


class Moment(NamedTuple):
    """A time and its place in the line; `seconds` is None if its day or zone can be several."""

    start: int
    end: int
    seconds: str | None


def find(text: str) -> Moment | None:
    """The first full date and time in a line's head."""
    if not QUICK.search(text, 0, HEAD):
        return None
    for clock in CLOCK.finditer(text, 0, HEAD):
        for start, end, date in _dates(text, clock):
            return _moment(start, end, date, clock.groupdict())
    if found := COMPACT.search(text, 0, HEAD):
        parts = found.groupdict()
        if parts["w"]:
            parts |= {"m": parts["w"], "d": parts["v"], "form": "9"}
        return _moment(found.start(), found.end(), parts, parts)
    return None


def _dates(text: str, clock: re.Match[str]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """The date beside a time of the day: where it and the time begin and end, and its parts."""
    start, end = clock.span()
    earliest = max(0, start - WIDEST)
    if found := BEFORE.search(text, earliest, start):
        yield found.start(), end, _parts(found)
    elif found := CTIME.search(text, earliest, start):
        if year := YEAR.match(text, end):
            yield found.start(), year.end(), _parts(found) | _parts(year)
    elif found := AFTER.match(text, end):
        yield start, found.end(), _parts(found)


def _parts(found: re.Match[str]) -> dict[str, str]:
    """The groups of one of DATE's forms, and its number."""
    parts = {name[0]: value for name, value in found.groupdict().items() if value}
    return parts | {"form": (found.lastgroup or "")[1:]}


def _moment(start: int, end: int, date: dict[str, Any], clock: dict[str, Any]) -> Moment | None:
    """The time; None when its day or hour is impossible."""
    day = _day(date["y"], date.get("m", ""), date["d"], date.get("form", ""))
    hour = _hour(int(clock["h"]), clock.get("a"))
    if day is None or hour is None:
        return None
    if not day or clock.get("bad"):
        return Moment(start, end, None)
    minute = f"{day} {hour:02}:{clock['n']}"
    return Moment(start, end, times.seconds(minute, "", clock["s"] or "0", clock["f"], clock["z"]))


def _hour(hour: int, half: str | None) -> int | None:
    """The hour of the day; None when it is impossible."""
    if half is None or (half in "pP" and hour > 12):
        return hour if hour < 24 else None
    if hour > 12:
        return None
    return hour % 12 + (12 if half in "pP" else 0)


@lru_cache(maxsize=1_000)
def _day(year: str, month: str, day: str, form: str) -> str | None:
    """The date in ISO 8601; "" when it can be two, None when it is none."""
    if form in ("9", "0"):
        return _counted(f"{year} {month} {day}", "%G %V %u" if form == "9" else "%Y  %j")
    if not month.isdecimal():
        month = str(MONTHS.index(month[:3].lower()) + 1)
    orders = [(year, month, day)]
    if form == "5" and len(year) == 2:
        orders += [(year, day, month), (month, day, year)]
    elif form == "7" or (form == "5" and int(month) > 12):
        orders.append((year, day, month))
    days = {made for order in orders if (made := _iso(*order))}
    return days.pop() if len(days) == 1 else "" if days else None


def _iso(year: str, month: str, day: str) -> str | None:
    try:
        made = datetime(int(year) + (2_000 if len(year) == 2 else 0), int(month), int(day))
    except ValueError:
        return None
    return None if made.year > datetime.now().year + 1 else made.strftime("%Y-%m-%d")


def _counted(day: str, clock: str) -> str | None:
    """The date of a day that is counted in its week or its year; None when there is none."""
    try:
        return datetime.strptime(day, clock).strftime("%Y-%m-%d")
    except ValueError:
        return None
