"""Newest: the first lines of a list in Redis, in an answer of bounded size."""

from typing import Any, NamedTuple

import redis

LONGEST = 4_000  # bytes to which a line is cut once ROOM is used up
ROOM = 4 * 2**20  # bytes for whole lines longer than LONGEST
SCANNED = 64 * 2**20  # bytes at which Redis stops reading, so as not to be busy for long

# The lines of KEYS[1] from index ARGV[1] to ARGV[2], each followed by its size. A line of
# more than ARGV[3] bytes is cut there, unless it fits into ARGV[4]. It ends after ARGV[5] bytes.
# Read-only, so that a replica may run it.
SCRIPT = """
local at, last, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local room, left, found, step = tonumber(ARGV[4]), tonumber(ARGV[5]), {}, 20
while at <= last and left > 0 do
  local lines = redis.call('LRANGE', KEYS[1], at, math.min(at + step - 1, last))
  for _, line in ipairs(lines) do
    local size = #line
    if size > room and size > longest then line = line:sub(1, longest) end
    if size > longest and size <= room then room = room - size end
    found[#found + 1] = line
    found[#found + 1] = size
    left = left - size
  end
  at = #lines < step and last + 1 or at + step
end
return found
"""


class Line(NamedTuple):
    """A line of `size` bytes, of which `text` may be only the beginning."""

    text: bytes
    size: int


def head(
    client: redis.Redis, key: str, first: int, last: int, scanned: int = SCANNED
) -> list[Line]:
    """The lines of a list from index `first` to `last`, until they have `scanned` bytes together.

    Raises redis.RedisError, OSError.
    """
    answer: Any = client.eval_ro(SCRIPT, 1, key, first, last, LONGEST, ROOM, scanned)
    return [Line(*pair) for pair in zip(answer[::2], answer[1::2], strict=True)]
