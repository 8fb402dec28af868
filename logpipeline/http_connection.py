"""HTTP connection: what bounds the time and the number of a server's connections.

uvicorn limits neither: a client that sends nothing, or a byte now and then, would stay for ever.
"""

import asyncio
from typing import Any

ASK = 10.0  # seconds for a head to arrive, from the connection on


class BoundedConnection(asyncio.Protocol):
    """Mixed into one of uvicorn's protocols, before it."""

    most = 256  # connections; one more replaces the oldest, an idle one first
    since = 0.0  # when the present step began (the loop's time)
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    connections: Any
    cycle: Any
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.within(ASK)
        if len(self.connections) > self.most:
            own = [each for each in self.connections if isinstance(each, BoundedConnection)]
            min(own, key=lambda each: (each is self, each.answering, each.since)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.cancel_timer()
        super().connection_lost(exc)

    @property
    def answering(self) -> bool:
        """Whether a request has not been answered completely."""
        return self.cycle is not None and not self.cycle.response_complete

    def within(self, seconds: float) -> None:
        """Call `late` unless the next step is completed in time."""
        self.cancel_timer()
        self.since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self.late)

    def late(self) -> None:
        self.transport.abort()

    def cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
