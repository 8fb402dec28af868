"""dashboard.py as a server: who it answers, how it starts and ends."""

import base64
import contextlib
import http.client
import os
import re
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml
from pydantic import ValidationError

from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.support.forked import Constants, Forked, forked
from tests.support.process import ROOT, Process, dashboard
from tests.support.waiting import until

NOWHERE = "redis://127.0.0.1:1/0"  # the guard does not need it
PASSWORD = "correct hörse"
FEW = 20  # sessions
HASTY = {
    "logpipeline.http_connection.ASK": 2.0,
    "logpipeline.dashboard.connection.ASK": 2.0,
    "logpipeline.dashboard.login.FORM_SECONDS": 1.0,
    "logpipeline.dashboard.login.TURN": 0.02,
    "logpipeline.dashboard.login.WRONG": 0.2,
    "logpipeline.dashboard.sockets.SESSIONS": FEW,
    "logpipeline.dashboard.sockets.SILENT": 2.0,
}


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


@contextlib.contextmanager
def running(folder: Path, constants: Constants, **variables: str) -> Iterator[Server]:
    start = partial(forked, constants=constants)
    with dashboard(folder, start, REDIS_URL=NOWHERE, **variables) as (process, address):
        yield Server(process, address)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("open"), {}) as server:
        yield server


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a password."""
    with running(tmp_path_factory.mktemp("locked"), {}, DASHBOARD_PASSWORD=PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that waits for nobody as long as others do."""
    with running(tmp_path_factory.mktemp("hasty"), HASTY) as server:
        yield server


@pytest.fixture(scope="module")
def hasty_locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hasty-locked")
    with running(folder, HASTY, DASHBOARD_PASSWORD=PASSWORD) as server:
        yield server


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
def test_another_password_is_refused_and_takes_its_time(hasty_locked: Server, wrong: str) -> None:
    began = time.monotonic()
    status, body, headers = log_in(hasty_locked, wrong)
    assert status == 401
    assert "Wrong password." in body
    assert "Set-Cookie" not in headers
    assert time.monotonic() - began >= HASTY["logpipeline.dashboard.login.WRONG"]


def test_a_huge_password_is_not_read(locked: Server) -> None:
    assert log_in(locked, "x" * 100_000)[0] == 413


def login_body(length: int) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + b"password="


def exchange(server: Server, sent: bytes, timeout: float = 20) -> bytes:
    """The first bytes of the answer to these bytes; b"" when the connection is ended instead."""
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        try:
            return connection.recv(65_536)
        except ConnectionResetError:
            return b""


COOKIES = {
    "escapes": 'dashboard="' + '\\"' * 15_000 + '"',
    "octal": 'dashboard="' + "\\101" * 7_500 + '"',
    "of another": 'x="' + '\\"' * 15_000 + '"',
    "pairs": "a=b; " * 6_000,
    "equals": "=" * 30_000,
}


@pytest.mark.parametrize("cookie", COOKIES.values(), ids=COOKIES)
@pytest.mark.parametrize("kind", ["server", "hasty_locked"])
def test_no_cookie_costs_time(request: pytest.FixtureRequest, kind: str, cookie: str) -> None:
    server: Server = request.getfixturevalue(kind)
    before = seconds(server.process)
    assert server.ask(Cookie=cookie)[0] in {200, 401}
    server.socket(Cookie=cookie)
    server.ask("/_nicegui_ws/socket.io/?EIO=4&transport=polling", Cookie=cookie)
    server.ask("/", "POST", "password=x", Cookie=cookie)
    assert seconds(server.process) - before < 0.5


def seconds(process: Process) -> float:
    """CPU that it has taken so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: Process) -> int:
    """MiB that it has in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


@pytest.mark.parametrize("kind", ["server", "locked"])
def test_large_heads_are_refused(request: pytest.FixtureRequest, kind: str) -> None:
    server: Server = request.getfixturevalue(kind)
    start = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    for large in (b"Cookie: " + b'\\"' * 200_000, b"A: b\r\n" * 50_000, b"A:" + b" " * 10**6):
        answer = exchange(server, start + large + b"\r\n\r\n")
        assert answer == b"" or answer.split()[1] in {b"400", b"431"}
    assert server.ask("/healthz")[0] == 200


@pytest.mark.parametrize("path", ["/", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"])
@pytest.mark.parametrize("kind", ["server", "locked"])
def test_a_large_body_is_refused_before_it_arrives(
    request: pytest.FixtureRequest, kind: str, path: str
) -> None:
    server: Server = request.getfixturevalue(kind)
    sent = login_body(10_000_000).replace(b" / ", f" {path} ".encode())
    assert exchange(server, sent).split()[1] == b"413"
    chunked = sent.replace(b"Content-Length: 10000000", b"Transfer-Encoding: chunked")
    assert exchange(server, chunked).split()[1] == b"411"
    assert exchange(server, sent.replace(b"10000000", b"1e3")).split()[1] in {b"400", b"413"}


def test_ten_megabytes_for_a_password_take_no_memory(locked: Server) -> None:
    before = memory(locked.process)
    for _ in range(5):
        exchange(locked, login_body(10_000_000) + b"x" * 10_000_000)
    assert memory(locked.process) - before < 5


def test_a_form_that_does_not_arrive_is_not_waited_for(hasty_locked: Server) -> None:
    assert exchange(hasty_locked, login_body(100)).split()[1] == b"408"


@pytest.mark.parametrize("kind", ["hasty", "hasty_locked"])
def test_a_slow_client_is_let_go(request: pytest.FixtureRequest, kind: str) -> None:
    server: Server = request.getfixturevalue(kind)
    host, port = server.host.split(":")
    slow = socket.create_connection((host, int(port)), 30)
    with slow, contextlib.suppress(OSError):  # a byte now and then does not keep it
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"x" * 100:
            slow.sendall(bytes([byte]))
            time.sleep(0.1)
        pytest.fail("it was waited for")


def test_a_thousand_silent_connections_keep_nobody_out(server: Server, locked: Server) -> None:
    before = memory(server.process)
    for kind in (server, locked):
        host, port = kind.host.split(":")
        with contextlib.ExitStack() as held:
            for number in range(1_000):
                silent = held.enter_context(socket.create_connection((host, int(port)), 20))
                if number % 2:
                    silent.sendall(b"GET / HTTP/1.1\r\n")
            assert kind.ask("/healthz")[:2] == (200, "alive\n")
            assert kind.ask()[0] in {200, 401}
            assert len(list(Path(f"/proc/{kind.process.pid}/fd").iterdir())) < 400
    assert memory(server.process) - before < 20


def test_pages_whose_browser_never_comes_cost_nothing(server: Server) -> None:
    server.ask()
    used, before = memory(server.process), seconds(server.process)
    for path in ("/", "/?q=x", "/nothing", "/_nicegui/nothing") * 500:
        assert server.ask(path)[0] in {200, 404}
    assert memory(server.process) - used < 10
    assert (seconds(server.process) - before) / 2_000 < 0.005


def test_sockets_without_a_page_are_bounded_and_let_go(hasty: Server) -> None:
    path = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    statuses = [hasty.ask(path)[0] for _ in range(FEW + 50)]
    assert set(statuses) == {200, 401}
    until(lambda: hasty.ask(path)[0] == 200, 30, "they stay")


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//[x]", "[", "\xff", ""])
@pytest.mark.parametrize("kind", ["server", "locked"])
def test_a_malformed_origin_is_refused_in_one_line(
    request: pytest.FixtureRequest, kind: str, origin: str
) -> None:
    server: Server = request.getfixturevalue(kind)
    status, body, _ = server.ask(Origin=origin)
    assert (status, body.count("\n")) == (403, 1)
    assert server.socket(Origin=origin) == 403
    assert "Traceback" not in server.process.output()


ELSEWHERE = [
    {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
    for site in ("cross-site", "same-site", "unknown")
    for mode, dest in (("no-cors", "image"), ("navigate", "iframe"), ("websocket", "websocket"))
]


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
@pytest.mark.parametrize("kind", ["server", "locked"])
def test_another_sites_page_gets_nothing(
    request: pytest.FixtureRequest, kind: str, headers: dict[str, str]
) -> None:
    server: Server = request.getfixturevalue(kind)
    polling = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for path in ("/", "/healthz", polling):
        assert server.ask(path, **headers)[0] == 403
    assert server.ask("/", "POST", "password=x", **headers)[0] == 403
    assert server.socket(**headers) == 403


def test_the_own_page_and_links_from_elsewhere_are_answered(server: Server) -> None:
    own = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert server.ask(**own)[0] == 200
    until(lambda: server.socket(**own) == 101, 30)  # once the sockets of other tests are let go
    assert server.ask("/?q=x", Sec_Fetch_Dest="document", **link)[0] == 200
    assert server.ask("/", "POST", "", Sec_Fetch_Dest="document", **link)[0] == 403


def test_no_answer_names_the_machine(server: Server, locked: Server) -> None:
    for kind in (server, locked):
        for path in ("/", "/nothing", "/_nicegui/nothing", "/readyz"):
            for host in ("evil.example", "localhost"):
                _, body, headers = kind.ask(path, Host=host)
                assert socket.gethostname() not in body + str(headers)
                assert NOWHERE.split("/")[2] not in body
                assert "Server" not in headers


def test_readiness_is_that_of_redis(server: Server, tmp_path: Path, own_redis: Redis) -> None:
    assert server.ask("/readyz")[:2] == (503, "cannot read Redis\n")
    with dashboard(tmp_path, forked, REDIS_URL=own_redis.url) as (process, address):
        reader = Server(process, address)
        assert reader.ask("/readyz")[:2] == (200, "ready\n")
        own_redis.kill()
        assert reader.ask("/readyz")[0] == 503
        assert reader.ask("/healthz")[0] == 200


def test_the_right_password_gets_in_while_others_guess(hasty_locked: Server) -> None:
    stop = threading.Event()
    answers: Counter[int] = Counter()

    def guess(number: int) -> None:
        while not stop.is_set():
            answers[log_in(hasty_locked, f"guess {number}")[0]] += 1

    with ThreadPoolExecutor(8) as guessers:
        guesses = [guessers.submit(guess, number) for number in range(8)]
        try:
            right = [log_in(hasty_locked, PASSWORD)[0] for _ in range(20)]
        finally:
            stop.set()
        [each.result() for each in guesses]
    assert right == [303] * 20
    assert set(answers) == {401}


def test_those_who_do_not_wait_for_the_answer_take_nobodys_turn(locked: Server) -> None:
    for number in range(100):
        body = urlencode({"password": f"guess {number}"}).encode()
        host, port = locked.host.split(":")
        with socket.create_connection((host, int(port)), 20) as connection:
            connection.sendall(login_body(len(body)).removesuffix(b"password=") + body)
    assert log_in(locked, PASSWORD)[0] == 303


def test_a_session_is_the_servers_and_not_what_a_visitor_brings(locked: Server) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    mine = "dashboard=chosen-by-somebody-else"
    _, _, headers = locked.ask("/", "POST", urlencode({"password": PASSWORD}), Cookie=mine, **form)
    cookie = headers["Set-Cookie"].split(";")[0]
    assert mine not in headers["Set-Cookie"]
    assert len(cookie) > 40
    assert locked.ask(Cookie=mine)[0] == 401
    for both in (f"{mine}; {cookie}", f"{cookie}; {mine}", f"a=b;{cookie} "):
        assert locked.ask(Cookie=both)[0] == 200
    for almost in (cookie[:-1], cookie + "x", f'"{cookie}"', cookie.replace("dash", "Dash")):
        assert locked.ask(Cookie=almost)[0] == 401


def test_strangers_do_not_fill_the_log(server: Server, locked: Server) -> None:
    for kind in (server, locked):
        before = len(kind.process.output())
        for _ in range(200):
            exchange(kind, b"nonsense\r\n\r\n")
            kind.ask("/_nicegui_ws/socket.io/?EIO=4&transport=a%0ab&sid=c%0ad")
            kind.ask("/%0anothing")
        assert len(kind.process.output()) - before < 1_000
        assert "\nd" not in kind.process.output()


OPEN = {"DASHBOARD_OPEN": "1"}
EVERYWHERE = {"DASHBOARD_HOST": "0.0.0.0"}  # noqa: S104


@pytest.mark.parametrize(
    ("published", "is_private"),
    [
        *(("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("[::1]", True)),
        *(("0.0.0.0", False), ("[::]", False), ("192.168.0.7", False), ("shop", False)),  # noqa: S104
    ],
)
def test_in_compose_it_is_open_only_while_published_to_this_machine(
    published: str, is_private: bool
) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    page = compose["services"]["dashboard"]
    assert page["environment"]["DASHBOARD_PUBLISHED"] == "${DASHBOARD_HOST:-127.0.0.1}"
    assert page["environment"]["DASHBOARD_OPEN"] == "${DASHBOARD_OPEN:-0}"
    assert page["ports"] == ["${DASHBOARD_HOST:-127.0.0.1}:${DASHBOARD_PORT:-8080}:8080"]

    def settings(is_open: int) -> DashboardSettings:
        given: dict[str, Any] = {"dashboard_host": "page", "dashboard_published": published}
        return DashboardSettings(_env_file=None, **given, dashboard_open=is_open)

    assert settings(1).is_private == is_private
    refused = pytest.raises(ValidationError, match=r"PUBLISHED=.*requires DASHBOARD_PASSWORD")
    with contextlib.nullcontext() if is_private else refused:
        settings(0)


@pytest.mark.parametrize("way", [{"DASHBOARD_PASSWORD": PASSWORD}, {"DASHBOARD_OPEN": "1"}])
def test_a_page_for_strangers_has_a_password_or_is_declared_open(
    tmp_path: Path, way: dict[str, str]
) -> None:
    with dashboard(tmp_path, forked, REDIS_URL=NOWHERE, **EVERYWHERE, **way) as (process, _):
        assert PASSWORD not in process.output()
        process.terminate()
        assert process.wait() == 0
        assert process.output().endswith("done\n")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (EVERYWHERE, "DASHBOARD_HOST='0.0.0.0': requires DASHBOARD_PASSWORD"),
        (EVERYWHERE | {"DASHBOARD_OPEN": "yes"}, "DASHBOARD_OPEN='yes': must be 0 or 1"),
        (OPEN | {"DASHBOARD_HOST": "nowhere.invalid"}, "DASHBOARD_HOST=nowhere.invalid"),
        (OPEN | {"DASHBOARD_HOST": "no..where"}, "DASHBOARD_HOST=no..where"),
        ({"DASHBOARD_PORT": "many"}, "DASHBOARD_PORT='many'"),
        ({"DASHBOARD_PASSWORD": "hush"}, "DASHBOARD_PASSWORD='***'"),
    ],
)
def test_a_setting_that_can_not_be_used_is_one_line(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    process = forked("dashboard.py", tmp_path / "output", os.environ | variables)
    assert process.wait() == 2
    assert words in process.output()
    assert process.output().count("\n") == 1
    assert "hush" not in process.output()


def test_a_taken_port_is_one_line(tmp_path: Path, server: Server) -> None:
    port = server.host.split(":")[1]
    variables = {"DASHBOARD_PORT": port}
    process = forked("dashboard.py", tmp_path / "output", os.environ | variables)
    assert process.wait() == 2
    words = f"dashboard.py: DASHBOARD_PORT={port} on DASHBOARD_HOST=127.0.0.1: already in use\n"
    assert process.output() == words


def test_the_help_does_not_show_the_password(tmp_path: Path) -> None:
    variables = {"DASHBOARD_PASSWORD": PASSWORD, "DASHBOARD_PORT": str(free_port())}
    output = tmp_path / "output"
    process = Forked("dashboard.py", ["--help"], output, os.environ | variables)
    assert process.wait() == 0
    assert "DASHBOARD_HOST=0.0.0.0" in process.output()
    assert PASSWORD not in process.output()
