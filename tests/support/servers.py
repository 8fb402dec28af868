"""Servers: the real Kafka and Redis of a test session, as local processes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import Server, free_port

SHORTEST_SESSION_MS = 500  # of a group's member: a test need not wait for 6 s until one is missed
GROUPS = f"group.min.session.timeout.ms={SHORTEST_SESSION_MS}\n"
MISSED_SOON = {  # constants of a consumer, whose group gives its partitions to others after 2 s
    "logpipeline.consumer.subscription.SESSION_MS": 2_000,
    "logpipeline.consumer.subscription.HEARTBEAT_MS": 500,
}
AnyServer = TypeVar("AnyServer", bound=Server)


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
