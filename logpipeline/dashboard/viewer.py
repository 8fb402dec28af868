"""Viewer: the page of one browser tab, which follows the feed at the tab's own pace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from markupsafe import Markup
from nicegui import Client, ui

from logpipeline.dashboard import chart, event_list, panels
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import Entry
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.layout import Layout
from logpipeline.dashboard.search import Filters, Found
from logpipeline.dashboard.state import DashboardState
from logpipeline.dashboard.unforeseen import Unforeseen
from logpipeline.dashboard.wishes import THEMES, Wishes
from logpipeline.events.event import LEVELS

log = logging.getLogger(__name__)

ROWS = 150  # events in the list: more than anybody reads in a second
PATIENCE = 10.0  # seconds for a browser's answer before it is asked again
ASK = '[document.hidden, document.body.classList.contains("body--dark")]'
ZONE = "Intl.DateTimeFormat().resolvedOptions().timeZone"
HINT = Markup("Times in {} <kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> events")
SEARCHERS = ThreadPoolExecutor(2, "searcher")  # apart from the one that reads Redis

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
        self._query = ""  # what the browser's address says
        self._rows: dict[str, Entry] = {}
        self._page = Layout()
        self._wishes = Wishes(self._page, feed)
        self._unforeseen = Unforeseen(log, "showing the page")
        client.on_delete(self._wishes.changed.set)

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
        self._clock = Clock(str(await self._ask(ZONE)))
        self._page.hint.content = HINT.format(self._clock.zone)
        self._wishes.start(await self._ask("location.search"))
        self._query = self._wishes.query
        self._show_theme()

    async def _news(self, number: int) -> int:
        """Wait for a look that is newer, or for what the browser wants. Returns the look's."""
        looked = asyncio.ensure_future(self._feed.after(number))
        wanted = asyncio.ensure_future(self._wishes.changed.wait())
        try:
            await asyncio.wait({looked, wanted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            looked.cancel()
            wanted.cancel()
        return self._feed.number

    async def _turn(self) -> None:
        self._wishes.changed.clear()
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

    async def _show(self) -> None:
        """Bring the page up to the feed's newest look, and to what the browser wants."""
        board, problem = self._feed.board, self._feed.problem
        page = self._page
        self._show_theme()
        self._show_address()
        if problem:
            since = self._clock.full(self._feed.problem_since)
            page.show_screen("Redis is away", panels.unreachable(self._address, problem, since))
        elif board and board.empty:
            page.show_screen("Empty", panels.empty(self._address, self._key, board.lag))
        elif board:
            held = self._wishes.held
            page.show_board("Paused" if held else "Live")
            page.tiles.content = panels.tiles(board)
            page.failing.content = panels.failing(board)
            page.alerts.content = panels.alerts(board, self._clock)
            self._show_chart(board)
            await self._show_list(held or board)
            page.show_pause(bool(held), max(0, board.total - (held or board).total))
            await self._show_opened()
            self._client.run_javascript(f"document.title = {self._title(board)!r}")

    def _title(self, board: DashboardState) -> str:
        alerts = len(board.alerts or ()) + board.more_alerts
        return f"({alerts}) Logs" if alerts else "Logs"

    def _show_chart(self, board: DashboardState) -> None:
        page = self._page
        levels = [level for level in LEVELS if level in self._wishes.filters.levels]
        options = chart.options(board, self._wishes.span, levels, self._dark, self._clock)
        if page.chart.options != options:
            page.chart.options.update(options)
        sums = board.sums(chart.SPANS[self._wishes.span][0])
        for level, chip in page.levels.items():
            chip.content = Markup('<i class="{0}"></i>{0} <span>{1}</span>').format(
                level, panels.compact(sums[level])
            )
            chip.props["aria-pressed"] = "true" if level in self._wishes.filters.levels else "false"
        for span, button in page.spans.items():
            button.props["aria-pressed"] = "true" if span == self._wishes.span else "false"

    async def _show_list(self, board: DashboardState) -> None:
        page, filters = self._page, self._wishes.filters
        found, rows = await _in_thread(self._found, board, filters)
        newest = found.entries[:ROWS]
        self._rows = {each.id: each for each in newest}
        page.events.content = rows
        page.note.content = event_list.note(board, filters, found, len(newest))
        page.clear.set_visibility(bool(filters))
        page.set_services(board.services, filters.service)
        if self._wishes.to_top:
            self._wishes.to_top = False
            self._client.run_javascript('document.querySelector(".stream").scrollTop = 0')

    def _found(self, board: DashboardState, filters: Filters) -> tuple[Found, Markup]:
        found = board.matching(filters)
        return found, event_list.rows(found.entries[:ROWS], board.at, self._clock)

    async def _show_opened(self) -> None:
        entry, self._wishes.opened = self._rows.get(self._wishes.opened), ""
        if entry:
            whole = await _in_thread(event_list.whole, entry, self._clock)
            self._page.show_whole(entry, whole)

    def _show_theme(self) -> None:
        self._page.show_theme(self._wishes.theme, THEMES[self._wishes.theme])

    def _show_address(self) -> None:
        query = self._wishes.query
        if query != self._query:
            self._query = query
            ui.navigate.history.replace(query)


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    """Its result, while the other viewers are served."""
    return await asyncio.get_running_loop().run_in_executor(SEARCHERS, work, *args)
