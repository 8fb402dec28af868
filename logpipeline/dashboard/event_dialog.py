"""EventDialog: the whole of one event of a viewer's list, with its neighbours in the archive."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from logpipeline.dashboard import event_list
from logpipeline.dashboard.archive_search import NEIGHBOURS, ArchiveSearch
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import EventEntry
from logpipeline.dashboard.layout import Layout
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.dashboard.state import DashboardState
from logpipeline.find.request import Query, Request

DIGIT = 1e-6  # seconds: the last digit of a name's time
SECONDS = 10.0  # for the neighbours


class EventDialog:
    """`opened` is the event it shows, None while it is closed."""

    def __init__(
        self, page: Layout, settings: DashboardSettings, on_change: Callable[[], None]
    ) -> None:
        self.opened: EventEntry | None = None
        self._page = page
        self._settings = settings
        self._on_change = on_change
        self._near: ArchiveSearch | None = None

    def open(
        self,
        entry: EventEntry,
        place: tuple[str, int, str] | None,
        clock: Clock,
        now: float,
    ) -> None:
        """`place` is that of an event in the archive, which has neighbours there."""
        self._end()
        self.opened = entry
        self._page.neighbours.content = ""
        self._page.show_event(entry, event_list.whole(entry, clock, now))
        if place:
            request = Request(Query(), NEIGHBOURS, SECONDS, place)
            self._near = ArchiveSearch(self._settings, request, self._on_change)

    def close(self) -> None:
        self._end()
        self.opened = None

    def show_neighbours(self, clock: Clock) -> None:
        if self._near and self._near.is_done and self.opened:
            shown = event_list.neighbours(self._near.entries, self.opened, clock)
            self._page.neighbours.content = shown

    def beside(self, rows: Sequence[EventEntry], step: int) -> EventEntry | None:
        """The event `step` after the opened one in the list."""
        ids = [each.id for each in rows]
        if not self.opened or self.opened.id not in ids:
            return None
        at = ids.index(self.opened.id) + step
        return rows[at] if 0 <= at < len(rows) else None

    def _end(self) -> None:
        if self._near:
            self._near.cancel()
            self._near = None


class LinkedEvent:
    """The event that an address names; `name` is "" once it is found, or cannot be. `begin` begins
    a search of the archive for it."""

    def __init__(self, name: str, begin: Callable[[Query], ArchiveSearch]) -> None:
        self.name = name
        self._begin = begin
        self._search: ArchiveSearch | None = None

    def look(
        self, state: DashboardState, search: ArchiveSearch | None
    ) -> EventEntry | tuple[int, int] | None:
        """The event; or the Unix times of the archive's events to show, while it is looked for."""
        entries = [*(search.entries if search else state.entries.values())]
        entries += self._search.entries if self._search else []
        found = next((each for each in entries if name_of(each) == self.name), None)
        moment = time_in(self.name)
        if found or moment is None or (self._search and self._search.is_done):
            self.name = ""
        elif not self._search and (not search or search.is_done):
            self._search = self._begin(Query(since=moment - DIGIT, to=moment + 2 * DIGIT))
            return None if search else (int(moment), int(moment) + 1)
        return found


def name_of(entry: EventEntry) -> str:
    """What the address says of an event: its time, and a digest of its bytes."""
    return f"{entry.timestamp:.6f}-{blake2b(entry.line, digest_size=6).hexdigest()}"


def time_in(name: str) -> float | None:
    """The time in such a name, if it is within a calendar."""
    try:
        moment = float(name.rpartition("-")[0])
    except ValueError:
        return None
    return moment if 0 <= moment < 1e11 else None
