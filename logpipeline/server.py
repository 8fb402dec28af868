"""Server: HTTP for a few clients with small requests, safe against hostile ones.

Each connection has a thread. At most CONNECTIONS are open: a further one replaces the oldest. The
time of a connection and the size of a request's head are limited.
"""

import io
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.client import LineTooLong
from typing import IO, TYPE_CHECKING, Any, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, make_server

from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CONNECTIONS = 16  # Prometheus and two probes need three
PATIENCE = 10.0  # seconds for a connection, from its first byte to the last
HEAD = 16_384  # bytes of a request's line and headers


def serve(host: str, port: int, application: "WSGIApplication") -> None:
    """Answer in daemon threads from now on. Raises OSError when the port cannot be used."""
    kind = _V6Server if ":" in host else _Server
    server = make_server(host, port, application, kind, _Handler)
    threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()


class _Server(ThreadingWSGIServer):
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._open: dict[socket.socket, float] = {}  # socket → time accepted, oldest first
        self._lock = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._close_old(CONNECTIONS - 1, PATIENCE)
        with self._lock:
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """socketserver calls this twice a second."""
        self._close_old(CONNECTIONS, PATIENCE)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing when a client disconnects or is disconnected."""

    def _close_old(self, most: int, patience: float) -> None:
        """Keep at most `most` connections open, none for longer than `patience` seconds."""
        with self._lock:
            old = time.monotonic() - patience
            while self._open and (len(self._open) > most or next(iter(self._open.values())) < old):
                request = next(iter(self._open))
                del self._open[request]
                with suppress(OSError):  # its thread wakes up and closes it
                    request.shutdown(socket.SHUT_RDWR)


class _V6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.rfile = cast(io.BufferedIOBase, _Head(self.rfile))

    def handle(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline()
        except LineTooLong:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return
        if self.parse_request():  # otherwise it has answered with an error
            answer = cast(Any, _Answer)(self.rfile, self.wfile, sys.stderr, self.get_environ())
            answer.request_handler = self
            answer.run(cast(_Server, self.server).get_app())

    def version_string(self) -> str:
        return "log-pipeline"  # hides the version of Python

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""


class _Answer(ServerHandler):
    server_software = ""


class _Head:
    """The lines that a client sends, HEAD bytes at most. No request needs a body."""

    def __init__(self, file: IO[bytes] | io.BufferedIOBase) -> None:
        self._file = file
        self._room = HEAD

    def readline(self, size: int = -1) -> bytes:
        """Raises http.client.LineTooLong, which the server answers with 431."""
        line = self._file.readline(min(size, self._room + 1) if size >= 0 else self._room + 1)
        self._room -= len(line)
        if self._room < 0:
            raise LineTooLong("head")
        return line

    def close(self) -> None:
        self._file.close()
