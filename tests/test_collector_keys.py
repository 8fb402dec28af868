"""Keys: what is sent with one is stored once, through restarts, kills and outages."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException
from itertools import count
from pathlib import Path

import pytest

from config import Settings
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import free_port
from tests.conftest import RunScript
from tests.support.collecting import Collecting, Received, shared, started
from tests.support.kills import kills
from tests.support.waiting import until
from tests.test_collector import AN_EVENT, otlp_request

pytestmark = pytest.mark.xdist_group("collector_keys")  # one worker has its collector

OUTAGE = float(os.environ.get("OUTAGE", "0"))  # OUTAGE=30 pytest -k outage; seconds
KILLS = kills(6)
SOON = {"logpipeline.kafka.outbox.QUIET": 2.5, "logpipeline.collector.app.ACKNOWLEDGED": 2.0}


@pytest.fixture(scope="module")
def running(kafka_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collecting]:
    with shared(kafka_servers, tmp_path_factory.mktemp("collector")) as collecting:
        yield collecting


@pytest.fixture
def collector(running: Collecting) -> Collecting:
    running.forget()
    return running


def test_a_repeated_key_stores_once_and_answers_the_same(collector: Collecting) -> None:
    body = [AN_EVENT, 7]
    answers = [collector.post("/events", body, Idempotency_Key="a") for _ in range(3)]
    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert answers[0].status == 400
    assert collector.events() == [AN_EVENT]


def test_an_event_without_a_time_may_be_repeated_too(collector: Collecting) -> None:
    for _ in range(2):
        assert collector.post("/events", {"message": "now"}, Idempotency_Key="b").status == 200
    assert collector.messages() == ["now"]


def test_a_key_with_another_body_is_refused(collector: Collecting) -> None:
    assert collector.post("/events", AN_EVENT, Idempotency_Key="c").status == 200
    other = collector.post("/events", AN_EVENT | {"message": "other"}, Idempotency_Key="c")
    assert other.status == 422
    assert collector.events() == [AN_EVENT]


def test_two_at_a_time_with_one_key_store_once(collector: Collecting) -> None:
    statuses: list[int] = []

    def send() -> None:
        statuses.append(collector.post("/events", AN_EVENT, Idempotency_Key="d").status)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert collector.events() == [AN_EVENT]


def test_bulk_s_ids_and_otlp_s_are_keys(collector: Collecting) -> None:
    bulk = b'{"create":{"_id":"1"}}\n{"message":"a"}\n{"create":{}}\n{"message":"b"}\n'
    for _ in range(2):
        answer = collector.post("/app/_bulk", bulk)
        assert answer.json["errors"] is False
    request = otlp_request(2)
    record = request.resource_logs[0].scope_logs[0].log_records[1]
    record.attributes.add(key="log.record.uid").value.string_value = "u1"
    for _ in range(2):
        body = request.SerializeToString()
        assert collector.post("/v1/logs", body, "application/x-protobuf").status == 200
    assert collector.messages() == ["a", "b", "b", "failed 0", "failed 0", "failed 1"]


def test_keys_of_two_tokens_differ(
    run_script: RunScript, environment: dict[str, str], settings: Settings
) -> None:
    collector = started(run_script, environment, settings, COLLECTOR_TOKEN="a:first,second")
    for token in ("first", "second", "first"):
        headers = {"Idempotency_Key": "k", "Authorization": f"Bearer {token}"}
        assert collector.post("/events", AN_EVENT, **headers).status == 200
    assert len(collector.values()) == 2


@pytest.mark.server
def test_killed_at_any_moment_it_has_what_it_answered_and_no_key_twice(
    run_script: RunScript, environment: dict[str, str], settings: Settings
) -> None:
    port = free_port()
    collector = started(run_script, environment, settings, COLLECTOR_PORT=str(port))
    killing = Killing(collector)
    threads = [threading.Thread(target=killing.send, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    try:
        for number in range(KILLS):
            before = len(killing.answered)
            deadline = time.monotonic() + 60
            while len(killing.answered) < before + 20 + number:
                assert time.monotonic() < deadline, collector.process
                time.sleep(0.003)
            collector.process.kill()
            collector = started(run_script, environment, settings, COLLECTOR_PORT=str(port))
    finally:
        killing.stop = True
    for thread in threads:
        thread.join()
    stored = Counter(collector.messages())
    assert set(killing.answered) <= stored.keys()
    keyed = {message: times for message, times in stored.items() if "keyed" in message}
    assert keyed
    assert max(keyed.values()) == 1


class Killing:
    """Clients that repeat each request until it is answered with success. Of those to /events every
    other one has a key; OTLP and bulk have their own."""

    def __init__(self, collector: Collecting) -> None:
        self.answered: list[str] = []
        self.stop = False
        self._collector = collector

    def send(self, name: str, post: Callable[[str], Received] | None = None) -> None:
        for number in count():
            keyed = number % 2 == 0 or post is not None
            message = f"{name}{number} {'keyed' if keyed and name != 'loki' else 'plain'}"
            while not self._stored(message, post or (self.keyed if keyed else self.plain)):
                if self.stop:
                    return
                time.sleep(0.02)
            self.answered.append(message)
            if self.stop:
                return

    def keyed(self, message: str) -> Received:
        return self._collector.post("/events", {"message": message}, Idempotency_Key=message)

    def plain(self, message: str) -> Received:
        return self._collector.post("/events", {"message": message})

    def otlp(self, message: str) -> Received:
        uid = {"key": "log.record.uid", "value": {"stringValue": message}}
        record = {"body": {"stringValue": message}, "attributes": [uid]}
        request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
        return self._collector.post("/v1/logs", request)

    def loki(self, message: str) -> Received:
        stream = {"stream": {"job": "a"}, "values": [["1711234567890123456", message]]}
        return self._collector.post("/loki/api/v1/push", {"streams": [stream]})

    def bulk(self, message: str) -> Received:
        lines = {"create": {"_id": message}}, {"message": message}
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return self._collector.post("/app/_bulk", body, "application/x-ndjson")

    @staticmethod
    def _stored(message: str, post: Callable[[str], Received]) -> bool:
        with suppress(OSError, HTTPException):
            answer = post(message)
            return answer.status in {200, 204} and b'"errors":true' not in answer.body
        return False


def test_an_outage_of_kafka_under_four_protocols_is_answered_and_loses_nothing(
    own_kafka: Kafka, run_script: RunScript, environment: dict[str, str], settings: Settings
) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    env = environment | {"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap}
    collector = started(run_script, env, mine, SOON)
    consumer = run_script("consumer.py", env=env)
    killing = Killing(collector)
    posts = {"otlp": killing.otlp, "loki": killing.loki, "bulk": killing.bulk, "events": None}
    threads = [threading.Thread(target=killing.send, args=each) for each in posts.items()]
    for thread in threads:
        thread.start()
    wait_until_more(killing, 20, collector)
    own_kafka.kill()
    refused = None
    while refused is None or refused.status != 503:
        refused = collector.post("/events", {"message": "during"})
    assert int(refused.headers["retry-after"]) > 0
    one = "log_collector_outages_total 1.0"
    until(lambda: one in collector.ask("GET", "/metrics").body.decode(), 30)
    time.sleep(OUTAGE)
    own_kafka.start()
    own_kafka.wait_ready()
    wait_until_more(killing, 20, collector)
    killing.stop = True
    for thread in threads:
        thread.join()
    assert {name for name in posts if any(name in each for each in killing.answered)} == {*posts}
    logs = Path(env["LOG_FILE"])

    def archived() -> Counter[str]:
        lines = logs.read_bytes().splitlines() if logs.exists() else []
        return Counter(json.loads(line)["message"] for line in lines)

    until(lambda: set(killing.answered) <= archived().keys(), 60, str(consumer))
    assert max(times for text, times in archived().items() if "keyed" in text) == 1
    assert one in collector.ask("GET", "/metrics").body.decode()


def wait_until_more(killing: Killing, more: int, collector: Collecting) -> None:
    target, deadline = len(killing.answered) + more, time.monotonic() + 90
    while len(killing.answered) < target:
        assert time.monotonic() < deadline, collector.process
        time.sleep(0.01)
