"""Redis' position: its next offsets, unless another program has overwritten them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from logpipeline.events.slices import Place

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
# KEYS: topic, offsets, epochs. No topic's id has a hundred bytes.
LOOK = f"""{READABLE}
local offsets = readable(KEYS[2]) and readable(KEYS[3]) and redis.call('HGETALL', KEYS[2])
local epochs = offsets and redis.call('HGETALL', KEYS[3])
return {{redis.call('GETRANGE', KEYS[1], 0, 99), offsets, epochs}}
"""


@dataclass(frozen=True, slots=True)
class RedisPosition:
    """The topic's id, "" if Redis is empty, partition → next offset, and partition → the leader
    epoch of the record before it, where that is known. `readable` is false if another program has
    written something else there."""

    topic: bytes
    next: Mapping[int, int]
    readable: bool = True
    epochs: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Any) -> "RedisPosition":
        """The position in an answer to `ask`."""
        topic, offsets, epochs = answer
        return cls(topic, _numbers(offsets), offsets is not None, _numbers(epochs))

    def of_topic(self, topic_id: str) -> dict[int, Place] | None:
        """Partition → its place in that topic; None if Redis has another topic or none."""
        if not self.readable or self.topic != topic_id.encode():
            return None
        return {p: Place(offset, self.epochs.get(p, -1)) for p, offset in self.next.items()}

    def advanced(self, topic_id: str, places: Mapping[int, Place]) -> "RedisPosition":
        """The position once Redis has got to these places of that topic."""
        reached = (self.of_topic(topic_id) or {}) | dict(places)
        return RedisPosition(
            topic_id.encode(),
            {partition: place.offset for partition, place in reached.items()},
            epochs={p: place.epoch for p, place in reached.items() if place.epoch >= 0},
        )


def _numbers(pairs: Sequence[bytes] | None) -> dict[int, int]:
    numbers = list(map(int, pairs or ()))
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


NOTHING = RedisPosition(b"", {})


def ask(client: redis.Redis, key: str) -> Any:
    """An answer for RedisPosition.of, or a pipeline that will return one.

    Raises redis.RedisError, OSError.
    """
    return client.eval_ro(LOOK, 3, f"{key}:topic", f"{key}:offsets", f"{key}:epochs")
