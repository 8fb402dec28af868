"""Wishes: what a tab wants to see, by its browser's events and by its address."""

import asyncio
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode
from weakref import ref

from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.layout import Layout
from logpipeline.dashboard.search import Filters
from logpipeline.dashboard.state import BAD, DashboardState
from logpipeline.events.event import LEVELS

QUERY = 2_000  # characters of the address's query
THEMES: dict[str, bool | None] = {"auto": None, "dark": True, "light": False}


class Wishes:
    """Notes what the parts of the `page` are told, and says so by `changed`: showing it is another
    one's task. `feed` keeps the boards at which lists stand still."""

    def __init__(self, page: Layout, feed: Feed) -> None:
        self.filters = Filters()
        self.span = "hour"
        self.theme = "auto"
        self.opened = ""  # id of the event to be shown whole
        self.to_top = False
        self.changed = asyncio.Event()
        self._page = page
        self._feed = feed
        self._holds: set[str] = set()  # why the list stands still
        self._held: ref[DashboardState] | None = None  # what it shows then
        self._listen()

    def start(self, search: object) -> None:
        """Take over the query of the browser's address, so that a filtered page can be kept."""
        query = queried(search)
        levels = query.get("level", "").upper().split(",")
        self.filters = Filters.of(levels, query.get("service"), query.get("q"))
        self.span = "day" if query.get("span") == "day" else "hour"
        self.theme = query["theme"] if query.get("theme") in THEMES else "auto"
        self._page.search.value = self.filters.words

    @property
    def query(self) -> str:
        """The same as an address's query."""
        query = {
            "level": ",".join(level for level in LEVELS if level in self.filters.levels),
            "service": self.filters.service,
            "q": self.filters.words,
            "span": self.span if self.span == "day" else "",
            "theme": self.theme if self.theme != "auto" else "",
        }
        shown = {name: value for name, value in query.items() if value}
        return "?" + urlencode(shown, errors="replace")

    @property
    def held(self) -> DashboardState | None:
        """The board at which the list stands still."""
        if not self._holds:
            return None
        board = self._held() if self._held else None
        if board is None:
            self._held = self._feed.newest_kept() or self._feed.keep()
            board = self._held() if self._held else None
        return board

    def _listen(self) -> None:
        page = self._page
        for level, chip in page.levels.items():
            chip.on("click", lambda level=level: self._filter(self.filters.levels ^ {level}))
        for span, button in page.spans.items():
            button.on("click", lambda span=span: self._show_span(span))
        page.service.on_value_change(lambda e: self._filter(service=e.value or ""))
        page.search.on_value_change(lambda e: self._filter(words=e.value or ""))
        page.failing.on(
            "click",
            lambda e: self._filter(levels={*BAD}, service=e.args, words=""),
            js_handler="""(e) => {
                const button = e.target.closest("[data-service]");
                if (button) emit(button.dataset.service);
            }""",
        )
        page.events.on(
            "click",
            lambda e: self._open(e.args),
            js_handler="""(e) => {
                const button = e.target.closest("[data-id]");
                if (button) emit(button.dataset.id);
            }""",
        )
        page.stream.on(
            "scroll",
            lambda e: self._hold("scrolled", e.args),
            js_handler="(e) => emit(e.target.scrollTop > 4)",
            throttle=0.2,
        )
        page.stream.on(
            "focusin",
            lambda: self._hold("focused", True),
            js_handler='(e) => e.target.matches("li :focus-visible") && emit()',
        )
        page.stream.on("focusout", lambda: self._hold("focused", False))
        page.dialog.on_value_change(lambda e: self._hold("open", e.value))
        page.only.on("click", self._only_this_service)
        page.pause.on("click", self._pause_or_resume)
        page.clear.on("click", lambda: self._filter(levels=set(), service="", words=""))
        page.theme.on("click", self._next_theme)

    def _filter(
        self, levels: Iterable[str] | None = None, service: object = None, words: object = None
    ) -> None:
        """Change some of the filters, and the address with them."""
        old = self.filters
        self.filters = Filters.of(
            old.levels if levels is None else levels,
            old.service if service is None else service,
            old.words if words is None else words,
        )
        self._page.search.value = self.filters.words
        self.changed.set()

    def _show_span(self, span: str) -> None:
        self.span = span
        self.changed.set()

    def _hold(self, why: str, on: object) -> None:
        """Let the list stand still, or move on when nothing else holds it."""
        if on and not self._holds:
            self._held = self._feed.keep()
        if on:
            self._holds.add(why)
        else:
            self._holds.discard(why)
        self.changed.set()

    def _pause_or_resume(self) -> None:
        if not self._holds:
            self._hold("paused", True)
            return
        self._holds.clear()
        self.to_top = True
        self.changed.set()

    def _open(self, id_: object) -> None:
        self.opened = str(id_)
        self.changed.set()

    def _only_this_service(self) -> None:
        self._page.dialog.close()
        self._filter(service=self._page.shown_service)

    def _next_theme(self) -> None:
        names = [*THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.changed.set()


def queried(search: object) -> dict[str, str]:
    """The fields of an address's query, as the browser tells it."""
    text = search[1 : QUERY + 1] if isinstance(search, str) else ""
    return dict(parse_qsl(text))
