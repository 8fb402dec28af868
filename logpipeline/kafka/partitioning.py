"""Partitioning: Kafka's default partition for a key, with a cached hash: in Python it is slow."""

from functools import lru_cache
from typing import Any

from kafka.partitioner import Partitioner
from kafka.partitioner.default import murmur2

from logpipeline.kafka.encoding import KEYS, SHORT


class ByKey(Partitioner):  # type: ignore[misc]
    """For kafka-python's own `send`."""

    def partition(
        self, topic: str, key: Any, serialized_key: bytes, value: Any, serialized: Any, cluster: Any
    ) -> int:
        return partition(serialized_key, len(cluster.partitions_for_topic(topic)))


def partition(key: bytes, partitions: int) -> int:
    """The one of so many partitions that has the events of `key`."""
    return (_cached(key) if len(key) <= SHORT else _hash(key)) % partitions


def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


_cached = lru_cache(maxsize=KEYS)(_hash)
