"""Feed: one reader of Redis for all viewers, who wait for its states."""

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
from logpipeline.recent import redis_client
from logpipeline.supervision import Supervision

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds from one read to the next
STEP = "reading Redis"  # its name in log lines
KEPT = 40_000_000  # bytes of the states that paused tabs hold, however many tabs there are
ENTRY = 1_500  # bytes of an entry beside its line and the text that is searched
BUG = "unexpected error, see the log of dashboard.py"


class Feed:
    """What all viewers see: `state`, the newest one, and `problem`, why Redis cannot be read now.

    It reads only while somebody watches. `number` counts the reads, `problem_since` is in Unix
    seconds.
    """

    def __init__(self, reader: RedisReader, supervision: Supervision | None = None) -> None:
        self.state: DashboardState | None = None
        self.problem = ""
        self.problem_since = 0.0
        self._reader = reader
        self.number = 0
        self._viewers = 0
        self._watched = asyncio.Event()
        self._next_read = asyncio.Event()
        self._kept: deque[DashboardState] = deque()
        self._supervision = supervision or Supervision(log, reader.settings)

    def keep(self) -> "ref[DashboardState] | None":
        """The newest state, for a tab that holds its list from now on. It is kept until there are
        KEPT bytes of newer ones."""
        state = self.state
        if state and not any(each is state for each in self._kept):
            self._kept.append(state)
            while len(self._kept) > 1 and _size(self._kept) > KEPT:
                self._kept.popleft()
        return ref(state) if state else None

    def newest_kept(self) -> "ref[DashboardState] | None":
        """For a tab whose own state is not kept any more."""
        return ref(self._kept[-1]) if self._kept else None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the feed reading."""
        self._viewers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._watched.clear()

    async def after(self, number: int, wake: asyncio.Event | None = None) -> int:
        """Wait for a read later than `number`, or for `wake`. Returns the number of the latest."""
        events = [event.wait() for event in (self._next_read, wake) if event]
        waiting = [asyncio.ensure_future(event) for event in events]
        try:
            if self.number <= number:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        return self.number

    async def works(self, within: float = 2.0) -> bool:
        """Whether Redis can be read, now or `within` so many seconds."""
        with self.watching(), suppress(TimeoutError):
            await asyncio.wait_for(self.after(self.number), within)
            return not self.problem
        return False

    async def mute(self, id_: str, seconds: int) -> str:
        """Mute an open alert, or end that with 0 `seconds`. Returns why that failed, else ""."""
        try:
            done = await asyncio.to_thread(self._reader.mute, id_, seconds)
        except (redis.RedisError, OSError) as error:
            return redis_client.reason(self._reader.settings, error)
        return "" if done else "it is not open any more, or too many are muted"

    async def run(self) -> None:
        """Read Redis until cancelled."""
        try:
            while True:
                await self._watched.wait()
                began = time.monotonic()
                pause = await self._read()
                await asyncio.sleep(max(INTERVAL / 4, pause - (time.monotonic() - began)))
        finally:
            self._reader.close()

    async def _read(self) -> float:
        """Read once. Returns the seconds from its begin to that of the next read."""
        pause = INTERVAL
        try:
            self.state = await asyncio.to_thread(self._reader.read)
        except (redis.RedisError, OSError) as error:
            self._report(redis_client.reason(self._reader.settings, error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next read may succeed
            pause = max(pause, self._supervision.note(STEP, error))
            self._fail(BUG)
        else:
            self._succeed()
        self.number += 1
        self._next_read.set()
        self._next_read = asyncio.Event()
        return pause

    def _report(self, problem: str) -> None:
        if not self.problem:
            log.warning("cannot read Redis, retrying: %s", problem)
        self._fail(problem)

    def _fail(self, problem: str) -> None:
        if not self.problem:
            self.problem_since = time.time()
        self.problem = problem

    def _succeed(self) -> None:
        if self.problem and self.problem != BUG:
            log.info("Redis available again")
        self._supervision.resolve(STEP)
        self.problem = ""


def _size(states: Iterable[DashboardState]) -> int:
    """Bytes in memory, about; states share the entries that are the same in them."""
    entries = {id(each): each for state in states for each in state.entries.values()}
    return sum(ENTRY + len(each.line) + len(each.searched) for each in entries.values())
