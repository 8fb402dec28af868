"""Containers: the Kafka and Redis of a test session, where Docker answers."""

import atexit
import contextlib
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import docker  # type: ignore[import-untyped]
from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import Server, free_port
from tests.support.servers import SHORTEST_SESSION_MS
from tests.support.waiting import until

KAFKA_IMAGE = "apache/kafka:4.3.1"
REDIS_IMAGE = "redis:8.2"
# It writes into copies of these files, which it can't where they were built read-only.
KAFKA_COMMAND = ["sh", "-c", "chmod -Rf u+w /etc/kafka/docker; exec /etc/kafka/docker/run"]
READY = 90.0  # seconds


def have_images() -> bool:
    """Whether a Docker engine answers and has both images; none is pulled."""
    with warnings.catch_warnings():
        # docker leaves a socket open that it may not use, to be warned of in whichever test.
        warnings.simplefilter("ignore", ResourceWarning)
        found = _found()
        gc.collect()
    return found


def _found() -> bool:
    try:
        with contextlib.closing(docker.from_env(timeout=10)) as client:
            for image in (KAFKA_IMAGE, REDIS_IMAGE):
                client.images.get(image)
    except DockerException:
        return False
    return True


@contextlib.contextmanager
def kafka() -> Iterator[str]:
    """A broker in a container; gives host:port. Raises AssertionError."""
    port = free_port()  # known before the start, as the broker has to advertise it
    variables = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "4",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "200",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": f"{SHORTEST_SESSION_MS}",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }
    container = DockerContainer(KAFKA_IMAGE, env=variables).with_command(KAFKA_COMMAND)
    with _running(container, 9092, port):
        broker = Kafka(Path(), port)
        until(lambda: _answers(broker), READY, f"{KAFKA_IMAGE} does not answer")
        yield broker.bootstrap


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis in a container; gives its URL. Raises AssertionError."""
    server = Redis(Path(), free_port())
    with _running(DockerContainer(REDIS_IMAGE), 6379, server.port):
        until(lambda: _answers(server), READY, f"{REDIS_IMAGE} does not answer")
        yield server.url


@contextlib.contextmanager
def _running(container: DockerContainer, inside: int, port: int) -> Iterator[None]:
    """The container with its port `inside` at 127.0.0.1:`port`, removed whatever happens."""
    testcontainers_config.ryuk_disabled = True  # the reaper's image would have to be pulled
    container.ports[f"{inside}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]
    atexit.register(container.stop)
    try:
        container.start()
        yield
    finally:
        atexit.unregister(container.stop)
        container.stop()


def _answers(server: Server) -> bool:
    try:
        return server.answers()
    except OSError:
        return False
