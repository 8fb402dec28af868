"""Ports: those of the local stack, and whether they can be used."""

import errno
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

from logpipeline.localstack.server import ServerError
from logpipeline.localstack.settings import StackSettings

HERE = ("localhost", "127.0.0.1")
OTHERWISE = "to use another server, run producer.py and consumer.py instead of make up"


def kafka_port(settings: StackSettings) -> int:
    """The broker's port. Raises ServerError when the setting names another machine."""
    servers = settings.kafka_bootstrap_servers
    address = urlsplit(f"//{servers}")
    if "," in servers or address.hostname not in HERE or not address.port:
        raise ServerError(
            f"KAFKA_BOOTSTRAP_SERVERS={servers}: must be one broker on localhost; {OTHERWISE}"
        )
    if settings.kafka_security_protocol != "PLAINTEXT":
        protocol = settings.kafka_security_protocol
        raise ServerError(f"KAFKA_SECURITY_PROTOCOL={protocol}: must be PLAINTEXT for make up")
    return address.port


def redis_port(settings: StackSettings) -> int:
    """The port of Redis. Raises ServerError when the setting names another server."""
    address = urlsplit(settings.redis_url)
    if address.scheme != "redis" or address.hostname not in HERE:
        raise ServerError(f"REDIS_URL: must be redis:// on localhost; {OTHERWISE}")
    if address.password or settings.redis_password:
        raise ServerError("the password of REDIS_URL and REDIS_PASSWORD must be empty for make up")
    return address.port or 6379


def check(settings: StackSettings) -> None:
    """Raises ServerError for the first port that is in use, or that two settings share."""
    kafka, redis = kafka_port(settings), redis_port(settings)
    wanted = [
        ("127.0.0.1", kafka, "KAFKA_BOOTSTRAP_SERVERS=localhost:<other>"),
        ("127.0.0.1", redis, "REDIS_URL=redis://localhost:<other>/0"),
        (settings.dashboard_host, settings.dashboard_port, "DASHBOARD_PORT=<other>"),
        (settings.collector_host, settings.collector_port, "COLLECTOR_PORT=<other>"),
    ]
    if settings.metrics_port:
        wanted.append((settings.metrics_host, settings.metrics_port, "METRICS_PORT=<other>"))
    with ExitStack() as listeners:
        for host, port, setting in wanted:
            try:
                listeners.enter_context(socket.create_server((host, port)))
            except OSError as error:
                in_use = error.errno == errno.EADDRINUSE
                problem = "is in use" if in_use else f"cannot be used ({error.strerror})"
                raise ServerError(f"port {port} {problem}: set {setting}") from error
