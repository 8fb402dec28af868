"""Connection: HTTP with one client, limited in time and in bytes.

uvicorn with httptools limits neither: a head could have any size.
"""

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from logpipeline.http_connection import ASK, BoundedConnection

HEAD = 32_768  # bytes of a request's line and headers
HEADERS = 100
PIPELINED = 16  # requests that wait for the answer to an earlier one
FRAME = 32  # bytes that a chunk of a body has beside its data
CONNECTIONS = 512
IDLE = 75  # seconds between two requests: agents keep connections open
ARRIVE = 30.0  # seconds for a body to arrive
ANSWER = 45.0  # seconds from the head to the end of the answer

_REFUSAL = (
    b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%b"
)


class HttpConnection(BoundedConnection, HttpToolsProtocol):
    """What each connection has; it answers in the place of the app what the app never sees."""

    most = CONNECTIONS
    _in_head = _in_message = False
    _received = 0  # bytes of the request in hand, but for the data of its body
    _allowed = HEAD  # at most so many

    def data_received(self, data: bytes) -> None:
        if not self.answering and not self._in_message:
            self.within(ASK)
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._received > self._allowed + (0 if self._in_head else HEAD):
            self._refuse(b"431 Request Header Fields Too Large", b"the headers are too large\n")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._allowed = HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            raise HttpParserError("too many headers")

    def send_400_response(self, msg: str) -> None:
        """For what httptools refuses, or one of these methods."""
        if self._in_head and self._is_large():
            self._refuse(b"431 Request Header Fields Too Large", b"the headers are too large\n")
        else:
            self._refuse(b"400 Bad Request", b"this is not a valid HTTP request\n")

    def _is_large(self) -> bool:
        sizes = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.headers) > HEADERS or sizes + len(self.url) > HEAD

    def on_headers_complete(self) -> None:
        if self._is_large():
            raise HttpParserError("the headers are too large")
        self._in_head = False
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            raise HttpParserError("too many requests wait for an answer")
        self.within(ARRIVE)

    def on_chunk_header(self) -> None:
        self._allowed += FRAME

    def on_body(self, body: bytes) -> None:
        self._received -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._received = 0
        self._in_message = False
        super().on_message_complete()
        self.within(ANSWER)

    def on_response_complete(self) -> None:
        self.within(ARRIVE if self._in_message else IDLE)
        super().on_response_complete()
        if self.answering:  # the next request was already queued
            self.within(ANSWER)

    def handle_websocket_upgrade(self) -> None:
        self._refuse(b"400 Bad Request", b"there is no WebSocket here\n")

    def _refuse(self, status: bytes, text: bytes) -> None:
        """Answer in the place of the app, and disconnect."""
        if not (self.cycle and self.cycle.response_started and self.answering):
            self.transport.write(_REFUSAL % (status, len(text), text))
        self.transport.close()

    def late(self) -> None:
        if self._in_head or (self.answering and self.cycle.more_body):
            self._refuse(b"408 Request Timeout", b"the request took too long to arrive\n")
        elif self.answering:  # it does not read the answer
            self.transport.abort()
        else:
            self.transport.close()
