"""Client: what everybody that reads or writes Redis has in common."""

from collections.abc import Mapping
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

LAYOUT = 1  # of the keys in Redis; `<prefix>:version` says which, none is 1
DIGITS = 19  # of the largest number in Redis, 2^63 - 1


class NewerLayout(redis.RedisError):
    """Redis has what this version can't read; str() is one line that says what to do."""


def check_layout(client: redis.Redis, key: str) -> None:
    """Raises NewerLayout, redis.RedisError, OSError."""
    [answer] = cast(list[bytes | None], client.mget(f"{key}:version"))
    version = int(answer) if answer and answer.isdigit() and len(answer) <= DIGITS else LAYOUT
    if version > LAYOUT:
        raise NewerLayout(
            f"{key}:version is {version}, from a newer version; this one knows {LAYOUT}: "
            "bring this one up to date, or set another REDIS_KEY"
        )


def connect(url: str, timeout: float) -> redis.Redis:
    """A client that gives up after `timeout` seconds, and leaves trying again to its caller."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )


def list_key(key: str, level: str) -> str:
    """The list of a level, "" for that of all, below the prefix `key`."""
    return f"{key}:{level}" if level else key


def numbers(answer: Mapping[bytes, bytes]) -> dict[str, int]:
    """A hash of numbers, without what somebody else may have put there."""
    return {
        name.decode(errors="replace"): int(value)
        for name, value in answer.items()
        if value.isdigit() and len(value) <= DIGITS
    }
