"""Broker: how every Kafka client gets in, and why one does not.

kafka-python tries again in silence when it is refused, says in the end no more than that it took
too long, and leaves a thread behind. So before a client is made, `problem` tries it out with
connections of the same kind.
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
ANSWER = 5.0  # seconds for getting in, and for an answer
SILENT = "does not answer"
NAMES_OF_PASSWORD = ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SASL_MECHANISM")


class MaskedStr(str):
    """A secret that the libraries which write down their configuration don't show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def access(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments of every kafka-python client: where Kafka is, and what lets it in."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol in TLS:
        # Read for each new connection, and so renewed without a restart.
        arguments |= {
            "ssl_cafile": settings.kafka_ssl_cafile or None,
            "ssl_certfile": settings.kafka_ssl_certfile or None,
            "ssl_keyfile": settings.kafka_ssl_keyfile or None,
            "ssl_password": MaskedStr(settings.kafka_ssl_key_password),
        }
    if settings.kafka_security_protocol in SASL:
        for name in ("kafka.protocol.parser", "kafka.net.connection"):
            logging.getLogger(name).addFilter(_no_bytes)
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
    """What keeps a client from Kafka now, in one sentence; "" when nothing does.

    One broker that lets it in is enough. A step of it may take `patience` seconds.
    """
    refusals = []
    for server in settings.kafka_bootstrap_servers.split(","):
        if _answers(server):
            refusal = _refusal(settings, server, patience)
            if not refusal:
                return ""
            refusals.append(refusal)
    return refusals[0] if refusals else _silence(settings)


def complain(outage: Outage, lead: str, problem: str) -> None:
    """Say a problem once; but not each way in which a broker that stops or starts is silent."""
    if not (outage and SILENT in problem):
        outage.report(f"{lead}: {problem}")


def reason(settings: KafkaSettings, error: BaseException) -> str:
    """What a client's error means, in words that say what to do."""
    if isinstance(error, AuthorizationError):
        return (
            f"Kafka does not let {principal(settings)} do this, an ACL is missing ({error.message})"
        )
    return str(error) or type(error).__name__


def _answers(server: str) -> bool:
    """Whether it accepts a connection."""
    address = urlsplit(f"//{server}")
    try:
        with socket.create_connection((address.hostname, address.port), CONNECT):
            return True
    except OSError:
        return False


def _refusal(settings: KafkaSettings, server: str, patience: float) -> str:
    """Why a client can't talk to Kafka by way of `server`; "" when it can."""
    net = NetworkSelector()
    manager = KafkaConnectionManager(net, **access(settings) | {"bootstrap_servers": [server]})
    try:
        return str(net.run(_try_out, settings, manager, patience))
    finally:
        manager.close()
        net.close()


async def _try_out(
    settings: KafkaSettings, manager: KafkaConnectionManager, patience: float
) -> str:
    """Connect to the one broker that is known, ask it for the others, and connect to these."""
    [first] = manager.cluster.bootstrap_brokers()
    problem = await _connect(settings, manager, first, patience)
    if not problem:
        for broker in manager.cluster.brokers():
            problem = await _connect(settings, manager, broker, patience)
            if not problem:  # one that is down is not in the way of a client
                break
    return problem


async def _connect(
    settings: KafkaSettings,
    manager: KafkaConnectionManager,
    broker: MetadataResponse,
    patience: float,
) -> str:
    """Why nothing can be asked of a broker; "" when it answers."""
    connection = manager.get_connection(broker.node_id, timeout_ms=1_000 * patience)
    try:
        await manager.wait_for(connection.init_future, 1_000 * patience)
        # A port for another protocol may take a connection, and end it at the first request.
        asked = connection.send_request(MetadataRequest(topics=[]))
        manager.cluster.update_metadata(await manager.wait_for(asked, 1_000 * patience))
    except Exception as error:  # noqa: BLE001 - whatever a mechanism of kafka-python raises
        if isinstance(error, KafkaConnectionError) and _was_asked_who(connection):
            error = SaslAuthenticationFailedError("it ended the connection")
        verdict = _verdict(settings, error)
        for cause in tls.causes(error):
            traceback.clear_frames(cause.__traceback__)  # kafka-python leaves sockets in them
        server = f"{broker.host}:{broker.port}"
        if _answers(server):
            return f"Kafka at {server} {verdict}"
        if manager.cluster.is_bootstrap(broker.node_id):
            return _silence(settings)
        return f"Kafka at {server} {SILENT}: is that right in its advertised.listeners?"
    return ""


def _silence(settings: KafkaSettings) -> str:
    return f"Kafka {SILENT} at KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}"


def _was_asked_who(connection: KafkaConnection) -> bool:
    """Whether it got as far as to prove its user. kafka-python loses the answer when the end of
    the connection comes with it, as it does from a broker that refuses."""
    answered = connection.broker_version_data is not None
    return answered and connection.sasl_enabled and not connection.init_future.succeeded()


def _verdict(settings: KafkaSettings, error: Exception) -> str:
    protocol = f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}"
    mechanism = f"KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism}"
    if isinstance(error, TokenError):
        return f"needs a token: {error}"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"has no {mechanism} at this port"
    if isinstance(error, IllegalSaslStateError):
        return f"knows no users at this port, but it is {protocol}"
    if isinstance(error, SaslAuthenticationFailedError):
        if settings.kafka_sasl_mechanism in BY_TOKEN:
            return f"refuses the token of {principal(settings)} (KAFKA_OAUTH_…): {error}"
        wrong = "wrong password or mechanism"
        return f"refuses {principal(settings)}: {wrong} ({', '.join(NAMES_OF_PASSWORD)})"
    if isinstance(error, (KafkaTimeoutError, RequestTimedOutError)):
        return f"takes connections, but {SILENT}"
    if found := tls.describe_tls_error(error):
        return f"can't be used: {found} ({protocol}, KAFKA_SSL_…)"
    return f"ends the connection: is {protocol} right for this port? ({error})"


def principal(settings: KafkaSettings) -> str:
    """Whom Kafka takes a client for."""
    if settings.kafka_sasl_mechanism in BY_TOKEN:
        return f"client {settings.kafka_oauth_client_id!r}"
    if settings.kafka_sasl_mechanism:
        return f"user {settings.kafka_sasl_username!r}"
    return "the owner of KAFKA_SSL_CERTFILE" if settings.kafka_ssl_certfile else "a nameless user"


@lru_cache(maxsize=8)
def _provider(url: str, client: str, secret: str, scope: str, ca: str) -> ClientCredentials:
    """One for all clients of the process, so that they share its token."""
    return ClientCredentials(url, client, secret, scope, ca)


def _no_bytes(record: logging.LogRecord) -> bool:
    """At DEBUG kafka-python writes down all that it sends, the password too."""
    return record.levelno > logging.DEBUG
