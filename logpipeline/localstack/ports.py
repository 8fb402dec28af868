"""Ports: where the local stack listens, and whether it can."""

import errno
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

from logpipeline.localstack.server import ServerError
from logpipeline.localstack.settings import StackSettings

HERE = ("localhost", "127.0.0.1")


def kafka_port(settings: StackSettings) -> int:
    """The broker's port. Raises ServerError when the setting means another machine."""
    servers = settings.kafka_bootstrap_servers
    address = urlsplit(f"//{servers}")
    if "," in servers or address.hostname not in HERE or not address.port:
        raise ServerError(f"KAFKA_BOOTSTRAP_SERVERS={servers} is not this machine's: {_instead()}")
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise ServerError("the local Kafka knows KAFKA_SECURITY_PROTOCOL=PLAINTEXT alone")
    return address.port


def redis_port(settings: StackSettings) -> int:
    """The port of Redis. Raises ServerError when the setting means another server."""
    address = urlsplit(settings.redis_url)
    if address.scheme != "redis" or address.hostname not in HERE:
        raise ServerError(f"REDIS_URL is not a plain redis:// of this machine: {_instead()}")
    if address.password or settings.redis_password:
        raise ServerError("the local Redis has no password: leave out REDIS_URL's, REDIS_PASSWORD")
    return address.port or 6379


def check(settings: StackSettings) -> None:
    """Raises ServerError for the first port that is taken, or that two settings share."""
    kafka, redis = kafka_port(settings), redis_port(settings)
    wanted = [
        ("127.0.0.1", kafka, "KAFKA_BOOTSTRAP_SERVERS=localhost:<other>"),
        ("127.0.0.1", redis, "REDIS_URL=redis://localhost:<other>/0"),
        (settings.dashboard_host, settings.dashboard_port, "DASHBOARD_PORT=<other>"),
    ]
    if settings.metrics_port:
        wanted.append((settings.metrics_host, settings.metrics_port, "METRICS_PORT=<other>"))
    with ExitStack() as listeners:
        for host, port, setting in wanted:
            try:
                listeners.enter_context(socket.create_server((host, port)))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                problem = "is taken" if taken else f"can't be used ({error.strerror})"
                raise ServerError(f"port {port} {problem}: set {setting}") from error


def _instead() -> str:
    return "make up starts its own; for others run producer.py and consumer.py"
