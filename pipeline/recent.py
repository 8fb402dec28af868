"""Recent: the newest events in Redis, which may be slow, away or empty at any time.

A thread of its own sends what `offer` has folded into one bounded Pending, so that the archive
never waits for Redis. Redis stores the next offset of each partition beside the lists, and one
script changes all of it in one atomic step, only if Redis stands where the sender believes.
If it doesn't (it was wiped, or is older than it was), the lists are made anew from the last
lines of logs.txt.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import Settings
from pipeline.archive import Archive, Tail
from pipeline.batch import Slice
from pipeline.checkpoint import CheckpointError
from pipeline.event import LEVELS, NotAnEvent, parse
from pipeline.metrics import Metrics

log = logging.getLogger(__name__)

COUNTS_KEPT = 24 * 3600  # seconds
SCAN_BYTES = 16 * 2**20  # of logs.txt, to make lists anew: about 100,000 events in 0.2 s
REPLAY_MOST = 200_000  # records of a partition that Redis may lack and get from Kafka
LOOK_AFTER = 2.0  # seconds without news until it looks whether Redis has forgotten something
TIMEOUT = 3.0  # seconds for one answer of Redis
QUICK = 0.5  # seconds, where the archive would wait for it
BACKOFF = (0.2, 0.5, 1.0, 2.0)  # seconds between tries while Redis is away
RACES = 20  # tries against other consumers that change Redis at the same time
NEVER = -1  # an offset at which Redis never stands

# KEYS: offsets, topic, then a list per list in ARGV.
# ARGV: topic id, the topic id seen, 1 to replace the lists, cap, seconds that counts are kept;
# then groups, each with its number of members first: (partition, offset seen or '', next
# offset)…; (key, level, events)…; (lines…) per list.
SCRIPT = """
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
local at = 6
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
for _, o in ipairs(offsets) do
  if (redis.call('HGET', KEYS[1], o[1]) or '') ~= o[2] then return 0 end
end
if ARGV[1] ~= ARGV[2] then redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[2], ARGV[1])
for _, o in ipairs(offsets) do redis.call('HSET', KEYS[1], o[1], o[3]) end
for _, c in ipairs(group(3)) do
  redis.call('HINCRBY', c[1], c[2], c[3])
  redis.call('EXPIRE', c[1], ARGV[5])
end
for i = 3, #KEYS do
  if ARGV[3] == '1' then redis.call('DEL', KEYS[i]) end
  for _, line in ipairs(group(1)) do redis.call('LPUSH', KEYS[i], line[1]) end
  redis.call('LTRIM', KEYS[i], 0, ARGV[4] - 1)
end
return 1
"""


@dataclass
class Pending:
    """What Redis has not got yet, at most `cap` events a list: bounded, however long it is away.

    `spans` is partition → [first offset, next offset], `counts` is partition → events per
    (minute, level), `lists` is level, or "" for all → lines, oldest first.
    """

    cap: int
    spans: dict[int, list[int]] = field(default_factory=dict)
    counts: dict[int, Counter[tuple[int, str]]] = field(default_factory=dict)
    lists: dict[str, deque[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("", *LEVELS):
            self.lists.setdefault(name, deque(maxlen=self.cap))

    def add(self, part: Slice) -> None:
        self._span(part.partition, part.start, part.end)
        counts = self.counts.setdefault(part.partition, Counter())
        counts.update(zip(part.minutes, part.levels, strict=True))
        self.lists[""].extend(part.lines[-self.cap :])
        for level, line in zip(part.levels, part.lines, strict=True):
            self.lists[level].append(line)

    def then(self, later: "Pending") -> "Pending":
        """Both in one."""
        for partition, (start, end) in later.spans.items():
            self._span(partition, start, end)
            self.counts.setdefault(partition, Counter()).update(later.counts[partition])
        for name, lines in later.lists.items():
            self.lists[name].extend(lines)
        return self

    def _span(self, partition: int, start: int, end: int) -> None:
        known = self.spans.setdefault(partition, [start, end])
        if known[1] not in (start, end):
            known[0] = NEVER
        known[1] = end


class Recent:
    """The lists and counts in Redis. `archive` is used only to read the end of logs.txt."""

    def __init__(self, settings: Settings, archive: Archive, metrics: Metrics) -> None:
        self._archive = archive
        self._metrics = metrics
        self._cap = cap = settings.redis_max_logs
        self._key = settings.redis_key
        self._url = settings.redis_url
        self._redis = connect(self._url, TIMEOUT)
        self._script = self._redis.register_script(SCRIPT)
        self._pending = Pending(cap)
        self._in_flight = Pending(cap)
        self._topic_id = ""
        self._reached: dict[int, int] = {}  # partition → next offset that Redis must have
        self._news = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="recent", daemon=True)
        self._thread.start()

    def replay_from(self, archived: Mapping[int, int]) -> dict[int, int]:
        """For partitions that were just assigned, and the next offsets in the archive: the
        offsets from which Redis wants records. They are not above the archive's, and equal to
        them when Redis is away or too far back: then it gets the end of logs.txt later."""
        try:
            with connect(self._url, QUICK) as quick:
                topic, stored = self._stored(quick)
        except (redis.RedisError, OSError):
            topic, stored = "", {}
        starts = dict(archived)
        with self._news:
            if self._topic_id != self._archive.topic_id:
                self._topic_id = self._archive.topic_id
                self._reached.clear()
            for partition, end in archived.items():
                if partition in self._pending.spans or partition in self._in_flight.spans:
                    continue
                at = stored.get(partition, end) if topic == self._archive.topic_id else end
                starts[partition] = at if end - REPLAY_MOST <= at <= end else end
                self._reached[partition] = starts[partition]
        return starts

    def offer(self, batch: list[Slice]) -> None:
        """Take over what Redis should get. Never waits for Redis."""
        with self._news:
            for part in batch:
                new = part.since(self._reached.get(part.partition, part.start))
                if new.start < new.end:
                    self._pending.add(new)
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
        while not self._take():
            try:
                self._settle(self._in_flight)
            except (redis.RedisError, OSError, CheckpointError) as error:
                if not tries:
                    log.warning("Redis is away, the archive goes on without it: %s", error)
                self._metrics.redis_up.set(0)
                with self._news:
                    self._news.wait_for(lambda: self._closing, BACKOFF[min(tries, 3)])
                    if self._closing:
                        return
                tries += 1
            else:
                if tries:
                    log.info("Redis is back and has the newest events again")
                self._metrics.redis_up.set(1)
                tries = 0
                self._in_flight = Pending(self._cap)

    def _take(self) -> bool:
        """Take what is pending, after waiting for some; True when it was told to end instead."""
        with self._news:
            if not (self._pending.spans or self._in_flight.spans or self._closing):
                self._news.wait(LOOK_AFTER)
            self._in_flight = self._in_flight.then(self._pending)
            self._pending = Pending(self._cap)
            return self._closing and not self._in_flight.spans

    def _settle(self, pending: Pending) -> None:
        """Bring Redis to where it must be. Raises redis.RedisError, OSError, CheckpointError."""
        topic = self._archive.topic_id
        seen = {partition: span[0] for partition, span in pending.spans.items()}
        ends = {partition: span[1] for partition, span in pending.spans.items()}
        if ends and self._apply(topic, seen, ends, pending, replace=False):
            return
        for _ in range(RACES):
            seen_topic, seen = self._stored(self._redis)
            if seen_topic == topic and all(seen.get(p, NEVER) >= n for p, n in self._must(ends)):
                return
            tail = self._archive.tail(SCAN_BYTES)
            anew = self._from(tail)
            if seen_topic:  # Redis has counts: add what it surely lacks
                anew.counts = {
                    partition: counts
                    for partition, counts in pending.counts.items()
                    if seen_topic != topic or seen.get(partition, 0) <= pending.spans[partition][0]
                }
            if seen_topic != topic:
                seen = {}
            ends = {p: max(n, seen.get(p, 0)) for p, n in tail.next.items()}
            if self._apply(seen_topic, seen, ends, anew, replace=True):
                log.info("Redis was empty or behind: its lists hold the end of logs.txt again")
                return
        raise redis.WatchError("other consumers were quicker each time")

    def _must(self, ends: Mapping[int, int]) -> Iterable[tuple[int, int]]:
        """Where Redis must be at least: partition, next offset."""
        with self._news:
            in_hand = set(self._pending.spans)
            reached = {p: n for p, n in self._reached.items() if p not in in_hand}
        return (reached | dict(ends)).items()

    def _from(self, tail: Tail) -> Pending:
        """The lists that Redis would have after these lines, and their counts."""
        anew = Pending(self._cap)
        counts = anew.counts[NEVER] = Counter()
        for line in tail.lines:
            try:
                event = parse(line)
            except NotAnEvent:
                continue
            anew.lists[""].append(line)
            anew.lists[event.level].append(line)
            counts[int(event.timestamp // 60), event.level] += 1
        return anew

    def _stored(self, client: redis.Redis) -> tuple[str, dict[int, int]]:
        """The topic id and next offsets that Redis has. Raises redis.RedisError, OSError."""
        with client.pipeline() as both:
            both.get(f"{self._key}:topic")
            both.hgetall(f"{self._key}:offsets")
            topic, offsets = both.execute()
        return (topic or b"").decode(), {int(p): int(n) for p, n in offsets.items()}

    def _apply(
        self,
        seen_topic: str,
        seen: Mapping[int, int],
        ends: Mapping[int, int],
        pending: Pending,
        replace: bool,
    ) -> bool:
        """Run the script; False if Redis was not at `seen`. Raises redis.RedisError, OSError."""
        totals: Counter[tuple[int, str]] = Counter()
        for counts in pending.counts.values():
            totals.update(counts)
        lists = {level: lines for level, lines in pending.lists.items() if lines or replace}
        arguments: list[str | int | bytes] = [
            *(self._archive.topic_id, seen_topic, int(replace), self._cap, COUNTS_KEPT, len(ends))
        ]
        for partition, end in ends.items():
            arguments += [partition, seen.get(partition, ""), end]
        arguments.append(len(totals))
        for (minute, level), events in totals.items():
            arguments += [f"{self._key}:counts:{minute}", level, events]
        for lines in lists.values():
            arguments.append(len(lines))
            arguments += lines
        keys = [f"{self._key}:offsets", f"{self._key}:topic"]
        keys += [f"{self._key}:{level}" if level else self._key for level in lists]
        return bool(self._script(keys=keys, args=arguments))


def connect(url: str, timeout: float) -> redis.Redis:
    """A client that gives up after `timeout` seconds, and leaves trying again to its caller."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
