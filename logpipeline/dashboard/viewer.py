"""Viewer: the page of one browser tab, which follows the feed at the tab's own pace."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from nicegui import Client, ui

from logpipeline.dashboard import panels
from logpipeline.dashboard.archive_search import TabSearch
from logpipeline.dashboard.browser import ask
from logpipeline.dashboard.chart_view import ChartView
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import EventEntry
from logpipeline.dashboard.event_dialog import EventDialog, LinkedEvent, name_of
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.hold import Hold
from logpipeline.dashboard.layout import Layout, emit_data
from logpipeline.dashboard.list_view import ROWS, ListView
from logpipeline.dashboard.muting import Muting
from logpipeline.dashboard.query import THEMES, PageQuery
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.dashboard.state import BAD, DashboardState
from logpipeline.recent import redis_client
from logpipeline.supervision import Supervision

log = logging.getLogger(__name__)

ASK = '[document.hidden, document.body.classList.contains("body--dark")]'
ZONE = "Intl.DateTimeFormat().resolvedOptions().timeZone"
TO_TOP = 'document.querySelector(".stream").scrollTop = 0; hold.release()'
STEP = "showing the page"  # its name in log lines


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
        self._clock = self._browsers_clock = Clock()
        self._dark = True
        self._zone = "utc" if settings.shows_utc else "local"
        self._query = PageQuery()
        self._shown = PageQuery()  # the query in the browser's address
        self._hold = Hold(feed)
        self._opened: EventEntry | None = None  # to be shown in the dialog
        self._to_top = False
        self._changed = asyncio.Event()  # there is something else to show
        self._page = Layout()
        self._list = ListView(self._page, self._changed.set)
        self._chart = ChartView(self._page)
        self._search = TabSearch(settings, self._changed.set)
        self._linked = LinkedEvent("", self._search.beside)
        self._dialog = EventDialog(self._page, settings, self._changed.set)
        self._muting = Muting(feed, settings, self._changed.set)
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
        self._dialog.close()
        self._search.close()

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the next state may be shown
            await asyncio.sleep(self._supervision.note(STEP, error))
        else:
            self._supervision.resolve(STEP)

    async def _start(self) -> None:
        """Apply the query in the browser's address."""
        self._browsers_clock = Clock(str(await ask(self._client, ZONE)))
        self._take_address(await ask(self._client, "location.search"))
        self._linked = LinkedEvent(self._query.event, self._search.beside)
        self._set_clock()
        self._show_theme()

    def _take_address(self, search: object) -> None:
        self._query = PageQuery.parse(search)
        self._shown = self._query
        self._page.search.value = self._query.filters.words
        self._page.source.value = self._query.source

    def _set_clock(self) -> None:
        zone = self._query.zone or self._zone
        self._clock = Clock() if zone == "utc" else self._browsers_clock
        self._page.show_zone(self._clock.zone)

    async def _update(self) -> None:
        self._changed.clear()
        match await ask(self._client, ASK):
            case [False, bool(dark)]:
                self._dark = dark
                await self._muting.do()
                await self._show()

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
        page.alerts.on(
            "click",
            lambda e: self._choose(self._query.about_alert(e.args, time.time())),
            js_handler=emit_data("alert"),
        )
        page.alerts.on("click", lambda e: self._muting.ask(e.args), js_handler=emit_data("mute"))
        page.events.on("click", lambda e: self._open(e.args), js_handler=emit_data("id"))
        page.stream.on(
            "hold",
            lambda e: self._set_hold("browser", e.args is True),
            js_handler="(e) => emit(e.detail)",
        )
        page.dialog.on_value_change(lambda e: self._opened_or_closed(e.value is True))
        page.stream.on(
            "scroll",
            self._list.grow,
            js_handler="(e) => e.target.scrollTop + 2 * e.target.clientHeight"
            " > e.target.scrollHeight && emit()",
            throttle=0.3,
        )
        page.body.on("click", lambda e: self._narrow(e.args), js_handler=emit_data("term"))
        page.next.on("click", lambda: self._open_beside(1))
        page.previous.on("click", lambda: self._open_beside(-1))
        page.source.on_value_change(lambda e: self._choose(self._query.within(e.value)))
        page.period.on("click", lambda: self._choose(self._query.within("newest")))
        page.older.on("click", lambda: self._choose(self._query.within("all")))
        page.plot.on(
            "period", lambda e: self._choose_period(e.args), js_handler="(e) => emit(e.detail)"
        )
        page.page.on("back", lambda e: self._go_back(e.args), js_handler="(e) => emit(e.detail)")
        page.zone.on("click", lambda: self._choose(self._query.with_other_zone(self._zone)))
        page.only.on("click", self._only_this_service)
        page.pause.on("click", self._pause_or_resume)
        page.clear.on("click", lambda: self._filter(levels=set(), service="", words=""))
        page.theme.on("click", lambda: self._choose(self._query.with_next_theme()))

    async def _show(self) -> None:
        """Show the newest state of the feed, as the viewer has chosen."""
        page, state, problem = self._page, self._feed.state, self._feed.problem
        address, key = redis_client.address(self._settings), self._settings.redis_key
        self._show_theme()
        self._set_clock()
        self._show_address()
        self._search.follow(self._query)
        if problem and state and (self._hold or self._search.running):
            since = self._clock.full(self._feed.problem_since)
            page.show_banner("Redis unavailable", panels.outdated(problem, since))
            await self._show_list(state, self._hold.state or state)
            await self._show_opened(state)
        elif problem:
            since = self._clock.full(self._feed.problem_since)
            page.show_screen("Redis unavailable", panels.unreachable(address, problem, since))
        elif state and state.empty:
            page.show_screen("Empty", panels.empty(address, key, state.lag))
        elif state:
            page.show_state(
                "Archive" if self._search.running else "Paused" if self._hold else "Live"
            )
            page.tiles.content = panels.tiles(state)
            page.failing.content = panels.failing(state)
            muting = self._muting
            page.alerts.content = panels.alerts(state, self._clock, muting.may, muting.problem)
            self._chart.show(state, self._query, self._search.running, self._dark, self._clock)
            await self._show_list(state, self._hold.state or state)
            await self._show_opened(state)
            self._client.run_javascript(f"document.title = {panels.title(state)!r}")

    def _show_theme(self) -> None:
        self._page.show_theme(self._query.theme, THEMES[self._query.theme])

    async def _show_list(self, now: DashboardState, state: DashboardState) -> None:
        page, query = self._page, self._query
        await self._list.show(state, query, self._search.running, self._clock)
        self._hold.settle(bool(self._list.entries))
        page.clear.set_visibility(bool(query.filters))
        page.show_source(query.source, self._clock.span(*query.period))
        page.set_services(state.services, query.filters.service)
        page.show_pause(bool(self._hold), max(0, now.total - state.total))
        if self._to_top:
            self._to_top = False
            self._client.run_javascript(TO_TOP)
        self._look_for_linked(state)

    def _look_for_linked(self, state: DashboardState) -> None:
        """Open the event that the address names, once, from Redis or from the archive."""
        if not self._linked.name or self._opened:
            return
        match self._linked.look(state, self._search.running):
            case EventEntry() as found:
                self._opened = found
                self._changed.set()
            case (_, _) as period:
                self._choose(replace(self._query, source="period", period=period))

    async def _show_opened(self, state: DashboardState) -> None:
        entry, self._opened = self._opened, None
        if entry:
            self._dialog.open(entry, self._search.place(entry.id), self._clock, state.at)
            self._query = replace(self._query, event=name_of(entry))
            self._show_address()
        self._dialog.show_neighbours(self._clock)

    def _choose(self, query: PageQuery) -> None:
        self._list.limit = ROWS
        self._query = query
        self._page.source.value = query.source
        self._page.search.value = query.filters.words
        self._changed.set()

    def _choose_period(self, bars: object) -> None:
        """From one bar of the chart to another one, as a browser says."""
        if period := self._chart.period(bars):
            self._choose(replace(self._query, source="period", period=period))

    def _go_back(self, search: object) -> None:
        """The browser's Back and Forward."""
        self._take_address(search)
        self._changed.set()

    def _narrow(self, term: object) -> None:
        """Add a term of the dialog to the search."""
        self._page.dialog.close()
        self._choose(self._query.with_term(term))

    def _open_beside(self, step: int) -> None:
        self._opened = self._dialog.beside(self._list.entries, step) or self._opened
        self._changed.set()

    def _opened_or_closed(self, is_open: bool) -> None:
        if not is_open:
            self._dialog.close()
            self._query = replace(self._query, event="")
        self._set_hold("open", is_open)

    def _filter(
        self, levels: Iterable[str] | None = None, service: object = None, words: object = None
    ) -> None:
        """Change some of the filters: those that are not None."""
        self._choose(self._query.filtered(levels, service, words))

    def _show_address(self) -> None:
        """Back undoes each choice, but not each word that was typed."""
        query, was = str(self._query), self._shown
        if query != str(was):
            words = replace(was.filters, words=self._query.filters.words)
            typed = replace(was, filters=words, event=self._query.event) == self._query
            self._shown = self._query
            (ui.navigate.history.replace if typed else ui.navigate.history.push)(query)

    def _set_hold(self, reason: str, on: bool) -> None:
        """Hold the list for a reason, or release it when there is no other reason."""
        (self._hold.add if on else self._hold.remove)(reason)
        self._changed.set()

    def _pause_or_resume(self) -> None:
        if self._query.source != "newest":
            return  # nothing moves in the archive
        if self._hold:
            self._hold.clear()
            self._to_top = True
        else:
            self._hold.pause()
        self._changed.set()

    def _open(self, id_: object) -> None:
        self._opened = self._list.find(str(id_))
        self._set_hold("open", bool(self._opened))

    def _only_this_service(self) -> None:
        self._page.dialog.close()
        self._filter(service=self._page.shown_service)
