"""RedisReader: reads the state of the dashboard from Redis, repeatedly, at a bounded cost.

It writes nothing but mutes of alerts.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from logpipeline.alerts import mutes
from logpipeline.alerts.alert import Alert, Notice
from logpipeline.alerts.mutes import Mutes
from logpipeline.dashboard.entry import EventEntry, entry
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.dashboard.state import DashboardState
from logpipeline.events.event import LEVELS
from logpipeline.recent import fields
from logpipeline.recent.redis_client import check_layout, connect, known, list_key, numbers

DAY = 24 * 60  # minutes of counts shown
FRESH = 3  # latest minutes, whose counts still change
ALL_MINUTES = 10.0  # seconds until all minutes are read again: late events change old ones
LISTS = 5.0  # seconds until the lists are read again although no offset has changed
MOST = 1_000  # entries of a list
BUDGET = 2 * 2**20  # bytes fetched of the list of all; of a level's, half of it
SCANNED = 3 * 2**20  # bytes of a list that Redis scans; it serves nobody else meanwhile
FEW = 2**20  # bytes of alerts, and of notices
SOME = 1_000  # fields of a hash
RATE_OVER = 10.0  # seconds over which the rate is averaged
HISTORY = 50  # notices
TIMEOUT = 3.0  # seconds for an answer of Redis

Kind = TypeVar("Kind", Alert, Notice)

# Returns the newest lines of each list in KEYS, and how many were left out: at most ARGV[1] lines
# with ARGV[2] bytes in all, half of it after the first list. It scans at most ARGV[3] bytes of a
# list and one step more, which is shorter after a large line, so that a list of huge lines does not
# block Redis. Read-only, so that a replica can run it.
SCRIPT = """
local lists, left_out = {}, 0
local most, budget, scanned = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i, key in ipairs(KEYS) do
  local lines, room, seen, at, step, largest = {}, i == 1 and budget or budget / 2, 0, 0, 1, 1
  while at < most and seen < scanned do
    step = math.min(2 * step, 10, most - at, math.max(1, math.floor((scanned - seen) / largest)))
    local some = redis.call('LRANGE', key, at, at + step - 1)
    for _, line in ipairs(some) do
      seen = seen + #line
      largest = math.max(largest, #line)
      if #line <= room then
        room = room - #line
        lines[#lines + 1] = line
      elseif i == 1 then
        left_out = left_out + 1
      end
    end
    if #some < step then break end
    at = at + step
  end
  lists[i] = lines
end
return {lists, left_out}
"""


class RedisReader:
    """Reads the pipeline's keys. It caches what it has read, to fetch only what is new."""

    def __init__(self, settings: DashboardSettings) -> None:
        self.settings = settings
        self._redis = connect(settings, TIMEOUT)
        self._key = settings.redis_key
        self._mutes = Mutes(self._redis, self._key)
        self._reset()

    def read(self) -> DashboardState:
        """What Redis holds now. Raises redis.RedisError, OSError; the next read starts afresh."""
        try:
            return self._read(time.time())
        except Exception:
            self._reset()
            raise

    def mute(self, id_: str, seconds: int) -> bool:
        """Mute an open alert, or end that with 0 `seconds`; False when it cannot be muted. Raises
        redis.RedisError, OSError."""
        if seconds:
            return self._mutes.set(id_, seconds, time.time())
        self._mutes.end(id_)
        return True

    def close(self) -> None:
        self._redis.close()

    def _reset(self) -> None:
        self._lists: dict[str, list[EventEntry]] = {}
        self._lists_at = self._minutes_at = 0.0
        self._left_out = 0
        self._counts: dict[int, dict[str, int]] = {}
        self._offsets: dict[str, int] = {}
        self._totals: deque[tuple[float, int]] = deque()

    def _read(self, now: float) -> DashboardState:
        key, minute = self._key, int(now // 60)
        check_layout(self._redis, key)
        whole = not 0 <= now - self._minutes_at < ALL_MINUTES
        minutes = range(minute - (DAY if whole else FRESH), minute + 2)
        with self._redis.pipeline(transaction=False) as asked:
            for name in ("offsets", "lag", "dead-letters"):
                fields.ask(asked, f"{key}:{name}")
            asked.exists(f"{key}:alerts:lease")
            asked.hlen(f"{key}:alerts")
            asked.eval_ro(SCRIPT, 1, f"{key}:alerts:history", HISTORY, FEW, FEW)
            fields.ask(asked, mutes.key(key))
            for each in minutes:
                asked.hmget(f"{key}:counts:{each}", LEVELS)
            offsets, lag, letters, watched, open_, [[history], _], muted, *counts = asked.execute()
        alerts = _decoded(self._alerts(), Alert) if open_ else []
        if whole:
            self._minutes_at = now
            self._counts.clear()
        for each, levels in zip(minutes, counts, strict=True):
            self._counts[each] = known(LEVELS, levels)
        seen, behind = numbers(fields.pairs(offsets)), numbers(fields.pairs(lag))
        if seen != self._offsets or not 0 <= now - self._lists_at < LISTS:
            self._read_lists(now)
        self._offsets = seen
        return DashboardState(
            at=now,
            lists=self._lists,
            left_out=self._left_out,
            counts={m: levels for m, levels in self._counts.items() if levels},
            total=sum(seen.values()),
            rate=self._rate(now, sum(seen.values())),
            lag=sum(behind.values()) if lag else None,
            dead_letters=numbers(fields.pairs(letters)) if letters or lag else None,
            alerts=alerts if open_ or watched else None,
            more_alerts=max(0, open_ - len(alerts)) if alerts else 0,
            history=_decoded(history, Notice),
            muted=mutes.decoded(muted, now),
        )

    def _alerts(self) -> list[bytes]:
        """The open alerts as JSON, fetched in parts until they have FEW bytes."""
        values: list[bytes] = []
        cursor, room = -1, FEW
        while cursor and room > 0 and len(values) < SOME:
            answer: Any = self._redis.hscan(f"{self._key}:alerts", max(0, cursor), count=10)
            cursor, some = answer
            values += some.values()
            room -= sum(map(len, some.values()))
        return values

    def _read_lists(self, now: float) -> None:
        names = ("", *LEVELS)
        keys = [list_key(self._key, name) for name in names]
        answer: Any = self._redis.eval_ro(SCRIPT, len(keys), *keys, MOST, BUDGET, SCANNED)
        lists, self._left_out = answer
        before = {each.id: each for entries in self._lists.values() for each in entries}
        self._lists = {
            name: _entries(lines, before) for name, lines in zip(names, lists, strict=True)
        }
        self._lists_at = now

    def _rate(self, now: float, total: int) -> float | None:
        """Recent events per second; None until there are two reads close together."""
        totals = self._totals
        if totals and (total < totals[-1][1] or now - totals[-1][0] > RATE_OVER):
            totals.clear()
        totals.append((now, total))
        while now - totals[0][0] > RATE_OVER:
            totals.popleft()
        seconds = now - totals[0][0]
        return (total - totals[0][1]) / seconds if seconds > 0 else None


def _entries(lines: list[bytes], known: dict[str, EventEntry]) -> list[EventEntry]:
    """Their entries, newest first; `known` ones are reused."""
    seen: Counter[bytes] = Counter()
    entries = []
    for line in reversed(lines):
        id_ = f"{hash(line):x}.{seen[line]}"
        seen[line] += 1
        entries.append(known.get(id_) or known.setdefault(id_, entry(id_, line)))
    return entries[::-1]


def _decoded(values: Iterable[bytes], kind: type[Kind]) -> list[Kind]:
    """The JSON values that are of this kind; others are ignored."""
    found = []
    for value in values:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found.append(msgspec.json.decode(value, type=kind))
    return found
