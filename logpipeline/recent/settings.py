"""Settings of Redis: its address, credentials and keys."""

import re
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from logpipeline import tls
from logpipeline.settings import A_NAME, A_PEM, RoomSettings, ShownTimesSettings, secret, setting

FILES = ("redis_ssl_cafile", "redis_ssl_certfile", "redis_ssl_keyfile")


class RedisSettings(RoomSettings):
    """For every client of Redis."""

    redis_url: str = secret(
        "redis://localhost:6379/0",
        "Redis server; rediss:// for TLS; user and password may be inside",
        "redis://[user:password@]host[:port][/number], rediss://… or unix:///path",
    )
    redis_username: str = setting("", "user of Redis; overrides REDIS_URL's", "a name")
    redis_password: str = secret("", "password of Redis; overrides REDIS_URL's", "a password")
    redis_ssl_cafile: str = setting(
        "", "PEM file of the authority of Redis' certificate; empty: the system's", A_PEM
    )
    redis_ssl_certfile: str = setting("", "PEM file of this client's certificate", A_PEM)
    redis_ssl_keyfile: str = setting("", "PEM file of that certificate's key", A_PEM)
    redis_key: str = setting("logs", "prefix of every Redis key", "a name", pattern=A_NAME)
    redis_max_logs: int = setting(
        1000, "events in each Redis list", "a whole number from 1 to 1000000", ge=1, le=1_000_000
    )

    @field_validator("redis_url")
    @classmethod
    def _url(cls, value: str) -> str:
        options = _options(value)
        if any(name.startswith("ssl_") for name in options):
            raise ValueError("use the settings REDIS_SSL_…; a certificate is always checked")
        address = urlsplit(value)
        if re.search(r"\s", value) or not (address.hostname or address.path):
            raise ValueError("no address")
        if address.scheme != "unix":
            if not address.hostname or address.port == 0:
                raise ValueError("no host")
            if not re.fullmatch(r"/?|/\d+", address.path):
                raise ValueError("not a database's number")
        return value

    @model_validator(mode="after")
    def _access_to_redis(self) -> Self:
        known = _options(self.redis_url)
        if self.redis_username and not (self.redis_password or known.get("password")):
            raise self.refusal("redis_password", "must be a password, with REDIS_USERNAME")
        for name in FILES:
            if getattr(self, name) and urlsplit(self.redis_url).scheme != "rediss":
                raise self.refusal(name, "requires a rediss:// REDIS_URL")
        tls.check("REDIS_SSL_", *(getattr(self, name) for name in FILES))
        return self


class NewestSettings(ShownTimesSettings, RedisSettings):
    """Of make recent."""


def _options(url: str) -> dict[str, Any]:
    """What a Redis URL says. Raises ValueError."""
    from redis.connection import parse_url  # 8 MB, which programs without Redis do without

    found: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return found
