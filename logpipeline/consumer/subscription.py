"""Subscription: this consumer's share of the topic, read from the sinks' positions.

kafka-python's own position is not trusted: after each assignment `poll` seeks to the positions of
the archive and Redis, and every slice gives the offset at which it was expected to begin.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from logpipeline.archive.archive import Archive, ArchivePosition
from logpipeline.archive.checkpoint import CheckpointError
from logpipeline.consumer.assignment import OwnPartitions
from logpipeline.consumer.availability import Availability
from logpipeline.consumer.lag import PartitionLag
from logpipeline.consumer.metrics import Metrics
from logpipeline.consumer.poison import Poison
from logpipeline.consumer.resumption import REQUEST_MS, Resumption
from logpipeline.consumer.settings import ConsumerSettings
from logpipeline.events.columns import Columns
from logpipeline.events.slices import Slice
from logpipeline.kafka import clients, connection, epoch_ends, fetcher, group
from logpipeline.kafka.commit import Commit
from logpipeline.outage import Outage
from logpipeline.recent.recent import Recent

log = logging.getLogger(__name__)

POLL_MS = 500
MOST_BETWEEN_POLLS_MS = 60_000  # until the group gives this consumer's partitions to others
SESSION_MS = 6_000  # without a heartbeat, until it does
HEARTBEAT_MS = 1_500
METADATA_MS = 15_000  # at most, until new partitions and a new topic are noticed
SEEK_PAUSE = 0.05  # seconds between polls while no position is certain
CLOSE_MS = 2_000  # twice: for the last commit, and for leaving the group
MOST_RECORDS = 10_000  # a batch: more gains nothing, and keeps the lock and memory longer
FETCH_BYTES = 16 * 2**20  # from one broker at once, packed
MOVED = (OffsetOutOfRangeError, LogTruncationError, NoOffsetForPartitionError)


class Subscription(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the consumer group, or the reader of partitions of its own. Raises KafkaError,
    OSError if it cannot be created."""

    def __init__(
        self,
        settings: ConsumerSettings,
        archive: Archive,
        recent: Recent,
        metrics: Metrics,
        poison: Poison,
    ) -> None:
        self._topic = settings.kafka_topic
        self._settings = settings
        self._archive = archive
        self._recent = recent
        self._metrics = metrics
        self._poison = poison
        self._positions: dict[int, int] = {}  # partition → the offset that poll returns next
        self._to_seek: set[int] = set()  # partitions that are assigned, and not yet sought
        self._has_moved = False  # whether the last poll found a partition without its position
        self._lock = threading.Lock()
        self._availability = Availability(settings, metrics)
        self._read_outage = Outage(log)
        self._consumer = clients.consumer(
            settings,
            group_id=settings.kafka_group_id,
            client_rack=settings.kafka_client_rack,
            auto_offset_reset="none",
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=MOST_BETWEEN_POLLS_MS,
            metadata_max_age_ms=METADATA_MS,
            max_poll_records=MOST_RECORDS,
            fetch_max_bytes=FETCH_BYTES,
        )
        fetcher.install(self._consumer, settings.event_max_bytes)
        pinned = bool(settings.kafka_consumers)
        self._resumption = Resumption(self._consumer, archive, metrics, pinned)
        self._topic_id = ""
        self._lag = PartitionLag(self._consumer, metrics.tally)
        self._own = OwnPartitions(settings, self._consumer) if pinned else None
        if not self._own:
            self._consumer.subscribe([self._topic], listener=self)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._to_seek |= {at.partition for at in assigned}

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._to_seek -= {at.partition for at in revoked}

    def poll(self) -> list[Slice]:
        """The next records of the partitions whose position is known. Waits at most half a second.

        Raises CheckpointError, OSError if the archive cannot be used; nothing is skipped then.
        """
        self._notice_topic()
        if self._own:
            self._tend(self._own)
        self._seek_assigned()
        self._lag.note(self._positions)
        try:
            group.complete_join(self._consumer)
            polled = self._consumer.poll(POLL_MS)
        except MOVED as error:
            log.debug("seeking again: %s", error)
            polled = {}
            self.rewind()
            time.sleep(SEEK_PAUSE if self._has_moved else 0)
            self._has_moved = True
        except KafkaError as error:
            reason = connection.reason(self._settings, error)
            self._read_outage.report(f"cannot read Kafka's {self._topic}, retrying: {reason}")
            polled = {}
            self.rewind()
            time.sleep(1.0)
        else:
            self._read_outage.resolve(f"reading Kafka's {self._topic} again")
            self._has_moved = False
        self._availability.note(bool(polled))
        if self._topic_id != self._found_topic_id():
            self.rewind()
        with self._lock:
            to_seek = set(self._to_seek)
        slices: list[Slice] = []
        for at, records in polled.items():
            start = self._positions.get(at.partition)
            if start is not None and at.partition not in to_seek:
                slices += self._slices(at.partition, start, records)
                self._positions[at.partition] = slices[-1].end
        return slices

    def hold(self, batch: list[Slice]) -> list[Slice]:
        """Poll without reading, to stay in the group while `batch` waits. Returns what of it is
        still this consumer's. Waits for half a second."""
        self._lag.note(self._positions)
        self._consumer.pause(*self._consumer.assignment())
        try:
            group.complete_join(self._consumer)
            self._consumer.poll(POLL_MS)  # of partitions assigned just now: they are sought later
        except KafkaError as error:
            log.debug("seeking again: %s", error)
            self.rewind()
        self._consumer.resume(*self._consumer.paused())
        self._availability.note(heard=False)
        with self._lock:
            kept = {at.partition for at in self._consumer.assignment()} - self._to_seek
        return [part for part in batch if part.partition in kept]

    def rewind(self) -> None:
        """Make the next poll seek every partition to the sinks' positions."""
        with self._lock:
            self._to_seek |= {at.partition for at in self._consumer.assignment()}

    def commit(self, slices: list[Slice], archived: ArchivePosition) -> None:
        """Commit the archive's position after `slices`, for other hosts and for tools that show
        the lag. Does not wait: a restart resumes from the archive's own checkpoint."""
        if slices:
            offsets = self._offsets({part.partition for part in slices}, archived)
            self._consumer.commit_async(offsets, callback=self._committed)

    def close(self) -> None:
        """Commit once more, wait for it, and leave the group."""
        try:
            if offsets := self._offsets(set(self._positions), self._archive.position()):
                self._consumer.commit(offsets, timeout_ms=CLOSE_MS)
        except (KafkaError, CheckpointError, OSError) as error:
            self._committed({}, error)
        self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)

    def _offsets(
        self, partitions: set[int], archived: ArchivePosition
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What to commit."""
        return {
            at: Commit(known.next, archived.id, self._topic_id, known.place.epoch).for_kafka()
            for at in self._consumer.assignment()
            if at.partition in partitions and (known := archived.partitions.get(at.partition))
        }

    def _tend(self, own: OwnPartitions) -> None:
        """Notice added partitions and a twin, and keep the commits of quiet partitions."""
        self.on_partitions_assigned(own.added())
        if self._metrics.kafka_up:
            own.look_for_twin(self._archive)
        if own.is_commit_due():
            offsets = self._offsets(set(self._positions), self._archive.position())
            self._consumer.commit_async(offsets, callback=self._committed)

    def _committed(self, offsets: object, response: object) -> None:
        if isinstance(response, Exception):
            self._metrics.commit_failures.inc()
            log.debug("commit: %s", response)
            if self._own:
                self._own.note_commit(response)

    def _slices(self, partition: int, start: int, polled: Iterable[Any]) -> Iterator[Slice]:
        """What was polled of a partition, a slice for each leader epoch."""
        for epoch, records in groupby(polled, _epoch):
            part = self._poison.read(partition, start, [*records], self._topic_id)
            start = part.end
            yield replace(part, epoch=epoch)

    def _found_topic_id(self) -> str:
        """The topic's id in Kafka's metadata; a topic that was created again has a new one."""
        found = self._consumer._cluster.topic_id(self._topic)
        return str(found) if found else self._topic_id

    def _notice_topic(self) -> None:
        """Open the archive for this incarnation of the topic, if it is a new one."""
        found = self._found_topic_id()
        if not found:  # kafka-python took an answer to an earlier request for this one's
            self._consumer._cluster.request_update()
        elif found != self._topic_id:
            self._archive.open(found)
            self._topic_id = found
            self.rewind()

    def _seek_assigned(self) -> None:
        """Seek newly assigned partitions to the sinks' positions, or leave it to the next poll."""
        with self._lock:
            to_seek = set(self._to_seek)
        if not to_seek or not self._topic_id:
            return
        ats = [TopicPartition(self._topic, partition) for partition in to_seek]
        try:
            firsts = self._consumer.beginning_offsets(ats, timeout_ms=REQUEST_MS)
            offsets = self._resumption.offsets(ats, firsts, self._topic_id)
        except (KafkaError, KeyError) as error:
            log.debug("cannot seek yet: %s", error)
            return
        archived = self._archive.position()
        for partition, replay in self._recent.replay_from(self._topic_id, offsets).items():
            at = TopicPartition(self._topic, partition)
            position = max(replay, firsts[at])
            known = archived.partitions.get(partition)
            with self._lock:
                if at not in self._consumer.assignment():
                    continue
                epoch_ends.seek(self._consumer, at, position, known.place.epoch if known else -1)
                self._positions[partition] = position
                self._to_seek.discard(partition)
        self._consumer.commit_async(self._offsets(set(offsets), archived), callback=self._committed)


def _epoch(polled: Any) -> int:
    """The leader epoch of polled Columns, or of one of kafka-python's own records."""
    epoch: int = polled.epoch if isinstance(polled, Columns) else polled.leader_epoch
    return epoch
