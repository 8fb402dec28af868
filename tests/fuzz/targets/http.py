"""HTTP: requests to the page and to the endpoints, well-formed or not, of real programs."""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hypothesis import strategies as st
from redis import Redis as Client
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.fuzz.hostile import Parts, anything, joined, part, plain
from tests.fuzz.target import MIB, Aim, Target, hold
from tests.support.holding import Holding, event
from tests.support.process import ROOT, Process, dashboard, script
from tests.support.servers import started
from tests.support.waiting import until

PASSWORD = "correct horse battery"
PATIENCE = 20.0  # seconds of a machine that does other things, too
WHOLE = 200 * MIB
NAMES = (
    *(b"Host", b"Origin", b"Cookie", b"Accept", b"Accept-Encoding", b"Content-Length", b"Range"),
    *(b"Content-Type", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Expect", b"Referer"),
    *(b"Sec-Fetch-Site", b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"X-Forwarded-Proto"),
    *(b"X-Forwarded-Prefix", b"If-None-Match", b"Accept-Language", b"User-Agent"),
)
VALUES = (
    *(
        b"http://[",
        b"http://evil.example",
        b"null",
        b"evil.example",
        b"127.0.0.1",
        b"[::1",
        b"[",
        b"",
    ),
    *(b'dashboard="', b"dashboard=x", b"application/openmetrics-text; version=abc", b"*/*", b"-1"),
    *(b"bytes=0-,0-,0-", b"chunked", b"websocket", b"Upgrade", b"13", b"100-continue", b"gzip"),
    *(
        b"cross-site",
        b"https",
        b"//x",
        b"multipart/form-data; boundary=",
        b"9" * 30,
        b"\xff",
        b"a:b",
    ),
)
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport="
PATHS = (
    *(
        b"/",
        b"/healthz",
        b"/metrics",
        b"/readyz",
        b"/favicon.ico",
        b"/docs",
        b"/openapi.json",
        b"//",
    ),
    *(
        b"/_nicegui/",
        b"/_nicegui/3.18.0/static/",
        b"/_nicegui/3.18.0/components/x",
        b"*",
        b"http://[",
    ),
    *(b"/_nicegui/3.18.0/resources/x/y", b"/_nicegui/3.18.0/libraries/x", b"/_nicegui/client/x"),
    *(SOCKET.encode() + b"polling", SOCKET.encode() + b"polling&sid=x", b"/..%2f..%2fetc/passwd"),
    *(b"/?q=", b"/?service=", b"/?level=", b"/?span=day&theme=", b"/metrics?name[]="),
)
ANY, OURS = re.compile("Traceback"), re.compile(rf'File "{re.escape(str(ROOT))}/(?!\.venv/)')
CLIENT = re.compile(rb"client_id[\"']?: ?[\"']([0-9a-f-]{36})")
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")

pieces = st.lists(part, max_size=3)
headers = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | plain,
        st.builds(lambda value, more: [(value, 1), *more], st.sampled_from(VALUES), pieces),
    ),
    max_size=5,
)
requests = st.tuples(
    st.sampled_from([b"GET", b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"TRACE"]) | plain,
    st.builds(lambda path, more: [(path, 1), *more], st.sampled_from(PATHS), pieces),
    headers,
    pieces,
    st.booleans(),  # whether its length is said
)


class Program:
    """A program that answers HTTP, on a port of its own."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self._heard = 0  # characters of its output

    def request(self, given: Any) -> bytes:
        """The bytes of one."""
        return _request(given, self.port)

    def ask(self, request: bytes) -> None:
        """Send it, and wait for the answer or the end."""
        status = self._status(request)
        self.check()
        hold(status < 500, f"status {status}")

    def check(self, foreign: bool = False) -> None:
        """Whether it lives, and is silent about what it was sent; a traceback may be there if it
        is `foreign`, without any line of ours."""
        hold(self.process.running(), "it has ended")
        said = self.process.output()[self._heard :]
        self._heard += len(said)
        fault = (OURS if foreign else ANY).search(said)
        hold(not fault, f"a traceback, {said.strip().splitlines()[-1:]}")
        began = time.monotonic()
        request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        hold(self._status(request) == 200, "it does not live, by /healthz")
        hold(time.monotonic() - began < PATIENCE, "it is slow")

    def _status(self, request: bytes) -> int:
        """0 when it only closes the connection. Raises Broken when it does neither."""
        answer = b""
        with (
            suppress(ConnectionError),
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection,
        ):
            with suppress(OSError):
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            try:
                while data := connection.recv(65_536):
                    answer = (answer + data)[:65_536]
            except TimeoutError:
                hold(False, f"no answer in {PATIENCE:.0f} s")
        found = STATUS.match(answer)
        return int(found[1]) if found else 0


@contextmanager
def page(folder: Path, password: str) -> Iterator[Program]:
    """dashboard.py before a Redis with some events."""
    with started(Redis(folder / "redis", free_port())) as server:
        with Client.from_url(server.url) as client:
            held = Holding(client, "logs")
            held.add(*(event("ERROR", f"event {n}", service=f"s{n % 7}") for n in range(200)))
        variables = {"REDIS_URL": server.url, "DASHBOARD_PASSWORD": password}
        with dashboard(folder, **variables) as (process, address):
            yield Program(process, urlsplit(address).port or 0)


@contextmanager
def locked(folder: Path) -> Iterator[Aim]:
    """With a password, which is not known."""
    with page(folder, PASSWORD) as program:
        yield Aim(program.ask, program.request, program.process.pid)


@contextmanager
def unlocked(folder: Path) -> Iterator[Aim]:
    """Without one."""
    with page(folder, "") as program:
        yield Aim(program.ask, program.request, program.process.pid)


@contextmanager
def connected(folder: Path) -> Iterator[Aim]:
    """Through the socket of somebody who may see it."""
    with page(folder, "") as program:
        yield Aim(lambda given: talk(program, given), pid=program.process.pid)


@contextmanager
def endpoint(folder: Path) -> Iterator[Aim]:
    """/metrics, /healthz and /readyz of alerts.py, which stands for all that have them."""
    port = free_port()
    with started(Redis(folder / "redis", free_port())) as server:
        variables = {"REDIS_URL": server.url, "ALERTS_METRICS_PORT": str(port)}
        variables["ALERTS_FILE"] = str(ROOT / "alerts.toml")
        process = Process(script("alerts.py"), folder / "output", os.environ | variables)
        try:
            program = Program(process, port)
            until(lambda: program._status(b"GET /readyz HTTP/1.0\r\n\r\n") == 200, PATIENCE)
            yield Aim(program.ask, program.request, process.pid)
        finally:
            process.kill()


def talk(program: Program, given: list[Parts]) -> None:
    """Open the page, then its socket, and say something else than a browser does."""
    client = _client(program.port)
    ids = f"client_id={client}&tab_id=t-{client}&document_id=d-{client}"
    address = f"ws://127.0.0.1:{program.port}{SOCKET}websocket&{ids}&next_message_id=0"
    answer = ""
    with (
        suppress(WebSocketException, OSError, TimeoutError),
        connect(address, open_timeout=PATIENCE, close_timeout=0.2, max_size=None) as opened,
    ):
        opened.recv(PATIENCE)
        opened.send("40")
        answer = str(opened.recv(PATIENCE))
        for parts in given:
            data = joined(parts, 2 * MIB).replace(b"CLIENT", client.encode())
            opened.send(data.decode(errors="replace"))
        opened.send("2probe")
        with suppress(TimeoutError):
            opened.recv(0.05)
    hold(answer.startswith('40{"sid"'), f"the page's own socket is refused: {answer:.100}")
    program.check(foreign=True)


def _client(port: int) -> str:
    """The page's name for who opens it, once there is a place for another tab."""
    deadline = time.monotonic() + PATIENCE
    while not (found := CLIENT.search(_get(port, b"/"))):
        hold(time.monotonic() < deadline, "no page")
        time.sleep(0.1)
    return found[1].decode()


def _get(port: int, path: bytes) -> bytes:
    whole = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(b"GET %b HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n" % path)
        while data := connection.recv(65_536):
            whole += data
    return whole


def _request(given: Any, port: int) -> bytes:
    method, path, fields, parts, sized = given
    body = joined(parts, 11 * MIB)
    lines = [b"%b %b HTTP/1.1" % (method, joined(path, 60_000).replace(b" ", b"%20"))]
    if not any(name == b"Host" for name, _ in fields):
        lines.append(b"Host: 127.0.0.1:%d" % port)
    lines += [b"%b: %b" % (name, joined(value, 400_000)) for name, value in fields]
    if sized:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def _plain(path: bytes, *fields: tuple[bytes, Parts], method: bytes = b"GET") -> Any:
    return (method, [(path, 1)], list(fields), [], False)


QUOTED = (b"Cookie", [(b'dashboard="', 1), (b'\\"', 20_000), (b'"', 1)])
REQUESTS = [
    _plain(b"/", QUOTED),
    _plain(b"/", (b"Cookie", [(b'dashboard="', 1), (b"\\0", 20_000), (b'"', 1)])),
    _plain(b"/", (b"Origin", [(b"http://[", 1)])),
    _plain(b"/healthz", (b"Origin", [(b"http://[", 1)])),
    _plain(b"/", (b"Host", [(b"evil.example", 1)])),
    _plain(b"/", (b"Host", [(b"[", 1)])),
    (b"GET", [(b"/docs", 1)], [], [(b"*?[", 70_000), (b" ", MIB)], False),
    (b"HEAD", [(b"/_nicegui/3.18.0/libraries/x", 1)], [], [(b"\xf2\xaa\x93B", 8_192)], False),
    (b"GET", [(b"/?q=", 1), (b"a+", 25_000)], [], [], False),
    (b"POST", [(b"/", 1)], [], [(b"password=", 1), (b"x", 10 * MIB)], True),
    (b"POST", [(b"/", 1)], [], [(b"a=b&", 1_000)], True),
    _plain(b"/metrics", (b"Accept", [(b"application/openmetrics-text; version=abc", 1)])),
]
FRAMES: list[list[Parts]] = [
    [[(b'42["event",{"client_id":"CLIENT","id":1,"listener_id":"x","args":[]}]', 1)]],
    [[(b'42["event",{"client_id":"CLIENT"}]', 1)], [(b'42["event"]', 1)], [(b'42["event",1]', 1)]],
    [[(b'42["javascript_response",{"client_id":"CLIENT","request_id":"x","result":[[]]}]', 1)]],
    [[(b'42["ack",{"client_id":"CLIENT","next_message_id":"x"}]', 1)]],
    [[(b'42["log",{"client_id":"CLIENT","msg":"', 1), (b"x", MIB), (b'"}]', 1)]],
    [[(b"42", 1), (b"[", 100_000), (b"]", 100_000)]],
    [[(b"5", 1), (b"1", 5_000), (b"-", 1)]],
]
verbs = st.sampled_from(
    [b"event", b"ack", b"log", b"javascript_response", b"too_long_message", b"x"]
)
frames = st.lists(
    st.builds(
        lambda kind, verb, parts: [(kind, 1), (b'["' + verb + b'",', 1), *parts, (b"]", 1)],
        st.sampled_from([b"42", b"420", b"43", b"451-", b"4"]),
        verbs,
        anything | st.sampled_from([[(b'{"client_id":"CLIENT"}', 1)], [(b"null", 1)]]),
    ),
    max_size=4,
)
ASKED = "answers each request within a second, with no error of its own and nothing in its log"
Check = Callable[[Any], object]

TARGETS = (
    Target(
        "locked",
        f"the page with a password {ASKED}",
        requests,
        locked,
        REQUESTS,
        seconds=0.5,
        bytes=48 * MIB,
        whole=WHOLE,
    ),
    Target(
        "page",
        f"the page without a password {ASKED}",
        requests,
        unlocked,
        REQUESTS,
        seconds=0.5,
        bytes=48 * MIB,
        whole=WHOLE,
    ),
    Target(
        "socket",
        "the page continues whatever comes through a browser's socket",
        frames,
        connected,
        FRAMES,
        seconds=0.5,
        bytes=48 * MIB,
        whole=WHOLE,
    ),
    Target(
        "endpoint",
        f"an endpoint {ASKED}",
        requests,
        endpoint,
        REQUESTS,
        seconds=0.5,
        bytes=48 * MIB,
        whole=WHOLE,
    ),
)
