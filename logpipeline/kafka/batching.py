"""Batching: pairs into the batches that kafka-python collects for each partition.

`Batching` puts batches of its own into the library's accumulator while they are open. `OneByOne`
uses the library's `send`, which takes ten times as long.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from operator import add

import kafka
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from kafka.record.memory_records import MemoryRecordsBuilder

from logpipeline.kafka.encoding import OVERHEAD, Pair
from logpipeline.kafka.outgoing import FORMAT, OutgoingBatch
from logpipeline.kafka.partitioning import partition
from logpipeline.kafka.parts import BatchPart, FuturePart, Part, Refused
from logpipeline.kafka.sequences import Sequences

log = logging.getLogger(__name__)

KNOWN = "3.0.12"  # the version of kafka-python whose internals are used here
TOGETHER = 5_000  # pairs that are divided among partitions at once
ROOM = 100  # bytes that a request needs beside a record's key and value


class OneByOne:
    """Sends by the library's own `send`."""

    def __init__(self, producer: KafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    def add(self, pairs: Sequence[Pair]) -> list[Part]:
        """Send them. Raises KafkaTimeoutError when the topic does not exist, KafkaError."""
        self._producer.partitions_for(self._topic)
        return [self._send(key, value) for key, value in pairs]

    def _send(self, key: bytes, value: bytes) -> Part:
        try:
            return FuturePart(self._producer.send(self._topic, value, key), len(value))
        except (MessageSizeTooLargeError, KafkaTimeoutError) as error:
            return Refused(error, len(value))


class Shares(dict[bytes, list[bytes]]):
    """Lists of keys and values, by key; the keys of a partition have one list."""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self.by_number: dict[int, list[bytes]] = {}
        self._partitions = partitions

    def __missing__(self, key: bytes) -> list[bytes]:
        number = partition(key, self._partitions)
        share = self[key] = self.by_number.setdefault(number, [])
        return share


class Batching:
    """Adds records to the library's accumulator. For one thread."""

    def __init__(self, producer: KafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._accumulator = producer._accumulator
        config = self._accumulator.config
        self._shape = config["compression_attrs"], config["batch_size"]
        self._most = producer.config["max_request_size"] - ROOM
        producer._transaction_manager.__class__ = Sequences

    def add(self, pairs: Sequence[Pair]) -> list[Part]:
        """Send them. Raises KafkaTimeoutError when the topic does not exist, KafkaError."""
        partitions = len(self._producer.partitions_for(self._topic))
        if len(pairs) == 1:
            at = TopicPartition(self._topic, partition(pairs[0][0], partitions))
            return list(self._send(at, [*pairs[0]]))
        return [
            part
            for begin in range(0, len(pairs), TOGETHER)
            for part in self._add(pairs[begin : begin + TOGETHER], partitions)
        ]

    def _add(self, pairs: Sequence[Pair], partitions: int) -> list[Part]:
        shares = Shares(partitions)
        for pair in pairs:
            shares[pair[0]].extend(pair)
        parts: list[Part] = []
        for number, share in shares.by_number.items():
            parts += self._send(TopicPartition(self._topic, number), share)
        return parts

    def _send(self, at: TopicPartition, fields: list[bytes]) -> Iterator[Part]:
        """Send records; `fields` are each key and value in turn."""
        size = sum(map(len, fields))
        if size > self._most // 2 and max(map(len, fields)) > self._most // 2:
            yield from self._refuse_large(fields)
            size = sum(map(len, fields))
        while fields:
            batch, first, count = self._fill(at, fields, size)
            if count:
                yield BatchPart(batch, first, count, sum(map(len, fields[1 : 2 * count : 2])))
                fields = fields[2 * count :]
                size = sum(map(len, fields))

    def _refuse_large(self, fields: list[bytes]) -> Iterator[Refused]:
        """Remove the records that are too large, by the library's own measure."""
        kept: list[bytes] = []
        for key, value in zip(fields[::2], fields[1::2], strict=True):
            try:
                size = self._producer._estimate_size_in_bytes(key, value)
                self._producer._ensure_valid_record_size(size)
                kept += key, value
            except MessageSizeTooLargeError as problem:
                yield Refused(problem, len(value))
        fields[:] = kept

    def _fill(
        self, at: TopicPartition, fields: list[bytes], size: int
    ) -> tuple[OutgoingBatch, int, int]:
        """Add the first records, as many as fit, to the open batch of a partition, or to a new one.

        Returns the batch, the place of the first, and the number of those added.
        """
        with self._accumulator._tp_lock(at):
            batch, is_new = self._open(at)
            count, size = _fitting(fields, size, batch.records.room(), int(is_new))
            first = batch.records.next_offset()
            if count:
                batch.records.add(fields[: 2 * count], size)
            full = batch.records.fill_up() if 2 * count < len(fields) else None
        if full:
            full.seal()
        if full or is_new:
            self._producer._sender.wakeup()
        return batch, first, count

    def _open(self, at: TopicPartition) -> tuple[OutgoingBatch, bool]:
        """The partition's last batch, if records can be added, or a new one, which is True."""
        waiting = self._accumulator._batches[at]
        last = waiting[-1] if waiting else None
        if isinstance(last, OutgoingBatch) and last.records.room() > 0:
            return last, False
        batch = OutgoingBatch(at, *self._shape)
        waiting.append(batch)
        self._accumulator._incomplete.add(batch)
        return batch, True


def _fitting(fields: list[bytes], size: int, room: int, least: int) -> tuple[int, int]:
    """How many records fit into `room` bytes, at least `least` of them, and the bytes they take."""
    count = len(fields) // 2
    if size + count * OVERHEAD <= room:
        return count, size + count * OVERHEAD
    sizes = list(map(len, fields))
    ends = [0, *accumulate(map(add, sizes[::2], sizes[1::2]))]
    ends = [end + number * OVERHEAD for number, end in enumerate(ends)]
    count = max(least, bisect_right(ends, room) - 1)
    return count, ends[count]


def batching(producer: KafkaProducer, topic: str) -> Batching | OneByOne:
    """The faster one, if this is the version of kafka-python that it knows."""
    if kafka.__version__ == KNOWN and _works(producer):
        return Batching(producer, topic)
    log.warning(
        "kafka-python %s is not the supported %s: using its own, slower encoder",
        *(kafka.__version__, KNOWN),
    )
    return OneByOne(producer, topic)


def _works(producer: KafkaProducer) -> bool:
    """Whether the library and we encode a small batch alike, and its internals are there."""
    pairs = [(b"key", b"value %d" % number) for number in range(3)]
    compression = 0
    try:
        theirs = MemoryRecordsBuilder(FORMAT, compression, 4096)
        ours = OutgoingBatch(TopicPartition("self-check", 0), compression, 4096).records
        ours.add([*chain(*pairs)], 60)
        for key, value in pairs:
            theirs.append(ours._builder._first_timestamp, key, value)
        for records in (ours, theirs):
            records.set_producer_state(1, 2, 3, False)
            records.close()
        accumulator = producer._accumulator
        internals = accumulator._tp_lock, accumulator._incomplete.add, producer._sender.wakeup
        return (
            all(map(callable, internals))
            and ours.buffer() == theirs.buffer()
            and accumulator._batches == {}
        )
    except Exception:  # noqa: BLE001 - another version may differ in any way
        return False
