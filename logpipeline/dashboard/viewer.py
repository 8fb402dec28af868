"""Viewer: the page of one browser tab, which follows the feed at the tab's own pace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from markupsafe import Markup
from nicegui import Client, ui

from logpipeline.dashboard import chart, event_list, panels
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import EventEntry
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.hold import Hold
from logpipeline.dashboard.layout import Layout, emit_data
from logpipeline.dashboard.query import THEMES, PageQuery
from logpipeline.dashboard.search import Filters, Found
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.dashboard.state import BAD, DashboardState
from logpipeline.events.event import LEVELS
from logpipeline.recent import redis_client
from logpipeline.supervision import Supervision

log = logging.getLogger(__name__)

ROWS = 150  # events in the list: more than anybody reads in a second
PATIENCE = 10.0  # seconds for a browser's answer before the request is repeated
ASK = '[document.hidden, document.body.classList.contains("body--dark")]'
ZONE = "Intl.DateTimeFormat().resolvedOptions().timeZone"
HINT = Markup("Times in {} <kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> events")
SEARCHERS = ThreadPoolExecutor(2, "searcher")  # apart from the thread that reads Redis
TO_TOP = 'document.querySelector(".stream").scrollTop = 0; hold.release()'
STEP = "showing the page"  # its name in log lines

T = TypeVar("T")


class Viewer:
    """Fills the page in `client`; `follow` updates it until the tab is closed.

    The browser's events only record what the viewer has chosen. Everything is sent by `follow`,
    which waits for the browser's answer first: a browser that asks faster than it reads gets no
    more than the others.
    """

    def __init__(self, client: Client, feed: Feed, settings: DashboardSettings) -> None:
        self._client = client
        self._feed = feed
        self._settings = settings
        self._clock = Clock()
        self._dark = True
        self._query = PageQuery()
        self._address = ""  # the query in the browser's address
        self._hold = Hold(feed)
        self._rows: dict[str, EventEntry] = {}
        self._before: dict[str, EventEntry] = {}  # which the browser may still show
        self._opened: EventEntry | None = None  # to be shown in the dialog
        self._to_top = False
        self._changed = asyncio.Event()  # there is something else to show
        self._page = Layout()
        self._supervision = Supervision(log, settings)
        client.on_delete(self._changed.set)
        self._listen()

    async def follow(self) -> None:
        """Show each state of the feed, but never faster than the browser accepts them."""
        await self._try(self._start)
        with self._feed.watching():
            number = self._feed.number  # the present state may be old
            while not self._client.is_deleted:
                number = await self._feed.after(number, self._changed)
                await self._try(self._update)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the next state may be shown
            await asyncio.sleep(self._supervision.note(STEP, error))
        else:
            self._supervision.resolve(STEP)

    async def _start(self) -> None:
        """Apply the query in the browser's address."""
        self._clock = Clock(str(await self._ask(ZONE)))
        self._query = PageQuery.parse(await self._ask("location.search"))
        self._address = str(self._query)
        self._page.hint.content = HINT.format(self._clock.zone)
        self._page.search.value = self._query.filters.words
        self._show_theme()

    async def _update(self) -> None:
        self._changed.clear()
        match await self._ask(ASK):
            case [False, bool(dark)]:
                self._dark = dark
                await self._show()

    async def _ask(self, code: str) -> object:
        """The browser's answer to JavaScript `code`; None once the tab is closed."""
        while not self._client.is_deleted:
            try:
                return await self._client.run_javascript(code, timeout=PATIENCE)
            except TimeoutError:
                continue
        return None

    def _listen(self) -> None:
        page = self._page
        for level, chip in page.levels.items():
            chip.on("click", lambda level=level: self._filter(self._query.filters.levels ^ {level}))
        for span, button in page.spans.items():
            button.on("click", lambda span=span: self._choose(replace(self._query, span=span)))
        page.service.on_value_change(lambda e: self._filter(service=e.value or ""))
        page.search.on_value_change(lambda e: self._filter(words=e.value or ""))
        page.failing.on(
            "click",
            lambda e: self._filter(levels={*BAD}, service=e.args, words=""),
            js_handler=emit_data("service"),
        )
        page.events.on("click", lambda e: self._open(e.args), js_handler=emit_data("id"))
        page.stream.on(
            "hold",
            lambda e: self._set_hold("browser", e.args is True),
            js_handler="(e) => emit(e.detail)",
        )
        page.dialog.on_value_change(lambda e: self._set_hold("open", e.value))
        page.only.on("click", self._only_this_service)
        page.pause.on("click", self._pause_or_resume)
        page.clear.on("click", lambda: self._filter(levels=set(), service="", words=""))
        page.theme.on("click", lambda: self._choose(self._query.with_next_theme()))

    async def _show(self) -> None:
        """Show the newest state of the feed, as the viewer has chosen."""
        page, state, problem = self._page, self._feed.state, self._feed.problem
        address, key = redis_client.address(self._settings), self._settings.redis_key
        self._show_theme()
        self._show_address()
        if problem and state and self._hold:
            since = self._clock.full(self._feed.problem_since)
            page.show_banner("Redis unavailable", panels.outdated(problem, since))
            await self._show_list(state, self._hold.state or state)
            await self._show_opened()
        elif problem:
            since = self._clock.full(self._feed.problem_since)
            page.show_screen("Redis unavailable", panels.unreachable(address, problem, since))
        elif state and state.empty:
            page.show_screen("Empty", panels.empty(address, key, state.lag))
        elif state:
            page.show_state("Paused" if self._hold else "Live")
            page.tiles.content = panels.tiles(state)
            page.failing.content = panels.failing(state)
            page.alerts.content = panels.alerts(state, self._clock)
            self._show_chart(state)
            await self._show_list(state, self._hold.state or state)
            await self._show_opened()
            self._client.run_javascript(f"document.title = {self._title(state)!r}")

    def _show_theme(self) -> None:
        self._page.show_theme(self._query.theme, THEMES[self._query.theme])

    def _title(self, state: DashboardState) -> str:
        return f"({n}) Logs" if (n := len(state.alerts or ()) + state.more_alerts) else "Logs"

    def _show_chart(self, state: DashboardState) -> None:
        page = self._page
        levels = [level for level in LEVELS if level in self._query.filters.levels]
        options = chart.options(state, self._query.span, levels, self._dark, self._clock)
        if page.chart.options != options:
            page.chart.options.update(options)
        sums = state.sums(chart.SPANS[self._query.span][0])
        narrowed = bool(self._query.filters.service or self._query.filters.words)
        what = "all services and words" if narrowed else ""
        page.chart_title.content = f"Events per minute{', ' * bool(what)}{what}"
        about = f"events in the last {self._query.span}{' of ' * bool(what)}{what}"
        for level, chip in page.levels.items():
            chip.content = Markup(
                '<i class="{0}"></i>{0} <span>{1}</span><span class="unseen"> {2}</span>'
            ).format(level, panels.compact(sums[level]), about)
            chip.props["aria-pressed"] = "true" if level in levels else "false"
            chip.props["title"] = f"{sums[level]:,} {about}"
        page.counted.content = f"per {self._query.span}{', ' * bool(what)}{what}"
        for span, button in page.spans.items():
            button.props["aria-pressed"] = "true" if span == self._query.span else "false"

    async def _show_list(self, now: DashboardState, state: DashboardState) -> None:
        page, filters = self._page, self._query.filters
        found, rows = await _in_thread(self._found, state, filters)
        newest = found.entries[:ROWS]
        self._before, self._rows = self._rows, {each.id: each for each in newest}
        page.events.show(rows, str(self._query))
        page.note.content = event_list.note(state, filters, found, len(newest))
        page.clear.set_visibility(bool(filters))
        page.set_services(state.services, filters.service)
        page.show_pause(bool(self._hold), max(0, now.total - state.total))
        if self._to_top:
            self._to_top = False
            self._client.run_javascript(TO_TOP)

    def _found(self, state: DashboardState, filters: Filters) -> tuple[Found, Markup]:
        found = state.matching(filters)
        return found, event_list.rows(found.entries[:ROWS], state.at, self._clock)

    async def _show_opened(self) -> None:
        entry, self._opened = self._opened, None
        if entry:
            whole = await _in_thread(event_list.whole, entry, self._clock)
            self._page.show_event(entry, whole)

    def _choose(self, query: PageQuery) -> None:
        self._query = query
        self._changed.set()

    def _filter(
        self, levels: Iterable[str] | None = None, service: object = None, words: object = None
    ) -> None:
        """Change some of the filters: those that are not None."""
        self._choose(self._query.filtered(levels, service, words))
        self._page.search.value = self._query.filters.words

    def _show_address(self) -> None:
        query = str(self._query)
        if query != self._address:
            self._address = query
            ui.navigate.history.replace(query)

    def _set_hold(self, reason: str, on: bool) -> None:
        """Hold the list for a reason, or release it when there is no other reason."""
        if on:
            self._hold.add(reason)
        else:
            self._hold.remove(reason)
        self._changed.set()

    def _pause_or_resume(self) -> None:
        if self._hold:
            self._hold.clear()
            self._to_top = True
            self._changed.set()
        else:
            self._set_hold("paused", True)

    def _open(self, id_: object) -> None:
        self._opened = self._rows.get(str(id_)) or self._before.get(str(id_))
        self._set_hold("open", bool(self._opened))

    def _only_this_service(self) -> None:
        self._page.dialog.close()
        self._filter(service=self._page.shown_service)


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    """The result of `work`; the other viewers are served meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(SEARCHERS, work, *args)
