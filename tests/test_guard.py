"""dashboard.py as a server: who it answers, how it starts and ends."""

import base64
import http.client
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from logpipeline.localstack.server import free_port
from tests.support.process import Process, dashboard, script

NOWHERE = "redis://127.0.0.1:1/0"  # the guard does not need it
PASSWORD = "correct hörse"


class Server:
    """A dashboard to ask by plain HTTP."""

    def __init__(self, process: Process, address: str) -> None:
        self.process = process
        self.host = urlsplit(address).netloc

    def ask(
        self, path: str = "/", method: str = "GET", body: str = "", **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """Status, body, headers. `headers` are without "-": set_cookie."""
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body.encode() or None, given)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def socket(self, **headers: str) -> int:
        """The status of a WebSocket's handshake: 101 when it is taken."""
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        }
        path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        return self._status(path, {**upgrade, **headers})

    def _status(self, path: str, headers: dict[str, str]) -> int:
        host, port = self.host.split(":")
        lines = [f"GET {path} HTTP/1.1", *([] if "Host" in headers else [f"Host: {self.host}"])]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        with socket.create_connection((host, int(port)), 20) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            return int(connection.recv(4_096).split()[1])


pytestmark = pytest.mark.xdist_group("guard")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("open")
    with dashboard(folder, REDIS_URL=NOWHERE) as (process, address):
        yield Server(process, address)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a password."""
    folder = tmp_path_factory.mktemp("locked")
    variables = {"REDIS_URL": NOWHERE, "DASHBOARD_PASSWORD": PASSWORD}
    with dashboard(folder, **variables) as (process, address):
        yield Server(process, address)


def test_it_says_that_it_lives(server: Server, locked: Server) -> None:
    assert server.ask("/healthz")[:2] == (200, "alive\n")
    assert locked.ask("/healthz")[:2] == (200, "alive\n")


def test_nothing_may_come_from_or_go_elsewhere(server: Server) -> None:
    status, body, headers = server.ask()
    assert status == 200
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert re.findall(r"""(?:src|href|from|url\()[="' (]+(?:https?:)?//""", body) == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "192.0.2.7", "[::1]", "LOCALHOST"])
def test_without_a_password_addresses_and_this_machines_names_are_answered(
    server: Server, name: str
) -> None:
    assert server.ask(Host=f"{name}:8080")[0] == 200


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "a b"])
def test_without_a_password_a_rebound_name_is_not_answered(server: Server, name: str) -> None:
    status, body, _ = server.ask(Host=f"{name}:8080")
    assert status in {400, 421}
    assert "<html" not in body
    assert server.socket(Host=f"{name}:8080") in {400, 403}


def test_a_websocket_is_for_the_own_page_alone(server: Server) -> None:
    assert server.socket() == 101
    assert server.socket(Origin=f"http://{server.host}") == 101
    for other in ("https://evil.example", "null", f"http://{server.host}.evil.example"):
        assert server.socket(Origin=other) == 403


def test_without_the_cookie_there_is_only_the_login(locked: Server) -> None:
    for path in ("/", "/?level=ERROR", "/_nicegui/auto/static/nicegui.js", "/nothing"):
        status, body, _ = locked.ask(path)
        assert status == 401
        assert "Password" in body
        assert "nicegui" not in body
    for cookie in ("dashboard=", "dashboard=x", "dashboard=\xff", ";;=", "dashboard"):
        assert locked.ask(Cookie=cookie)[0] == 401
        assert locked.socket(Cookie=cookie) == 403
    assert locked.ask(Host="logs.example")[0] == 401  # a name is no danger then


def log_in(server: Server, password: str) -> tuple[int, str, http.client.HTTPMessage]:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    return server.ask("/", "POST", urlencode({"password": password}), **form)


def test_the_password_gives_a_cookie_and_the_cookie_the_page(locked: Server) -> None:
    status, _, headers = log_in(locked, PASSWORD)
    assert status == 303
    kept = headers["Set-Cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=strict" in kept
    cookie = kept.split(";")[0]
    assert locked.ask(Cookie=cookie)[0] == 200
    assert locked.socket(Cookie=cookie) == 101
    assert locked.socket(Cookie=cookie, Origin="https://evil.example") == 403


@pytest.mark.parametrize("wrong", ["", "correct", "correct hörse ", "Correct hörse", "\0"])
def test_another_password_is_refused_and_takes_its_time(locked: Server, wrong: str) -> None:
    began = time.monotonic()
    status, body, headers = log_in(locked, wrong)
    assert status == 401
    assert "That is not the password." in body
    assert "Set-Cookie" not in headers
    assert time.monotonic() - began >= 1


def test_a_huge_password_is_not_read(locked: Server) -> None:
    assert log_in(locked, "x" * 100_000)[0] == 413


@pytest.mark.parametrize("password", ["", PASSWORD])
def test_a_page_for_strangers_without_a_password_is_warned_of(
    tmp_path: Path, password: str
) -> None:
    variables = {"DASHBOARD_HOST": "0.0.0.0", "DASHBOARD_PASSWORD": password}  # noqa: S104
    with dashboard(tmp_path, REDIS_URL=NOWHERE, **variables) as (process, _):
        warned = "can read the logs: set DASHBOARD_PASSWORD" in process.output()
        assert warned == (not password)
        assert PASSWORD not in process.output()
        process.terminate()
        assert process.wait() == 0
        assert process.output().endswith("done\n")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DASHBOARD_HOST": "nowhere.invalid"}, "DASHBOARD_HOST=nowhere.invalid"),
        ({"DASHBOARD_HOST": "no..where"}, "DASHBOARD_HOST=no..where"),
        ({"DASHBOARD_PORT": "many"}, "DASHBOARD_PORT='many'"),
        ({"DASHBOARD_PASSWORD": "hush"}, "DASHBOARD_PASSWORD='***'"),
    ],
)
def test_a_setting_that_can_not_be_used_is_one_line(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    process = Process(script("dashboard.py"), tmp_path / "output", os.environ | variables)
    assert process.wait() == 2
    assert words in process.output()
    assert process.output().count("\n") == 1
    assert "hush" not in process.output()


def test_a_taken_port_is_one_line(tmp_path: Path, server: Server) -> None:
    port = server.host.split(":")[1]
    variables = {"DASHBOARD_PORT": port}
    process = Process(script("dashboard.py"), tmp_path / "output", os.environ | variables)
    assert process.wait() == 2
    words = f"dashboard: DASHBOARD_PORT={port} on DASHBOARD_HOST=127.0.0.1: it is taken\n"
    assert process.output() == words


def test_the_help_does_not_show_the_password(tmp_path: Path) -> None:
    variables = {"DASHBOARD_PASSWORD": PASSWORD, "DASHBOARD_PORT": str(free_port())}
    command = [*script("dashboard.py"), "--help"]
    process = Process(command, tmp_path / "output", os.environ | variables)
    assert process.wait() == 0
    assert "DASHBOARD_HOST=0.0.0.0" in process.output()
    assert PASSWORD not in process.output()
