"""dashboard.py's sockets: what a browser's script may do, and what anybody else may who has one."""

import contextlib
import json
import re
import socket as socket_
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from logpipeline.dashboard.visitors import VIEWERS
from logpipeline.localstack.redis import Redis
from tests.support.forked import forked
from tests.support.holding import Holding, event
from tests.support.process import dashboard
from tests.support.waiting import until
from tests.test_guard import NOWHERE, Server, memory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("open")
    with dashboard(folder, forked, REDIS_URL=NOWHERE) as (process, address):
        yield Server(process, address)


class Browser:
    """What a browser's script is to the server: a page's text, then its socket."""

    def __init__(self, server: Server) -> None:
        self.server = server
        status, text, _ = server.ask()
        assert status == 200
        [self.id] = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))
        self.listeners = re.findall(r'"listener_id":"((\d+)-\d+)"', text)
        chooser = r'"listener_id":"((\d+)-\d+)","type":"update:model-?[vV]alue"'
        self.choosers = re.findall(chooser, text)
        ids = f"client_id={self.id}&tab_id=t-{self.id}&document_id=d-{self.id}"
        self.path = f"/_nicegui_ws/socket.io/?EIO=4&transport=websocket&{ids}"
        self.url = f"ws://{server.host}{self.path}&implicit_handshake=true&next_message_id=0"

    @contextlib.contextmanager
    def socket(self) -> Iterator[ClientConnection]:
        host, port = self.server.host.split(":")
        plain = socket_.socket()
        plain.setsockopt(socket_.SOL_SOCKET, socket_.SO_RCVBUF, 4_096)  # the kernel reads too
        plain.connect((host, int(port)))
        options: dict[str, Any] = {"max_size": None, "max_queue": 1, "close_timeout": 0.1}
        with connect(self.url, sock=plain, compression=None, **options) as socket:
            assert str(socket.recv()).startswith("0{")
            socket.send("40")
            yield socket

    def event(self, listener: str, element: str, *args: object) -> str:
        """The message that something has happened on the page."""
        message = {"id": int(element), "client_id": self.id, "listener_id": listener}
        return "42" + json.dumps(["event", {**message, "args": [json.dumps(a) for a in args]}])

    def answer(self, socket: ClientConnection, asked: str) -> None:
        """What the page's script would say to what it is asked to run."""
        [request] = re.findall(r'"request_id":"([^"]+)"', asked)
        result: object = [False, True] if "hidden" in asked else "UTC"
        message = {"request_id": request, "client_id": self.id, "result": result}
        socket.send("42" + json.dumps(["javascript_response", message]))


def received(socket: ClientConnection, words: str) -> str:
    """The first message with these words in it."""
    while words not in (message := str(socket.recv(20))):
        if message == "2":
            socket.send("3")
    return message


def test_a_page_is_there_for_its_browser_alone(server: Server) -> None:
    browser = Browser(server)
    with browser.socket() as socket:
        assert "getTimezoneOffset" not in received(socket, "timeZone")
    with browser.socket() as socket:  # again, soon after
        assert received(socket, '40{"sid"')
    browser.url = browser.url.replace("next_message_id=0", "next_message_id=5")
    other = Browser(server)
    for id_ in (other.id, "x", "../" + other.id[3:], other.id.upper()):
        browser.url = browser.url.replace(browser.id, id_)
        browser.id = id_
        with browser.socket() as socket:
            assert "Implicit handshake failed" in received(socket, "44")


def test_tabs_are_bounded_and_their_places_become_free(server: Server) -> None:
    with contextlib.ExitStack() as held:
        opened = 0
        while server.ask()[0] == 200:
            socket = held.enter_context(Browser(server).socket())
            received(socket, "timeZone")
            opened += 1
            assert opened <= VIEWERS
        status, body, headers = server.ask()
        assert (status, headers["Retry-After"]) == (503, "5")
        assert "too many open tabs" in body
        assert server.ask("/healthz")[0] == 200
    until(lambda: server.ask()[0] == 200, 30, "they stay")


NONSENSE = (
    *("42[]", '42["event"]', '42["event",1]', '42["event",null]', '42["event",{}]', "42[", "4", ""),
    *('42["event",{"client_id":[]}]', '42["log",{"client_id":"%s","level":"error","message":"x"}]'),
    *(
        '42["event",{"client_id":"%s","id":1,"args":["{"],"listener_id":"4-0"}]',
        "9",
        "451-[]",
        "41x",
    ),
    *('42["event",{"client_id":"%s","id":{},"args":5}]', '42["javascript_response",{}]', "2probe"),
    *('42["ack",{"client_id":"%s"}]', '42["handshake",{}]', '42["nothing",1]', "40/admin,", "45"),
    *("[" * 60_000, "42" + "[" * 60_000, '42["event",' + '{"a":' * 10_000, "\x00"),
)

ODD: list[list[object]] = [[], [None], [[["x"]]], [{"value": {}}], ["x" * 5_000]]


def test_nonsense_on_a_socket_harms_nobody(server: Server) -> None:
    before = server.process.output()
    for number in range(3):
        for nonsense in NONSENSE:
            browser = Browser(server)
            with contextlib.suppress(ConnectionClosed), browser.socket() as socket:
                received(socket, "timeZone")
                socket.send(nonsense.replace("%s", browser.id))
                for listener, element in browser.listeners if number == 0 else []:
                    for args in ODD:
                        socket.send(browser.event(listener, element, *args))
                socket.send('42["event",{}]')
            until(lambda: server.ask()[0] == 200, 30)
    said = server.process.output().removeprefix(before)
    assert said.count("Traceback") <= 10
    assert len(said) < 40_000


def test_a_browser_that_asks_and_does_not_read_fills_no_memory(
    own_redis: Redis, tmp_path: Path
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        names = [f"{number:x<38}" for number in range(100)]
        Holding(client, "logs").add(*[event(service=name) for name in names])
    with dashboard(tmp_path, forked, REDIS_URL=own_redis.url) as (process, address):
        browser = Browser(Server(process, address))
        with contextlib.suppress(ConnectionClosed), browser.socket() as socket:
            for code in ("timeZone", "location.search", "document.hidden"):
                browser.answer(socket, received(socket, code))
            received(socket, names[-1])
            before = memory(process)
            deadline = time.monotonic() + 5
            number = 0
            while time.monotonic() < deadline:  # it says that it is there, and no more
                for listener, element in browser.choosers * 20:
                    number += 1
                    chosen = {"value": number % 100, "label": names[number % 100]}
                    socket.send(browser.event(listener, element, chosen))
                socket.send("3")
        assert browser.server.ask("/healthz")[0] == 200
        assert memory(process) - before < 30


def test_a_browser_that_pings_and_does_not_read_is_let_go(server: Server) -> None:
    before = memory(server.process)
    with Browser(server).socket() as socket, pytest.raises(ConnectionClosed):
        ping_for_ever(socket)
    assert memory(server.process) - before < 30


def ping_for_ever(socket: ClientConnection) -> None:
    for number in range(500_000):
        socket.ping(f"{number:0>125}")
