"""Feed: one reader of Redis for all viewers, who wait for its news."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from weakref import ref

import redis

from logpipeline.dashboard.redis_reader import RedisReader
from logpipeline.dashboard.state import DashboardState
from logpipeline.dashboard.unforeseen import Unforeseen
from logpipeline.recent import redis_client

log = logging.getLogger(__name__)

STEP = 1.0  # seconds from one look to the next
KEPT = 40_000_000  # bytes of looks at which lists stand still, however many tabs
ENTRY = 1_500  # bytes of an entry beside its line and what is searched
BUG = "the page can’t read what Redis holds: its log says why"


class Feed:
    """What all viewers see: `board`, the newest look, and `problem`, why there is none now.

    It looks only while somebody watches. `number` counts the looks, `problem_since` is in Unix
    seconds.
    """

    def __init__(self, look: RedisReader) -> None:
        self.board: DashboardState | None = None
        self.problem = ""
        self.problem_since = 0.0
        self._look = look
        self.number = 0
        self._viewers = 0
        self._watched = asyncio.Event()
        self._news = asyncio.Event()
        self._kept: deque[DashboardState] = deque()
        self.unforeseen = Unforeseen(log, "reading Redis")

    def keep(self) -> "ref[DashboardState] | None":
        """The newest look, for a tab whose list stands still from now on. It is kept until there
        are KEPT bytes of newer ones."""
        board = self.board
        if board and not any(each is board for each in self._kept):
            self._kept.append(board)
            while len(self._kept) > 1 and _size(self._kept) > KEPT:
                self._kept.popleft()
        return ref(board) if board else None

    def newest_kept(self) -> "ref[DashboardState] | None":
        """For a tab whose own is not kept any more."""
        return ref(self._kept[-1]) if self._kept else None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep it looking."""
        self._viewers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._watched.clear()

    async def after(self, number: int) -> int:
        """Wait for a look that is newer than `number`. Returns its number."""
        while self.number <= number:
            await self._news.wait()
        return self.number

    async def works(self, within: float = 2.0) -> bool:
        """Whether a look succeeds now, or in so many seconds."""
        with self.watching(), suppress(TimeoutError):
            await asyncio.wait_for(self.after(self.number), within)
            return not self.problem
        return False

    async def run(self) -> None:
        """Look at Redis until cancelled."""
        try:
            while True:
                await self._watched.wait()
                began = time.monotonic()
                pause = await self._take()
                await asyncio.sleep(max(STEP / 4, pause - (time.monotonic() - began)))
        finally:
            self._look.close()

    async def _take(self) -> float:
        """One look. Returns how many seconds to wait from its begin to the next one's."""
        pause = STEP
        try:
            self.board = await asyncio.to_thread(self._look.take)
        except (redis.RedisError, OSError) as error:
            self._away(redis_client.reason(self._look.settings, error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look may succeed
            pause = self.unforeseen.failed(error)
            self._fail(BUG)
        else:
            self._succeed()
        self.number += 1
        self._news.set()
        self._news = asyncio.Event()
        return pause

    def _away(self, problem: str) -> None:
        if not self.problem:
            log.warning("Redis can't be read: %s", problem)
        self._fail(problem)

    def _fail(self, problem: str) -> None:
        if not self.problem:
            self.problem_since = time.time()
        self.problem = problem

    def _succeed(self) -> None:
        if self.problem and self.problem != BUG:
            log.info("Redis can be read again")
        self.unforeseen.succeeded()
        self.problem = ""


def _size(boards: Iterable[DashboardState]) -> int:
    """Bytes in memory, about; boards share what is the same in them."""
    entries = {id(each): each for board in boards for each in board.entries.values()}
    return sum(ENTRY + len(each.line) + len(each.searched) for each in entries.values())
