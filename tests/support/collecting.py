"""Collecting: a collector.py of a test alone, and what Kafka has of what was sent to it."""

import http.client
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from config import Settings
from logpipeline.localstack.server import free_port
from tests.support import topics
from tests.support.forked import Forked
from tests.support.process import Process
from tests.support.waiting import until

PATIENCE = 60.0
JSON = "application/json"


class Received(NamedTuple):
    """An answer of the collector."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Collecting:
    """A running collector, and its port."""

    def __init__(self, process: Process, port: int, settings: Settings) -> None:
        self.process, self.port, self._settings = process, port, settings
        self._seen: set[tuple[int, int]] = set()  # of earlier tests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def topic(self) -> str:
        return self._settings.kafka_topic

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Received:
        """Raises OSError, http.client.HTTPException."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            return Received(
                answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
            )

    def post(self, path: str, body: object, kind: str = JSON, **headers: str) -> Received:
        """`body` is bytes, or becomes JSON; `x_y` is the header X-Y."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, data, {"Content-Type": kind} | named)

    def wait_ready(self) -> None:
        def ready() -> bool:
            try:
                return self.ask("GET", "/readyz").status == 200
            except OSError:
                return not self.process.running()

        until(ready, PATIENCE, "not ready")
        assert self.process.running(), self.process

    def values(self) -> list[bytes]:
        """The records of the topic since `forget`."""
        return [each.value for each in self._records() if _place(each) not in self._seen]

    def forget(self) -> None:
        """Leave the records of earlier tests out."""
        self._seen = {_place(each) for each in self._records()}

    def _records(self) -> list[ConsumerRecord]:
        """Those that are committed, once no transaction is open: Kafka answers a commit before it
        can be read."""
        servers = self._settings.kafka_bootstrap_servers
        until(lambda: _end(servers, self.topic, "read_committed") == _end(servers, self.topic), 20)
        return topics.read_all(servers, self.topic)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(value) for value in self.values()]

    def messages(self) -> list[str]:
        return sorted(event["message"] for event in self.events())


def _end(servers: str, topic: str, level: str = "read_uncommitted") -> dict[Any, int]:
    with closing(KafkaConsumer(bootstrap_servers=servers, isolation_level=level)) as consumer:
        ats = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        return dict(consumer.end_offsets(ats))


def _place(record: ConsumerRecord) -> tuple[int, int]:
    return record.partition, record.offset


def started(
    run_script: Callable[..., Process],
    environment: Mapping[str, str],
    settings: Settings,
    **variables: str,
) -> Collecting:
    """A collector with these settings, on a free port, once it is ready."""
    port = int(variables.get("COLLECTOR_PORT", free_port()))
    env = {**environment, "COLLECTOR_PORT": str(port), **variables}
    collecting = Collecting(run_script("collector.py", env=env), port, settings)
    collecting.wait_ready()
    return collecting


@contextmanager
def shared(kafka: str, folder: Path, **variables: str) -> Iterator[Collecting]:
    """A collector for the tests of a module, on a topic of its own."""
    name = f"test-{secrets.token_hex(6)}"
    left_out = {field.upper() for field in Settings.model_fields}
    mine = {key: value for key, value in os.environ.items() if key not in left_out}
    settings = Settings(_env_file=None, kafka_bootstrap_servers=kafka, kafka_topic=name)
    env = mine | {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_TOPIC": name}
    processes: list[Process] = []

    def run(name: str, env: dict[str, str]) -> Process:
        processes.append(Forked(name, [], folder / "collector.output", env))
        return processes[0]

    try:
        yield started(run, env, settings, **variables)
    finally:
        for process in processes:
            process.kill()
