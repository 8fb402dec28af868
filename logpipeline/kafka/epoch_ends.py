"""Epoch ends: where Kafka's leader epochs end in a partition's log (KIP-101, KIP-320).

A partition's leader epoch rises with each new leader, also when a lone broker starts again. Its
records have the epoch in which they were written, so an epoch and an offset identify a record: if
an epoch ends earlier than it used to, Kafka has lost the records after that end.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition, errors
from kafka.protocol.consumer.offsets import OffsetForLeaderEpochRequest

Topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic


class EpochEnd(NamedTuple):
    """The offset after the last record of `epoch`, the newest that Kafka has up to the one that was
    asked for."""

    epoch: int
    offset: int


def epoch_ends(
    consumer: KafkaConsumer, wanted: Mapping[TopicPartition, int], timeout_ms: int
) -> dict[TopicPartition, EpochEnd]:
    """Partition → the end of the `wanted` epoch, without partitions of which Kafka reports no
    epoch. Raises KafkaError, also while a leader changes."""
    by_leader: dict[int, dict[TopicPartition, int]] = {}
    for at, epoch in wanted.items():
        leader = consumer._cluster.leader_for_partition(at)
        if leader is None or leader < 0:
            consumer._cluster.request_update()
            raise errors.LeaderNotAvailableError(f"{at.topic}[{at.partition}] has no leader")
        by_leader.setdefault(leader, {})[at] = epoch
    found: dict[TopicPartition, EpochEnd] = {}
    for leader, epochs in by_leader.items():
        found |= _ask(consumer, leader, epochs, timeout_ms)
    return found


def seek(consumer: KafkaConsumer, at: TopicPartition, offset: int, epoch: int) -> None:
    """Seek, so that from now on both client and broker compare that epoch's end with the offset,
    and poll raises LogTruncationError when Kafka loses records before it."""
    if state := consumer._subscription.assignment.get(at):
        state.seek(OffsetAndMetadata(offset, "", epoch))


def _ask(
    consumer: KafkaConsumer, leader: int, epochs: Mapping[TopicPartition, int], timeout_ms: int
) -> dict[TopicPartition, EpochEnd]:
    topics: dict[str, list[Any]] = {}
    for at, epoch in epochs.items():
        newest = consumer._cluster.leader_epoch_for_partition(at)
        if newest is not None and newest >= 0:
            # The broker answers nothing for an epoch that is newer than its own, and refuses to
            # answer if `newest` is not its own.
            part = Topic.OffsetForLeaderPartition(
                partition=at.partition,
                current_leader_epoch=newest,
                leader_epoch=min(epoch, newest),
            )
            topics.setdefault(at.topic, []).append(part)
    request = OffsetForLeaderEpochRequest(replica_id=-1, topics=list(topics.items()))
    manager = consumer._manager

    async def answer() -> Any:
        return await manager.wait_for(manager.send(request, node_id=leader), timeout_ms)

    found = {}
    for topic in manager.run(answer).topics:
        for part in topic.partitions:
            if part.error_code:
                consumer._cluster.request_update()
                raise errors.for_code(part.error_code)(f"{topic.topic}[{part.partition}]")
            end = EpochEnd(part.leader_epoch, part.end_offset)
            found[TopicPartition(topic.topic, part.partition)] = end
    return found
