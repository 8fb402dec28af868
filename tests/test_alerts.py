"""alerts.py as it runs: on a real Redis, with real webhooks, killed, doubled and cut off."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from redis import Redis as Client

import config
from logpipeline import command_line
from logpipeline.alerts.rules import SUBJECTS
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from tests.support.process import Process, script
from tests.support.records import event
from tests.support.waiting import until

KEY = "watched"
RULES = """
repeat = 3600
calm = 1
[rules.many]
kind = "errors"
over = 100
window = 3600
severity = "critical"
"""
HIDDEN = "s3cr3t-t0ken"


class Webhook:
    """A server for json:// targets; `got` are the titles that it was sent, in order."""

    def __init__(self, port: int = 0, patience: threading.Event | None = None) -> None:
        self.got: list[str] = []
        self.bodies: list[str] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if patience:
                    patience.wait()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.bodies.append(json.loads(body)["message"])
                hook.got.append(json.loads(body)["title"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._server.server_port}/{HIDDEN}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


Hook = Callable[..., Webhook]
Start = Callable[..., Process]


@pytest.fixture
def webhook() -> Iterator[Hook]:
    with ExitStack() as cleanup:

        def start(port: int = 0, patience: threading.Event | None = None) -> Webhook:
            hook = Webhook(port, patience)
            cleanup.callback(hook.close)
            return hook

        yield start


@pytest.fixture
def client(own_redis: Redis) -> Iterator[Client]:
    """Redis as it is while the consumer runs and nothing is wrong."""
    with Client.from_url(own_redis.url, decode_responses=True) as redis:
        redis.hset(f"{KEY}:offsets", "0", 1)
        yield redis


@pytest.fixture
def start(own_redis: Redis, tmp_path: Path, client: Client) -> Iterator[Start]:
    """Starts alerts.py with `rules`, `urls` and further arguments."""
    with ExitStack() as cleanup:

        def run(*args: str, rules: str = RULES, urls: str = "") -> Process:
            number = len(list(tmp_path.glob("alerts-*.toml")))
            (tmp_path / f"alerts-{number}.toml").write_text(rules)
            names = {name.upper() for name in config.Settings.model_fields}
            environment = {k: v for k, v in os.environ.items() if k not in names} | {
                "REDIS_URL": own_redis.url,
                "REDIS_KEY": KEY,
                "ALERTS_FILE": f"alerts-{number}.toml",
                "ALERT_URLS": urls,
                "ALERTS_METRICS_PORT": "0",
            }
            process = Process(
                [*script("alerts.py"), *args], tmp_path / f"alerts-{number}.output", environment
            )
            cleanup.callback(process.kill)
            return process

        yield run


def errors(client: Client, count: int) -> None:
    """Let this minute have so many ERROR events."""
    client.hset(f"{KEY}:counts:{int(time.time() // 60)}", "ERROR", count)


def calm(client: Client) -> None:
    for key in client.scan_iter(f"{KEY}:counts:*"):
        client.delete(key)


def states(client: Client) -> list[str]:
    """What was told, oldest first."""
    return [json.loads(told)["state"] for told in client.lrange(f"{KEY}:alerts:history", 0, -1)][
        ::-1
    ]


def test_an_alert_goes_to_log_redis_and_webhook_and_so_does_its_end(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    before = time.time()  # a look that finds them may have begun before they came
    alerts = start(urls=hook.url)
    alerts.wait_for("watching watched: many")
    errors(client, 101)
    until(lambda: hook.got == ["[critical] many"], 20)
    alerts.wait_for("open: many (critical): about 101 ERROR and CRITICAL events in 3600 s")
    stored = json.loads(client.hgetall(f"{KEY}:alerts")["many"])
    assert stored.items() >= {"rule": "many", "subject": "", "severity": "critical"}.items()
    assert before <= stored["since"] <= stored["last"] <= time.time()
    (told,) = client.lrange(f"{KEY}:alerts:history", 0, -1)
    assert set(json.loads(told)) == {"state", "rule", "subject", "severity", "summary", "at"}
    calm(client)
    until(lambda: hook.got == ["[critical] many", "[over] many"], 20)
    assert client.hgetall(f"{KEY}:alerts") == {}
    assert states(client) == ["open", "over"]
    alerts.terminate()
    assert alerts.wait() == 0
    assert HIDDEN not in alerts.output()


def test_a_target_that_is_down_holds_up_nobody_and_gets_it_later(
    start: Start, client: Client, webhook: Hook
) -> None:
    up, port = webhook(), free_port()
    alerts = start(urls=f"json://127.0.0.1:{port}/{HIDDEN}, {up.url}")
    errors(client, 101)
    until(lambda: up.got == ["[critical] many"], 20)
    alerts.wait_for("1:json does not take alerts: trying again")
    calm(client)
    until(lambda: up.got == ["[critical] many", "[over] many"], 20)
    down = webhook(port)
    until(lambda: down.got == ["[critical] many", "[over] many"], 30)
    alerts.wait_for("1:json takes alerts again")
    assert alerts.output().count("does not take alerts") == 1
    assert HIDDEN not in alerts.output()


BURST = """
calm = 1
[rules.burst]
kind = "burst"
over = 5
share = 0.5
window = 60
"""


def test_a_service_is_named_whatever_it_is_called_and_whatever_else_is_in_redis(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    minute = int(time.time() // 60)
    client.hset(f"{KEY}:counts:{minute}", mapping={"ERROR": "many", "": "-1"})
    client.hset(f"{KEY}:lag", mapping={"0": "x"})
    client.hset(f"{KEY}:alerts", "junk", "junk")
    client.lpush(f"{KEY}:ERROR", "no event", event(1, service=7), event(2, service="a" * 10**6))
    for number in range(10):
        late = {"level": "ERROR", "timestamp": time.time(), "service": "<b>\x1b[31m\nevil"}
        client.lpush(f"{KEY}:ERROR", event(number, **late))
    alerts = start(rules=BURST, urls=hook.url)
    until(lambda: hook.got == ["[warning] burst <\u200bb>\\x1b[31m\\nevil"], 20, str(alerts))
    alerts.wait_for("10 of 10 ERROR and CRITICAL events in 60 s")
    assert "\x1b" not in alerts.output()
    assert alerts.running()


def test_whatever_is_in_redis_is_watched_past_in_bounded_time(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    client.hset(f"{KEY}:offsets", mapping={b"\xff": b"1", b"1": b"\xff"})
    client.hset(f"{KEY}:alerts", "x", '{"x":' + "[" * 5_000 + "]" * 5_000 + "}")
    with client.pipeline() as filled:
        for name in ("alerts", "lag", "dead-letters", f"counts:{int(time.time() // 60)}"):
            for number in range(20_000):
                filled.hset(f"{KEY}:{name}", f"{number} {'x' * 900}", "1")
        filled.execute()
    junk = {"rule": "many", "subject": "\x1b[2J", "severity": "", "summary": "y\r\n" * 9_999}
    client.hset(f"{KEY}:alerts", "junk", json.dumps(junk | {"since": 1, "last": 1, "told": 1}))
    errors(client, 101)
    alerts = start(urls=hook.url)
    until(lambda: "[critical] many" in hook.got, 30, str(alerts))
    assert "Redis is away" not in alerts.output()
    assert "Traceback" not in alerts.output()
    assert all(line.isprintable() for line in alerts.output().splitlines())
    assert max(map(len, alerts.output().splitlines())) < 2_000


def burst(client: Client, service: str) -> None:
    """Let a service have ten errors now."""
    for number in range(10):
        late = {"level": "ERROR", "timestamp": time.time(), "service": service}
        client.lpush(f"{KEY}:ERROR", event(number, **late))


def looked(client: Client, times: int) -> None:
    """Wait for so many more looks."""

    def looks() -> int:
        return int(client.info("commandstats")["cmdstat_mget"]["calls"])

    before = looks()
    until(lambda: looks() > before + times, 30)


def test_a_chat_gets_no_mention_and_no_link(start: Start, client: Client, webhook: Hook) -> None:
    hook = webhook()
    service = "<!channel> @everyone <@U123> [x](http://evil.example/)"
    burst(client, service)
    alerts = start(rules=BURST, urls=hook.url)
    until(lambda: len(hook.got) == 1, 20, str(alerts))
    for text in (hook.got[0], hook.bodies[0]):
        assert text.replace("\u200b", "").count(service) == 1
        for obeyed in ("<!", "@e", "<@", "@U", "](", "//"):
            assert f" {obeyed}" not in text
            assert obeyed not in text.replace(":\u200b//", "")
    alerts.wait_for(f"open: burst {service} (warning): {service}: 10 of 10")
    (told,) = client.lrange(f"{KEY}:alerts:history", 0, -1)
    assert json.loads(told)["subject"] == service


def test_a_long_service_is_cut_in_what_is_told(start: Start, client: Client, webhook: Hook) -> None:
    hook = webhook()
    burst(client, "\x01" * 2**14)
    alerts = start(rules=BURST, urls=hook.url)
    until(lambda: len(hook.got) == 1, 20, str(alerts))
    alerts.wait_for("10 of 10 ERROR and CRITICAL events in 60 s")
    assert len(hook.got[0]) <= 201
    assert len(hook.bodies[0]) <= 1_001
    assert len(alerts.output()) < 5_000
    assert len(str(client.hgetall(f"{KEY}:alerts"))) < 5_000


def test_lists_of_huge_and_nested_events_cost_little_and_stop_nothing(
    start: Start, client: Client
) -> None:
    now = time.time()
    huge = event(1, level="ERROR", timestamp=now, message="x" * 2**20, service="huge")
    for level in ("ERROR", "CRITICAL"):
        client.lpush(f"{KEY}:{level}", *[huge] * 120)
        for depth in [*range(95, 105), *range(900, 1_100), 100_000]:
            nested = b"[" * depth + b"]" * depth
            client.lpush(f"{KEY}:{level}", event(2)[:-1] + b',"x":' + nested + b"}")
    burst(client, "small")
    alerts = start(rules=BURST.replace("0.5", "0.1"))
    alerts.wait_for("open: burst small")
    looked(client, 4)
    assert "Traceback" not in alerts.output()
    status = Path(f"/proc/{alerts.pid}/status").read_text()
    [peak] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak < 200 * 1024  # KiB


def test_ten_thousand_services_that_fail_are_a_bounded_number_of_alerts(
    start: Start, client: Client
) -> None:
    rules = BURST.replace("over = 5", "over = 0").replace("0.5", "0.000001")
    alerts = start(rules=rules)
    alerts.wait_for("watching watched")
    for turn in range(10):
        late = {"level": "ERROR", "timestamp": time.time()}
        lines = [event(n, service=f"{turn}-{n}", **late) for n in range(1_000)]
        client.lpush(f"{KEY}:ERROR", *lines)
        client.ltrim(f"{KEY}:ERROR", 0, 999)
        looked(client, 2)
        assert client.hlen(f"{KEY}:alerts") == SUBJECTS
    assert client.llen(f"{KEY}:alerts:history") < 10 * 2 * SUBJECTS


def test_a_stop_does_not_wait_for_a_target_that_hangs(
    start: Start, client: Client, webhook: Hook
) -> None:
    patience = threading.Event()
    hook = webhook(patience=patience)
    alerts = start(urls=hook.url)
    errors(client, 101)
    alerts.wait_for("open: many")
    alerts.terminate()
    assert alerts.wait(15) == 0
    assert "not sent to 1:json" in alerts.output()
    patience.set()


def test_a_restart_neither_repeats_nor_forgets(start: Start, client: Client, webhook: Hook) -> None:
    hook = webhook()
    errors(client, 101)
    first = start(urls=hook.url)
    until(lambda: hook.got == ["[critical] many"], 20)
    first.kill()
    second = start(urls=hook.url)
    second.wait_for("standing by")  # until the lease of the dead one ends
    second.wait_for("watching watched")
    looked = json.loads(client.hgetall(f"{KEY}:alerts")["many"])["last"]
    until(lambda: json.loads(client.hgetall(f"{KEY}:alerts")["many"])["last"] > looked + 1)
    assert hook.got == ["[critical] many"]
    calm(client)
    until(lambda: hook.got == ["[critical] many", "[over] many"], 20)
    second.terminate()
    assert second.wait() == 0


def test_of_two_one_tells_and_the_other_takes_over(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    both = [start(urls=hook.url)]
    both[0].wait_for("watching watched")
    both.append(start(urls=hook.url))
    both[1].wait_for("standing by")
    errors(client, 101)
    until(lambda: hook.got == ["[critical] many"], 20)
    both[0].terminate()
    assert both[0].wait() == 0
    both[1].wait_for("watching watched")
    calm(client)
    until(lambda: hook.got == ["[critical] many", "[over] many"], 20)
    assert states(client) == ["open", "over"]
    assert "open: many" not in both[1].output()


def test_one_that_was_frozen_does_not_tell_what_another_has_told(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    frozen = start(urls=hook.url)
    frozen.wait_for("watching watched")
    frozen.signal(signal.SIGSTOP)
    other = start(urls=hook.url)
    other.wait_for("watching watched", 30)
    errors(client, 101)
    until(lambda: hook.got == ["[critical] many"], 20)
    frozen.signal(signal.SIGCONT)
    frozen.wait_for("standing by")
    assert states(client) == ["open"]


def test_redis_that_goes_away_is_said_once_and_is_no_silence(
    start: Start, client: Client, own_redis: Redis
) -> None:
    alerts = start(rules='calm = 1\n[rules.quiet]\nkind = "silence"\nover = 4\n')
    alerts.wait_for("watching watched: quiet")
    own_redis.stop()
    alerts.wait_for("Redis is away, nothing is watched")
    time.sleep(5)  # longer than the rule's bound
    own_redis.start()
    own_redis.wait_ready()
    back = time.time()
    alerts.wait_for("Redis is back")
    alerts.wait_for("open: quiet (warning): nothing has arrived for")
    (told,) = client.lrange(f"{KEY}:alerts:history", 0, -1)
    assert json.loads(told)["at"] > back + 4
    assert alerts.output().count("Redis is away") == 1


def test_it_waits_for_a_redis_that_is_not_there(start: Start, own_redis: Redis) -> None:
    own_redis.stop()
    alerts = start()
    alerts.wait_for("Redis is away, nothing is watched")
    own_redis.start()
    own_redis.wait_ready()
    alerts.wait_for("watching watched")
    alerts.terminate()
    assert alerts.wait() == 0


def test_a_redis_that_was_emptied_is_no_reason_to_tell_again(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    alerts = start(urls=hook.url)
    errors(client, 101)
    until(lambda: hook.got == ["[critical] many"], 20)
    client.flushall()
    errors(client, 101)
    until(lambda: "many" in client.hgetall(f"{KEY}:alerts"))
    assert states(client) == []
    assert hook.got == ["[critical] many"]
    assert alerts.running()


@pytest.mark.parametrize(
    ("urls", "status"), [("", 0), ("up", 0), ("up,down", 1)], ids=["none", "up", "one is down"]
)
def test_the_targets_can_be_tried_out(urls: str, status: int, start: Start, webhook: Hook) -> None:
    hook = webhook()
    urls = urls.replace("up", hook.url).replace("down", f"json://127.0.0.1:{free_port()}")
    alerts = start("--test", urls=urls)
    assert alerts.wait() == status
    assert hook.got == (["[test] alerts.py"] if urls else [])
    assert ("2:json: failed" in alerts.output()) == bool(status)


@pytest.mark.parametrize(
    ("urls", "rules", "line"),
    [
        (f"json://h, slack://{HIDDEN}", RULES, "ALERT_URLS: 2:slack is no URL that Apprise knows"),
        (f"nosuch://{HIDDEN}", RULES, "ALERT_URLS: 1:nosuch is no URL that Apprise knows"),
        (f"{HIDDEN}@example.org", RULES, "ALERT_URLS='***': allowed is "),
        ("", "[rules.x]\nkind = 'silence'", "alerts-0.toml: rule x: over is missing: allowed is"),
    ],
)
def test_a_mistake_is_one_line_without_secrets(
    urls: str, rules: str, line: str, start: Start
) -> None:
    alerts = start(rules=rules, urls=urls)
    assert alerts.wait() == command_line.USAGE_ERROR
    assert alerts.output().startswith(f"alerts.py: {line}")
    assert alerts.output().count("\n") == 1
    assert HIDDEN not in alerts.output()


def test_the_help_does_not_show_the_urls(start: Start) -> None:
    alerts = start("--help", urls=f"json://{HIDDEN}")
    assert alerts.wait() == 0
    assert "--alert-urls" in alerts.output()
    assert HIDDEN not in alerts.output()
