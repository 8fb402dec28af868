"""Fields: those of a hash in Redis, in an answer of bounded size."""

from collections.abc import Sequence
from typing import Any

import redis

ROOM = 256 * 2**10  # bytes

# Fields and values of KEYS[1] in turn, until they have ARGV[1] bytes: each counts 32 more, which is
# what it takes elsewhere. Read-only, so that a replica may run it.
SCRIPT = """
local found, room, cursor = {}, tonumber(ARGV[1]), '0'
repeat
  local answer = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 10)
  cursor = answer[1]
  for _, part in ipairs(answer[2]) do
    room = room - #part - 32
    found[#found + 1] = part
  end
until cursor == '0' or room <= 0
return found
"""


def ask(client: redis.Redis, key: str, most: int = ROOM) -> Any:
    """An answer for `pairs`, or a pipeline that will return one.

    Raises redis.RedisError, OSError.
    """
    return client.eval_ro(SCRIPT, 1, key, most)


def pairs(answer: Sequence[bytes]) -> dict[bytes, bytes]:
    """Field → value."""
    return dict(zip(answer[::2], answer[1::2], strict=True))
