"""Redis client: what everything that reads or writes Redis shares."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import (
    ConnectionPool,
    HiredisRespSerializer,
    PythonRespSerializer,
    parse_url,
)
from redis.retry import Retry

from logpipeline.recent.settings import RedisSettings
from logpipeline.settings import PASSWORD_IN_URL
from logpipeline.tls import causes, describe_tls_error

LOGIN = "REDIS_USERNAME, REDIS_PASSWORD"
DIGITS = 19  # of the largest number in Redis, 2^63 - 1
CUTOFF = 6_000  # bytes
LAYOUT = 1  # of the keys in Redis, stored as `<prefix>:version`; 1 if that is missing


class NewerLayout(redis.RedisError):
    """Redis has keys of a newer version; str() is one line with the remedy."""


def check_layout(client: redis.Redis, key: str) -> None:
    """Raises NewerLayout, redis.RedisError, OSError."""
    [answer] = cast(list[bytes | None], client.mget(f"{key}:version"))
    version = int(answer) if answer and is_number(answer) else LAYOUT
    if version > LAYOUT:
        raise NewerLayout(
            f"{key}:version is {version}, from a newer version; this one supports {LAYOUT}: "
            "upgrade this one, or set another REDIS_KEY"
        )


class _Packer:
    """hiredis would copy everything that is sent, twice; large lines are sent uncopied."""

    def __init__(self) -> None:
        self._many = HiredisRespSerializer()
        self._large = PythonRespSerializer(CUTOFF, _encoded)

    def pack(self, *args: Any) -> Any:
        large = any(isinstance(arg, bytes) and len(arg) > CUTOFF for arg in args)
        return (self._large if large else self._many).pack(*args)


def _encoded(arg: object) -> bytes:
    return arg if isinstance(arg, bytes) else str(arg).encode()


def connect(settings: RedisSettings, timeout: float) -> redis.Redis:
    """A client that gives up after `timeout` seconds, and leaves retrying to its caller."""
    options = parse_url(settings.redis_url)  # type: ignore[no-untyped-call]
    if settings.redis_username:
        options["username"] = settings.redis_username
    if settings.redis_password:
        options["password"] = settings.redis_password
    if settings.redis_url.startswith("rediss:"):
        options |= {  # host name and signature are checked: redis-py's default
            "ssl_ca_certs": settings.redis_ssl_cafile or None,
            "ssl_certfile": settings.redis_ssl_certfile or None,
            "ssl_keyfile": settings.redis_ssl_keyfile or None,
        }
    pool = ConnectionPool(
        **options,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        command_packer=_Packer(),
    )
    return redis.Redis.from_pool(pool)


def address(settings: RedisSettings) -> str:
    """REDIS_URL without user and password."""
    return PASSWORD_IN_URL.sub("***", settings.redis_url)


def reason(settings: RedisSettings, error: BaseException) -> str:
    """A client's error in one sentence, with the server and the remedy."""
    if not isinstance(error, redis.RedisError):
        return str(error) or type(error).__name__
    where = f"Redis at {address(settings)}"
    known = parse_url(settings.redis_url)  # type: ignore[no-untyped-call]
    user = settings.redis_username or known.get("username") or "default"
    over_tls = settings.redis_url.startswith("rediss:")
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"{where} does not let user {user!r} do all that is needed, see its ACL: {error}"
    if isinstance(error, redis.exceptions.AuthenticationError):
        if settings.redis_password or known.get("password"):
            return f"{where} refuses user {user!r} and the password ({LOGIN}): {error}"
        return f"{where} requires a password ({LOGIN})"
    if found := describe_tls_error(error):
        return f"{where} cannot be used: {found} (REDIS_URL, REDIS_SSL_…)"
    hint = ""
    if over_tls and isinstance(error, redis.TimeoutError):
        hint = " (without TLS, use redis://)"
    elif not over_tls and any(isinstance(e, ConnectionResetError) for e in causes(error)):
        hint = " (with TLS, use rediss://)"
    return f"{where} cannot be used: {str(error) or type(error).__name__}{hint}"


def list_key(key: str, level: str) -> str:
    """The key of a level's list, "" for that of all, with the prefix `key`."""
    return f"{key}:{level}" if level else key


def is_number(value: bytes) -> bool:
    """Whether it is a whole number from 0 that Redis could have counted to, or nearly."""
    return value.isdigit() and len(value) <= DIGITS


def numbers(answer: Mapping[bytes, bytes]) -> dict[str, int]:
    """The numbers of a hash, without other values that somebody may have written."""
    return {
        name.decode(errors="replace"): int(value)
        for name, value in answer.items()
        if is_number(value)
    }


def known(names: Sequence[str], answer: Sequence[bytes | None]) -> dict[str, int]:
    """Of a hash of numbers, those of these `names`, for which HMGET has answered."""
    found = zip(names, answer, strict=True)
    return {name: int(value) for name, value in found if value and is_number(value)}
