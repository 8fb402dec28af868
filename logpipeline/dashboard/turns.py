"""Turns: a queue that admits one waiter at a time, and is fair between sources."""

import asyncio
import random
from collections import OrderedDict, deque

Waiter = asyncio.Future[bool]


class Turns:
    """One turn every `step` seconds, to the sources in rotation, to the first waiter of each.

    At most `most` wait; one more crowds out a random waiter of the source that has the most.
    """

    def __init__(self, step: float, most: int) -> None:
        self._step = step
        self._most = most
        self._queues: OrderedDict[str, deque[Waiter]] = OrderedDict()
        self._next = 0.0  # earliest time (the loop's) of the next turn
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, source: str) -> bool:
        """Wait for a turn; False when crowded out. A cancelled waiter leaves the queue."""
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        self._queues.setdefault(source, deque()).append(waiter)
        if sum(map(len, self._queues.values())) > self._most:
            self._crowd_out()
        if self._timer is None:
            self._timer = loop.call_at(max(loop.time(), self._next), self._give)
        try:
            return await waiter
        finally:
            self._leave(source, waiter)

    def _give(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._queues:
            source, queue = next(iter(self._queues.items()))
            waiter = queue.popleft()
            self._queues.move_to_end(source)
            if not queue:
                del self._queues[source]
            if not waiter.done():
                waiter.set_result(True)
            self._next = loop.time() + self._step
            self._timer = loop.call_at(self._next, self._give)

    def _crowd_out(self) -> None:
        """Refuse a random waiter: always the first, or always the last, could be starved."""
        source = max(self._queues, key=lambda source: len(self._queues[source]))
        waiter = random.choice(self._queues[source])
        if not waiter.done():
            waiter.set_result(False)
        self._leave(source, waiter)

    def _leave(self, source: str, waiter: Waiter) -> None:
        queue = self._queues.get(source)
        if queue and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[source]
