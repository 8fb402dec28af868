"""Hosts: several archives of one topic, each on a host of its own, audited together.

Each is compared with Kafka as if it were alone. Together they must have each event once: what the
checkpoints of two of them cover is in two files, and what none of them covers is in none.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from kafka import TopicPartition

from logpipeline.archive.checkpoint import Partition
from logpipeline.events import slices
from logpipeline.kafka.records import Records
from logpipeline.recent.redis_client import list_key
from logpipeline.verify.archive import ELSEWHERE, audit_kafka, audit_logs_txt
from logpipeline.verify.findings import Findings
from logpipeline.verify.recent import audit_list
from logpipeline.verify.settings import VerifySettings
from logpipeline.verify.snapshot import KafkaView, Snapshot
from logpipeline.verify.sources import PartitionSource, Sources

Verdict = tuple[str, Findings]  # with what it is about


@dataclass(frozen=True)
class Span:
    """Offsets `first` to `next` - 1 of a partition, which the archive at `path` covers."""

    first: int
    next: int
    path: Path


@dataclass
class Hosts:
    """The archives at `paths`. Its methods raise KafkaError, redis.RedisError, CheckpointError,
    OSError if one cannot be read."""

    settings: VerifySettings
    paths: Sequence[Path]
    progress: Callable[[int], object]
    _snapshots: list[Snapshot] = field(default_factory=list)
    _newest: dict[TopicPartition, PartitionSource] = field(default_factory=dict)

    def audit(self) -> Iterator[Verdict]:
        """A verdict about each archive and its records in Kafka, about all together, and about the
        Redis that they share."""
        for path in self.paths:
            mine = self.settings.model_copy(update={"log_file": path})
            snapshot = Snapshot.take(mine)
            # Redis is compared as it was before all of the archives.
            earliest = self._snapshots[0].redis if self._snapshots else snapshot.redis
            self._snapshots.append(replace(snapshot, redis=earliest))
            with closing(snapshot.archive.file):
                yield from self._audit_one(mine, self._snapshots[-1])
        yield "together", self._audit_together()
        yield "Redis", self._audit_redis()

    def _audit_one(self, settings: VerifySettings, snapshot: Snapshot) -> Iterator[Verdict]:
        with closing(Sources(settings, snapshot, self.progress)) as sources:
            yield str(settings.log_file), audit_logs_txt(snapshot, sources)
            yield "  in Kafka", _alone(audit_kafka(snapshot, sources))
            for source in sources.all:
                known = self._newest.get(source.at)
                if known is None or known.known.next < source.known.next:
                    self._newest[source.at] = source

    def _audit_together(self) -> Findings:
        """Whether each record that Kafka has is covered by one archive."""
        findings = Findings()
        kafka, topic = self._snapshots[-1].kafka, self.settings.kafka_topic
        spans = self._spans(kafka.ids.get(topic, ""))
        ats = sorted(at for at in kafka.end if at.topic == topic)
        older = 0
        for at in ats:
            older += self._audit_partition(at, spans[at.partition], kafka, findings)
        if older:
            findings.notes.append(f"{older:,} older records are in none of them")
        findings.agreed = f"{len(ats):,} partitions, each record in one of {len(self.paths)} files"
        return findings

    def _spans(self, topic_id: str) -> Mapping[int, list[Span]]:
        """Partition → what each archive covers of it, in the order of the offsets."""
        found: defaultdict[int, list[Span]] = defaultdict(list)
        for path, snapshot in zip(self.paths, self._snapshots, strict=True):
            topic = snapshot.archive.checkpoint.topics[self.settings.kafka_topic]
            for partition, known in topic.partitions.items() if topic.id == topic_id else ():
                found[partition] += [Span(*ends, path) for ends in _without_gaps(known)]
        for spans in found.values():
            spans.sort(key=lambda span: (span.first, span.next))
        return found

    def _audit_partition(
        self, at: TopicPartition, spans: list[Span], kafka: KafkaView, findings: Findings
    ) -> int:
        """Returns the number of events before the first span, which rotation may have deleted."""
        if not spans:
            self._add("in none of them", at, kafka.first[at], kafka.end[at], findings)
            return 0
        covered = spans[0]
        for _, span in pairwise(spans):
            if span.first < covered.next:
                kind = f"in both {covered.path} and {span.path}"
                self._add(kind, at, span.first, min(span.next, covered.next), findings)
            else:
                self._add("in none of them", at, covered.next, span.first, findings)
            covered = max(covered, span, key=lambda one: one.next)
        return sum(1 for _ in self._events(at, kafka.first[at], spans[0].first))

    def _add(
        self, kind: str, at: TopicPartition, first: int, next_: int, findings: Findings
    ) -> None:
        for offset in self._events(at, first, next_):
            findings.add_offset(kind, f"{at.topic}[{at.partition}]", offset)

    def _events(self, at: TopicPartition, first: int, next_: int) -> Iterator[int]:
        """The offsets of the events that Kafka still has of these."""
        kafka = self._snapshots[-1].kafka
        span = max(first, kafka.first[at]), min(next_, kafka.end[at])
        if span[0] >= span[1]:
            return
        with closing(Records(self.settings, {at: span})) as records:
            while records.unread:
                for polled in records.poll([at]).values():
                    part = slices.read(
                        at.partition, span[0], [polled], self.settings.event_max_bytes
                    )
                    yield from part.offsets

    def _audit_redis(self) -> Findings:
        """Whether each list has events of these archives, each once, in its partition's order."""
        findings = Findings()
        seen, topic = self._snapshots[0].redis, self.settings.kafka_topic
        sources = [source for at, source in self._newest.items() if at.topic == topic]
        for level, lines in seen.lists.items():
            key = list_key(self.settings.redis_key, level)
            audit_list(key, level, lines, sources, False, findings)
        for snapshot in self._snapshots:
            for partition, position in snapshot.behind.items():
                findings.add("behind", f"{topic}[{partition}], of which a file is at {position}")
        findings.notes.append("counts were not compared")
        findings.agreed = f"{len(seen.lists['']):,} newest events and those of each level"
        return findings


def _alone(findings: Findings) -> Findings:
    """Without the notes on partitions of other hosts, which are audited together."""
    findings.notes = [note for note in findings.notes if not note.endswith(ELSEWHERE)]
    return findings


def _without_gaps(known: Partition) -> Iterator[tuple[int, int]]:
    """The offsets from `first` to `next` that are in no gap, as pairs like these."""
    first = known.first
    for start, end in sorted(known.gaps):
        if start > first:
            yield first, start
        first = max(first, end)
    if known.next > first:
        yield first, known.next
