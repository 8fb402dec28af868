"""Measure what Kafka's acknowledgement costs and is worth: one broker, one that flushes each
batch before it acknowledges (`flush.messages=1`), and three brokers, two of which have it.

    .venv/bin/python -m bench.acknowledged       200,000 events, three rounds: about three minutes

The power cut takes Linux, root and loop devices: the lone broker's disk is copied after the last
acknowledgement, and the copy has what had been written to it.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from bench.stage import events
from bench.usage import cpu_seconds
from logpipeline.kafka.outbox import BATCHED
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import free_port

RATE = 1_000  # events/s, for the times
SECONDS = 10.0
PARTITIONS = 4
DISK = 2**30  # bytes
FLUSHED = {"flush.messages": "1"}
BOTH = {"min.insync.replicas": "2"}
VOTERS = "controller.quorum.voters=1@127.0.0.1:{controller}\n"
FIRST = VOTERS + "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
OTHER = VOTERS + (
    "node.id={node}\nprocess.roles=broker\nlisteners=PLAINTEXT://127.0.0.1:{port}\n"
    "advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
)


class ClusterBroker(Kafka):
    """One of several brokers, of which the first is the controller, too."""

    def __init__(self, folder: Path, node: int, controller: int) -> None:
        port = free_port()
        text = (FIRST if node == 1 else OTHER).format(port=port, node=node, controller=controller)
        super().__init__(folder, port, text)

    def _format(self, properties: Path, cluster: str) -> None:
        super()._format(properties, "kbenchmarkbenchmarkbe")


class Kind:
    """One way to be acknowledged: brokers, and a topic's settings."""

    def __init__(self, name: str, brokers: Sequence[Kafka], configs: dict[str, str]) -> None:
        self.name = name
        self.brokers = brokers
        self._configs = configs
        self._servers = ",".join(broker.bootstrap for broker in brokers)
        self.rates: list[float] = []
        self.costs: list[float] = []  # microseconds of the brokers' CPU for an event
        self.waits: list[float] = []  # seconds

    def topic(self, name: str) -> str:
        shape = {
            "num_partitions": PARTITIONS,
            "replication_factor": len(self.brokers),
            "configs": self._configs,
        }
        with closing(KafkaAdminClient(bootstrap_servers=self._servers.split(","))) as admin:
            admin.create_topics({name: shape}, wait_for_metadata=True)
        return name

    def flood(self, topic: str, count: int) -> None:
        """Send as fast as it is acknowledged."""
        producer = self._producer()
        before, began = self._cpu(), time.monotonic()
        for key, value in islice(cycle(events()), count):
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.flush()
        self.rates.append(count / (time.monotonic() - began))
        self.costs.append(1e6 * (self._cpu() - before) / count)

    def drip(self, topic: str) -> None:
        """Send RATE events a second, and note how long each acknowledgement takes."""
        producer = self._producer()
        began = time.monotonic()
        for number, (key, value) in enumerate(islice(cycle(events()), int(RATE * SECONDS))):
            due = began + number / RATE
            while (left := due - time.monotonic()) > 0:
                producer.poll(left)
            producer.produce(topic, value, key, on_delivery=self._waiting())
        producer.flush()

    def _waiting(self) -> Callable[[Any, Any], None]:
        sent = time.monotonic()
        return lambda error, message: self.waits.append(time.monotonic() - sent)

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._servers,
                "log_level": 0,
                "enable.idempotence": True,
                "compression.type": BATCHED["compression_type"],
                "batch.size": BATCHED["batch_size"],
                "linger.ms": BATCHED["linger_ms"],
                "queue.buffering.max.messages": 50_000,
            }
        )

    def _cpu(self) -> float:
        return sum(cpu_seconds(broker.process.pid) for broker in self.brokers if broker.process)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.acknowledged")
    parser.add_argument("events", nargs="?", type=int, default=200_000)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as cleanup:
        folder = Path(name)
        lone = Kafka(folder / "lone", free_port())
        controller = free_port()
        three = [ClusterBroker(folder / f"{n}", n, controller) for n in (1, 2, 3)]
        for broker in lone, *three:
            cleanup.callback(broker.kill)
            broker.start()
        lone.wait_ready()
        wait_for(three)
        kinds = [
            Kind("one broker", [lone], {}),
            Kind("one broker, flush.messages=1", [lone], FLUSHED),
            Kind("three brokers, min.insync.replicas=2", three, BOTH),
        ]
        for number in range(options.rounds + 1):  # the first warms up
            for place, kind in enumerate(kinds):
                topic = kind.topic(f"bench-{number}-{place}")
                kind.flood(topic, options.events)
                kind.drip(topic)
                if not number:
                    kind.rates, kind.costs, kind.waits = [], [], []
        show(kinds)
    if os.geteuid() == 0 and shutil.which("losetup"):
        cut_power(options.events)


def wait_for(brokers: Sequence[Kafka]) -> None:
    """Until all of them are in the cluster."""
    for broker in brokers:
        while not _knows(broker, len(brokers)):
            time.sleep(0.2)


def _knows(broker: Kafka, count: int) -> bool:
    try:
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
            return len(admin.describe_cluster()["brokers"]) == count
    except Exception:  # noqa: BLE001 - it is starting
        return False


def show(kinds: Sequence[Kind]) -> None:
    print("| acknowledged by | events/s | brokers' CPU, µs | p50, p99 at 1,000/s, ms |")
    print("| --- | ---: | ---: | ---: |")
    first = median(kinds[0].rates)
    for kind in kinds:
        rate = median(kind.rates)
        cuts = [1_000 * wait for wait in quantiles(kind.waits, n=100)]
        print(
            f"| {kind.name} | {rate:,.0f} ({rate / first:.2f}) | {median(kind.costs):.1f} "
            f"| {cuts[49]:.0f}, {cuts[98]:.0f} |"
        )


def cut_power(count: int) -> None:
    """Print how many of `count` acknowledged events are on the disk of a lone broker."""
    for configs in {}, FLUSHED:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            with disk(folder / "image") as there:
                broker = Kafka(there, free_port())
                try:
                    broker.start()
                    broker.wait_ready()
                    kind = Kind("", [broker], configs)
                    topic = kind.topic("cut")
                    _run("sync", "--file-system", str(there))
                    kind.flood(topic, count)
                    broker.pause()
                    shutil.copyfile(folder / "image", folder / "copy")
                finally:
                    broker.resume()
                    broker.kill()
            with disk(folder / "copy", new=False) as there:
                left = stored(there)
            words = "flush.messages=1" if configs else "the default"
            print(f"power cut after {count:,} acknowledged events, {words}: {left:,} are left")


@contextmanager
def disk(image: Path, new: bool = True) -> Iterator[Path]:
    """The folder at which the file system in `image` is mounted. Raises CalledProcessError."""
    if new:
        with image.open("wb") as file:
            file.truncate(DISK)
        _run("mkfs.ext4", "-q", "-F", str(image))
    there = image.with_name(f"{image.name}-mounted")
    there.mkdir()
    _run("mount", "-o", "loop", str(image), str(there))
    try:
        yield there
    finally:
        _run("umount", str(there))


def stored(folder: Path) -> int:
    """The records that a broker finds in its data after the power cut."""
    broker = Kafka(folder, free_port())
    try:
        broker.start()
        broker.wait_ready()
        with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap)) as consumer:
            known = consumer.partitions_for_topic("cut") or ()
            ats = [TopicPartition("cut", number) for number in known]
            return sum(consumer.end_offsets(ats).values()) if ats else 0
    finally:
        broker.kill()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
