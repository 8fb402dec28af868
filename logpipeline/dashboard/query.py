"""Query: what the address of the page says about it, so that a filtered page can be bookmarked."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from logpipeline.dashboard.search import Filters
from logpipeline.events.event import LEVELS

CHARACTERS = 2_000  # of a query
THEMES: dict[str, bool | None] = {"auto": None, "dark": True, "light": False}  # name → dark
ZONES = ("local", "utc")
NO_FILTERS = Filters()
NO_PERIOD = (0, 0)
BEFORE = 60  # seconds before an alert opened that a click on it shows
EVENT = 60  # characters of an event's name
# Where to look: name → what people read, seconds of the archive. "period" is chosen in the chart.
SOURCES: dict[str, tuple[str, float]] = {
    "newest": ("Newest, live", 0.0),
    "hour": ("Archive, last hour", 3_600.0),
    "day": ("Archive, last day", 86_400.0),
    "week": ("Archive, last 7 days", 7 * 86_400.0),
    "all": ("Archive, everything", math.inf),
    "period": ("Archive, this period", 0.0),
}


@dataclass(frozen=True)
class PageQuery:
    """What one viewer has chosen. `span` is one of chart.SPANS, `theme` one of THEMES, `source` one
    of SOURCES, `period` its Unix times when that is "period"; `zone` is "local", "utc", or "" for
    what TIME_ZONE says."""

    filters: Filters = NO_FILTERS
    span: str = "hour"
    theme: str = "auto"
    source: str = "newest"
    period: tuple[int, int] = NO_PERIOD
    zone: str = ""
    event: str = ""

    @classmethod
    def parse(cls, search: object) -> "PageQuery":
        """The choices in a browser's `location.search`, whatever a browser may have sent."""
        text = search[1 : CHARACTERS + 1] if isinstance(search, str) else ""
        fields = dict(parse_qsl(text))
        levels = fields.get("level", "").upper().split(",")
        return cls(
            Filters.of(levels, fields.get("service"), fields.get("q")),
            "day" if fields.get("span") == "day" else "hour",
            fields["theme"] if fields.get("theme") in THEMES else "auto",
            *_source(fields),
            fields["zone"] if fields.get("zone") in ZONES else "",
            fields.get("event", "")[:EVENT],
        )

    def __str__(self) -> str:
        """With its question mark; defaults are omitted."""
        fields = {
            "level": ",".join(level for level in LEVELS if level in self.filters.levels),
            "service": self.filters.service,
            "q": self.filters.words,
            "span": self.span if self.span == "day" else "",
            "theme": self.theme if self.theme != "auto" else "",
            "in": self.source if self.source != "newest" else "",
            "from": str(self.period[0]) if self.source == "period" else "",
            "to": str(self.period[1]) if self.source == "period" else "",
            "zone": self.zone,
            "event": self.event,
        }
        shown = {name: value for name, value in fields.items() if value}
        return "?" + urlencode(shown, errors="replace")

    def since(self, now: float) -> float:
        """The Unix time from which on the archive is searched."""
        return self.period[0] if self.source == "period" else now - SOURCES[self.source][1]

    @property
    def to(self) -> float:
        return self.period[1] if self.source == "period" else math.inf

    def filtered(
        self, levels: Iterable[str] | None = None, service: object = None, words: object = None
    ) -> "PageQuery":
        """The same with some of the filters changed: those that are not None."""
        old = self.filters
        filters = Filters.of(
            old.levels if levels is None else levels,
            old.service if service is None else service,
            old.words if words is None else words,
        )
        return replace(self, filters=filters)

    def within(self, source: object) -> "PageQuery":
        """Another one of SOURCES."""
        if not isinstance(source, str) or source not in SOURCES:
            return self
        if source == "period" and self.period == NO_PERIOD:
            return self  # it is chosen in the chart
        return replace(self, source=source)

    def with_term(self, term: object) -> "PageQuery":
        """One more term in the search."""
        words = self.filters.words
        if not isinstance(term, str) or not term or term in words.split():
            return self
        return self.filtered(words=f"{words} {term}".strip())

    def about_alert(self, alert: object, now: float) -> "PageQuery":
        """The events that an alert is about: `alert` is, with spaces between, the Unix times at
        which it opened and was over, 0 while it is open, its levels, and its service."""
        parts = alert.split(" ", 3) if isinstance(alert, str) else []
        if len(parts) < 4 or not all(re.fullmatch(r"[0-9]{1,11}", each) for each in parts[:2]):
            return self
        since, to = int(parts[0]), int(parts[1]) or int(now)
        if not since <= to <= now:
            return self
        period = max(0, since - BEFORE), to + 1
        filters = Filters.of(parts[2].split(","), parts[3])
        return replace(self, filters=filters, source="period", period=period)

    def with_other_zone(self, default: str) -> "PageQuery":
        """`default` is the one of TIME_ZONE."""
        other = "local" if (self.zone or default) == "utc" else "utc"
        return replace(self, zone="" if other == default else other)

    def with_next_theme(self) -> "PageQuery":
        names = [*THEMES]
        return replace(self, theme=names[(names.index(self.theme) + 1) % len(names)])


def _source(fields: Mapping[str, str]) -> tuple[str, tuple[int, int]]:
    """Where to look, and the period, which is within a calendar's times."""
    source = fields.get("in", "newest")
    if source != "period":
        return source if source in SOURCES else "newest", (0, 0)
    begin, end = (fields.get(name, "") for name in ("from", "to"))
    if not all(re.fullmatch(r"[0-9]{1,11}", text) for text in (begin, end)):
        return "newest", (0, 0)
    return ("period", (int(begin), int(end))) if int(begin) < int(end) else ("newest", (0, 0))
