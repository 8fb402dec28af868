"""Recent: the newest events in Redis, which may be slow, unavailable or empty at any time.

A thread of its own sends what `offer` has put into a bounded backlog, so that the archive never
waits for Redis. Redis stores the next offset of each partition beside the lists, and one script
changes all of it in one atomic step, only if Redis is at the position that the sender expects. If
it is not, events that it already has are left out; if earlier ones are missing (it was wiped, or
has an older state), the lists are rebuilt from the last lines of logs.txt.
"""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import redis

from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import CheckpointError
from logpipeline.events.slices import Place, Slice
from logpipeline.outage import Outage
from logpipeline.recent import minutes, redis_client, redis_position
from logpipeline.recent.backlog import START, Backlog, News, list_bytes
from logpipeline.recent.metrics import RecentMetrics
from logpipeline.recent.rebuild import rebuilt
from logpipeline.recent.redis_client import LAYOUT, check_layout, connect, list_key
from logpipeline.recent.redis_position import NOTHING, RedisPosition
from logpipeline.recent.script import SCRIPT
from logpipeline.recent.settings import RedisSettings
from logpipeline.recent.tally import Tally
from logpipeline.supervision import Supervision

log = logging.getLogger(__name__)

KEYS = ("offsets", "topic", "version", "bytes", "epochs")  # of SCRIPT, before those of the lists
SCAN_BYTES = 16 * 2**20  # of logs.txt, to rebuild lists: about 100,000 events in 0.2 s
REPLAY_MOST = 200_000  # records of a partition that Redis may lack and get from Kafka
PACE = 0.05  # seconds between steps while each would replace whole lists
LOOK_AFTER = 2.0  # seconds without news after which Redis' position is read again
OFFERED = 1.0  # seconds at most from an event in logs.txt to its offer
TIMEOUT = 2.0  # seconds for one answer of Redis
QUICK = 0.5  # seconds, if the archive waits for it
BACKOFF = (0.2, 0.5, 1.0, 2.0)  # seconds between tries while Redis is unavailable
REPORT_EVERY = 1.0  # seconds
TIMES = 16  # list_bytes, 64 MiB if REDIS_MAX_LOGS is not huge: the limit of a list in Redis
FORGET = 3  # unexpected errors after which the lists are rebuilt from logs.txt
RACES = 20  # tries while other consumers change Redis at the same time


class Recent:
    """The lists and counts in Redis. `archive` is used only to read the end of logs.txt."""

    def __init__(
        self,
        settings: RedisSettings,
        archive: Archive,
        metrics: RecentMetrics | None = None,
        tally: Tally | None = None,
        supervision: Supervision | None = None,
    ) -> None:
        self._archive = archive
        self._metrics = metrics or RecentMetrics()
        self._tally = tally or Tally()
        self._supervision = supervision or Supervision(log, settings)
        self._cap = settings.redis_max_logs
        self._key = settings.redis_key
        self._settings = settings
        self._redis = connect(settings, TIMEOUT)
        self._script = self._redis.register_script(SCRIPT)
        self._outage = Outage(log)
        self._reported_at = 0.0
        self._position: RedisPosition | None = None  # None: unknown
        self._sending = Backlog(self._cap)  # the sender's own, as is:
        self._made_up = 0  # of what is `_missed`, which the other thread counts
        self._missed = 0
        self._many = False  # so many events that they replace a whole list
        self._news = threading.Condition()  # guards what follows
        self._offered = Backlog(self._cap)
        self._topic_id = ""
        self._reached: dict[int, Place] = {}  # partition → place that Redis must get to
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="recent", daemon=True)
        self._thread.start()

    def replay_from(self, topic_id: str, archived: Mapping[int, int]) -> dict[int, int]:
        """The offsets from which Redis needs records of newly assigned partitions, given the
        archive's next offsets. They are not above the archive's, and equal to them if Redis is
        unavailable or too far behind: then it gets the end of logs.txt later. Raises
        CheckpointError, OSError."""
        position, known = NOTHING, self._archive.position().partitions
        if not self._outage:
            with suppress(redis.RedisError, OSError), connect(self._settings, QUICK) as quick:
                position = self._read_position(quick)
        starts = dict(archived)
        with self._news:
            if self._topic_id != topic_id:
                self._topic_id = topic_id
                self._reached.clear()
            places = position.of_topic(topic_id) or {}
            waiting = self._offered.ends() | self._sending.ends()
            for partition, end in archived.items():
                if partition in waiting:
                    continue
                place = places.get(partition, Place(end))
                at = known[partition].kept(place) if partition in known else place.offset
                starts[partition] = at if end - REPLAY_MOST <= at <= end else end
                self._reached[partition] = Place(starts[partition])
        return starts

    def offer(self, batch: list[Slice]) -> None:
        """Accept events for Redis. Never waits for Redis."""
        with self._news:
            for part in batch:
                new = part.after(self._reached.get(part.partition, Place(part.start)))
                if new.start < new.end:
                    # Redis gets no rejects, which would occupy memory in an outage.
                    new = replace(new, rejects=[]) if new.rejects else new
                    self._offered.add(minutes.only_counted(new, time.time()))
                    self._reached[part.partition] = new.place
            self._news.notify()

    def miss(self) -> None:
        """Note that a batch could not be offered: the lists will be rebuilt from logs.txt."""
        self._missed += 1

    def close(self) -> None:
        """Send what is left, for a few seconds; the next start resumes from there."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(TIMEOUT)
        self._redis.close()

    def _run(self) -> None:
        wait: float | None = 0.0
        tries = 0
        while wait is not None:
            try:
                wait = self._turn(tries)
            except BaseException as error:  # noqa: BLE001 - the thread must not end
                wait = self._unexpected(error)
            tries = tries + 1 if wait else 0
            with self._news:
                if wait and self._news.wait_for(lambda: self._closing, wait):
                    return
        with suppress(redis.RedisError, OSError):
            self._report()

    def _turn(self, tries: int) -> float | None:
        """Send what is due. Returns the seconds to wait, None when it is time to end."""
        try:
            if not self._wait():
                return None
            if self._topic_id:  # otherwise the topic is not known yet
                self._send()
            if time.monotonic() - self._reported_at >= REPORT_EVERY:
                self._report()
        except (redis.RedisError, OSError, CheckpointError) as error:
            self._fail()
            reason = redis_client.reason(self._settings, error)
            self._outage.report(f"Redis unavailable; archiving continues: {reason}")
            return BACKOFF[min(tries, 3)]
        self._metrics.up.set(True)
        self._outage.resolve("Redis available again, with the newest events")
        self._supervision.resolve("redis")
        return 0.0

    def _fail(self) -> None:
        self._position = None
        self._metrics.up.set(False)
        self._metrics.failures.inc()

    def _unexpected(self, error: BaseException) -> float:
        """Report it, and after a few times discard the events that may be its cause. Returns the
        seconds to wait."""
        self._fail()
        if self._supervision.tries("redis") >= FORGET:
            self.miss()
            with self._news:
                self._sending, self._offered = Backlog(self._cap), Backlog(self._cap)
        return self._supervision.note("redis", error)

    def _wait(self) -> bool:
        """Wait for news, or until Redis' position is due. False when it is time to end."""
        with self._news:
            if self._many:
                self._news.wait_for(lambda: self._closing, PACE)
            if not (self._offered or self._sending or self._closing):
                self._news.wait(LOOK_AFTER)
                if not self._offered:
                    self._position = None
            self._sending.extend(self._offered)
            self._offered = Backlog(self._cap)
            self._many = len(self._sending) > self._cap
            return bool(self._sending) or not self._closing

    def _send(self) -> None:
        """Bring Redis up to date. Raises redis.RedisError, OSError, CheckpointError."""
        for _ in range(RACES):
            position = self._position or self._read_position(self._redis)
            self._position = self._advance(position)
            if self._position:
                with self._news:
                    self._sending = Backlog(self._cap)
                return
        raise redis.WatchError("other consumers changed Redis first, at each try")

    def _report(self) -> None:
        """Raises redis.RedisError, OSError."""
        self._tally.report(self._redis, self._key)
        self._reported_at = time.monotonic()

    def _advance(self, position: RedisPosition) -> RedisPosition | None:
        """Write what Redis lacks if it is at `position`. Returns its position then, None if it was
        at another. Raises redis.RedisError, OSError, CheckpointError."""
        topic = self._topic_id
        offsets = position.of_topic(topic)
        news = None if offsets is None else self._sending.after(offsets)
        if news is None or self._lacks(position, news):
            missed = self._missed
            news = self._rebuilt(position)
            after = NOTHING.advanced(topic, news.ends())
            done = self._apply(position, news, replace=True)
            if done:
                self._made_up = missed
            if done and (position.topic or news.lists[""]):  # otherwise both are new
                log.info("Redis was empty or behind: rebuilt its lists from the end of logs.txt")
        else:
            after = position.advanced(topic, news.ends())
            done = not news.spans or self._apply(position, news, replace=False)
        return after if done else None

    def _lacks(self, position: RedisPosition, news: News) -> bool:
        """Whether Redis lacks events that have left the backlog."""
        places = position.of_topic(self._topic_id) or {}
        with self._news:
            coming = news.spans.keys() | self._offered.ends().keys()
            reached = self._reached.items()
            return self._missed > self._made_up or any(
                places.get(p, START).precedes(place) for p, place in reached if p not in coming
            )

    def _rebuilt(self, position: RedisPosition) -> News:
        """The lists by the end of logs.txt, and counts that Redis does not have yet. Raises
        OSError, CheckpointError."""
        news = rebuilt(self._archive.tail(SCAN_BYTES), self._cap, self._supervision)
        archived, places = news.ends(), position.of_topic(self._topic_id) or {}
        for partition, place in archived.items():
            if place.precedes(ahead := places.get(partition, START)):
                news.spans[partition][1], news.epochs[partition] = ahead
        if position.topic or not position.readable:  # some are counted, or it is unknown which
            news.counts.clear()
        if position.topic and position.readable:
            with self._news:
                self._news.wait_for(lambda: self._closing or self._is_offered(archived), OFFERED)
                news.counts = self._sending.counts(places)
                news.counts += self._offered.counts_between(places, news.ends())
        return news

    def _is_offered(self, archived: Mapping[int, Place]) -> bool:
        """Whether all of logs.txt has been offered, as it is at once."""
        return not any(place.precedes(archived.get(p, START)) for p, place in self._reached.items())

    def _read_position(self, client: redis.Redis) -> RedisPosition:
        """Redis' position. Raises redis.RedisError, such as NewerLayout, and OSError."""
        check_layout(client, self._key)
        return RedisPosition.of(redis_position.ask(client, self._key))

    def _apply(self, position: RedisPosition, news: News, replace: bool) -> bool:
        """Run the script, unless Redis is at another position: then return False. Raises
        redis.RedisError, OSError."""
        topic = self._topic_id
        expected = position.of_topic(topic) or {}
        sizes = news.cut_lists()
        lists = {level: lines for level, lines in news.lists.items() if lines or replace}
        how = int(replace) if position.readable else 2
        arguments: list[str | int | bytes] = [topic, position.topic, how, self._cap]
        arguments += [LAYOUT, TIMES * list_bytes(self._cap), len(news.spans)]
        for partition, place in news.ends().items():
            seen = _words(expected[partition]) if partition in expected else ["", ""]
            arguments += [partition, *seen, *_words(place)]
        counts = {at: n for at, n in news.counts.items() if at[0] != minutes.OTHER}
        arguments.append(len(counts))
        for (minute, level), events in counts.items():
            arguments += [f"{self._key}:counts:{minute}", level, events, minutes.end_of(minute)]
        for level, lines in lists.items():
            arguments += [int(replace or level in news.cut), sizes[level], len(lines)]
            arguments += lines
        keys = [f"{self._key}:{name}" for name in KEYS]
        keys += [list_key(self._key, level) for level in lists]
        done = bool(self._script(keys=keys, args=arguments))
        if done:
            self._metrics.stored(news, rebuilt=replace)
        return done


def _words(place: Place) -> list[int | str]:
    """The offset and the epoch as the script takes them."""
    return [place.offset, place.epoch if place.epoch >= 0 else ""]
