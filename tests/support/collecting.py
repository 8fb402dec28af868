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
from tests.support.forked import Constants, forked
from tests.support.process import Process
from tests.support.waiting import until

PATIENCE = 60.0
JSON = "application/json"
Ends = dict[Any, int]  # partition → offset


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
        self._begin: Ends = {}  # where the records of earlier tests end
        self._reader: _Reader | None = None  # kept for all reads

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
        with self._reading() as reader:
            return [record.value for record in reader.read(self._begin)]

    def forget(self) -> None:
        """Leave the records of earlier tests out."""
        with self._reading() as reader:
            self._begin = reader.ends()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Read by the same consumers all the time, while Kafka is there."""
        with self._reading() as self._reader:
            yield
        self._reader = None

    @contextmanager
    def _reading(self) -> Iterator["_Reader"]:
        if self._reader:
            yield self._reader
        else:
            servers = self._settings.kafka_bootstrap_servers
            with topics.sockets_left(), closing(_Reader(servers, self.topic)) as reader:
                yield reader

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(value) for value in self.values()]

    def messages(self) -> list[str]:
        return sorted(event["message"] for event in self.events())


class _Reader:
    """Reads a topic that exists, as often as it is asked to."""

    def __init__(self, servers: str, topic: str) -> None:
        self._topic = topic
        self._committed, self._all = (
            KafkaConsumer(bootstrap_servers=servers, isolation_level=level)
            for level in ("read_committed", "read_uncommitted")
        )

    def close(self) -> None:
        self._committed.close()
        self._all.close()

    def ends(self) -> Ends:
        """Of what is committed, once no transaction is open: Kafka answers a commit before it can
        be read."""
        ats = [TopicPartition(self._topic, n) for n in self._all.partitions_for_topic(self._topic)]
        found: list[Ends] = []

        def agree() -> bool:
            found[:] = (dict(each.end_offsets(ats)) for each in (self._committed, self._all))
            return found[0] == found[1]

        until(agree, 20)
        return found[0]

    def read(self, begin: Ends) -> list[ConsumerRecord]:
        """The records from `begin` on."""
        ends = self.ends()
        self._committed.assign([*ends])
        for at in ends:
            self._committed.seek(at, begin.get(at, 0))
        return topics.read_to(self._committed, ends)


def started(
    run_script: Callable[..., Process],
    environment: Mapping[str, str],
    settings: Settings,
    constants: Constants | None = None,
    /,
    **variables: str,
) -> Collecting:
    """A collector with these settings, on a free port, once it is ready."""
    port = int(variables.get("COLLECTOR_PORT", free_port()))
    env = {**environment, "COLLECTOR_PORT": str(port), **variables}
    process = run_script("collector.py", env=env, constants=constants)
    collecting = Collecting(process, port, settings)
    collecting.wait_ready()
    return collecting


@contextmanager
def shared(
    kafka: str, folder: Path, constants: Constants | None = None, /, **variables: str
) -> Iterator[Collecting]:
    """A collector for the tests of a module, on a topic of its own."""
    name = f"test-{secrets.token_hex(6)}"
    left_out = {field.upper() for field in Settings.model_fields}
    mine = {key: value for key, value in os.environ.items() if key not in left_out}
    settings = Settings(_env_file=None, kafka_bootstrap_servers=kafka, kafka_topic=name)
    env = mine | {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_TOPIC": name}
    processes: list[Process] = []

    def run(name: str, env: dict[str, str], constants: Constants | None) -> Process:
        processes.append(forked(name, folder / "collector.output", env, constants))
        return processes[0]

    try:
        collecting = started(run, env, settings, constants, **variables)
        with collecting.keeping():
            yield collecting
    finally:
        for process in processes:
            process.kill()
