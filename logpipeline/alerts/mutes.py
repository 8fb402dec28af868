"""Mutes: the alerts about which nobody wants notices for a while, in Redis.

A mute is of one alert, its rule and subject, and ends by itself within a day. Whoever empties Redis
ends all of them: notices are sent again.
"""

from collections.abc import Sequence
from typing import Any

import redis

from logpipeline.recent import fields

LONGEST = 86_400  # seconds
MOST = 100  # at a time

# KEYS: open alerts, mutes. ARGV: an alert's id, now, the Unix time at which its mute ends, MOST,
# LONGEST. Only an open alert can be muted, and mutes that are over make room for others.
MUTE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    if (tonumber(all[i + 1]) or 0) <= tonumber(ARGV[2]) then redis.call('HDEL', KEYS[2], all[i]) end
  end
  if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then return 0 end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
"""


class Mutes:
    """The key `prefix`:alerts:muted: a hash of an alert's id → the Unix time at which it ends. All
    methods raise redis.RedisError, OSError."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._open = f"{prefix}:alerts"
        self._key = key(prefix)
        self._mute = client.register_script(MUTE)

    def set(self, id_: str, seconds: int, now: float) -> bool:
        """Mute an open alert for at most LONGEST; False when it is not open, or MOST are muted."""
        until = int(now) + min(seconds, LONGEST)
        arguments = [_encoded(id_), int(now), until, MOST, LONGEST]
        return bool(self._mute([self._open, self._key], arguments))

    def end(self, id_: str) -> None:
        self._redis.hdel(self._key, _encoded(id_))

    def load(self, now: float) -> dict[str, float]:
        """Id → the Unix time at which it ends, of those that have not ended `now`."""
        return decoded(fields.ask(self._redis, self._key), now)


def key(prefix: str) -> str:
    return f"{prefix}:alerts:muted"


def decoded(answer: Sequence[bytes], now: float) -> dict[str, float]:
    """What `load` returns, of an answer for `fields.pairs`."""
    found: dict[str, float] = {}
    for name, until in fields.pairs(answer).items():
        if until.isdigit() and now < int(until[:12]):
            found[name.decode(errors="surrogatepass")] = float(until[:12])
    return found


def _encoded(id_: str) -> Any:
    return id_.encode(errors="surrogatepass")
