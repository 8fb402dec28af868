"""Audit of Redis: whether its lists, offsets and counts match the end of logs.txt."""

from collections import Counter, deque

from logpipeline.archive.checkpoint import Topic
from logpipeline.events.event import InvalidRecord, is_event, parse
from logpipeline.recent.backlog import list_bytes
from logpipeline.recent.recent import SCAN_BYTES
from logpipeline.recent.redis_client import list_key
from logpipeline.verify.findings import Findings
from logpipeline.verify.interleaving import EventStream, Interleaving
from logpipeline.verify.lines import FileLines
from logpipeline.verify.settings import VerifySettings
from logpipeline.verify.snapshot import Snapshot
from logpipeline.verify.sources import PartitionSource, Sources


class Newest:
    """The findings of an Interleaving of a list that begins with the newest event.

    Its streams have negative offsets, as the newest is expected first.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str, int]] = []

    def add_offset(self, kind: str, stream: str, offset: int) -> None:
        self.found.append((kind, stream, -offset))


def audit_redis(settings: VerifySettings, snapshot: Snapshot, sources: Sources) -> Findings:
    """Whether each list holds the newest events, newest first, each partition's in its order.

    Redis may be a moment behind logs.txt: it is compared with what logs.txt had at the offsets of
    Redis. Call it once `sources` have been read to their end. Raises OSError.
    """
    findings = Findings()
    checkpoint, redis = snapshot.archive.checkpoint, snapshot.redis
    topic = checkpoint.topics[settings.kafka_topic]
    mine = [source for source in sources.all if source.at.topic == settings.kafka_topic]
    _audit_offsets(snapshot, topic, settings.kafka_topic, findings)
    # Others write to the same lists or the same file, or logs.txt had lines before this topic's.
    shared = bool(len(checkpoint.topics) > 1 or topic.since or _foreign(snapshot, topic))
    at_end = _levels_at_end(snapshot)
    for level, lines in redis.lists.items():
        key = list_key(settings.redis_key, level)
        later = sum(source.later[level] for source in mine)
        least = 0 if shared else min(settings.redis_max_logs, at_end[level] - later)
        if redis.lengths[level] > settings.redis_max_logs:
            length, most = redis.lengths[level], settings.redis_max_logs
            text = f"{key} has {length:,}, REDIS_MAX_LOGS is {most:,}"
            findings.add("too long", text)
        held = sum(map(len, lines))
        if len(lines) < least and held < list_bytes(settings.redis_max_logs):
            findings.add("too short", f"{key} has {len(lines):,} events, logs.txt has {least:,}")
        audit_list(key, level, lines, mine, shared, findings)
    if shared or any(source.known.first or source.unseen for source in mine):
        findings.notes.append("counts were not compared: logs.txt does not have the whole topic")
    else:
        _audit_counts(settings.redis_key, redis.counts, sources.counts, findings)
    findings.agreed = (
        f"{len(redis.lists['']):,} newest events and those of each level, newest first, "
        f"and {sum(redis.counts.values()):,} counted"
    )
    return findings


def _foreign(snapshot: Snapshot, topic: Topic) -> set[int]:
    """Partitions whose events in Redis are from another host's logs.txt."""
    commits = {at.partition: commit for at, commit in snapshot.kafka.commits.items()}
    ours = snapshot.archive.checkpoint.archive
    return {
        partition
        for partition, commit in commits.items()
        if commit.archive != ours
        and (partition not in topic.partitions or topic.partitions[partition].next < commit.offset)
    }


def _audit_offsets(snapshot: Snapshot, topic: Topic, name: str, findings: Findings) -> None:
    known_to_redis = snapshot.redis.position
    if not known_to_redis.readable:
        findings.add("unreadable", "its offsets are not those of any consumer")
        return
    if snapshot.behind and known_to_redis.of_topic(topic.id) is None:
        other = known_to_redis.topic.decode(errors="replace")
        what = f"topic id {other}" if other else "nothing"
        findings.add("behind logs.txt", f"it has {what}, logs.txt has topic id {topic.id}")
        return
    for partition, position in snapshot.behind.items():
        at = known_to_redis.next.get(partition, 0)
        text = f"{name}[{partition}] is at {at}, logs.txt at {position}"
        findings.add("behind logs.txt", text)
    for partition, at in known_to_redis.next.items():
        known = topic.partitions.get(partition)
        position = known.next if known else 0
        if at > position and partition not in _foreign(snapshot, topic):
            text = f"{name}[{partition}] is at {at}, logs.txt at {position}"
            findings.add("ahead of logs.txt", text)


def _levels_at_end(snapshot: Snapshot) -> Counter[str]:
    """Level, or "" for all → events in that part of logs.txt from which a consumer rebuilds the
    lists."""
    archive = snapshot.archive
    length = archive.checkpoint.length
    begin = max(0, length - SCAN_BYTES)
    levels: Counter[str] = Counter()
    lines = iter(FileLines(archive.files.files, begin, length))
    if begin:
        next(lines)
    for line in lines:
        try:
            levels.update(("", parse(line).level))
        except InvalidRecord:
            continue
    return levels


def audit_list(
    key: str,
    level: str,
    lines: list[bytes],
    sources: list[PartitionSource],
    shared: bool,
    findings: Findings,
) -> None:
    """Whether `lines` are the newest of `sources`, newest first. If the list is `shared` with other
    sources, it may have other events, too."""
    lost = sum(source.lost for source in sources)
    streams = []
    older = []  # streams of which Kafka lacks some, so that others may be in the list
    for source in sources:
        newest = reversed(source.newest[level])
        pairs = [(-offset, digest) for offset, digest in newest]
        stream = EventStream(
            source.stream.name,
            deque(offset for offset, _ in pairs),
            deque(digest for _, digest in pairs),
            ended=True,
        )
        streams.append(stream)
        if source.span[0] or source.span[1] < source.known.next:
            older.append(stream)

    def accept(line: bytes) -> bool:
        gone = interleaving.accepted < lost or any(not stream.offsets for stream in older)
        return (shared or gone) and is_event(line)

    newest_first = Newest()
    interleaving = Interleaving(streams, newest_first, accept=accept)
    for index, line in enumerate(lines):
        if not interleaving.take(line, index):
            break
    interleaving.finish(complete=False)
    for kind, name, offset in sorted(newest_first.found):
        findings.add_offset(f"{kind} in {key}", name, offset)
    seen = Counter(map(hash, lines))
    for line_ in interleaving.surplus:
        kind = "doubled" if seen[line_.hash] > 1 else "not of logs.txt"
        findings.add(f"{kind} in {key}", f"index {line_.number}")


def _audit_counts(
    key: str,
    counts: Counter[tuple[int, str]],
    most: Counter[tuple[int, str]],
    findings: Findings,
) -> None:
    """They may be lower than Kafka's events (Redis was wiped), but never higher."""
    for (minute, level), events in sorted(counts.items()):
        if events > most[minute, level]:
            text = f"{key}:counts:{minute} {level} is {events:,}, Kafka has {most[minute, level]:,}"
            findings.add("counted too often", text)
