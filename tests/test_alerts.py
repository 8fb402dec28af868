"""alerts.py as it runs: on a real Redis, with real webhooks, killed, doubled and cut off."""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis import Redis as Client

import config
from alerts import run
from logpipeline import command_line
from logpipeline.alerts import ledger, rules, targets, watch
from logpipeline.alerts.alert import Alert
from logpipeline.alerts.metrics import AlertsMetrics, failure_counter
from logpipeline.alerts.mutes import LONGEST, Mutes
from logpipeline.alerts.rules import SUBJECTS
from logpipeline.alerts.targets import Target, Targets
from logpipeline.alerts.watch import Watch
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from logpipeline.shutdown import Shutdown
from logpipeline.supervision import Supervision
from tests.support.forked import Forked
from tests.support.process import Process, script
from tests.support.records import event
from tests.support.waiting import until

# Apprise's, of a module that Python 3.13 has no more
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
log = logging.getLogger(__name__)

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
SOON = {"logpipeline.alerts.watch.INTERVAL": 0.1, "logpipeline.alerts.targets.MOST_WAIT": 0.5}


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
    """Starts alerts.py, which reads Redis ten times a second, with `rules`, `urls` and further
    arguments."""
    with ExitStack() as cleanup:

        def run(*args: str, rules: str = RULES, urls: str = "", forked: bool = True) -> Process:
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
            output = tmp_path / f"alerts-{number}.output"
            process = (
                Forked("alerts.py", [*args], output, environment, constants=SOON)
                if forked
                else Process([*script("alerts.py", SOON), *args], output, environment)
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
    """The states of all notices, oldest first."""
    return [json.loads(told)["state"] for told in client.lrange(f"{KEY}:alerts:history", 0, -1)][
        ::-1
    ]


def test_an_alert_goes_to_log_redis_and_webhook_and_so_does_its_end(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    before = time.time()  # a read that finds them may have begun before they came
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
    until(lambda: hook.got == ["[critical] many", "[resolved] many"], 20)
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
    alerts.wait_for("1:json does not accept notices, retrying")
    calm(client)
    until(lambda: up.got == ["[critical] many", "[resolved] many"], 20)
    down = webhook(port)
    until(lambda: down.got == ["[critical] many", "[resolved] many"], 30)
    alerts.wait_for("1:json accepts notices again")
    assert alerts.output().count("does not accept notices") == 1
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
    client.lpush(f"{KEY}:ERROR", "not an event", event(1, service=7), event(2, service="a" * 10**6))
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
    many: dict[Any, Any] = {f"{number} {'x' * 900}": "1" for number in range(20_000)}
    client.hset(f"{KEY}:lag", mapping=many)
    for name in ("dead-letters", f"counts:{int(time.time() // 60)}"):
        client.copy(f"{KEY}:lag", f"{KEY}:{name}")
    client.hset(f"{KEY}:alerts", mapping=many)
    junk = {"rule": "many", "subject": "\x1b[2J", "severity": "", "summary": "y\r\n" * 9_999}
    client.hset(f"{KEY}:alerts", "junk", json.dumps(junk | {"since": 1, "last": 1, "told": 1}))
    errors(client, 101)
    alerts = start(urls=hook.url)
    until(lambda: "[critical] many" in hook.got, 30, str(alerts))
    assert "Redis unavailable" not in alerts.output()
    assert "Traceback" not in alerts.output()
    assert all(line.isprintable() for line in alerts.output().splitlines())
    assert max(map(len, alerts.output().splitlines())) < 2_000


def burst(client: Client, service: str) -> None:
    """Let a service have ten errors now."""
    for number in range(10):
        late = {"level": "ERROR", "timestamp": time.time(), "service": service}
        client.lpush(f"{KEY}:ERROR", event(number, **late))


def watched(client: Client, times: int) -> None:
    """Wait for so many more reads of Redis."""

    def reads() -> int:
        return int(client.info("commandstats")["cmdstat_mget"]["calls"])

    before = reads()
    until(lambda: reads() > before + times, 30)


def end_lease(client: Client) -> None:
    """Let the lease of one that died or froze end: no other extends it meanwhile."""
    lease = f"{KEY}:alerts:lease"

    def tries() -> int:
        return int(client.info("commandstats")["cmdstat_set"]["calls"])

    before, left = tries(), client.pttl(lease)
    assert 0 < left <= ledger.LEASE * 1_000
    until(lambda: tries() > before + 1)
    assert client.pttl(lease) < left
    client.pexpire(lease, 1)


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
    client.lpush(f"{KEY}:ERROR", *[huge] * 120)
    for depth in [*range(95, 105), *range(900, 1_100), 100_000]:
        nested = b"[" * depth + b"]" * depth
        client.lpush(f"{KEY}:ERROR", event(2)[:-1] + b',"x":' + nested + b"}")
    client.copy(f"{KEY}:ERROR", f"{KEY}:CRITICAL")
    burst(client, "small")
    alerts = start(rules=BURST.replace("0.5", "0.1"), forked=False)
    alerts.wait_for("open: burst small")
    watched(client, 4)
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
        watched(client, 1)  # the second one begins when the first is done
        assert client.hlen(f"{KEY}:alerts") == SUBJECTS
    assert client.llen(f"{KEY}:alerts:history") < 10 * 2 * SUBJECTS


@pytest.mark.parametrize("seconds", [1, 60])
def test_a_stop_does_not_wait_for_a_target_that_hangs(
    start: Start, client: Client, webhook: Hook, seconds: int
) -> None:
    patience = threading.Event()
    hook = webhook(patience=patience)
    alerts = start(urls=f"{hook.url}?rto={seconds}")  # that Apprise waits for an answer
    errors(client, 101)
    alerts.wait_for("open: many")
    alerts.terminate()
    assert alerts.wait(15) == 0
    assert alerts.output().count("notice lost, not sent to 1:json") == 1
    patience.set()


def test_a_restart_neither_repeats_nor_forgets(start: Start, client: Client, webhook: Hook) -> None:
    hook = webhook()
    errors(client, 101)
    first = start(urls=hook.url)
    until(lambda: hook.got == ["[critical] many"], 20)
    first.kill()
    second = start(urls=hook.url)
    second.wait_for("standing by")  # until the lease of the dead one ends
    end_lease(client)
    second.wait_for("watching watched")
    looked = json.loads(client.hgetall(f"{KEY}:alerts")["many"])["last"]
    until(lambda: json.loads(client.hgetall(f"{KEY}:alerts")["many"])["last"] > looked + 1)
    assert hook.got == ["[critical] many"]
    calm(client)
    until(lambda: hook.got == ["[critical] many", "[resolved] many"], 20)
    second.terminate()
    assert second.wait() == 0


def test_of_two_one_leads_and_the_other_takes_over(
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
    until(lambda: hook.got == ["[critical] many", "[resolved] many"], 20)
    assert states(client) == ["open", "over"]
    assert "open: many" not in both[1].output()


def test_one_that_was_frozen_does_not_repeat_notices_of_another(
    start: Start, client: Client, webhook: Hook
) -> None:
    hook = webhook()
    frozen = start(urls=hook.url)
    frozen.wait_for("watching watched")
    frozen.signal(signal.SIGSTOP)
    other = start(urls=hook.url)
    other.wait_for("standing by")
    end_lease(client)
    other.wait_for("watching watched")
    errors(client, 101)
    until(lambda: hook.got == ["[critical] many"], 20)
    frozen.signal(signal.SIGCONT)
    frozen.wait_for("standing by")
    assert states(client) == ["open"]


def test_an_outage_of_redis_is_logged_once_and_is_not_silence(
    start: Start, client: Client, own_redis: Redis
) -> None:
    alerts = start(rules='calm = 1\n[rules.quiet]\nkind = "silence"\nover = 3\n')
    alerts.wait_for("watching watched: quiet")
    own_redis.stop()
    alerts.wait_for("Redis unavailable; alerts are paused")
    time.sleep(3.5)  # longer than the rule's bound
    own_redis.start()
    own_redis.wait_ready()
    back = time.time()
    alerts.wait_for("Redis available again")
    alerts.wait_for("open: quiet (warning): no record for")
    (notice,) = client.lrange(f"{KEY}:alerts:history", 0, -1)
    assert json.loads(notice)["at"] > back + 3
    assert alerts.output().count("Redis unavailable") == 1


def test_it_waits_for_an_unavailable_redis(start: Start, own_redis: Redis) -> None:
    own_redis.stop()
    alerts = start()
    alerts.wait_for("Redis unavailable; alerts are paused")
    own_redis.start()
    own_redis.wait_ready()
    alerts.wait_for("watching watched")
    alerts.terminate()
    assert alerts.wait() == 0


def test_emptying_redis_does_not_repeat_a_notice(
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


def test_a_muted_alert_goes_to_the_log_and_redis_alone_until_redis_forgets_it(
    start: Start, client: Client, own_redis: Redis, webhook: Hook
) -> None:
    hook = webhook()
    with Client.from_url(own_redis.url) as raw:
        mutes = Mutes(raw, KEY)
        assert not mutes.set("many", 60, time.time())  # it is not open
        process = start(urls=hook.url)
        errors(client, 1_000)
        until(lambda: len(hook.got) == 1, 20)
        assert mutes.set("many", 10 * LONGEST, time.time())
        assert mutes.load(time.time())["many"] <= time.time() + LONGEST
        assert mutes.load(time.time() + LONGEST + 1) == {}
        assert client.ttl(f"{KEY}:alerts:muted") <= LONGEST
    process.wait_for("muted alerts: many")
    calm(client)
    process.wait_for("resolved: many (critical, muted)")
    errors(client, 1_000)
    process.wait_for("open: many (critical, muted)")
    (newest,) = map(json.loads, client.lrange(f"{KEY}:alerts:history", 0, 0))
    assert (newest["state"], newest["muted"]) == ("open", True)
    assert len(hook.got) == 1
    client.delete(f"{KEY}:alerts:muted")
    until(lambda: len(hook.got) == 2, 20)
    process.wait_for("still open: many (critical): ")


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
        (f"json://h, slack://{HIDDEN}", RULES, "ALERT_URLS: 2:slack must be a URL from"),
        (f"nosuch://{HIDDEN}", RULES, "ALERT_URLS: 1:nosuch must be a URL from"),
        (f"{HIDDEN}@example.org", RULES, "ALERT_URLS='***': must be "),
        ("", "[rules.x]\nkind = 'silence'", "alerts-0.toml: rule x: over is missing: must be"),
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


WATCHING = {
    "lease": (ledger.Ledger, "take"),
    "open alerts": (ledger.Ledger, "load"),
    "snapshot": (watch, "take"),
    "rules": (rules.Rules, "read"),
    "notices": (watch, "follow"),
    "ledger": (ledger.Ledger, "store"),
}


class Fault:
    """In place of a step of ours: it raises as long as it is `on`, at most `most` times."""

    def __init__(self, step: Callable[..., Any], most: float) -> None:
        self.step, self.most, self.on, self.raised = step, most, True, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.on and self.raised < self.most:
            self.raised += 1
            raise KeyError("nobody foresaw this")
        return self.step(*args, **kwargs)


def broken(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, most: float = float("inf")
) -> Fault:
    fault = Fault(getattr(where, name), most)
    monkeypatch.setattr(where, name, lambda *args, **kwargs: fault(*args, **kwargs))
    return fault


@dataclass
class Running:
    """alerts.py in a thread."""

    registry: CollectorRegistry
    supervision: Supervision

    def missing(self) -> str:
        return self.supervision.missing()

    def failures(self, work: str) -> float:
        found = self.registry.get_sample_value("log_alerts_failures_total", {"work": work})
        assert found is not None
        return found


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads, and tries after an error, that are as frequent as `start` has them."""
    monkeypatch.setattr(watch, "INTERVAL", 0.1)
    monkeypatch.setattr(targets, "MOST_WAIT", 0.2)
    monkeypatch.setattr("logpipeline.supervision.MOST", 0.2)


@contextmanager
def running(url: str, folder: Path, target: str) -> Iterator[Running]:
    """The loop of alerts.py, in a thread."""
    file = folder / "alerts.toml"
    file.write_text(RULES)
    settings = config.Settings(_env_file=None, redis_url=url, redis_key=KEY)
    stop = Shutdown()
    failed = failure_counter()
    supervision = Supervision(log, settings, lambda work: failed.labels(work).inc())
    with (
        closing(Targets([target], supervision)) as told,
        closing(Watch(settings, rules.load(file), supervision)) as watching,
    ):
        metrics = AlertsMetrics(watching, told, failed)
        loop = threading.Thread(target=run, args=(watching, told, stop))
        loop.start()
        try:
            yield Running(metrics.registry, supervision)
        finally:
            stop.request()
            loop.join(20)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("step", WATCHING)
def test_a_step_of_watching_that_fails_is_retried(
    step: str,
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    errors(client, 101)
    hook = webhook()
    fault = broken(monkeypatch, *WATCHING[step])
    with running(own_redis.url, tmp_path, hook.url) as it:
        until(lambda: fault.raised >= 3, 20)
        until(lambda: it.failures("watch") >= 3)
        assert it.missing() == "unexpected KeyError in watch"
        assert hook.got == []
        assert caplog.text.count("unexpected KeyError in watch, retrying") == 1
        assert caplog.text.count("Traceback") == 1
        fault.on = False
        until(lambda: hook.got == ["[critical] many"], 20)
        until(lambda: it.missing() == "")
        assert it.failures("watch") == fault.raised
        assert caplog.text.count("watch works again after") == 1


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("step", WATCHING)
def test_a_step_of_watching_that_fails_once_costs_one_read(
    step: str,
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors(client, 101)
    hook = webhook()
    broken(monkeypatch, *WATCHING[step], most=1)
    with running(own_redis.url, tmp_path, hook.url) as it:
        until(lambda: hook.got == ["[critical] many"], 20)
        until(lambda: it.missing() == "")
        assert it.failures("watch") == 1


@pytest.mark.usefixtures("soon")
def test_a_notice_that_cannot_be_written_is_retried(
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors(client, 101)
    hook = webhook()
    fault = broken(monkeypatch, targets, "message")
    with running(own_redis.url, tmp_path, hook.url) as it:
        until(lambda: fault.raised >= 2, 20)
        until(lambda: it.missing() == "unexpected KeyError in 1:json")
        until(lambda: it.failures("1:json") >= 2)
        assert caplog.text.count("Traceback") == 1
        fault.on = False
        until(lambda: hook.got == ["[critical] many"], 20)
        until(lambda: it.missing() == "")
        assert it.failures("1:json") == fault.raised


@pytest.mark.usefixtures("soon")
def test_a_target_that_fails_keeps_nothing_from_the_log_and_redis(
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors(client, 101)
    fault = broken(monkeypatch, Target, "notify")
    with running(own_redis.url, tmp_path, webhook().url) as it:
        until(lambda: fault.raised == 1, 20)
        until(lambda: it.failures("1:json") == 1)
        assert client.llen(f"{KEY}:alerts:history") == 1
        client.delete(f"{KEY}:alerts:lease")
        until(lambda: client.exists(f"{KEY}:alerts:lease"))  # it still reads
    assert "open: many" in caplog.text


@pytest.mark.usefixtures("soon")
def test_an_alert_of_an_unknown_severity_in_redis_is_sent_like_others(
    client: Client, own_redis: Redis, webhook: Hook, tmp_path: Path
) -> None:
    stored = Alert("many", "", "critical", "", time.time(), time.time(), told=0.0)
    value = msgspec.json.encode(stored).replace(b"critical", b"loud")
    client.hset(f"{KEY}:alerts", "many", value)
    errors(client, 101)
    hook = webhook()
    with running(own_redis.url, tmp_path, hook.url) as it:
        until(lambda: hook.got == ["[loud] many"], 20)
        assert it.missing() == ""
