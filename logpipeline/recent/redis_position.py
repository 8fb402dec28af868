"""Redis' position: its next offsets, unless another program has overwritten them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

PARTITIONS = 10_000  # no topic has more

# Lua: whether a hash has partitions and next offsets alone, as the script of Recent writes them.
READABLE = f"""
local function readable(key)
  if redis.call('HLEN', key) > {PARTITIONS} then return false end
  for _, number in ipairs(redis.call('HGETALL', key)) do
    if #number > 18 or not (number == '0' or number:match('^[1-9]%d*$')) then return false end
  end
  return true
end
"""
# KEYS: topic, offsets. No topic's id has a hundred bytes.
LOOK = f"""{READABLE}
local offsets = readable(KEYS[2]) and redis.call('HGETALL', KEYS[2])
return {{redis.call('GETRANGE', KEYS[1], 0, 99), offsets}}
"""


@dataclass(frozen=True, slots=True)
class RedisPosition:
    """The topic's id, "" if Redis is empty, and partition → next offset. `readable` is false if
    another program has written something else there."""

    topic: bytes
    next: Mapping[int, int]
    readable: bool = True

    @classmethod
    def of(cls, answer: Any) -> "RedisPosition":
        """The position in an answer to `ask`."""
        topic, offsets = answer
        numbers = list(map(int, offsets or ()))
        next_ = dict(zip(numbers[::2], numbers[1::2], strict=True))
        return cls(topic, next_, offsets is not None)

    def of_topic(self, topic_id: str) -> Mapping[int, int] | None:
        """Partition → next offset of that topic; None if Redis has another topic or none."""
        return self.next if self.readable and self.topic == topic_id.encode() else None


NOTHING = RedisPosition(b"", {})


def ask(client: redis.Redis, key: str) -> Any:
    """An answer for RedisPosition.of, or a pipeline that will return one.

    Raises redis.RedisError, OSError.
    """
    return client.eval_ro(LOOK, 2, f"{key}:topic", f"{key}:offsets")
