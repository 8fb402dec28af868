"""Settings of collector.py."""

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from logpipeline import hosts, tls
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.settings import A_HOST, A_PEM, A_PORT, secret, setting

TOKEN = re.compile(r"(?:([\w.-]+):)?([!-+\--9;-~]+)", re.ASCII)  # visible, without "," and ":"


class CollectorSettings(KafkaSettings):
    """Where the collector listens, and who may write."""

    collector_host: str = setting(
        "127.0.0.1",
        "address the collector listens on; beyond this machine it requires COLLECTOR_TOKEN",
        "a host name or address",
        pattern=A_HOST,
    )
    collector_port: int = setting(
        4318,
        "port of HTTP: events, OpenTelemetry, Loki and Elasticsearch's bulk",
        "a whole number from 1 to 65535",
        ge=1,
        le=65_535,
    )
    collector_syslog_port: int = setting(
        0, "port of syslog, UDP and TCP; 0 turns it off", A_PORT, ge=0, le=65_535
    )
    collector_token: str = secret(
        "",
        "tokens of those who may write; shop:TOKEN may write as the service shop alone",
        "TOKEN or SERVICE:TOKEN, or several with commas between, or empty",
    )
    collector_origins: str = setting(
        "",
        "web sites whose pages may send events; empty for none",
        "https://shop.example, or several with commas between, or empty",
    )
    collector_workers: int = setting(
        1, "processes that share the port", "a whole number from 1 to 64", ge=1, le=64
    )
    collector_ssl_cafile: str = setting(
        "", "PEM file of the authority whose certificates every client must have", A_PEM
    )
    collector_ssl_certfile: str = setting(
        "", "PEM file of the collector's certificate: HTTPS, and TLS for syslog over TCP", A_PEM
    )
    collector_ssl_keyfile: str = setting("", "PEM file of that certificate's key", A_PEM)

    @field_validator("collector_token")
    @classmethod
    def _tokens(cls, value: str) -> str:
        tokens = _split(value)
        if not all(TOKEN.fullmatch(token) for token in tokens):
            raise ValueError("not a token")
        return ",".join(tokens)

    @field_validator("collector_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        origins = [origin.lower() for origin in _split(value)]
        for origin in origins:
            address = urlsplit(origin)
            if address.scheme not in {"http", "https"} or origin != _origin(origin):
                raise ValueError("not an origin")
        return ",".join(origins)

    @model_validator(mode="after")
    def _access_to_the_collector(self) -> Self:
        if not hosts.is_loopback(self.collector_host) and not self.collector_token:
            raise self.refusal("collector_host", "requires COLLECTOR_TOKEN beyond 127.0.0.1")
        if self.collector_syslog_port == self.collector_port:
            raise self.refusal("collector_syslog_port", "must differ from COLLECTOR_PORT")
        tls.check(
            "COLLECTOR_SSL_",
            self.collector_ssl_cafile,
            self.collector_ssl_certfile,
            self.collector_ssl_keyfile,
        )
        if self.collector_ssl_cafile and not self.collector_ssl_certfile:
            raise self.refusal("collector_ssl_cafile", "requires COLLECTOR_SSL_CERTFILE")
        return self


def tokens(value: str) -> dict[bytes, str]:
    """Token → the service that it may write as; "" is any."""
    found = (TOKEN.fullmatch(token) for token in _split(value))
    return {each[2].encode(): each[1] or "" for each in found if each}


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _origin(url: str) -> str:
    """Scheme, host and port of a URL, as browsers send them."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc}" if address.hostname else ""
