"""Clock: Unix times in the viewer's own time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

DAY = 86_400.0  # seconds


class Clock:
    """`zone` is an IANA name, as a browser reports it; an unknown one means UTC."""

    def __init__(self, zone: str = "UTC") -> None:
        try:
            self._zone = ZoneInfo(zone)
            self.zone = zone
        except (ValueError, OSError, KeyError):  # no such name, or no such data
            self._zone = ZoneInfo("UTC")
            self.zone = "UTC"

    def short(self, moment: float, now: float) -> str:
        """The time of day with milliseconds; with the date instead when `now` is another day."""
        at = self._at(moment)
        if at is None:
            return "no date"
        if at.date() == datetime.fromtimestamp(now, self._zone).date():
            return f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
        return f"{at:%y-%m-%d %H:%M}"

    def minute(self, moment: float) -> str:
        at = self._at(moment)
        return f"{at:%H:%M}" if at else "no date"

    def day(self, moment: float, now: float) -> str:
        """The time of day, with the date when `now` is another day."""
        at, today = self._at(moment), self._at(now)
        if not at or (today and at.date() == today.date()):
            return self.minute(moment)
        return f"{at:%b %d, %H:%M}"

    def bar(self, moment: float, last: float, size: float = 60.0) -> str:
        """The time of day, with the date when `last` is another day, and with seconds for bars of
        a `size` below a minute."""
        at, end = self._at(moment), self._at(last)
        if at and size < 60:
            return f"{at:%H:%M:%S}"
        if not at or not end or at.date() == end.date() or last - moment < DAY:
            return self.minute(moment)
        return f"{at:%m-%d %H:%M}"

    def span(self, begin: float, end: float) -> str:
        """A period, with its date."""
        first, last = self._at(begin), self._at(end)
        if not first or not last:
            return "no date"
        days = first.date() != last.date()
        return f"{first:%b %d, %H:%M} to {last:{'%b %d, ' if days else ''}%H:%M}"

    def full(self, moment: float) -> str:
        """Date, time and zone."""
        at = self._at(moment)
        if at is None:
            return f"{moment:g} s after 1970, outside the calendar"
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {self.zone} ({at:%z})"

    def utc(self, moment: float) -> str:
        try:
            return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
        except (ValueError, OSError, OverflowError):
            return f"{moment:g}"

    def _at(self, moment: float) -> datetime | None:
        try:
            return datetime.fromtimestamp(moment, self._zone)
        except (ValueError, OSError, OverflowError):
            return None


def duration(seconds: float) -> str:
    """A duration in at most two units."""
    whole = int(min(max(0.0, seconds), 1e12))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
