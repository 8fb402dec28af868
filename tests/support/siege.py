"""Siege: everything that strangers may send at once, by threads, until it is called off."""

import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

from tests.fuzz.batches import Record, batch
from tests.support import segments
from tests.support.raw_producer import RawProducer

PATIENCE = 30.0  # seconds
PAUSE = 0.02  # seconds between two blows of one thread
POLL = 0.1  # seconds between two questions of one poller
MIB = 2**20
SERVICE = "<!channel> @everyone"

Blow = Callable[[], object]


def event(level: str = "INFO", **fields: Any) -> bytes:
    """A valid one, of now."""
    whole = {"level": level, "message": "hostile", "timestamp": time.time(), **fields}
    return json.dumps(whole).encode()


def nested(depth: int) -> bytes:
    return event()[:-1] + b',"x":' + b"[" * depth + b"1" + b"]" * depth + b"}"


def wrapped(value: bytes) -> bytes:
    """A batch with an honest event after it."""
    return batch([Record(None, value), Record(None, event(message="after"))])


def records() -> list[bytes]:
    """Batches that did harm once, each a kind."""
    other = [b"", b"{}", b"\xff\xfe", b'{"level":"INFO"}', b"[" * 100_000, b"NaN", b"1" * 5_000]
    fields = json.loads(event()) | {f"field{n}": n for n in range(40_000)}
    return [
        *(wrapped(nested(depth)) for depth in (99, 500, 985, 991, 996, 20_000)),
        *(wrapped(value) for value in other),
        batch([Record(b"\xff\xfe", event(), [(b"\xff\xfe", b"\xff"), (b"", None)])]),
        batch([Record(None, None), Record(b"", b"")]),
        wrapped(event(message="\x01" * 150_000)),
        wrapped(event(message="\x1b[2J\x9b31m", service="\x1b]0;x\x07")),
        *(wrapped(event("ERROR", service=str(n) + "s" * 160_000)) for n in range(6)),
        batch([Record(None, event("ERROR", service=f"service {n}")) for n in range(5_000)]),
        batch([Record(None, event(timestamp=n * 60.0)) for n in range(5_000)]),
        batch([Record(None, event(timestamp=1e300)), Record(None, event(timestamp=-1e300))]),
        batch([Record(None, event("CRITICAL", service=SERVICE)) for _ in range(5_000)]),
        batch([Record(None, event(x="y" * 1_040_000))]),
        batch([Record(None, json.dumps(fields).encode())]),
    ]


def bombs() -> list[bytes]:
    """Small batches that unpack to 200 MB."""
    record = event()[:-1] + b',"x":"' + b"a" * 200_000_000 + b'"}'
    return [
        batch([Record(None, record)], segments.ZSTD),
        batch([Record(None, b" " * 4 * MIB)] * 48, segments.ZSTD),
        batch([Record(None, b" " * 4 * MIB)] * 48, segments.GZIP),
    ]


def megabytes() -> list[bytes]:
    """One batch, as large as Kafka takes it."""
    return [batch([Record(None, event(x="y" * 1_040_000))])]


def letters(topic: str) -> list[bytes]:
    """Records of the dead-letter topic that no consumer has written."""
    whole: dict[bytes, bytes | None] = {
        b"source.topic": topic.encode(),
        b"source.partition": b"0",
        b"source.offset": b"0",
        b"source.topic_id": b"x",
    }
    odd = [whole | {name: value} for name in whole for value in (None, b"\xff", b"9" * 5_000)]
    return [batch([Record(None, b"{}", list(each.items()))]) for each in odd]


class Client:
    """Somebody who asks a program of this machine by plain HTTP."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[int, bytes, str]:
        """Status, body, cookie; status 0 when it lets go of the connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, given)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("Set-Cookie", "").split(";")[0]
        except (ConnectionError, HTTPException):
            return 0, b"", ""
        finally:
            connection.close()

    def log_in(self, password: str, **headers: str) -> tuple[int, bytes, str]:
        body = urlencode({"password": password}).encode()
        form = "application/x-www-form-urlencoded"
        return self.ask("/", "POST", body, Content_Type=form, **headers)

    def begin(self, request: bytes) -> socket.socket:
        """Send the beginning of a request, and no more."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        connection.sendall(request)
        return connection


def requests(page: Client) -> list[Blow]:
    """Requests to the page by somebody who does not know the password."""
    quoted = 'dashboard="' + '\\"' * 25_000 + '"'
    return [
        lambda: page.ask(Cookie=quoted),
        lambda: page.ask(Cookie='dashboard="' + "\\0" * 25_000),
        lambda: page.ask(Origin="http://["),
        lambda: page.ask("/healthz", Origin="http://[", Host="["),
        lambda: page.ask("/?q=" + "a+" * 25_000),
        lambda: page.ask("/", "POST", b"x" * 10 * MIB),
        lambda: page.ask("/", "POST", b"password=" + b"%41" * 10**6, Cookie=quoted),
        lambda: page.ask("/_nicegui_ws/socket.io/?EIO=4&transport=polling", "POST", b"x" * MIB),
    ]


def questions(endpoint: Client) -> list[Blow]:
    """Requests to /metrics, by pages of other sites, too."""
    odd = "application/openmetrics-text; version=abc"
    return [
        lambda: endpoint.ask("/metrics", Accept=odd),
        lambda: endpoint.ask("/metrics", Host="evil.example"),
        lambda: endpoint.ask("/metrics?" + "name[]=a&" * 5_000),
        lambda: endpoint.ask("/" + "a" * 60_000),
    ]


class Siege:
    """Threads that go on until `end`. `answers` is what a poller asks → (status, seconds)…;
    `problems` is what an attacker or a poller could not do any more, by its name."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.problems: dict[str, str] = {}
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._held = ExitStack()

    def attack(self, name: str, blows: Sequence[Blow], threads: int = 1) -> None:
        """Strike all blows again and again; that nobody answers is no problem."""
        for _ in range(threads):
            self._start(name, lambda: self._strike(cycle(blows)))

    def poll(self, name: str, ask: Callable[[], int]) -> None:
        """Ask for a status again and again, as somebody honest does."""
        self._start(name, lambda: self._ask(name, ask))

    def hold(self, connections: Iterator[socket.socket]) -> None:
        """Keep connections open to the end."""
        try:
            for connection in connections:
                self._held.callback(connection.close)
        except OSError as error:
            self.problems["connections"] = repr(error)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        self._held.close()

    def _start(self, name: str, work: Blow) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the test says it
                self.problems[name] = repr(error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _strike(self, blows: Iterator[Blow]) -> None:
        while not self._over.wait(PAUSE):
            with suppress(OSError):
                next(blows)()

    def _ask(self, name: str, ask: Callable[[], int]) -> None:
        while not self._over.wait(POLL):
            began = time.monotonic()
            status = ask()
            self.answers[name].append((status, time.monotonic() - began))


@contextmanager
def producing(servers: str, topic: str, batches: Sequence[bytes]) -> Iterator[list[Blow]]:
    """Blows that write one batch each to partition 0."""
    with RawProducer(servers, topic) as producer:
        yield [lambda data=data: producer.send(data) for data in batches]  # type: ignore[misc]


@contextmanager
def chat() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A chat's webhook: its port, and what has been posted."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Requests are no news."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, posted
        server.shutdown()


def percentile(seconds: Sequence[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]
