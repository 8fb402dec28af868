"""Viewer: the page of one browser tab, which follows the feed at the tab's own pace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup
from nicegui import Client, ui

from logpipeline.dashboard import chart, event_list, panels
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import Entry
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.layout import Layout
from logpipeline.dashboard.search import Filters, Found
from logpipeline.dashboard.state import BAD, DashboardState
from logpipeline.dashboard.unforeseen import Unforeseen
from logpipeline.events.event import LEVELS

log = logging.getLogger(__name__)

ROWS = 150  # events in the list: more than anybody reads in a second
QUERY = 2_000  # characters of the address's query
PATIENCE = 10.0  # seconds for a browser's answer before it is asked again
ASK = '[document.hidden, document.body.classList.contains("body--dark")]'
ZONE = "Intl.DateTimeFormat().resolvedOptions().timeZone"
HINT = Markup("Times in {} <kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> events")
SEARCHERS = ThreadPoolExecutor(2, "searcher")  # apart from the one that reads Redis
THEMES: dict[str, bool | None] = {"auto": None, "dark": True, "light": False}

T = TypeVar("T")


class Viewer:
    """Fills the page in `client`; `follow` keeps it up to date until the tab has gone.

    `address` and `key` say where in Redis it looks. The browser's events only note what is wanted;
    all that is sent is sent by `follow`, which waits for the browser's answer before: a browser
    that asks faster than it reads gets no more than the others.
    """

    def __init__(self, client: Client, feed: Feed, address: str, key: str) -> None:
        self._client = client
        self._feed = feed
        self._address = address
        self._key = key
        self._clock = Clock()
        self._dark = True
        self._filters = Filters()
        self._span = "hour"
        self._theme = "auto"
        self._query = ""  # what the browser's address says
        self._holds: set[str] = set()  # why the list stands still
        self._held: DashboardState | None = None  # what it shows then
        self._rows: dict[str, Entry] = {}
        self._opened: Entry | None = None  # to be shown whole
        self._to_top = False
        self._wanted = asyncio.Event()
        self._page = Layout()
        self._unforeseen = Unforeseen(log, "showing the page")
        client.on_delete(self._wanted.set)
        self._listen()

    async def follow(self) -> None:
        """Show each look of the feed, but never faster than the browser takes them."""
        await self._try(self._start)
        with self._feed.watching():
            number = self._feed.number  # what it has seen so far may be old
            while not self._client.is_deleted:
                number = await self._news(number)
                await self._try(self._turn)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the next look may be shown
            await asyncio.sleep(self._unforeseen.failed(error))
        else:
            self._unforeseen.succeeded()

    async def _start(self) -> None:
        """Take over what the browser's address says, so that a filtered page can be kept."""
        self._clock = Clock(str(await self._ask(ZONE)))
        query = queried(await self._ask("location.search"))
        levels = query.get("level", "").upper().split(",")
        self._filters = Filters.of(levels, query.get("service"), query.get("q"))
        self._span = "day" if query.get("span") == "day" else "hour"
        self._theme = query["theme"] if query.get("theme") in THEMES else "auto"
        self._query = self._address_query()
        self._page.hint.content = HINT.format(self._clock.zone)
        self._page.search.value = self._filters.words
        self._page.show_theme(self._theme, THEMES[self._theme])

    async def _news(self, number: int) -> int:
        """Wait for a look that is newer, or for what the browser wants. Returns the look's."""
        looked = asyncio.ensure_future(self._feed.after(number))
        wanted = asyncio.ensure_future(self._wanted.wait())
        try:
            await asyncio.wait({looked, wanted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            looked.cancel()
            wanted.cancel()
        return self._feed.number

    async def _turn(self) -> None:
        self._wanted.clear()
        match await self._ask(ASK):
            case [False, bool(dark)]:
                self._dark = dark
                await self._show()

    async def _ask(self, code: str) -> object:
        """What the browser answers; None once it has gone."""
        while not self._client.is_deleted:
            try:
                return await self._client.run_javascript(code, timeout=PATIENCE)
            except TimeoutError:
                continue
        return None

    def _listen(self) -> None:
        page = self._page
        for level, chip in page.levels.items():
            chip.on("click", lambda level=level: self._filter(self._filters.levels ^ {level}))
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

    async def _show(self) -> None:
        """Bring the page up to the feed's newest look, and to what the browser wants."""
        board, problem = self._feed.board, self._feed.problem
        page = self._page
        page.show_theme(self._theme, THEMES[self._theme])
        self._show_address()
        if problem:
            since = self._clock.full(self._feed.problem_since)
            page.show_screen("Redis is away", panels.unreachable(self._address, problem, since))
        elif board and board.empty:
            page.show_screen("Empty", panels.empty(self._address, self._key, board.lag))
        elif board:
            page.show_board("Paused" if self._held else "Live")
            page.tiles.content = panels.tiles(board)
            page.failing.content = panels.failing(board)
            page.alerts.content = panels.alerts(board, self._clock)
            self._show_chart(board)
            await self._show_list(board, self._held or board)
            await self._show_opened()
            self._client.run_javascript(f"document.title = {self._title(board)!r}")

    def _title(self, board: DashboardState) -> str:
        alerts = len(board.alerts or ()) + board.more_alerts
        return f"({alerts}) Logs" if alerts else "Logs"

    def _show_chart(self, board: DashboardState) -> None:
        page = self._page
        levels = [level for level in LEVELS if level in self._filters.levels]
        options = chart.options(board, self._span, levels, self._dark, self._clock)
        if page.chart.options != options:
            page.chart.options.update(options)
        sums = board.sums(chart.SPANS[self._span][0])
        for level, chip in page.levels.items():
            chip.content = Markup('<i class="{0}"></i>{0} <span>{1}</span>').format(
                level, panels.compact(sums[level])
            )
            chip.props["aria-pressed"] = "true" if level in self._filters.levels else "false"
        for span, button in page.spans.items():
            button.props["aria-pressed"] = "true" if span == self._span else "false"

    async def _show_list(self, now: DashboardState, board: DashboardState) -> None:
        page, filters = self._page, self._filters
        found, rows = await _in_thread(self._found, board, filters)
        newest = found.entries[:ROWS]
        self._rows = {each.id: each for each in newest}
        page.events.content = rows
        page.note.content = event_list.note(board, filters, found, len(newest))
        page.clear.set_visibility(bool(filters))
        page.set_services(board.services, filters.service)
        page.show_pause(bool(self._held), max(0, now.total - board.total))
        if self._to_top:
            self._to_top = False
            self._client.run_javascript('document.querySelector(".stream").scrollTop = 0')

    def _found(self, board: DashboardState, filters: Filters) -> tuple[Found, Markup]:
        found = board.matching(filters)
        return found, event_list.rows(found.entries[:ROWS], board.at, self._clock)

    async def _show_opened(self) -> None:
        entry, self._opened = self._opened, None
        if entry:
            whole = await _in_thread(event_list.whole, entry, self._clock)
            self._page.show_whole(entry, whole)

    def _filter(
        self, levels: Iterable[str] | None = None, service: object = None, words: object = None
    ) -> None:
        """Change some of the filters, and the address with them."""
        old = self._filters
        self._filters = Filters.of(
            old.levels if levels is None else levels,
            old.service if service is None else service,
            old.words if words is None else words,
        )
        self._page.search.value = self._filters.words
        self._wanted.set()

    def _show_span(self, span: str) -> None:
        self._span = span
        self._wanted.set()

    def _show_address(self) -> None:
        query = self._address_query()
        if query != self._query:
            self._query = query
            ui.navigate.history.replace(query)

    def _address_query(self) -> str:
        query = {
            "level": ",".join(level for level in LEVELS if level in self._filters.levels),
            "service": self._filters.service,
            "q": self._filters.words,
            "span": self._span if self._span == "day" else "",
            "theme": self._theme if self._theme != "auto" else "",
        }
        shown = {name: value for name, value in query.items() if value}
        return "?" + urlencode(shown, errors="replace")

    def _hold(self, why: str, on: bool) -> None:
        """Let the list stand still, or go on when nothing else holds it."""
        if on:
            self._holds.add(why)
            self._held = self._held or self._feed.board
        else:
            self._holds.discard(why)
            if not self._holds:
                self._held = None
        self._wanted.set()

    def _pause_or_resume(self) -> None:
        if not self._holds:
            self._hold("paused", True)
            return
        self._holds.clear()
        self._held = None
        self._to_top = True
        self._wanted.set()

    def _open(self, id_: object) -> None:
        self._opened = self._rows.get(str(id_))
        self._wanted.set()

    def _only_this_service(self) -> None:
        self._page.dialog.close()
        self._filter(service=self._page.shown_service)

    def _next_theme(self) -> None:
        names = [*THEMES]
        self._theme = names[(names.index(self._theme) + 1) % len(names)]
        self._wanted.set()


def queried(search: object) -> dict[str, str]:
    """The fields of an address's query, as the browser tells it."""
    text = search[1 : QUERY + 1] if isinstance(search, str) else ""
    return dict(parse_qsl(text))


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    """Its result, while the other viewers are served."""
    return await asyncio.get_running_loop().run_in_executor(SEARCHERS, work, *args)
