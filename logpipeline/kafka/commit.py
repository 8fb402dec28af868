"""Commit: the group's committed offset of a partition, and the archive and topic it belongs to.

Kafka stores these two as the commit's metadata, and the leader epoch of the record before it. An
archive resumes at its own checkpoint, so it uses only other archives' commits; and Kafka may keep a
commit after its topic has been deleted.
"""

from typing import NamedTuple, Self

from kafka import OffsetAndMetadata


class Commit(NamedTuple):
    """`archive` and `topic_id` are "" in commits by other tools and by older versions."""

    offset: int
    archive: str
    topic_id: str
    epoch: int = -1

    @classmethod
    def of(cls, committed: OffsetAndMetadata) -> Self:
        archive, _, topic_id = (committed.metadata or "").partition(" ")
        epoch = -1 if committed.leader_epoch is None else committed.leader_epoch
        return cls(committed.offset, archive, topic_id, epoch)

    def for_kafka(self) -> OffsetAndMetadata:
        return OffsetAndMetadata(self.offset, f"{self.archive} {self.topic_id}", self.epoch)

    def is_of(self, topic_id: str) -> bool:
        """Whether it can belong to this topic, and not to an earlier one of the same name."""
        return self.topic_id in ("", topic_id)
