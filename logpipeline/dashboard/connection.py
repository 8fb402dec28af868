"""Connection: HTTP or a WebSocket with one client, limited in time and in bytes.

uvicorn limits neither: a client that sends nothing, or a byte now and then, would stay connected
for ever, and a head could have any size.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from logpipeline.dashboard.login import COOKIE

HEAD = 32_768  # bytes of a request's line and headers: `h11_max_incomplete_event_size`
OWN = COOKIE.encode() + b"="
LINE, LINES = 8_000, 100  # bytes and lines of a WebSocket's head: websockets accepts a few more
CONNECTIONS = 256  # one more replaces the oldest, an idle one first
ASK = 10.0  # seconds for a head to arrive, after the connection or the last answer
ANSWER = 60.0  # seconds from the head to the end of the answer; a phone loads 2 MB of scripts


class Connection(H11Protocol):
    """What uvicorn creates for each connection; after an upgrade, Socket sets the limits."""

    _timer: asyncio.TimerHandle | None = None
    since = 0.0  # when the present step began (the loop's time)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(ASK)
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """In steps of a head's size: h11 checks its limit only while a head is incomplete."""
        for at in range(0, len(data), HEAD):
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            before = self.cycle
            super().data_received(data[at : at + HEAD])
            if self.cycle is not before and self.answering:
                self._within(ANSWER)

    def on_response_complete(self) -> None:
        self._within(ASK)
        super().on_response_complete()
        if self.answering:  # the next request was already queued
            self._within(ANSWER)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Refuse a head that is too large for websockets, which would not answer it."""
        self._cancel_timer()
        self.headers = list(_with_short_cookies(self.headers))
        sizes = [len(event.target), *(len(name) + len(value) for name, value in self.headers)]
        if max(sizes) > LINE or len(sizes) > LINES:
            self.send_400_response("The headers are too large.")
        else:
            super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Disconnect instead if an answer has begun: h11 raises for a second one, and for the rest
        of the first."""
        if self.cycle:
            self.cycle.disconnected = True
        try:
            super().send_400_response(msg)
        except LocalProtocolError:
            self.transport.abort()

    @property
    def answering(self) -> bool:
        """Whether a request has not been answered completely."""
        return self.cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> None:
        if len(self.connections) > CONNECTIONS:
            own = [each for each in self.connections if isinstance(each, Connection)]
            min(own, key=lambda each: (each.answering, each.since)).transport.abort()

    def _within(self, seconds: float) -> None:
        """Disconnect unless the next step is completed in time."""
        self._cancel_timer()
        self.since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Socket(WebSocketsSansIOProtocol):
    """What uvicorn creates for each WebSocket. uvicorn and engine.io check that its client still
    answers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.loop.call_later(ASK, self._abort_unless_open)

    def handle_ping(self) -> None:
        """Disconnect a client that does not read the answers: they would fill the memory."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.transport.abort()

    def _abort_unless_open(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()


def _with_short_cookies(
    headers: Iterable[tuple[bytes, bytes]],
) -> Iterable[tuple[bytes, bytes]]:
    """The headers without the cookies of other pages on this host, which may be many."""
    for name, value in headers:
        if name != b"cookie":
            yield name, value
            continue
        pairs = [pair.strip() for pair in value.split(b";")]
        yield name, b"; ".join(pair for pair in pairs if pair.startswith(OWN))[: LINE // 2]
