"""Sources: Kafka's partitions, read once, and sorted into what logs.txt and Redis must have."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import closing

from kafka import TopicPartition

from logpipeline.archive.checkpoint import Partition
from logpipeline.events import slices
from logpipeline.events.columns import Columns
from logpipeline.events.event import LEVELS, one_line, parse
from logpipeline.kafka.records import Records
from logpipeline.verify.interleaving import AHEAD, EventStream
from logpipeline.verify.letters import DeadLetterIndex
from logpipeline.verify.settings import VerifySettings
from logpipeline.verify.snapshot import Snapshot

Span = tuple[int, int]  # from an offset up to, not including, another


class PartitionSource:
    """One partition of the checkpoint, which has it as `known`; `kafka_span` is what Kafka has.

    The events that logs.txt must have go to `stream`; it also has those of `lost` offsets at most,
    of which Kafka has others now, and of `unseen` ones, of which it has none. `newest` is what
    Redis may hold: level, or "" for all → (offset, hash of the line), newest last. `later` counts,
    by level, the events that logs.txt has and Redis, whose next offset is `redis_next`, does not
    have yet.
    """

    def __init__(
        self, at: TopicPartition, known: Partition, kafka_span: Span, redis_next: int, cap: int
    ) -> None:
        self.at = at
        self.known = known
        self.redis_next = redis_next
        first, end = kafka_span
        start = max(known.first, first)
        self.span = start, max(start, min(end, max(known.next, redis_next)))
        self.unseen = self._size(known.first, known.next) - self._size(start, min(end, known.next))
        self.lost = sum(b - a for a, b in known.lost)
        self.stream = EventStream(f"{at.topic}[{at.partition}]")
        self.newest = {name: deque[tuple[int, int]](maxlen=cap) for name in ("", *LEVELS)}
        self.later: Counter[str] = Counter()

    def holds(self, offset: int) -> bool:
        """Whether the checkpoint accounts for `offset`."""
        in_gap = any(start <= offset < end for start, end in self.known.gaps)
        return self.known.first <= offset < self.known.next and not in_gap

    def _size(self, start: int, end: int) -> int:
        """The number of these offsets that are not in a gap."""
        gaps = sum(max(0, min(end, b) - max(start, a)) for a, b in self.known.gaps)
        return max(0, end - start) - gaps


class Sources:
    """All partitions, read as fast as `fill` is called. Its methods raise KafkaError.

    `events` and `rejects` count what logs.txt must have and what is invalid; `letterless` are
    rejects without a dead letter; `confirmed` are events with one, `lost` those that Kafka has
    lost. `counts` are of the minutes that
    Redis has, too: (minute, level) → events.
    """

    def __init__(
        self, settings: VerifySettings, snapshot: Snapshot, progress: Callable[[int], object]
    ) -> None:
        self._settings = settings
        self._kafka = snapshot.kafka
        self._progress = progress
        self._minutes = {minute for minute, _ in snapshot.redis.counts}
        self.lost = 0
        self.counts: Counter[tuple[int, str]] = Counter()
        self.events = self.rejects = self.confirmed = 0
        self._doubtful: defaultdict[int, list[tuple[PartitionSource, int, str, int]]]
        self._doubtful = defaultdict(list)  # hash of the line → events that have a dead letter
        self.letterless: list[tuple[str, int]] = []
        self._of = {source.at: source for source in _sources(settings, snapshot)}
        self._at = {source.stream.name: at for at, source in self._of.items()}
        checkpoints = {at: source.known for at, source in self._of.items()}
        ids = {name: topic.id for name, topic in snapshot.archive.checkpoint.topics.items()}
        self.letters = DeadLetterIndex(settings, snapshot.kafka, checkpoints, ids)
        for at, source in self._of.items():
            source.unseen -= self.letters.before(at, min(source.span[0], source.known.next))
        self._records = Records(self._settings, {at: s.span for at, s in self._of.items()})
        self._end_streams()

    @property
    def all(self) -> list[PartitionSource]:
        return list(self._of.values())

    @property
    def total(self) -> int:
        """The records to read, at most: some offsets have none."""
        return sum(end - start for start, end in (source.span for source in self.all))

    def fill(self, stream: EventStream, count: int) -> None:
        """Provide at least `count` events in `stream`, unless it ends before."""
        while len(stream.offsets) < count and not stream.ended:
            short = [at for at, other in self._of.items() if len(other.stream.offsets) < AHEAD]
            self._read([self._at[stream.name], *short])

    def confirm(self, line: bytes) -> bool:
        """Whether `line` of logs.txt is an event that has a dead letter all the same.

        Anybody may have written that letter.
        """
        digest = hash(line)
        if not self._doubtful.get(digest):
            return False
        source, offset, level, minute = self._doubtful[digest].pop(0)
        self.rejects -= 1
        self.confirmed += 1
        self._expect(source, offset, digest, level, minute)
        return True

    def lose(self, line: bytes) -> None:
        """Count an event of logs.txt that Kafka has lost, and which Redis may have counted."""
        event = parse(line)
        self.lost += 1
        self.counts[int(event.timestamp // 60), event.level] += 1

    def drain(self) -> None:
        """Read the rest."""
        while self._records.unread:
            self._read(self._of)

    def find(self, hashes: set[int]) -> dict[int, tuple[PartitionSource, int]]:
        """Where Kafka has those lines: hash → partition, offset."""
        kafka, found = self._kafka, dict[int, tuple[PartitionSource, int]]()
        spans = {at: (kafka.first[at], kafka.end[at]) for at in self._of if at in kafka.end}
        with closing(Records(self._settings, spans)) as records:
            while records.unread and len(found) < len(hashes):
                for at, polled in records.poll(spans).items():
                    for offset, value in zip(polled.offsets, polled.values, strict=True):
                        digest = hash(one_line(value)) if isinstance(value, bytes) else None
                        if digest in hashes:
                            found.setdefault(digest, (self._of[at], offset))
        return found

    def close(self) -> None:
        self._records.close()

    def _read(self, wanted: Iterable[TopicPartition]) -> None:
        for at, records in self._records.poll(wanted).items():
            self._sort(self._of[at], records)
            self._progress(len(records))
        self._end_streams()

    def _end_streams(self) -> None:
        for at, source in self._of.items():
            source.stream.ended = at not in self._records.unread

    def _expect(
        self, source: PartitionSource, offset: int, digest: int, level: str, minute: int
    ) -> None:
        """Count an event that logs.txt or Redis must have."""
        if offset < source.redis_next:
            for name in ("", level):
                _insert(source.newest[name], (offset, digest))
            if minute in self._minutes:
                self.counts[minute, level] += 1
        if source.holds(offset):
            self.events += 1
            if offset >= source.redis_next:
                source.later.update(("", level))

    def _sort(self, source: PartitionSource, records: Columns) -> None:
        part = slices.read(source.at.partition, 0, records, self._settings.event_max_bytes)
        for offset, line, level, minute in zip(
            part.offsets, part.lines, part.levels, part.minutes, strict=True
        ):
            digest = hash(line)
            held = source.holds(offset)
            if held and self.letters.has(source.at, offset):
                self.rejects += 1  # it was invalid when a consumer read it, or the letter is forged
                self._doubtful[digest].append((source, offset, level, minute))
                continue
            self._expect(source, offset, digest, level, minute)
            if held:
                source.stream.offsets.append(offset)
                source.stream.hashes.append(digest)
        for reject in part.rejects:
            if source.holds(reject.offset):
                self.rejects += 1
                if not self.letters.has(source.at, reject.offset):
                    self.letterless.append((source.stream.name, reject.offset))


def _insert(newest: deque[tuple[int, int]], event: tuple[int, int]) -> None:
    """Put an event in the order of the offsets, nearly always at the end."""
    if not newest or newest[-1] < event:
        newest.append(event)
    elif len(newest) < (newest.maxlen or 0) or newest[0] < event:
        newest.extend(sorted([*_emptied(newest), event]))


def _emptied(newest: deque[tuple[int, int]]) -> list[tuple[int, int]]:
    events = list(newest)
    newest.clear()
    return events


def _sources(settings: VerifySettings, snapshot: Snapshot) -> Iterable[PartitionSource]:
    kafka, redis = snapshot.kafka, snapshot.redis
    for name, topic in snapshot.archive.checkpoint.topics.items():
        same = kafka.ids.get(name) == topic.id
        mine = name == settings.kafka_topic
        in_redis = (redis.position.of_topic(topic.id) if mine else None) or {}
        for partition, known in topic.partitions.items():
            at = TopicPartition(name, partition)
            span = (kafka.first[at], kafka.end[at]) if same and at in kafka.end else (0, 0)
            redis_next = known.kept(in_redis[partition]) if partition in in_redis else 0
            yield PartitionSource(at, known, span, redis_next, settings.redis_max_logs)
