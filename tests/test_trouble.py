"""What nobody foresaw: alerts.py says it once, counts it, tries again, and says it is not ready."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis as Client

import alerts
from config import Settings
from logpipeline.alerts import ledger, rules, targets, watch
from logpipeline.alerts.alert import Alert
from logpipeline.alerts.metrics import AlertsMetrics
from logpipeline.alerts.targets import Target, Targets
from logpipeline.alerts.watch import Watch
from logpipeline.localstack.redis import Redis
from logpipeline.shutdown import Shutdown
from tests.support.waiting import until
from tests.test_alerts import KEY, RULES, Hook, errors, webhook

__all__ = ["webhook"]  # a fixture
# Apprise's, of a module that Python 3.13 has no more
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

WATCHING = {
    "lease": (ledger.Ledger, "take"),
    "open alerts": (ledger.Ledger, "load"),
    "snapshot": (watch, "take"),
    "rules": (rules.Rules, "read"),
    "what to tell": (watch, "follow"),
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


@contextmanager
def running(url: str, folder: Path, target: str) -> Iterator[AlertsMetrics]:
    """The loop of alerts.py, in a thread."""
    file = folder / "alerts.toml"
    file.write_text(RULES)
    settings = Settings(_env_file=None, redis_url=url, redis_key=KEY)
    stop = Shutdown()
    with closing(Targets([target])) as told, closing(Watch(settings, rules.load(file))) as watching:
        metrics = AlertsMetrics(watching, told)
        loop = threading.Thread(target=alerts.run, args=(watching, told, stop))
        loop.start()
        try:
            yield metrics
        finally:
            stop.request()
            loop.join(20)


@pytest.fixture
def client(own_redis: Redis) -> Iterator[Client]:
    with Client.from_url(own_redis.url, decode_responses=True) as redis:
        redis.hset(f"{KEY}:offsets", "0", 1)
        errors(redis, 101)
        yield redis


def failures(metrics: AlertsMetrics, work: str) -> float:
    found = metrics.registry.get_sample_value("log_alerts_failures_total", {"work": work})
    assert found is not None
    return found


@pytest.mark.parametrize("step", WATCHING)
def test_a_step_of_watching_that_fails_is_tried_again(
    step: str,
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    hook = webhook()
    fault = broken(monkeypatch, *WATCHING[step])
    with running(own_redis.url, tmp_path, hook.url) as metrics:
        until(lambda: fault.raised == 3, 20)
        until(lambda: failures(metrics, "watch") == 3)
        assert metrics.missing().startswith("watching fails: KeyError")
        assert hook.got == []
        said = [record for record in caplog.records if record.exc_info]
        assert len(said) == 1
        assert "watching fails, trying again" in said[0].message
        fault.on = False
        until(lambda: hook.got == ["[critical] many"], 20)
        until(lambda: metrics.missing() == "")
        assert caplog.text.count("watching works again") == 1


@pytest.mark.parametrize("step", WATCHING)
def test_a_step_of_watching_that_fails_once_costs_a_look(
    step: str,
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook = webhook()
    broken(monkeypatch, *WATCHING[step], most=1)
    with running(own_redis.url, tmp_path, hook.url) as metrics:
        until(lambda: hook.got == ["[critical] many"], 20)
        until(lambda: metrics.missing() == "")
        assert failures(metrics, "watch") == 1


def test_a_notice_that_can_not_be_written_is_tried_again(
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook = webhook()
    fault = broken(monkeypatch, targets, "message")
    with running(own_redis.url, tmp_path, hook.url) as metrics:
        until(lambda: fault.raised == 2, 20)
        until(lambda: "1:json fails: KeyError" in metrics.missing())
        assert failures(metrics, "1:json") == 2
        assert len([record for record in caplog.records if record.exc_info]) == 1
        fault.on = False
        until(lambda: hook.got == ["[critical] many"], 20)
        until(lambda: metrics.missing() == "")


def test_a_target_that_fails_keeps_nothing_from_the_log_and_redis(
    client: Client,
    own_redis: Redis,
    webhook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fault = broken(monkeypatch, Target, "tell")
    with running(own_redis.url, tmp_path, webhook().url) as metrics:
        until(lambda: fault.raised == 1, 20)
        assert failures(metrics, "1:json") == 1
        assert client.llen(f"{KEY}:alerts:history") == 1
        client.delete(f"{KEY}:alerts:lease")
        until(lambda: client.exists(f"{KEY}:alerts:lease"))  # it still looks
    assert "open: many" in caplog.text


def test_an_alert_of_an_unknown_severity_in_redis_is_told_like_others(
    client: Client, own_redis: Redis, webhook: Hook, tmp_path: Path
) -> None:
    stored = Alert("many", "", "critical", "", time.time(), time.time(), told=0.0)
    value = msgspec.json.encode(stored).replace(b"critical", b"loud")
    client.hset(f"{KEY}:alerts", "many", value)
    hook = webhook()
    with running(own_redis.url, tmp_path, hook.url) as metrics:
        until(lambda: hook.got == ["[loud] many"], 20)
        assert metrics.missing() == ""
