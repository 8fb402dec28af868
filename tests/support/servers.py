"""Servers: the real Kafka and Redis of a test session, in containers or as local processes."""

import atexit
import contextlib
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import docker  # type: ignore[import-untyped]
from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import Server, free_port
from tests.support.waiting import until

KAFKA_IMAGE = "apache/kafka:4.3.1"
REDIS_IMAGE = "redis:8.2"
# It writes into copies of these files, which it can't where they were built read-only.
KAFKA_COMMAND = ["sh", "-c", "chmod -Rf u+w /etc/kafka/docker; exec /etc/kafka/docker/run"]
READY = 90.0  # seconds
SHORTEST_SESSION_MS = 500  # of a group's member: a test need not wait for 6 s until one is missed
GROUPS = f"group.min.session.timeout.ms={SHORTEST_SESSION_MS}\n"
MISSED_SOON = {  # constants of a consumer, whose group gives its partitions to others after 2 s
    "logpipeline.consumer.subscription.SESSION_MS": 2_000,
    "logpipeline.consumer.subscription.HEARTBEAT_MS": 500,
}
AnyServer = TypeVar("AnyServer", bound=Server)


def docker_has_images() -> bool:
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
def kafka_container() -> Iterator[str]:
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
def redis_container() -> Iterator[str]:
    """A Redis in a container; gives its URL. Raises AssertionError."""
    server = Redis(Path(), free_port())
    with _running(DockerContainer(REDIS_IMAGE), 6379, server.port):
        until(lambda: _answers(server), READY, f"{REDIS_IMAGE} does not answer")
        yield server.url


@contextlib.contextmanager
def kafka_data(folder: Path) -> Iterator[str]:
    """The data folder of a broker that has never run. Raises ServerError."""
    broker = Kafka(folder / "formatted", free_port())
    broker.folder.mkdir(exist_ok=True)  # a worker that has left made it
    broker.command()
    yield str(broker.folder / "data")


@contextlib.contextmanager
def kafka_process(folder: Path) -> Iterator[str]:
    """A broker without Docker; gives host:port. Raises ServerError."""
    with started(Kafka(folder, free_port(), GROUPS)) as broker:
        yield broker.bootstrap


@contextlib.contextmanager
def redis_process(folder: Path) -> Iterator[str]:
    """A Redis without Docker; gives its URL. Raises ServerError."""
    with started(Redis(folder, free_port())) as server:
        yield server.url


@contextlib.contextmanager
def started(server: AnyServer) -> Iterator[AnyServer]:
    """A local server that answers, killed at the end."""
    with killed_at_end(server):
        server.start()
        server.wait_ready()
        yield server


@contextlib.contextmanager
def killed_at_end(server: AnyServer) -> Iterator[AnyServer]:
    """A local server that may have been started, paused or stopped meanwhile."""
    try:
        yield server
    finally:
        server.resume()
        server.kill()


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
