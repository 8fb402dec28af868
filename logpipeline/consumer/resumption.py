"""Resumption: where the archive continues newly assigned partitions, by what Kafka still has.

Kafka may have lost records that are archived (an unclean leader election, a power cut, an older
copy of its data), and have others at their offsets. Leader epochs show where its history parts from
the archive's: there the archive resumes, and keeps what it has.
"""

import logging
import time
from functools import partial

from kafka import KafkaConsumer, TopicPartition

from logpipeline.archive.archive import Archive, ArchivePosition
from logpipeline.consumer.metrics import Metrics
from logpipeline.consumer.resume_point import ResumePoint, parting, resume_point
from logpipeline.kafka.commit import Commit
from logpipeline.kafka.epoch_ends import EpochEnd, epoch_ends

log = logging.getLogger(__name__)

REQUEST_MS = 5_000
LOSS_CERTAIN = 15.0  # seconds for which Kafka's end must be below the archive to be believed


class Resumption:
    """Decides for partitions that `consumer` reads, and lets the archive begin there. They are
    `pinned` if no other host reads them."""

    def __init__(
        self, consumer: KafkaConsumer, archive: Archive, metrics: Metrics, pinned: bool
    ) -> None:
        self._consumer = consumer
        self._archive = archive
        self._metrics = metrics
        self._pinned = pinned
        self._short_since: dict[TopicPartition, float] = {}

    def offsets(
        self, ats: list[TopicPartition], firsts: dict[TopicPartition, int], topic_id: str
    ) -> dict[int, int]:
        """The offset at which the archive resumes each partition for which it is certain.

        Raises KafkaError, CheckpointError, OSError.
        """
        archived = self._archive.position()
        ends = self._consumer.end_offsets(ats, timeout_ms=REQUEST_MS)
        offsets = {}
        for at in ats:
            commit = self._committed_by_others(at, archived, topic_id)
            point = self._point(at, archived, commit, firsts[at], ends[at])
            if not point.certain and not self._is_certain(at):
                continue
            self._short_since.pop(at, None)
            if self._begin(at, archived, commit, point):
                offsets[at.partition] = point.offset
        return offsets

    def _point(
        self,
        at: TopicPartition,
        archived: ArchivePosition,
        commit: Commit | None,
        first: int,
        end: int,
    ) -> ResumePoint:
        """Raises KafkaError."""
        known, end_of = archived.partitions.get(at.partition), partial(self._end_of, at)
        mine = parting(known.next, known.epochs, end_of) if known else None
        other = None
        if commit and commit.epoch >= 0:
            other = parting(commit.offset, [(commit.epoch, commit.offset)], end_of)
        nexts = known.next if known else None, commit.offset if commit else None
        return resume_point(*nexts, first, end, mine, other)

    def _end_of(self, at: TopicPartition, epoch: int) -> EpochEnd | None:
        return epoch_ends(self._consumer, {at: epoch}, REQUEST_MS).get(at)

    def _begin(
        self,
        at: TopicPartition,
        archived: ArchivePosition,
        commit: Commit | None,
        point: ResumePoint,
    ) -> bool:
        """Let the archive begin there. False if another consumer has used it meanwhile. Raises
        CheckpointError, OSError."""
        known = archived.partitions.get(at.partition)
        place, number = known.place if known else None, at.partition
        whose = "another host's logs.txt"
        if place and point.lost and point.lost.stop == place.offset:
            whose = str(self._archive.path)
            if not self._archive.begin(number, point.lost[0], seen=place):
                return False
            place = self._archive.position().partitions[number].place
        if not place or point.offset != place.offset:
            epoch = commit.epoch if commit and commit.offset == point.offset else -1
            if not self._archive.begin(number, point.offset, epoch, seen=place):
                return False
        self._report(at, point, whose)
        return True

    def _committed_by_others(
        self, at: TopicPartition, archived: ArchivePosition, topic_id: str
    ) -> Commit | None:
        """What another host's archive has committed. Raises KafkaError."""
        committed = self._consumer.committed(at, metadata=True, timeout_ms=REQUEST_MS)
        commit = Commit.of(committed) if committed else None
        if self._pinned and commit and not commit.archive and at.partition in archived.partitions:
            return None  # a tool's
        if commit and commit.archive != archived.id and commit.is_of(topic_id):
            return commit
        return None

    def _is_certain(self, at: TopicPartition) -> bool:
        """Whether Kafka's end has been below the archive for LOSS_CERTAIN."""
        since = self._short_since.setdefault(at, time.monotonic())
        return time.monotonic() - since >= LOSS_CERTAIN

    def _report(self, at: TopicPartition, point: ResumePoint, whose: str) -> None:
        """Log which records Kafka has deleted or lost; `whose` file has the latter."""
        where = f"{at.topic}[{at.partition}]"
        if point.deleted:
            self._metrics.gap_records.inc(len(point.deleted))
            log.error(
                "%s: Kafka deleted offsets %d to %d before they were read: %d records are "
                "lost (raise the topic's retention.ms)",
                *(where, point.deleted[0], point.deleted[-1], len(point.deleted)),
            )
        if point.lost:
            self._metrics.lost_records.inc(len(point.lost))
            log.error(
                "%s: Kafka has lost the records of offsets %d to %d (unclean leader election, "
                "power cut, or an older copy of its data); %s still has them; resuming at %d",
                *(where, point.lost[0], point.lost[-1], whose, point.offset),
            )
