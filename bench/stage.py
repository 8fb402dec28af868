"""Stage: the benchmark's own Kafka and Redis, and topics full of simulated events."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import cycle, islice
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from bench.contender import Filled
from logpipeline.kafka.outbox import BATCHED
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from logpipeline.producer.simulator import simulate

DIFFERENT = 20_000  # generated events; topics repeat them
SEED = 1
PATIENCE = 60.0  # seconds
LOOK = 0.2  # seconds between checks of a group


class Stage:
    """Running servers, and a folder for output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka = Kafka(folder / "kafka", free_port())
        self.redis = Redis(folder / "redis", free_port())

    @contextmanager
    def running(self) -> Iterator["Stage"]:
        """Run the servers. Raises ServerError."""
        servers = (self.kafka, self.redis)
        try:
            for server in servers:
                server.start()
            for server in servers:
                server.wait_ready()
            yield self
        finally:
            for server in servers:
                server.kill()

    def topic(self, partitions: int) -> str:
        """A new, empty topic."""
        name = self.new_name()
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)) as admin:
            shape = {"num_partitions": partitions, "replication_factor": 1}
            admin.create_topics({name: shape}, wait_for_metadata=True)
        return name

    def arrived(self, topic: str) -> Callable[[], int]:
        """A function that returns the number of records in a topic."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "bench"})
        partitions = [
            TopicPartition(topic, number)
            for number in consumer.list_topics(topic).topics[topic].partitions
        ]
        return lambda: sum(consumer.get_watermark_offsets(at)[1] for at in partitions)

    def wait_for_group(self, group: str, members: int) -> None:
        """Wait until all its members have partitions. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)) as admin:
            while time.monotonic() < deadline:
                with suppress(KafkaError):  # the group may not exist yet
                    found = admin.describe_groups([group])[group]
                    shares = [member["member_assignment"] for member in found["members"]]
                    busy = [share for share in shares if share and share["assigned_partitions"]]
                    if found["group_state"] == "Stable" and len(busy) == members:
                        return
                time.sleep(LOOK)
        raise TimeoutError(f"group {group} does not have {members} members with partitions")

    def filled(self, partitions: int, count: int) -> Filled:
        """A new topic with `count` events."""
        topic = self.topic(partitions)
        return Filled(topic, count, self.fill(topic, count))

    def fill(self, topic: str, count: int) -> int:
        """Send events to it in batches like producer.py's. Returns their size in logs.txt."""
        producer = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "log_level": 0,
                "partitioner": "murmur2_random",
                "compression.type": BATCHED["compression_type"],
                "batch.size": BATCHED["batch_size"],
                "linger.ms": BATCHED["linger_ms"],
                "queue.buffering.max.messages": 200_000,
            }
        )
        size = 0
        for key, value in islice(cycle(events()), count):
            size += len(value) + 1
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.flush()
        return size

    @staticmethod
    def new_name() -> str:
        """A new, unique name."""
        return f"bench-{secrets.token_hex(4)}"

    def environment(self, topic: str) -> dict[str, str]:
        """For consumer.py and producer.py: a new group, new Redis keys and a new logs.txt."""
        name = self.new_name()
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "KAFKA_TOPIC": topic,
            "KAFKA_GROUP_ID": name,
            "KAFKA_DEAD_LETTER_TOPIC": "bench.dead-letter",
            "REDIS_URL": f"{self.redis.url}/0",
            "REDIS_KEY": name,
            "LOG_FILE": str(self.folder / f"{name}.txt"),
            "METRICS_PORT": "0",
        }


@cache
def events() -> list[tuple[bytes, bytes]]:
    """The events (key, value) for topics."""
    return list(islice(simulate(SEED, 0), DIFFERENT))
