"""Commit: what the consumer group has committed of a partition, and for which archive and topic.

Kafka keeps the two as the commit's metadata. An archive goes by its own checkpoint, so of commits
it wants those of other archives; and Kafka may keep one for a while longer than its topic.
"""

from typing import NamedTuple, Self

from kafka import OffsetAndMetadata


class Commit(NamedTuple):
    """`archive` and `topic_id` are "" where it does not say: in a tool's, in an older version's."""

    offset: int
    archive: str
    topic_id: str

    @classmethod
    def of(cls, committed: OffsetAndMetadata) -> Self:
        archive, _, topic_id = (committed.metadata or "").partition(" ")
        return cls(committed.offset, archive, topic_id)

    def for_kafka(self) -> OffsetAndMetadata:
        return OffsetAndMetadata(self.offset, f"{self.archive} {self.topic_id}", -1)

    def is_of(self, topic_id: str) -> bool:
        """Whether it may be of this topic, and not of an earlier one of the same name."""
        return self.topic_id in ("", topic_id)
