"""Assignment: the partitions of a consumer that shares them with no group.

KAFKA_CONSUMERS=n and KAFKA_CONSUMER_INDEX=i: it reads the partitions p with p mod n = i, whoever
else is there. So a partition never moves, and each event is in one host's logs.txt once.
"""

import logging
import time
from contextlib import closing, suppress

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError

from logpipeline.archive.archive import Archive
from logpipeline.consumer.settings import ConsumerSettings
from logpipeline.kafka import clients, connection
from logpipeline.kafka.commit import Commit
from logpipeline.outage import Outage

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # seconds between looks at a group that others still share
TWIN_EVERY = 5.0  # seconds between looks for a consumer with the same index
LOOKED_AT = 4  # partitions: one of them is busy, or it does not matter yet
REQUEST_MS = 2_000
COMMIT_EVERY = 3_600.0  # seconds; Kafka forgets a commit after a week, also of a quiet partition


class OwnPartitions:
    """Assigns them to `consumer`, those that are added to the topic later, too."""

    def __init__(self, settings: ConsumerSettings, consumer: KafkaConsumer) -> None:
        self._settings = settings
        self._topic = settings.kafka_topic
        self._consumer = consumer
        self._outage = Outage(log)
        self._alone = False  # whether the group had no members when this one began to read
        self._look_at = 0.0  # time.monotonic()
        self._twin = Outage(log)
        self._twin_at = time.monotonic() + TWIN_EVERY
        self._foreign: dict[TopicPartition, Commit] = {}  # the last ones of other archives
        self._commit_at = time.monotonic() + COMMIT_EVERY

    def added(self) -> set[TopicPartition]:
        """Assign the partitions that Kafka's metadata has now. Returns the new ones."""
        cluster = self._consumer._cluster
        cluster.set_topics([self._topic])  # asked for, even while none is this consumer's
        found = cluster.partitions_for_topic(self._topic) or set()
        mine = {TopicPartition(self._topic, n) for n in found if self._is_mine(n)}
        before = set(self._consumer.assignment())
        if not found or mine == before or not self._is_alone():
            return set()
        self._consumer.assign(sorted(mine))
        return mine - before

    def is_commit_due(self) -> bool:
        """Whether to commit all positions once more, so that Kafka keeps them."""
        due = time.monotonic() >= self._commit_at
        if due:
            self._commit_at = time.monotonic() + COMMIT_EVERY
        return due

    def note_commit(self, error: Exception) -> None:
        """Report a commit that failed because the group has members, which share partitions."""
        if isinstance(error, CommitFailedError):
            self._report("they may store this consumer's events, too")

    def look_for_twin(self, archive: Archive) -> None:
        """Report a consumer with the same index, by its commits beside this one's.

        Raises CheckpointError, OSError.
        """
        if time.monotonic() < self._twin_at:
            return
        self._twin_at = time.monotonic() + TWIN_EVERY
        for at in sorted(self._consumer.assignment())[:LOOKED_AT]:
            with suppress(KafkaError):
                found = self._consumer.committed(at, metadata=True, timeout_ms=REQUEST_MS)
                commit = Commit.of(found) if found else None
                foreign = self._foreign.get(at, commit)
                if commit and commit.archive not in ("", archive.position().id):
                    self._foreign[at] = commit
                    if commit != foreign:
                        self._report_twin(at)

    def _report_twin(self, at: TopicPartition) -> None:
        self._twin.report(
            f"KAFKA_CONSUMER_INDEX={self._settings.kafka_consumer_index}: another consumer reads "
            f"{at.topic}[{at.partition}], too, and stores the same events: stop one of them",
            logging.ERROR,
        )

    def _is_mine(self, partition: int) -> bool:
        n = self._settings.kafka_consumers
        return partition % n == self._settings.kafka_consumer_index

    def _is_alone(self) -> bool:
        """Whether the group has no members that share all partitions; looked at until it is so."""
        if not self._alone and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY
            try:
                self._look()
            except (KafkaError, OSError) as error:
                reason = connection.reason(self._settings, error)
                group = self._settings.kafka_group_id
                self._outage.report(f"cannot describe KAFKA_GROUP_ID={group}, retrying: {reason}")
        return self._alone

    def _look(self) -> None:
        """Raises KafkaError, OSError."""
        group = self._settings.kafka_group_id
        with closing(clients.admin(self._settings)) as admin:
            self._alone = not admin.describe_groups([group])[group]["members"]
        if self._alone:
            self._outage.resolve("reading its own partitions")
        else:
            self._report("waiting until they have stopped")

    def _report(self, consequence: str) -> None:
        self._outage.report(
            f"KAFKA_GROUP_ID={self._settings.kafka_group_id}: consumers without KAFKA_CONSUMERS "
            f"share the partitions of this group: {consequence}. Stop them, or choose another "
            "group",
            logging.ERROR,
        )
