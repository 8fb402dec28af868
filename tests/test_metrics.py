"""Metrics: what the running processes say about themselves, over HTTP and in Redis."""

import contextlib
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from email.message import Message

import pytest
from kafka import KafkaProducer
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis as Client

from config import Settings
from logpipeline.archive.archive import Archive
from logpipeline.consumer.metrics import Metrics
from logpipeline.events.columns import Columns
from logpipeline.events.event import Partial
from logpipeline.events.slices import read
from logpipeline.health import STUCK, Endpoint
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from logpipeline.recent import recent
from logpipeline.recent.recent import Recent
from logpipeline.recent.tally import Tally
from logpipeline.server import CONNECTIONS, HEAD
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.process import ROOT
from tests.support.records import event, events
from tests.support.topics import send
from tests.support.waiting import until

SOON = {
    "logpipeline.consumer.availability.QUIET": 1.0,
    "logpipeline.consumer.lag.EVERY": 0.2,
    "logpipeline.recent.recent.LOOK_AFTER": 0.5,
    "logpipeline.recent.recent.REPORT_EVERY": 0.2,
}
PORTS = ("METRICS_PORT", "PRODUCER_METRICS_PORT", "ALERTS_METRICS_PORT")


def get(port: int, path: str) -> tuple[int, Message, str]:
    """Status, headers and text; status 0 when nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()
    except OSError:
        return 0, Message(), ""


def samples(port: int) -> dict[str, float]:
    """`name` or `name{label="value",…}` → value, of /metrics."""
    found = {}
    for family in text_string_to_metric_families(get(port, "/metrics")[2]):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.fixture
def ports(environment: dict[str, str]) -> dict[str, int]:
    """A port for each process, in `environment` too."""
    found = {name: free_port() for name in PORTS}
    environment |= {name: str(port) for name, port in found.items()}
    return found


def test_a_consumer_tells_what_it_has_done(
    settings: Settings, ports: dict[str, int], run_script: RunScript
) -> None:
    port = ports["METRICS_PORT"]
    consumer = run_script("consumer.py", constants=SOON)
    until(lambda: get(port, "/readyz")[0] == 200, 60, "never ready")
    now = time.time()
    with closing(KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)) as producer:
        for number in range(20):
            level = "ERROR" if number < 5 else "INFO"
            producer.send(settings.kafka_topic, event(number, level=level, timestamp=now))
        producer.send(settings.kafka_topic, b"no event")
        producer.flush()
    wanted = {
        'log_consumer_events_total{level="ERROR",sink="archive"}': 5,
        'log_consumer_events_total{level="INFO",sink="archive"}': 15,
        'log_consumer_events_total{level="ERROR",sink="redis"}': 5,
        'log_consumer_events_total{level="DEBUG",sink="redis"}': 0,
        'log_consumer_dead_letters_total{reason="broken JSON"}': 1,
        "log_consumer_batch_events_sum": 20,
        "log_consumer_kafka_up": 1,
        "log_consumer_redis_up": 1,
        "log_consumer_archive_up": 1,
        'log_consumer_outages_total{of="redis"}': 0,
        'log_consumer_failures_total{step="append"}': 0,
        **{f'log_consumer_lag_records{{partition="{p}"}}': 0.0 for p in range(4)},
    }
    until(lambda: samples(port).items() >= wanted.items(), 30, "not all was counted")
    found = samples(port)
    assert found['log_consumer_delay_seconds_count{sink="archive"}'] >= 1
    assert found['log_consumer_delay_seconds_count{sink="redis"}'] >= 1
    assert found["log_consumer_archive_bytes_total"] == settings.log_file.stat().st_size
    assert now <= found["log_consumer_last_checkpoint_timestamp_seconds"] <= time.time()
    with Client.from_url(settings.redis_url, decode_responses=True) as redis:
        until(lambda: redis.hgetall(f"{settings.redis_key}:dead-letters") == {"broken JSON": "1"})
        none = {str(p): "0" for p in range(4)}
        until(lambda: redis.hgetall(f"{settings.redis_key}:lag") == none, 30)
        assert 0 < redis.ttl(f"{settings.redis_key}:lag") <= 30
    assert found["process_resident_memory_bytes"] > 1e6
    assert get(port, "/healthz")[0] == 200
    assert get(port, "/")[0] == get(port, "/metrics/x")[0] == 404
    assert get(port, "/metrics")[1]["Content-Type"].startswith("text/plain; version=")
    consumer.terminate()
    assert consumer.wait() == 0
    assert "done: 20 events to the archive, 1 dead letters" in consumer.output()


def test_lag_is_what_the_archive_has_not_got(
    settings: Settings, ports: dict[str, int], run_script: RunScript
) -> None:
    port = ports["METRICS_PORT"]
    consumer = run_script("consumer.py", constants=SOON)
    until(lambda: get(port, "/readyz")[0] == 200, 60)
    _, hard = resource.prlimit(consumer.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(consumer.pid, resource.RLIMIT_FSIZE, (2_000, hard))
    values = [event(number) for number in range(100)]  # one batch, of which nothing fits
    send(settings.kafka_bootstrap_servers, settings.kafka_topic, values, partition=2)
    until(lambda: get(port, "/readyz")[2] == "logs.txt cannot be written\n", 30)
    with Client.from_url(settings.redis_url, decode_responses=True) as redis:
        until(lambda: redis.hget(f"{settings.redis_key}:lag", "2") == "100", 30)
    assert samples(port)['log_consumer_lag_records{partition="2"}'] == 100


def test_an_expired_lag_is_not_reported_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_AFTER", "REPORT_EVERY"):
        monkeypatch.setattr(recent, name, 0.2)
    tally, key = Tally(), settings.redis_key
    with (
        closing(Archive(settings.log_file, settings.kafka_topic)) as archive,
        Client.from_url(settings.redis_url, decode_responses=True) as redis,
    ):
        archive.open("id")
        with closing(Recent(settings, archive, tally=tally)):
            tally.set_lag({0: 5})
            until(lambda: redis.hgetall(f"{key}:lag") == {"0": "5"})
            redis.delete(f"{key}:lag")
            tally.add_letter("NaN")
            until(lambda: redis.hgetall(f"{key}:dead-letters") == {"NaN": "1"})
            assert not redis.exists(f"{key}:lag")
            tally.set_lag({0: 5})
            until(lambda: redis.hgetall(f"{key}:lag") == {"0": "5"})


def test_a_port_in_use_is_reported_in_one_line_and_stops_nothing(
    settings: Settings, ports: dict[str, int], run_script: RunScript
) -> None:
    with socket.create_server(("127.0.0.1", ports["PRODUCER_METRICS_PORT"])):
        producer = run_script("producer.py", "--count", "10", "--rate", "0")
        assert producer.wait(60) == 0
    port = ports["PRODUCER_METRICS_PORT"]
    line = f"metrics are not served: PRODUCER_METRICS_PORT={port} on 127.0.0.1: "
    assert producer.output().count(line) == 1
    assert "Traceback" not in producer.output()


def test_a_producer_and_its_outage(
    environment: dict[str, str], ports: dict[str, int], run_script: RunScript
) -> None:
    port = ports["PRODUCER_METRICS_PORT"]
    run_script("producer.py", "--rate", "50")
    until(lambda: get(port, "/readyz")[0] == 200, 60)
    until(lambda: samples(port)['log_producer_events_total{outcome="delivered"}'] >= 50, 30)
    found = samples(port)
    assert found["log_producer_delivered_bytes_total"] > 50 * 80
    assert found["log_producer_kafka_up"] == 1
    assert found['log_producer_events_total{outcome="undelivered"}'] == 0
    lost = environment | {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "PRODUCER_METRICS_PORT": str(free_port()),
    }
    run_script("producer.py", env=lost)
    port = int(lost["PRODUCER_METRICS_PORT"])
    until(lambda: get(port, "/healthz")[0] == 200, 30)
    assert get(port, "/readyz")[::2] == (503, "Kafka does not answer\n")
    assert samples(port)["log_producer_kafka_up"] == 0


def test_alerts_and_its_redis_that_goes_away(
    own_redis: Redis,
    environment: dict[str, str],
    ports: dict[str, int],
    run_script: RunScript,
) -> None:
    port = ports["ALERTS_METRICS_PORT"]
    environment["REDIS_URL"] = own_redis.url
    environment["ALERT_URLS"] = "json://127.0.0.1:9/secret"
    environment["ALERTS_FILE"] = str(ROOT / "alerts.toml")
    run_script("alerts.py")
    until(lambda: get(port, "/readyz")[0] == 200, 30)
    found = samples(port)
    assert found["log_alerts_leading"] == 1
    assert found['log_alerts_open{rule="error-share"}'] == 0
    assert found['log_alerts_notices_total{outcome="sent",target="1:json"}'] == 0
    own_redis.stop()
    until(lambda: get(port, "/readyz")[::2] == (503, "Redis does not answer\n"), 30)
    assert samples(port)["log_alerts_outages_total"] == 1
    assert "secret" not in get(port, "/metrics")[2]


def test_a_stuck_loop_is_not_alive() -> None:
    port = free_port()
    stop = Shutdown()
    Endpoint(Metrics().registry, stop, str).serve("127.0.0.1", port)
    assert get(port, "/healthz")[::2] == (200, "alive\n")
    stop.looked -= STUCK + 1
    assert get(port, "/healthz")[::2] == (503, "the main loop has been stuck for 61 s\n")
    assert not stop
    assert get(port, "/healthz")[0] == 200


@pytest.fixture
def endpoint() -> int:
    """The port of an endpoint on 127.0.0.1, of this process."""
    port = free_port()
    Endpoint(Metrics().registry, Shutdown(), str).serve("127.0.0.1", port)
    return port


def said(port: int, request: bytes, timeout: float = 20) -> bytes:
    """What the endpoint answers to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        with contextlib.suppress(OSError):  # it may have stopped listening
            connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                answer += part
        return answer


def asked(port: int, host: str, path: str = "/metrics") -> int:
    answer = said(port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return int(answer.split()[1])


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/"])
def test_on_loopback_a_rebound_name_is_not_answered(endpoint: int, path: str) -> None:
    for host in ("evil.example", f"evil.example:{endpoint}", "127.0.0.1.evil.example", "[::1", ""):
        assert asked(endpoint, host, path) == 421
    answer = said(endpoint, b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert socket.gethostname().encode() not in answer
    assert b"log_consumer" not in answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "192.0.2.7"])
def test_on_loopback_addresses_and_localhost_are_answered(endpoint: int, host: str) -> None:
    assert asked(endpoint, host) == asked(endpoint, f"{host}:{endpoint}") == 200


def test_a_client_without_a_host_header_is_answered(endpoint: int) -> None:
    assert b" 200 " in said(endpoint, b"GET /metrics HTTP/1.0\r\n\r\n").split(b"\r\n")[0]


def test_beyond_loopback_any_name_is_answered_as_a_service_has_many(endpoint: int) -> None:
    port = free_port()
    Endpoint(Metrics().registry, Shutdown(), str).serve("0.0.0.0", port)  # noqa: S104
    assert asked(port, "consumer:9100") == asked(port, "10.1.2.3:9100") == 200


def test_an_answer_tells_nothing_of_the_machine(endpoint: int) -> None:
    for request in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"nonsense\r\n\r\n"):
        assert b"Python" not in said(endpoint, request)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=abc",
        "application/openmetrics-text; version=1.0.0; escaping=no-such",
        "application/openmetrics-text; version=; q=",
        "text/plain; version=9; q=x,,;",
        "\xff=;\xff",
    ],
)
def test_any_accept_header_gets_the_metrics(
    endpoint: int, accept: str, capfd: pytest.CaptureFixture[str]
) -> None:
    request = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
    answer = said(endpoint, request.encode("latin-1"))
    assert answer.split()[1] == b"200"
    assert b"\nlog_consumer_" in answer
    assert capfd.readouterr().err == ""


def test_large_heads_are_refused(endpoint: int) -> None:
    head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
    for more in (b"A: " + b"x" * HEAD, b"A: b\r\n" * (HEAD // 6), b"Cookie: " + b"\\" * 400_000):
        assert said(endpoint, head + more + b"\r\n\r\n").split()[1] in {b"431", b"400"}
    assert said(endpoint, b"GET /" + b"x" * HEAD + b" HTTP/1.1\r\n\r\n").split()[1] == b"414"
    assert get(endpoint, "/metrics")[0] == 200


def test_a_slow_client_is_disconnected(endpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logpipeline.server.PATIENCE", 0.5)
    with socket.create_connection(("127.0.0.1", endpoint), 20) as slow:
        with contextlib.suppress(OSError):  # a byte now and then does not keep it
            while True:
                slow.sendall(b"G")
                time.sleep(0.1)
        with contextlib.suppress(ConnectionResetError):
            assert not slow.recv(1)


def test_a_thousand_connections_cost_a_bounded_number_of_threads(endpoint: int) -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as held:
        for number in range(1_000):
            held.enter_context(socket.create_connection(("127.0.0.1", endpoint), 20))
            if number % 50 == 0:  # so that Linux need not refuse any until it has taken them
                assert get(endpoint, "/healthz")[0] == 200
        assert get(endpoint, "/metrics")[0] == 200
        until(lambda: threading.active_count() - before <= CONNECTIONS)
        assert get(endpoint, "/healthz")[0] == 200


def test_outages_are_counted_when_they_begin() -> None:
    metrics = Metrics()
    for up in (False, False, True, True, False):
        metrics.kafka_up.set(up)
    count = metrics.registry.get_sample_value("log_consumer_outages_total", {"of": "kafka"})
    assert count == 2
    assert metrics.missing() == "Kafka does not answer"


def test_a_partition_that_was_given_away_has_no_lag() -> None:
    metrics = Metrics()
    metrics.tally.set_lag({0: 5, 1: 6})
    metrics.tally.set_lag({1: 7})
    value = metrics.registry.get_sample_value
    assert value("log_consumer_lag_records", {"partition": "0"}) is None
    assert value("log_consumer_lag_records", {"partition": "1"}) == 7


BAD = (
    *(None, b"\xff", b"{", b"[]", b"NaN", b'{"level":"x","message":"","timestamp":1}'),
    *(b"{}", b'{"level":"INFO"}', b'{"level":"INFO","message":""}', b'{"level":1}'),
    *(b'{"level":"INFO","message":1}', b'{"level":"INFO","message":"","timestamp":"1"}'),
    *(b"[" * 101, b" " * 1_001, Partial(b"", "unreadable batch", "it can't be decoded")),
)


def test_each_reason_of_a_dead_letter_is_counted_from_zero_on() -> None:
    records = Columns([*range(len(BAD))], [None] * len(BAD), [*BAD])
    rejects = read(0, 0, [records], 1_000).rejects
    value = Metrics().registry.get_sample_value
    for reason in {*(reject.reason for reject in rejects), "poison"}:
        assert value("log_consumer_dead_letters_total", {"reason": reason}) == 0


def test_the_delay_is_that_of_the_oldest_event() -> None:
    metrics = Metrics()
    metrics.archive.appended([events(0, 0, 10, timestamp=time.time() - 20)], 1)
    metrics.archive.appended(
        [events(0, 10, 20, timestamp=time.time() + 20)], 1
    )  # a clock that is ahead
    value = metrics.registry.get_sample_value
    assert value("log_consumer_delay_seconds_count", {"sink": "archive"}) == 2
    assert 20 <= (value("log_consumer_delay_seconds_sum", {"sink": "archive"}) or 0) < 25


@pytest.mark.parametrize("off", [-1.7e308, 1.7e308, -400 * 86_400, 86_400])
def test_a_time_that_no_event_can_have_waited_since_leaves_the_delay_as_it_is(off: float) -> None:
    metrics = Metrics()
    metrics.archive.appended([events(0, 0, 10, timestamp=time.time() + off)], 1)
    value = metrics.registry.get_sample_value
    assert value("log_consumer_delay_seconds_count", {"sink": "archive"}) == 0
    assert value("log_consumer_delay_seconds_sum", {"sink": "archive"}) == 0
    assert value("log_consumer_events_total", {"sink": "archive", "level": "INFO"}) == 10


def test_names_keep_to_the_conventions() -> None:
    """https://prometheus.io/docs/practices/naming/: one unit, a base unit, _total on counters."""
    for family in Metrics().registry.collect():
        assert family.name.startswith("log_consumer_")
        assert not family.name.endswith(("_total", "_count", "_sum", "_ms", "_milliseconds"))
        assert family.documentation
        if family.type == "counter":
            assert {s.name for s in family.samples} <= {
                f"{family.name}_total",
                f"{family.name}_created",
            }
