"""ArchiveSearch: what one viewer looks for in the archive, found by a process of its own."""

import asyncio
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from nicegui import background_tasks

from logpipeline.dashboard.entry import EventEntry, entry
from logpipeline.dashboard.query import PageQuery
from logpipeline.dashboard.search import Filters
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.find.live import answers
from logpipeline.find.request import Query, Request

log = logging.getLogger(__name__)

MOST = 500  # events of a search
BYTES = 8 * 2**20  # of these
SECONDS = 20.0  # for a search
GRACE = 5.0  # seconds more until its process is ended
AT_ONCE = asyncio.Semaphore(2)  # searches; others wait
NEIGHBOURS = 10  # of an event, on each side


class ArchiveSearch:
    """Begins at once; `on_change` is called when there is more to show. `entries` are newest first,
    `counts` is (Unix time, level) → events in `bin` seconds, `left_out` says what is missing."""

    def __init__(
        self, settings: DashboardSettings, request: Request, on_change: Callable[[], None]
    ) -> None:
        self.entries: list[EventEntry] = []
        self.places: dict[str, tuple[str, int, str]] = {}  # id → file, position, record
        self.counts: Counter[tuple[int, str]] = Counter()
        self.bin = 0
        self.is_done = False
        self.problem = ""
        self.left_out = ""
        self._size = 0
        self._ended = False
        self._settings = settings
        self._request = request
        self._on_change = on_change
        self._task = background_tasks.create(self._run(), name="archive search")

    @property
    def reasons(self) -> list[str]:
        """What was left out, each "what: why"."""
        return [each for each in self.left_out.split("; ") if each]

    @property
    def query(self) -> Query:
        return self._request.query

    def cancel(self) -> None:
        """End its process."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            async with AT_ONCE, asyncio.timeout(self._request.seconds + GRACE):
                await self._read()
        except TimeoutError:
            self.left_out = "older events: the time was up"
        except Exception:
            log.exception("cannot search the archive")
            self.problem = "unexpected error, see the log of dashboard.py"
        self.is_done = True
        self._on_change()

    async def _read(self) -> None:
        settings = self._settings
        variables = {
            "ARCHIVE_URL": settings.archive_url,
            "AWS_ENDPOINT_URL": settings.aws_endpoint_url,
            "AWS_REGION": settings.aws_region,
        }
        async with aclosing(answers(self._request, settings.log_file, **variables)) as found:
            async for answer in found:
                self._take(answer)
                self._on_change()
                if self._size > BYTES:
                    self.left_out = "older events: these are large"
                    return
        if not self._ended:
            self.problem = "the search ended early, see the log of dashboard.py"

    def _take(self, answer: dict[str, Any]) -> None:
        if "record" in answer:
            line = answer["record"].encode()
            id_ = f"{answer['file']}:{answer['position']}:{len(self.entries)}"
            self.places[id_] = (answer["file"], answer["position"], answer["record"])
            self.entries.append(entry(id_, line))
            self._size += len(line)
        elif "counts" in answer:
            self.bin = answer["bin"]
            for begin, level, events in answer["counts"]:
                self.counts[begin * self.bin, level] += events
        else:
            self._ended = True
            self.problem = answer.get("error", "")
            self.left_out = answer.get("left_out", "")
            if self.counts.total() == len(self.entries):  # finer than the index counts
                self.bin = 1
                self.counts = Counter((int(each.timestamp), each.level) for each in self.entries)


class TabSearch:
    """The search of one tab: `running` is None while it shows the newest events."""

    def __init__(self, settings: DashboardSettings, on_change: Callable[[], None]) -> None:
        self.running: ArchiveSearch | None = None
        self._beside: ArchiveSearch | None = None
        self._settings = settings
        self._on_change = on_change
        self._asked: tuple[object, ...] = ()

    def follow(self, query: PageQuery) -> None:
        """Begin what the viewer has asked for, and end the search before."""
        asked: tuple[object, ...] = ()
        if query.source != "newest" and not query.filters.terms.problem:
            asked = (query.source, query.period, query.filters)
        if asked == self._asked:
            return
        self.end()
        self._asked = asked
        if asked:
            found = query_of(query.filters, query.since(time.time()), query.to)
            request = Request(found, MOST, SECONDS)
            self.running = ArchiveSearch(self._settings, request, self._on_change)

    def beside(self, query: Query) -> ArchiveSearch:
        """Begin another search, whose events are not the list's."""
        self._beside = ArchiveSearch(self._settings, Request(query, MOST, SECONDS), self._on_change)
        return self._beside

    def place(self, id_: str) -> tuple[str, int, str] | None:
        """Where the event of a search is: file, position, record."""
        places = (each.places.get(id_) for each in (self.running, self._beside) if each)
        return next(filter(None, places), None)

    def close(self) -> None:
        """End all."""
        self.end()
        if self._beside:
            self._beside.cancel()

    def end(self) -> None:
        if self.running:
            self.running.cancel()
        self.running, self._asked = None, ()


def query_of(filters: Filters, since: float, to: float = math.inf) -> Query:
    """The filters of the page, as find.py's engine takes them."""
    terms = filters.terms
    words = terms.words
    if terms.patterns:
        words = (*terms.patterns, *map(re.escape, words))
    return Query(
        words=words,
        regex=bool(terms.patterns),
        levels=tuple(sorted(filters.levels)),
        services=(filters.service,) if filters.service else (),
        where=terms.where,
        without=terms.without,
        since=since,
        to=to,
    )
