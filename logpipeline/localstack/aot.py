"""AOT: a cache of Kafka's classes (JEP 514), which halves the time of each start.

python -m logpipeline.localstack.aot   # creates it once, in about 15 s: part of make install
"""

import fcntl
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka.admin import NewTopic
from kafka.errors import KafkaError

from logpipeline.kafka import clients
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.localstack import jars
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import ServerError, free_port

TIMEOUT = 300.0  # seconds, for a busy machine
EVENTS = 200


def create(path: Path) -> None:
    """Run and use a broker once to write the cache to `path`. Raises ServerError, OSError,
    KafkaError."""
    unfinished = path.with_suffix(".new")
    with TemporaryDirectory() as folder:
        broker = Kafka(Path(folder), free_port(), flags=[f"-XX:AOTCacheOutput={unfinished}"])
        try:
            broker.start()
            broker.wait_ready()
            train(KafkaSettings(_env_file=None, kafka_bootstrap_servers=broker.bootstrap))
        finally:
            broker.stop(TIMEOUT)
    unfinished.rename(path)


def train(settings: KafkaSettings) -> None:
    """Ask of a broker what the pipeline does, since the cache has only what was used. Raises
    KafkaError, OSError."""
    topic = settings.kafka_topic
    with closing(clients.admin(settings)) as admin:
        admin.create_topics([NewTopic(topic, settings.kafka_partitions, 1)])
    with closing(clients.producer(settings, compression_type="lz4")) as producer:
        for _ in range(EVENTS):
            producer.send(topic, b"event")
    with closing(clients.producer(settings, transactional_id="transaction")) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, b"event")
        producer.commit_transaction()
    with closing(
        clients.consumer(settings, group_id="group", auto_offset_reset="earliest")
    ) as consumer:
        consumer.subscribe([topic])
        read = 0
        while read <= EVENTS:
            read += sum(map(len, consumer.poll(500).values()))
        consumer.commit()
    with closing(clients.admin(settings)) as admin:
        admin.delete_topics([topic])


def main() -> int:
    path = jars.aot_cache()
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "aot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            create(path)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ServerError, OSError, KafkaError) as error:
        sys.exit(f"localstack.aot: {error}")
