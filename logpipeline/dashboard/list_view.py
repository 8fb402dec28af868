"""ListView: the list of events of one tab, from Redis or from the archive."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from markupsafe import Markup

from logpipeline.dashboard import event_list
from logpipeline.dashboard.archive_search import ArchiveSearch
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import EventEntry
from logpipeline.dashboard.layout import Layout
from logpipeline.dashboard.query import PageQuery
from logpipeline.dashboard.search import Found
from logpipeline.dashboard.state import DashboardState

ROWS = 150  # events in the list at first: more than anybody reads in a second
MORE = 300  # that follow when somebody scrolls to their end
SEARCHERS = ThreadPoolExecutor(2, "searcher")  # apart from the thread that reads Redis

T = TypeVar("T")


class ListView:
    """`entries` are what it shows, at most `limit` of those that Redis holds."""

    def __init__(self, page: Layout, on_change: Callable[[], None]) -> None:
        self.entries: list[EventEntry] = []
        self.limit = ROWS
        self._page = page
        self._on_change = on_change
        self._before: dict[str, EventEntry] = {}  # which the browser may still show
        self._made_of: tuple[object, ...] = ()

    async def show(
        self, state: DashboardState, query: PageQuery, search: ArchiveSearch | None, clock: Clock
    ) -> None:
        """Show it, unless it is what was shown before."""
        page, filters = self._page, query.filters
        asked = str(replace(query, theme="auto", span="hour", event=""))
        count = len(search.entries) if search else self.limit
        made_of = (asked, count, search and search.is_done, None if search else state.at)
        if made_of == self._made_of:
            return
        found, rows = await _in_thread(self._found, state, query, search, clock)
        self._before = {each.id: each for each in self.entries[:ROWS]}
        self.entries = found.entries if search else found.entries[: self.limit]
        page.events.show(rows, f"{asked} {count}")
        page.show_hits(filters.terms)
        note = event_list.note(state, filters, found, len(self.entries))
        page.note.content = event_list.archive_note(search, filters) if search else note
        page.older.set_visibility(not search and len(self.entries) == len(found.entries))
        self._made_of = made_of

    def find(self, id_: str) -> EventEntry | None:
        """One of those that are shown, or were until a moment ago."""
        shown = next((each for each in self.entries if each.id == id_), None)
        return shown or self._before.get(id_)

    def grow(self) -> None:
        """Show more of what Redis holds, if there is more."""
        if self.limit <= len(self.entries):
            self.limit += MORE
            self._on_change()

    def _found(
        self, state: DashboardState, query: PageQuery, search: ArchiveSearch | None, clock: Clock
    ) -> tuple[Found, Markup]:
        if search:
            entries = list(search.entries)
            return Found(entries, len(entries)), event_list.rows(entries, state.at, clock)
        found = state.matching(query.filters)
        return found, event_list.rows(found.entries[: self.limit], state.at, clock)


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    """The result of `work`; the other viewers are served meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(SEARCHERS, work, *args)
