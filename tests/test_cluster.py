"""Three brokers under load, of which two are killed in turn: nothing is lost, doubled or restarted.

Builds and starts containers, so it runs only when asked to: `COMPOSE_TESTS=1 pytest
tests/test_cluster.py -s`, which also prints how long partitions stood still.
"""

import gc
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from config import Settings
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from tests.support.compose import CAP, Clone
from tests.support.process import ROOT
from tests.support.waiting import until

if os.environ.get("COMPOSE_TESTS") != "1":
    pytest.skip("builds containers: asked for by COMPOSE_TESTS=1", allow_module_level=True)

FILES = "docker-compose.yml:deploy/cluster/docker-compose.yml"
BROKERS = {1: "kafka", 2: "kafka-2", 3: "kafka-3"}
PORTS = (19092, 9092, 9093)  # of a broker in the network
CONSUMERS = 3
RATE = 1_500  # events/s
PATIENCE = 600.0  # seconds; on a machine of its own it takes 10 at a kill, 20 at a return
BUSY = 100  # records in a partition until it must go on while a broker is away
LOOK = 0.05  # seconds


class Cluster(Clone):
    """A clone in which the override makes three brokers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment["COMPOSE_FILE"] = FILES
        others = {f"KAFKA_{number}_HOST_PORT": free_port() for number in (2, 3)}
        # The rack is that of the first broker which is killed.
        self.set(PRODUCER_RATE=RATE, KAFKA_CLIENT_RACK="b", **others)
        ports = (self.kafka_port, *others.values())
        self.settings = Settings(
            _env_file=None,
            kafka_bootstrap_servers=",".join(f"localhost:{port}" for port in ports),
            redis_url=f"redis://localhost:{self.redis_port}/0",
            redis_max_logs=CAP,
            log_file=self.logs_txt,
        )

    def kill(self, broker: int) -> None:
        self.docker("kill", f"{self.project}-{BROKERS[broker]}-1")

    def start(self, broker: int) -> None:
        self.docker("start", f"{self.project}-{BROKERS[broker]}-1")

    def programs(self) -> list[tuple[str, str, int]]:
        """Of each container of ours: id, start, number of restarts."""
        found = self.inspect()
        ours = [*found["producer"], *found["consumer"]]
        assert len(ours) == CONSUMERS + 1
        return [(one["Id"], one["State"]["StartedAt"], one["RestartCount"]) for one in ours]

    def partitions(self, *topics: str) -> dict[tuple[str, int], tuple[int, set[int]]]:
        """(topic, partition) → leader, brokers in sync. Raises KafkaError."""
        from kafka.admin import KafkaAdminClient

        servers = self.settings.kafka_bootstrap_servers.split(",")
        with warnings.catch_warnings():
            # kafka-python leaves the socket open that a killed broker refused.
            warnings.simplefilter("ignore", ResourceWarning)
            with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
                found = admin.describe_topics(list(topics))
            gc.collect()
        return {
            (topic["name"], one["partition_index"]): (one["leader_id"], {*one["isr_nodes"]})
            for topic in found
            for one in topic["partitions"]
        }

    def in_sync(self, brokers: set[int]) -> bool:
        """Whether these, and no others, are in sync for each partition of every topic."""
        from kafka.errors import KafkaError

        topics = (self.settings.kafka_topic, self.settings.kafka_dead_letter_topic)
        with suppress(KafkaError):
            found = self.partitions(*topics, "__consumer_offsets").values()
            return all(isr == brokers and leader in brokers for leader, isr in found)
        return False

    def next(self) -> dict[int, int]:
        """Of each partition, the next offset that logs.txt expects."""
        checkpoint = Checkpoint.load(self.logs_txt.with_name("logs.txt.checkpoint"))
        topic = checkpoint.topics.get(self.settings.kafka_topic) if checkpoint else None
        return {p: known.next for p, known in topic.partitions.items()} if topic else {}


class Pulse:
    """How long each partition of logs.txt has stood still, looked at from a thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next: dict[int, int] = {}
        self._moved: dict[int, float] = {}
        self._longest: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def begin(self) -> None:
        with self._lock:
            self._longest = {}

    def longest(self) -> float:
        """The longest time, in seconds, that a partition has stood still since `begin`."""
        now = time.monotonic()
        with self._lock:
            still = [now - self._moved[p] for p, at in self._next.items() if at >= BUSY]
            return max([*self._longest.values(), *still])

    def moved_since(self, begun: float) -> bool:
        """Whether every busy partition has grown after `begun`."""
        with self._lock:
            return all(self._moved[p] > begun for p, at in self._next.items() if at >= BUSY)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK):
            now = time.monotonic()
            for partition, at in self._cluster.next().items():
                with self._lock:
                    if at == self._next.get(partition):
                        continue
                    if self._next.get(partition, 0) >= BUSY:
                        still = now - self._moved[partition]
                        self._longest[partition] = max(still, self._longest.get(partition, 0.0))
                    self._next[partition], self._moved[partition] = at, now


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="cluster-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        services = (*BROKERS.values(), "door", "producer", "consumer")
        try:
            cluster.compose("build", "producer", "consumer", "door")
            scale = ("--scale", f"consumer={CONSUMERS}")
            cluster.compose("up", "-d", "--wait", *scale, *services)
            yield cluster
        finally:
            print(cluster.compose("ps", "-a"))
            print(cluster.compose("logs", "--tail=50", "producer", "consumer"))
            cluster.compose("down", "--volumes", "--rmi", "local", "--timeout", "5")


def test_each_broker_is_closed_to_strangers_and_other_machines(cluster: Cluster) -> None:
    addresses = [f"kafka://{name}:{port}" for name in BROKERS.values() for port in PORTS]
    for answers in cluster.stranger("default", *addresses).values():
        assert set(answers.values()) == {"closed"}
    published = {
        port["URL"]
        for container in cluster.containers()
        for port in container["Publishers"]
        if port["PublishedPort"]
    }
    assert published == {"127.0.0.1"}


def test_a_broker_and_then_the_busiest_leader_are_killed_under_load(cluster: Cluster) -> None:
    began = time.monotonic()
    until(lambda: sum(cluster.next().values()) > 5 * RATE, PATIENCE, "logs.txt does not grow")
    until(lambda: cluster.in_sync({*BROKERS}), PATIENCE, "the brokers do not get in sync")
    before = cluster.programs()
    with closing(Pulse(cluster)) as pulse:
        kill_and_return(cluster, pulse, 2)
        kill_and_return(cluster, pulse, busiest_leader(cluster))
    assert cluster.programs() == before

    cluster.compose("stop", "producer")
    words = cluster.compose("logs", "--no-log-prefix", "producer")
    [sent] = re.findall(r"sent ([\d,]+) events in .* 0 undelivered", words)
    count = int(sent.replace(",", ""))
    assert count > 1_000 * (time.monotonic() - began)
    until(lambda: sum(cluster.next().values()) >= count, PATIENCE, "the events do not all arrive")
    verdict = subprocess.run(
        [sys.executable, str(ROOT / "verify.py")],
        env=variables(cluster.settings),
        cwd=cluster.folder,
        capture_output=True,
        text=True,
    )
    print(words.splitlines()[-1], verdict.stdout, sep="\n")
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert f" {count:,} events, each once and in its partition's order" in verdict.stdout


def busiest_leader(cluster: Cluster) -> int:
    at = cluster.next()
    busiest = max(at, key=lambda partition: at[partition])
    topic = cluster.settings.kafka_topic
    return cluster.partitions(topic)[topic, busiest][0]


def kill_and_return(cluster: Cluster, pulse: Pulse, broker: int) -> None:
    """Kill a broker; everything continues without it; let it return and catch up."""
    pulse.begin()
    cluster.kill(broker)
    others = {*BROKERS} - {broker}
    until(lambda: cluster.in_sync(others), PATIENCE, f"broker {broker} is not given up")
    without = time.monotonic()
    until(lambda: pulse.moved_since(without), PATIENCE, "it does not go on without the broker")
    stood = pulse.longest()
    pulse.begin()
    cluster.start(broker)
    until(lambda: cluster.in_sync({*BROKERS}), PATIENCE, f"broker {broker} does not catch up")
    back = time.monotonic()
    until(lambda: pulse.moved_since(back), PATIENCE, "it does not go on with the broker")
    print(f"broker {broker} killed: {stood:.1f} s, returned: {pulse.longest():.1f} s at the most")
