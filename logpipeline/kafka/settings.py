"""Settings of Kafka: its address, a client's credentials, the topics and the consumer group."""

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import ValidationInfo, field_validator, model_validator

from logpipeline import tls
from logpipeline.events.settings import EventSettings
from logpipeline.settings import A_NAME, A_PEM, RoomSettings, one_of, secret, setting

TOPIC_NAME = r"^[a-zA-Z0-9._-]{1,249}$"  # org.apache.kafka.common.internals.Topic
A_TOPIC = "1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-', and neither '.' nor '..'"
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
TLS, SASL = ("SSL", "SASL_SSL"), ("SASL_SSL", "SASL_PLAINTEXT")
BY_PASSWORD, BY_TOKEN = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), ("OAUTHBEARER",)
MECHANISMS = BY_PASSWORD + BY_TOKEN

# Settings that require one of these values of another setting, which in turn requires the NEEDED
# ones. A setting that would be ignored is refused, so that nobody relies on it.
NEEDED = {
    "kafka_sasl_mechanism": ("kafka_security_protocol", SASL),
    "kafka_sasl_username": ("kafka_sasl_mechanism", BY_PASSWORD),
    "kafka_sasl_password": ("kafka_sasl_mechanism", BY_PASSWORD),
    "kafka_oauth_token_url": ("kafka_sasl_mechanism", BY_TOKEN),
    "kafka_oauth_client_id": ("kafka_sasl_mechanism", BY_TOKEN),
    "kafka_oauth_client_secret": ("kafka_sasl_mechanism", BY_TOKEN),
}
POSSIBLE = {
    "kafka_oauth_scope": ("kafka_sasl_mechanism", BY_TOKEN),
    "kafka_ssl_cafile": ("kafka_security_protocol", TLS),
    "kafka_ssl_certfile": ("kafka_security_protocol", TLS),
    "kafka_ssl_keyfile": ("kafka_security_protocol", TLS),
    "kafka_ssl_key_password": ("kafka_security_protocol", TLS),
}


class KafkaSettings(RoomSettings):
    """The settings of every Kafka client, including the logging handler."""

    kafka_bootstrap_servers: str = setting(
        "localhost:9092", "Kafka brokers to ask first", "host:port, or several with commas between"
    )
    kafka_topic: str = setting("logs", "topic of the events", A_TOPIC, pattern=TOPIC_NAME)
    kafka_partitions: int = setting(
        4,
        "partitions of a topic that is created",
        "a whole number from 1 to 10000",
        ge=1,
        le=10_000,
    )
    kafka_replication_factor: int = setting(
        1, "replicas of a topic that is created", "a whole number from 1 to 100", ge=1, le=100
    )
    kafka_security_protocol: str = setting(
        "PLAINTEXT",
        "how to reach Kafka: SSL encrypts, SASL authenticates a user",
        one_of(PROTOCOLS),
    )
    kafka_sasl_mechanism: str = setting("", "how to authenticate the SASL user", one_of(MECHANISMS))
    kafka_sasl_username: str = setting("", "user of Kafka", "a name")
    kafka_sasl_password: str = secret("", "password of Kafka's user", "a password")
    kafka_oauth_token_url: str = setting(
        "", "OAUTHBEARER: where client id and secret get a token", "https://… or http://…"
    )
    kafka_oauth_client_id: str = setting("", "OAUTHBEARER: client id", "a name")
    kafka_oauth_client_secret: str = secret("", "OAUTHBEARER: client secret", "a secret")
    kafka_oauth_scope: str = setting("", "OAUTHBEARER: scope to ask for", "scopes, or empty")
    kafka_ssl_cafile: str = setting(
        "", "PEM file of the authority of Kafka's certificate; empty: the system's", A_PEM
    )
    kafka_ssl_certfile: str = setting("", "PEM file of this client's certificate", A_PEM)
    kafka_ssl_keyfile: str = setting("", "PEM file of that certificate's key", A_PEM)
    kafka_ssl_key_password: str = secret("", "password of that key", "a password")

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        for server in servers:
            address = urlsplit(f"//{server}")
            if not address.hostname or not address.port or re.search(r"[\s/?#@]", server):
                raise ValueError("not host:port")
        return ",".join(servers)

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism")
    @classmethod
    def _kind(cls, value: str, info: ValidationInfo) -> str:
        known = PROTOCOLS if info.field_name == "kafka_security_protocol" else ("", *MECHANISMS)
        if value.upper() not in known:
            raise ValueError("unknown")
        return value.upper()

    @field_validator("kafka_oauth_token_url")
    @classmethod
    def _token_url(cls, value: str) -> str:
        address = urlsplit(value)
        valid = address.scheme in {"https", "http"} and address.hostname and "@" not in value
        if value and not valid:
            raise ValueError("not a URL")
        return value

    @field_validator("kafka_topic", "kafka_dead_letter_topic", check_fields=False)
    @classmethod
    def _topic(cls, value: str) -> str:
        if value in {".", ".."}:
            raise ValueError("not a topic's name")
        return value

    @model_validator(mode="after")
    def _access_to_kafka(self) -> Self:
        for name, (other, values) in (NEEDED | POSSIBLE).items():
            fits = getattr(self, other) in values
            if getattr(self, name) and not fits:
                raise self.refusal(name, f"requires {other.upper()}={one_of(values)}")
            if name in NEEDED and fits and not getattr(self, name):
                needing = f"{other.upper()}={getattr(self, other)}"
                raise self.refusal(name, f"must be {self.must_be(name)} when {needing}")
        if self.kafka_ssl_key_password and not self.kafka_ssl_keyfile:
            raise self.refusal("kafka_ssl_key_password", "requires KAFKA_SSL_KEYFILE")
        tls.check(
            "KAFKA_SSL_",
            self.kafka_ssl_cafile,
            self.kafka_ssl_certfile,
            self.kafka_ssl_keyfile,
            self.kafka_ssl_key_password,
        )
        return self


class ReaderSettings(EventSettings, KafkaSettings):
    """For programs that read records."""


class DeadLetterSettings(KafkaSettings):
    """For programs that write or read dead letters."""

    kafka_dead_letter_topic: str = setting(
        "logs.dead-letter", "topic of the invalid records", A_TOPIC, pattern=TOPIC_NAME
    )

    @model_validator(mode="after")
    def _two_topics(self) -> Self:
        if self.kafka_topic == self.kafka_dead_letter_topic:
            raise self.refusal("kafka_dead_letter_topic", "must differ from KAFKA_TOPIC")
        return self


class GroupSettings(KafkaSettings):
    """For the consumer group, and programs that read its commits."""

    kafka_group_id: str = setting(
        "log-consumer", "consumer group that shares the partitions", "a name", pattern=A_NAME
    )
