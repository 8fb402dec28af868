"""Connection: how every client connects to Kafka, and why one cannot.

kafka-python retries silently when a broker refuses it, reports only a timeout in the end, and leaks
a thread. So before a client is created, `problem` tries connections of the same kind.
"""

import logging
import socket
import traceback
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from kafka.errors import (
    AuthorizationError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaTimeoutError,
    RequestTimedOutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.connection import KafkaConnection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from logpipeline import tls
from logpipeline.kafka.oauth import ClientCredentials, TokenError
from logpipeline.kafka.settings import BY_TOKEN, SASL, TLS, KafkaSettings
from logpipeline.outage import Outage

CONNECT = 2.0  # seconds
ANSWER = 5.0  # seconds for authenticating, and for an answer
NO_ANSWER = "does not answer"
NAMES_OF_PASSWORD = ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SASL_MECHANISM")


class MaskedStr(str):
    """A secret that stays hidden when a library logs its configuration."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def access(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments of every kafka-python client: Kafka's address and the credentials."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol in TLS:
        # Read for each new connection, so they can be renewed without a restart.
        arguments |= {
            "ssl_cafile": settings.kafka_ssl_cafile or None,
            "ssl_certfile": settings.kafka_ssl_certfile or None,
            "ssl_keyfile": settings.kafka_ssl_keyfile or None,
            "ssl_password": MaskedStr(settings.kafka_ssl_key_password),
        }
    if settings.kafka_security_protocol in SASL:
        for name in ("kafka.protocol.parser", "kafka.net.connection"):
            logging.getLogger(name).addFilter(_is_not_debug)
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        if settings.kafka_sasl_mechanism in BY_TOKEN:
            arguments["sasl_oauth_token_provider"] = _provider(
                settings.kafka_oauth_token_url,
                settings.kafka_oauth_client_id,
                settings.kafka_oauth_client_secret,
                settings.kafka_oauth_scope,
                settings.kafka_ssl_cafile,
            )
        else:
            arguments["sasl_plain_username"] = settings.kafka_sasl_username
            arguments["sasl_plain_password"] = MaskedStr(settings.kafka_sasl_password)
    return arguments


def problem(settings: KafkaSettings, patience: float = ANSWER) -> str:
    """Why a client cannot use Kafka now, in one sentence; "" when it can.

    One broker that accepts it is enough. Each step may take `patience` seconds.
    """
    refusals = []
    for server in settings.kafka_bootstrap_servers.split(","):
        if _answers(server):
            refusal = _refusal(settings, server, patience)
            if not refusal:
                return ""
            refusals.append(refusal)
    return refusals[0] if refusals else _describe_silence(settings)


def report_outage(outage: Outage, lead: str, problem: str) -> None:
    """Report a problem once. A broker that stops or starts fails to answer in several ways, of
    which only the first is reported."""
    if not (outage and NO_ANSWER in problem):
        outage.report(f"{lead}: {problem}")


def reason(settings: KafkaSettings, error: BaseException) -> str:
    """A client's error as a sentence that names the remedy."""
    if isinstance(error, AuthorizationError):
        return (
            f"Kafka does not let {principal(settings)} do this: an ACL is missing ({error.message})"
        )
    return str(error) or type(error).__name__


def _answers(server: str) -> bool:
    """Whether `server` accepts a connection."""
    address = urlsplit(f"//{server}")
    try:
        with socket.create_connection((address.hostname, address.port), CONNECT):
            return True
    except OSError:
        return False


def _refusal(settings: KafkaSettings, server: str, patience: float) -> str:
    """Why a client cannot use Kafka through `server`; "" when it can."""
    net = NetworkSelector()
    manager = KafkaConnectionManager(net, **access(settings) | {"bootstrap_servers": [server]})
    try:
        return str(net.run(_try_brokers, settings, manager, patience))
    finally:
        manager.close()
        net.close()


async def _try_brokers(
    settings: KafkaSettings, manager: KafkaConnectionManager, patience: float
) -> str:
    """Connect to the one known broker, ask it for the others, and connect to one of these."""
    [first] = manager.cluster.bootstrap_brokers()
    problem = await _connect(settings, manager, first, patience)
    if not problem:
        for broker in manager.cluster.brokers():
            problem = await _connect(settings, manager, broker, patience)
            if not problem:  # a client needs only one
                break
    return problem


async def _connect(
    settings: KafkaSettings,
    manager: KafkaConnectionManager,
    broker: MetadataResponse,
    patience: float,
) -> str:
    """Why a broker does not answer requests; "" when it does."""
    connection = manager.get_connection(broker.node_id, timeout_ms=1_000 * patience)
    try:
        await manager.wait_for(connection.init_future, 1_000 * patience)
        # A port of another protocol may accept a connection and close it at the first request.
        asked = connection.send_request(MetadataRequest(topics=[]))
        manager.cluster.update_metadata(await manager.wait_for(asked, 1_000 * patience))
    except Exception as error:  # noqa: BLE001 - kafka-python's mechanisms raise anything
        if isinstance(error, KafkaConnectionError) and _failed_authentication(connection):
            error = SaslAuthenticationFailedError("it closed the connection")
        description = _describe_error(settings, error)
        for cause in tls.causes(error):
            traceback.clear_frames(cause.__traceback__)  # kafka-python leaves sockets in them
        server = f"{broker.host}:{broker.port}"
        if _answers(server):
            return f"Kafka at {server} {description}"
        if manager.cluster.is_bootstrap(broker.node_id):
            return _describe_silence(settings)
        return f"Kafka at {server} {NO_ANSWER}: check its advertised.listeners"
    return ""


def _describe_silence(settings: KafkaSettings) -> str:
    return f"Kafka {NO_ANSWER} at KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}"


def _failed_authentication(connection: KafkaConnection) -> bool:
    """Whether the connection ended during authentication. A broker that refuses a user answers and
    closes the connection; kafka-python loses an answer that arrives with the close."""
    answered = connection.broker_version_data is not None
    return answered and connection.sasl_enabled and not connection.init_future.succeeded()


def _describe_error(settings: KafkaSettings, error: Exception) -> str:
    protocol = f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}"
    mechanism = f"KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism}"
    if isinstance(error, TokenError):
        return f"requires a token: {error}"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"does not support {mechanism} on this port"
    if isinstance(error, IllegalSaslStateError):
        return f"does not authenticate users on this port, but {protocol} requires it"
    if isinstance(error, SaslAuthenticationFailedError):
        if settings.kafka_sasl_mechanism in BY_TOKEN:
            return f"refuses the token of {principal(settings)} (KAFKA_OAUTH_…): {error}"
        wrong = "wrong password or mechanism"
        return f"refuses {principal(settings)}: {wrong} ({', '.join(NAMES_OF_PASSWORD)})"
    if isinstance(error, (KafkaTimeoutError, RequestTimedOutError)):
        return f"accepts connections but {NO_ANSWER}"
    if found := tls.describe_tls_error(error):
        return f"cannot be used: {found} ({protocol}, KAFKA_SSL_…)"
    return f"closes the connection: check {protocol} for this port ({error})"


def principal(settings: KafkaSettings) -> str:
    """The user that Kafka sees."""
    if settings.kafka_sasl_mechanism in BY_TOKEN:
        return f"client {settings.kafka_oauth_client_id!r}"
    if settings.kafka_sasl_mechanism:
        return f"user {settings.kafka_sasl_username!r}"
    return "the owner of KAFKA_SSL_CERTFILE" if settings.kafka_ssl_certfile else "an anonymous user"


@lru_cache(maxsize=8)
def _provider(url: str, client: str, secret: str, scope: str, ca: str) -> ClientCredentials:
    """One provider for all clients of the process, so that they share its token."""
    return ClientCredentials(url, client, secret, scope, ca)


def _is_not_debug(record: logging.LogRecord) -> bool:
    """At DEBUG kafka-python logs all that it sends, including the password."""
    return record.levelno > logging.DEBUG
