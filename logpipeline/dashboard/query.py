"""Query: what the address of the page says about it, so that a filtered page can be bookmarked."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from logpipeline.dashboard.search import Filters
from logpipeline.events.event import LEVELS

CHARACTERS = 2_000  # of a query
THEMES: dict[str, bool | None] = {"auto": None, "dark": True, "light": False}  # name → dark
NO_FILTERS = Filters()


@dataclass(frozen=True)
class PageQuery:
    """What one viewer has chosen. `span` is one of chart.SPANS, `theme` one of THEMES."""

    filters: Filters = NO_FILTERS
    span: str = "hour"
    theme: str = "auto"

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
        )

    def __str__(self) -> str:
        """With its question mark; defaults are omitted."""
        fields = {
            "level": ",".join(level for level in LEVELS if level in self.filters.levels),
            "service": self.filters.service,
            "q": self.filters.words,
            "span": self.span if self.span == "day" else "",
            "theme": self.theme if self.theme != "auto" else "",
        }
        shown = {name: value for name, value in fields.items() if value}
        return "?" + urlencode(shown, errors="replace")

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

    def with_next_theme(self) -> "PageQuery":
        names = [*THEMES]
        return replace(self, theme=names[(names.index(self.theme) + 1) % len(names)])
