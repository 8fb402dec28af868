"""Connection: HTTP or a WebSocket with one client, limited in time and in bytes.

uvicorn limits neither: a head could have any size.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from logpipeline.dashboard.login import COOKIE
from logpipeline.http_connection import ASK, BoundedConnection

HEAD = 32_768  # bytes of a request's line and headers: `h11_max_incomplete_event_size`
OWN = COOKIE.encode() + b"="
LINE, LINES = 8_000, 100  # bytes and lines of a WebSocket's head: websockets accepts a few more
ANSWER = 60.0  # seconds from the head to the end of the answer; a phone loads 2 MB of scripts


class Connection(BoundedConnection, H11Protocol):
    """What uvicorn creates for each connection; after an upgrade, Socket sets the limits."""

    def data_received(self, data: bytes) -> None:
        """In steps of a head's size: h11 checks its limit only while a head is incomplete."""
        for at in range(0, len(data), HEAD):
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            before = self.cycle
            super().data_received(data[at : at + HEAD])
            if self.cycle is not before and self.answering:
                self.within(ANSWER)

    def on_response_complete(self) -> None:
        self.within(ASK)
        super().on_response_complete()
        if self.answering:  # the next request was already queued
            self.within(ANSWER)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Refuse a head that is too large for websockets, which would not answer it."""
        self.cancel_timer()
        self.headers = list(_with_short_cookies(self.headers))
        sizes = [len(event.target), *(len(name) + len(value) for name, value in self.headers)]
        if max(sizes) > LINE or len(sizes) > LINES:
            self.send_400_response("The headers are too large.")
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Disconnect instead if an answer has begun: h11 raises for a second one, and for the rest
        of the first."""
        if self.cycle:
            self.cycle.disconnected = True
        try:
            super().send_400_response(msg)
        except LocalProtocolError:
            self.transport.abort()


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
