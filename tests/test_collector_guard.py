"""Guard of the collector: who may send what, from where, and what is refused without harm."""

import base64
import os
import random
import socket
import ssl
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import cache
from pathlib import Path

import pytest
import snappy

from config import Settings
from logpipeline.events.event import is_event
from logpipeline.localstack.server import free_port
from tests.conftest import RunScript
from tests.support.collecting import Collecting, shared
from tests.support.forked import completed_text
from tests.test_collector import AN_EVENT, MANY_EMPTY_RECORDS, otlp_request

pytestmark = pytest.mark.xdist_group("collector_guard")  # one worker has its collector

EVERYWHERE = "0.0.0.0"  # noqa: S104
SITE = "https://shop.example"
HOSTILE = int(os.environ.get("HOSTILE", "400"))  # HOSTILE=10000 pytest -k garbage
MOST_MEMORY = 200 * 2**20
EVENT = b'{"message":"good"}'
HASTY = {"logpipeline.http_connection.ASK": 2.0, "logpipeline.collector.connection.ASK": 2.0}


@pytest.fixture(scope="module")
def running(kafka_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collecting]:
    folder = tmp_path_factory.mktemp("collector")
    with shared(kafka_servers, folder, COLLECTOR_ORIGINS=SITE) as collecting:
        yield collecting


@pytest.fixture
def collector(running: Collecting) -> Collecting:
    running.forget()
    return running


@pytest.fixture(scope="module")
def guarded(kafka_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collecting]:
    folder = tmp_path_factory.mktemp("collector")
    token = "first-token-of-all,shop:second-token-of-all"
    with shared(
        kafka_servers, folder, HASTY, COLLECTOR_HOST=EVERYWHERE, COLLECTOR_TOKEN=token
    ) as collecting:
        yield collecting


class TestToken:
    @pytest.mark.parametrize(
        "path", ["/events", "/v1/logs", "/loki/api/v1/push", "/_bulk", "/", "/x/_bulk", "/other"]
    )
    def test_without_it_nothing_is_taken(self, guarded: Collecting, path: str) -> None:
        for given in ("", "Bearer wrong", "Basic !!", "Bearer", "Basic " + "A" * 1000):
            answer = guarded.post(path, AN_EVENT, Authorization=given)
            assert answer.status == 401
            assert "Bearer" in answer.headers["www-authenticate"]
        assert guarded.values() == []

    def test_bearer_and_basic_are_accepted_and_any_host_name(self, guarded: Collecting) -> None:
        guarded.forget()
        basic = base64.b64encode(b"agent:first-token-of-all").decode()
        for given in ("Bearer first-token-of-all", f"Basic {basic}"):
            answer = guarded.post("/events", AN_EVENT, Authorization=given, Host="collector")
            assert answer.status == 200
        assert guarded.events() == [AN_EVENT, AN_EVENT]

    def test_a_token_of_a_service_writes_as_that_service_alone(self, guarded: Collecting) -> None:
        guarded.forget()
        shop = {"Authorization": "Bearer second-token-of-all"}
        body = [AN_EVENT | {"service": "other"}, AN_EVENT | {"message": "mine"}]
        answer = guarded.post("/events", body, **shop)
        assert answer.status == 400
        assert [each["index"] for each in answer.json["errors"]] == [0]
        assert "as the service shop only" in answer.json["errors"][0]["error"]
        request = otlp_request()
        request.resource_logs[0].resource.attributes[0].value.string_value = "other"
        sent = request.SerializeToString()
        answer = guarded.post("/v1/logs", sent, "application/x-protobuf", **shop)
        assert b"as the service shop only" in answer.body
        stream = {"stream": {"service": "other"}, "values": [["1711234567000000000", "x"]]}
        assert guarded.post("/loki/api/v1/push", {"streams": [stream]}, **shop).status == 400
        bulk = b'{"create":{}}\n{"message":"x","service":"other"}\n'
        answer = guarded.post("/app/_bulk", bulk, **shop)
        assert answer.json["items"][0]["create"]["status"] == 403
        assert [(event["message"], event["service"]) for event in guarded.events()] == [
            ("mine", "shop")
        ]

    def test_health_needs_none(self, guarded: Collecting) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert guarded.ask("GET", path).status == 200


def test_beyond_this_machine_it_does_not_start_without_a_token(tmp_path: Path) -> None:
    arguments = ["--collector-host", EVERYWHERE]
    done = completed_text("collector.py", arguments, tmp_path, {**os.environ})
    assert done.returncode == 2
    assert "COLLECTOR_HOST='0.0.0.0': requires COLLECTOR_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"collector_token": "with space"}, "COLLECTOR_TOKEN='***': must be TOKEN"),
        ({"collector_origins": "shop.example"}, "COLLECTOR_ORIGINS='shop.example': must be"),
        ({"collector_origins": "https://a/b"}, "must be https://shop.example"),
        ({"collector_syslog_port": 4318}, "must differ from COLLECTOR_PORT"),
        ({"collector_workers": 0}, "COLLECTOR_WORKERS='0': must be"),
        ({"collector_ssl_certfile": "/none"}, "COLLECTOR_SSL_CERTFILE='/none': must be"),
    ],
)
def test_an_impossible_setting_is_named(given: dict[str, object], words: str) -> None:
    from config import Collector
    from logpipeline.settings import SettingsError

    with pytest.raises(SettingsError, match=words.replace("*", r"\*")):
        Collector.checked(_env_file=None, **given)


class TestBrowsers:
    def test_other_sites_are_refused(self, collector: Collecting) -> None:
        for origin in ("https://evil.example", "null", "http://localhost:8080"):
            assert collector.post("/events", AN_EVENT, Origin=origin).status == 403
            assert collector.ask("OPTIONS", "/events", b"", {"Origin": origin}).status == 403
        assert collector.values() == []

    def test_a_name_that_was_rebound_is_refused(self, collector: Collecting) -> None:
        for host in ("evil.example", f"evil.example:{collector.port}", "127.0.0.1.evil.example"):
            assert collector.post("/events", AN_EVENT, Host=host).status == 421
            assert collector.ask("GET", "/metrics", b"", {"Host": host}).status == 421
        assert collector.post("/events", AN_EVENT, Host="localhost").status == 200

    def test_a_page_of_the_site_may_send_little(self, collector: Collecting) -> None:
        asked = collector.ask("OPTIONS", "/events", b"", {"Origin": SITE})
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, SITE)
        sent = collector.post("/events", AN_EVENT, Origin=SITE)
        assert (sent.status, sent.headers["access-control-allow-origin"]) == (200, SITE)
        assert collector.post("/events", b"x" * 70_000, Origin=SITE).status == 413
        assert collector.events() == [AN_EVENT]

    def test_a_page_that_sends_often_has_to_wait(self, collector: Collecting) -> None:
        answers = [collector.post("/events", b"7", Origin=SITE) for _ in range(90)]
        late = [answer for answer in answers if answer.status == 429]
        assert late
        assert late[0].headers["retry-after"]
        assert collector.post("/events", AN_EVENT).status == 200  # another program's


def test_tls_and_a_client_s_certificate(
    run_script: RunScript,
    environment: dict[str, str],
    settings: Settings,
    tmp_path: Path,
) -> None:
    import trustme

    authority = trustme.CA()
    pem = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(pem))
    for name in ("server", "client"):
        made = authority.issue_cert("localhost")
        made.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
    port = free_port()
    env = environment | {
        "COLLECTOR_PORT": str(port),
        "COLLECTOR_SSL_CERTFILE": str(tmp_path / "server.pem"),
        "COLLECTOR_SSL_KEYFILE": str(tmp_path / "server.key"),
        "COLLECTOR_SSL_CAFILE": str(pem),
    }
    process = run_script("collector.py", env=env)
    process.wait_for("listening on https://127.0.0.1")

    def status(context: ssl.SSLContext) -> int:
        import http.client

        with closing(
            http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
        ) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status

    context = ssl.create_default_context(cafile=str(pem))
    with pytest.raises((ssl.SSLError, OSError)):
        status(context)
    context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    assert status(context) == 200


class TestHostile:
    def test_a_slow_or_half_open_client_does_not_stay(self, guarded: Collecting) -> None:
        with socket.create_connection(("127.0.0.1", guarded.port)) as slow:
            slow.sendall(b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            slow.settimeout(25)
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
            assert slow.recv(2_000) is not None

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
            (b"Content-Length: 5\r\nContent-Length: 18\r\n", 400),
            (b"Transfer-Encoding: xchunked\r\n", 400),
            (b"Content-Length: -5\r\n", 400),
            (b"Content-Length: 99999999999999999999999\r\n", 400),
            (b"X: " + b"y" * 40_000 + b"\r\n", 431),
            (b"X: y\r\n" * 200, 431),
            (b"Content-Length: 18\r\n X: folded\r\n", 400),
            (b"Content-Length : 18\r\n", 400),
        ],
    )
    def test_a_smuggled_head_is_refused(
        self, collector: Collecting, head: bytes, status: int
    ) -> None:
        request = b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n" + EVENT
        assert answered(collector.port, request).startswith(b"HTTP/1.1 %d " % status)
        assert collector.values() == []

    @pytest.mark.parametrize(
        "body",
        [
            b"zz\r\n" + EVENT + b"\r\n0\r\n\r\n",
            b"-12\r\n" + EVENT + b"\r\n0\r\n\r\n",
            b"0x12\r\n" + EVENT + b"\r\n0\r\n\r\n",
            b"ffffffffffffffffff\r\n" + EVENT,
            b"12\r\n" + EVENT + b"more\r\n0\r\n\r\n",
            b"12\n" + EVENT + b"\n0\n\n",
        ],
    )
    def test_an_invalid_chunk_is_refused(self, collector: Collecting, body: bytes) -> None:
        head = b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert answered(collector.port, head + body).startswith(b"HTTP/1.1 400 ")
        assert collector.values() == []

    def test_chunks_of_any_size_are_one_body(self, collector: Collecting) -> None:
        head = b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = b"".join(b"1;note=x\r\n%c\r\n" % byte for byte in EVENT)
        request = head + chunks + b"0\r\nTrailer: x\r\n\r\n"
        assert answered(collector.port, request * 2).count(b"HTTP/1.1 200 OK") == 2
        assert collector.messages() == ["good"] * 2

    def test_an_endless_header_and_endless_trailers_end(self, collector: Collecting) -> None:
        start = b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        for prefix in (b"X: ", b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "):
            with socket.create_connection(("127.0.0.1", collector.port)) as endless:
                endless.settimeout(20)
                endless.sendall(start + prefix)
                with suppress(OSError):
                    for _ in range(2_000):
                        endless.sendall(b"y" * 10_000)
                    pytest.fail("20 MB were taken")

    def test_many_pipelined_requests_end(self, collector: Collecting) -> None:
        get = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert answered(collector.port, get * 3).count(b"200 OK") == 3
        answered(collector.port, get * 20_000)
        assert memory(collector) < MOST_MEMORY

    def test_many_connections_displace_idle_ones(self, collector: Collecting) -> None:
        with ExitStack() as idle:
            for number in range(700):
                connection = socket.create_connection(("127.0.0.1", collector.port))
                idle.enter_context(connection)
                if number % 50 == 0:  # so that Linux need not refuse any until it has taken them
                    assert collector.ask("GET", "/healthz").status == 200
            assert collector.post("/events", AN_EVENT).status == 200

    def test_garbage_of_every_kind_gets_an_answer_within_the_memory(
        self, collector: Collecting
    ) -> None:
        dice = random.Random(19)
        for _ in range(HOSTILE):
            answer = collector.ask("POST", *garbage(dice))
            assert answer.status in {200, 204, 400, 413, 415}
        assert memory(collector) < MOST_MEMORY
        assert all(map(is_event, collector.values()))
        collector.forget()
        assert collector.post("/events", AN_EVENT).status == 200
        assert collector.events() == [AN_EVENT]
        assert "Traceback" not in collector.process.output()


def answered(port: int, request: bytes) -> bytes:
    """What comes back until nothing has come for a second."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(1)
        with suppress(OSError):
            connection.sendall(request)
        answer = b""
        with suppress(OSError):
            while part := connection.recv(65_536):
                answer += part
    return answer


def memory(collector: Collecting) -> int:
    """Bytes of memory that the collector has ever had."""
    with open(f"/proc/{collector.process.pid}/status") as lines:  # noqa: PTH123
        [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return 1_024 * int(peak)


PATHS = {
    "/events": "application/json",
    "/v1/logs": "application/x-protobuf",
    "/loki/api/v1/push": "application/x-protobuf",
    "/app/_bulk": "application/x-ndjson",
}


def garbage(dice: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of a hostile request."""
    path = dice.choice(list(PATHS))
    kind = dice.choice([PATHS[path], "application/json"])
    encoding = dice.choice(["", "", "gzip", "zstd", "deflate", "snappy"])
    body = dice.choice(BODIES)(dice)
    headers = {"Content-Type": kind, "Content-Encoding": encoding}
    return path, body, {name: value for name, value in headers.items() if value}


def _damaged(dice: random.Random) -> bytes:
    whole = bytearray(otlp_request(3).SerializeToString())
    for _ in range(3):
        whole[dice.randrange(len(whole))] = dice.randrange(256)
    return bytes(whole)


@cache
def bombs() -> list[bytes]:
    """Bodies that are small until they are expanded."""
    large = [bytes(30_000_000), b"[" + b"{}," * 5_000_000, MANY_EMPTY_RECORDS]
    large += [b"\x0a\0" * 8_000_000, b"[" + b'{"message":"x"},' * 900_000]
    return [zlib.compress(each, 9, 31) for each in large]


BODIES: list[Callable[[random.Random], bytes]] = [
    lambda dice: dice.randbytes(dice.randrange(2_000)),
    _damaged,
    lambda dice: _damaged(dice)[: dice.randrange(80)],
    lambda dice: snappy.compress(_damaged(dice)),
    lambda dice: struct.pack("<Q", dice.getrandbits(64)) + dice.randbytes(20),
    lambda dice: b"[" * 10_000,
    lambda dice: b'{"a":' * 10_000,
    lambda dice: b'{"resourceLogs":' + b"[" * 10_000,
    lambda dice: b'{"create":{}}\n' * dice.randrange(1_000),
    lambda dice: b'{"create":{}}\n' + b'{"a":' * 10_000,
    lambda dice: dice.choice(bombs()),
    lambda dice: b'{"%b": 1, "message": "x"}' % (b"n" * dice.randrange(800_000)),
    lambda dice: b'{"level%b": "x", "message": "x"}' % (b"_" * dice.randrange(800_000)),
    lambda dice: snappy.compress(b"\x0a\0" * 8_000_000),
    lambda dice: b"[" + b"{}," * 500_000 + b"{}]",
    lambda dice: b"1," * 2_000_000,
]
