"""Recent: the newest events in Redis, which may be slow, away or empty at any time.

A thread of its own sends what `offer` has put into a bounded backlog, so that the archive never
waits for Redis. Redis stores the next offset of each partition beside the lists, and one script
changes all of it in one atomic step, only if Redis stands where the sender believes. If it does
not, what it has already is left out; if something before is missing (it was wiped, or is older
than it was), the lists are made anew from the last lines of logs.txt.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import redis

from config import Settings
from pipeline import client
from pipeline.archive import Archive
from pipeline.backlog import NOWHERE, Backlog, News, list_bytes
from pipeline.batch import Slice
from pipeline.checkpoint import CheckpointError
from pipeline.client import LAYOUT, check_layout, connect, list_key
from pipeline.complaint import Complaint
from pipeline.event import NotAnEvent, parse
from pipeline.metrics import Metrics

log = logging.getLogger(__name__)

COUNTS_KEPT = 24 * 3600  # seconds
SCAN_BYTES = 16 * 2**20  # of logs.txt, to make lists anew: about 100,000 events in 0.2 s
REPLAY_MOST = 200_000  # records of a partition that Redis may lack and get from Kafka
PACE = 0.05  # seconds from one step to the next while each would replace whole lists
LOOK_AFTER = 2.0  # seconds without news until it looks whether Redis has forgotten something
TIMEOUT = 2.0  # seconds for one answer of Redis
QUICK = 0.5  # seconds, where the archive would wait for it
BACKOFF = (0.2, 0.5, 1.0, 2.0)  # seconds between tries while Redis is away
REPORT_EVERY = 1.0  # seconds
LAG_KEPT = 30  # seconds that a lag is believed after its consumer has told it
TIMES = 16  # list_bytes, 64 MiB if REDIS_MAX_LOGS is not huge: what a list in Redis never exceeds
RACES = 20  # tries against other consumers that change Redis at the same time

# KEYS: offsets, topic, version, bytes, then a list per list in ARGV.
# ARGV: topic id, the topic id seen, 1 to replace the lists, cap, seconds that counts are kept,
# version, bytes of a list; then groups, each with its number of members first: (partition, offset
# seen or '', next offset)…; (key, level, events)…; then per list: 1 to replace it, the bytes of the
# lines, their number, the lines. Of each list the bytes are known that it has at most: only when
# these are too many are its lines counted, and the oldest dropped until it has half of them.
SCRIPT = """
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
if (tonumber(redis.call('GET', KEYS[3]) or '') or 0) > tonumber(ARGV[6]) then return 0 end
redis.call('HLEN', KEYS[4])  -- a key of another type fails here, before anything is written
if ARGV[3] ~= '1' then
  for i = 5, #KEYS do redis.call('LLEN', KEYS[i]) end
end
local most = tonumber(ARGV[7])
local at = 8
local function group(size)
  local members = {}
  local count = tonumber(ARGV[at])
  for i = 1, count do
    members[i] = {}
    for j = 1, size do members[i][j] = ARGV[at + (i - 1) * size + j] end
  end
  at = at + 1 + count * size
  return members
end
local offsets = group(3)
if ARGV[1] == ARGV[2] then
  for _, o in ipairs(offsets) do
    if (redis.call('HGET', KEYS[1], o[1]) or '') ~= o[2] then return 0 end
  end
else
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[3], ARGV[6])
for _, o in ipairs(offsets) do redis.call('HSET', KEYS[1], o[1], o[3]) end
for _, c in ipairs(group(3)) do
  redis.call('HINCRBY', c[1], c[2], c[3])
  redis.call('EXPIRE', c[1], ARGV[5])
end
local function shortened(list)
  local bytes, from = 0, 0
  while true do
    local lines = redis.call('LRANGE', list, from, from + 499)
    for n, line in ipairs(lines) do
      bytes = bytes + #line
      if bytes >= most / 2 then
        redis.call('LTRIM', list, 0, from + n - 1)
        return bytes
      end
    end
    from = from + #lines
    if #lines < 500 then return bytes end
  end
end
local known, held = {}, {}
if #KEYS > 4 then known = redis.call('HMGET', KEYS[4], unpack(KEYS, 5)) end
for i = 5, #KEYS do
  local bytes = (tonumber(known[i - 4] or '') or most) + ARGV[at + 1]
  if ARGV[at] == '1' then
    redis.call('DEL', KEYS[i])
    bytes = tonumber(ARGV[at + 1])
  end
  local last = at + 2 + tonumber(ARGV[at + 2])
  for first = at + 3, last, 1000 do
    redis.call('LPUSH', KEYS[i], unpack(ARGV, first, math.min(first + 999, last)))
  end
  at = last + 1
  redis.call('LTRIM', KEYS[i], 0, ARGV[4] - 1)
  if bytes > most then bytes = shortened(KEYS[i]) end
  held[#held + 1], held[#held + 2] = KEYS[i], bytes
end
if #held > 0 then redis.call('HSET', KEYS[4], unpack(held)) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where Redis stands: the id of the topic and partition → next offset."""

    topic: str
    next: dict[int, int]


class Recent:
    """The lists and counts in Redis. `archive` is used only to read the end of logs.txt."""

    def __init__(self, settings: Settings, archive: Archive, metrics: Metrics) -> None:
        self._archive = archive
        self._metrics = metrics
        self._cap = settings.redis_max_logs
        self._key = settings.redis_key
        self._settings = settings
        self._redis = connect(settings, TIMEOUT)
        self._script = self._redis.register_script(SCRIPT)
        self._complaint = Complaint(log)
        self._reported: dict[str, int] = {}  # reason → dead letters that Redis has counted
        self._lag: dict[int, int] | None = None  # that Redis was last told
        self._reported_at = 0.0
        self._stand: Stand | None = None  # None: look
        self._sending = Backlog(self._cap)  # the sender's own, as is:
        self._many = False  # so many events that they replace a whole list
        self._news = threading.Condition()  # guards what follows
        self._offered = Backlog(self._cap)
        self._topic_id = ""
        self._reached: dict[int, int] = {}  # partition → next offset that Redis must get to
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="recent", daemon=True)
        self._thread.start()

    def replay_from(self, archived: Mapping[int, int]) -> dict[int, int]:
        """For partitions that were just assigned, and the next offsets in the archive: the
        offsets from which Redis wants records. They are not above the archive's, and equal to
        them when Redis is away or too far back: then it gets the end of logs.txt later."""
        stand = Stand("", {})
        if not self._complaint:
            with suppress(redis.RedisError, OSError), connect(self._settings, QUICK) as quick:
                stand = self._look(quick)
        starts = dict(archived)
        with self._news:
            if self._topic_id != self._archive.topic_id:
                self._topic_id = self._archive.topic_id
                self._reached.clear()
            waiting = self._offered.ends() | self._sending.ends()
            for partition, end in archived.items():
                if partition in waiting:
                    continue
                at = stand.next.get(partition, end) if stand.topic == self._topic_id else end
                starts[partition] = at if end - REPLAY_MOST <= at <= end else end
                self._reached[partition] = starts[partition]
        return starts

    def offer(self, batch: list[Slice]) -> None:
        """Take over what Redis should get. Never waits for Redis."""
        with self._news:
            for part in batch:
                new = part.since(self._reached.get(part.partition, part.start))
                if new.start < new.end:
                    # The rejects are none of Redis', and would keep their bytes in an outage.
                    self._offered.add(replace(new, rejects=[]) if new.rejects else new)
                    self._reached[part.partition] = new.end
            self._news.notify()

    def close(self) -> None:
        """Send what is left, for a few seconds; the next start goes on from there."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(TIMEOUT)
        self._redis.close()

    def _run(self) -> None:
        tries = 0
        while self._wait():
            try:
                self._send()
                if time.monotonic() - self._reported_at >= REPORT_EVERY:
                    self._report()
            except (redis.RedisError, OSError, CheckpointError) as error:
                self._stand = None
                self._metrics.redis_up.set(False)
                self._metrics.redis_failures.inc()
                reason = client.reason(self._settings, error)
                self._complaint.say(f"no Redis, the archive goes on without it: {reason}")
                with self._news:
                    if self._news.wait_for(lambda: self._closing, BACKOFF[min(tries, 3)]):
                        return
                tries += 1
            else:
                self._metrics.redis_up.set(True)
                self._complaint.over("Redis is back and has the newest events again")
                tries = 0
        with suppress(redis.RedisError, OSError):
            self._report()

    def _wait(self) -> bool:
        """Wait for news, or until it is time to look at Redis. False when it is time to end."""
        with self._news:
            if self._many:
                self._news.wait_for(lambda: self._closing, PACE)
            if not (self._offered or self._sending or self._closing):
                self._news.wait(LOOK_AFTER)
                if not self._offered:
                    self._stand = None
            self._sending.extend(self._offered)
            self._offered = Backlog(self._cap)
            self._many = len(self._sending) > self._cap
            return bool(self._sending) or not self._closing

    def _send(self) -> None:
        """Bring Redis to where it must be. Raises redis.RedisError, OSError, CheckpointError."""
        for _ in range(RACES):
            stand = self._stand or self._look(self._redis)
            self._stand = self._advance(stand)
            if self._stand:
                with self._news:
                    self._sending = Backlog(self._cap)
                return
        raise redis.WatchError("other consumers were quicker each time")

    def _report(self) -> None:
        """Tell alerts.py and the page how far this consumer is behind, and add its new dead
        letters. Raises redis.RedisError, OSError."""
        letters, lag = self._metrics.letters(), self._metrics.lag
        with self._redis.pipeline() as both:
            if lag and lag is not self._lag:  # the old one again: the reading stands still
                both.hset(f"{self._key}:lag", mapping={str(p): n for p, n in lag.items()})
                both.expire(f"{self._key}:lag", LAG_KEPT)
            for reason, number in letters.items():
                if new := number - self._reported.get(reason, 0):
                    both.hincrby(f"{self._key}:dead-letters", reason, new)
            both.execute()
        self._reported, self._lag, self._reported_at = letters, lag, time.monotonic()

    def _advance(self, stand: Stand) -> Stand | None:
        """Put in what Redis lacks if it stands there. Returns where it stands then, None when it
        stands elsewhere. Raises redis.RedisError, OSError, CheckpointError."""
        topic = self._archive.topic_id
        news = self._sending.after(stand.next) if stand.topic == topic else None
        if news is None or self._lacks(stand, news):
            news = self._anew(stand)
            after = Stand(topic, {p: end for p, (_, end) in news.spans.items()})
            done = self._apply(stand, news, replace=True)
            if done and (stand.topic or news.lists[""]):  # else both are new
                log.info("Redis was empty or behind: its lists are made from the end of logs.txt")
        else:
            after = Stand(topic, stand.next | {p: end for p, (_, end) in news.spans.items()})
            done = not news.spans or self._apply(stand, news, replace=False)
        return after if done else None

    def _lacks(self, stand: Stand, news: News) -> bool:
        """Whether Redis lacks events that are in no backlog any more."""
        with self._news:
            coming = news.spans.keys() | self._offered.ends().keys()
            reached = self._reached.items()
            return any(stand.next.get(p, 0) < n for p, n in reached if p not in coming)

    def _anew(self, stand: Stand) -> News:
        """What the end of logs.txt says that the lists should hold, and counts that are not in
        Redis yet. Raises OSError, CheckpointError."""
        tail = self._archive.tail(SCAN_BYTES)
        news = News(self._cap)
        counts: Counter[tuple[int, str]] = Counter()
        for line in tail.lines:
            try:
                event = parse(line)
            except NotAnEvent:
                continue
            news.add_lines([(event.level, line)])
            counts[int(event.timestamp // 60), event.level] += 1
        seen = stand.next if stand.topic == self._archive.topic_id else {}
        news.spans = {p: [NOWHERE, max(n, seen.get(p, 0))] for p, n in tail.next.items()}
        news.counts = self._sending.counts(seen) if stand.topic else counts
        return news

    def _look(self, client: redis.Redis) -> Stand:
        """Where Redis stands. Raises redis.RedisError, NewerLayout among them, OSError."""
        check_layout(client, self._key)
        with client.pipeline() as both:
            both.get(f"{self._key}:topic")
            both.hgetall(f"{self._key}:offsets")
            topic, offsets = both.execute()
        return Stand((topic or b"").decode(), {int(p): int(n) for p, n in offsets.items()})

    def _apply(self, stand: Stand, news: News, replace: bool) -> bool:
        """Run the script; False if Redis was not at `stand`. Raises redis.RedisError, OSError."""
        topic = self._archive.topic_id
        seen = stand.next if stand.topic == topic else {}
        sizes = news.cut_lists()
        lists = {level: lines for level, lines in news.lists.items() if lines or replace}
        arguments: list[str | int | bytes] = [topic, stand.topic, int(replace), self._cap]
        arguments += [COUNTS_KEPT, LAYOUT, TIMES * list_bytes(self._cap), len(news.spans)]
        for partition, (_, end) in news.spans.items():
            arguments += [partition, seen.get(partition, ""), end]
        arguments.append(len(news.counts))
        for (minute, level), events in news.counts.items():
            arguments += [f"{self._key}:counts:{minute}", level, events]
        for level, lines in lists.items():
            arguments += [int(replace or level in news.cut), sizes[level], len(lines)]
            arguments += lines
        keys = [f"{self._key}:{name}" for name in ("offsets", "topic", "version", "bytes")]
        keys += [list_key(self._key, level) for level in lists]
        done = bool(self._script(keys=keys, args=arguments))
        if done:
            self._metrics.stored(news, anew=replace)
        return done
