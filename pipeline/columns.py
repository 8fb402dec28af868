"""Columns: the records of a partition as parallel lists, decoded in one flat loop.

kafka-python makes seven calls and three objects for each record, which costs more than all the
rest that a consumer does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, Self

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

LARGEST = 2**14 - 1  # of what two bytes of a varint hold


class Record(Protocol):
    """What is used of a kafka-python ConsumerRecord."""

    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Columns:
    """Three parallel lists; `len()` is the number of records.

    The library hands it on by list.extend, which takes it as one item.
    """

    offsets: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    @classmethod
    def of(cls, polled: "Iterable[Record | Columns]") -> "Columns":
        """All that `KafkaConsumer.poll` has given of one partition."""
        whole = cls()
        for part in polled:
            if not isinstance(part, Columns):
                part = cls([part.offset], [part.key], [part.value])
            whole.extend(part)
        return whole

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[Self]:
        yield self

    def extend(self, later: "Columns") -> None:
        self.offsets += later.offsets
        self.keys += later.keys
        self.values += later.values

    def part(self, begin: int, end: int) -> "Columns":
        """The records from index `begin` up to, not including, `end`."""
        return Columns(self.offsets[begin:end], self.keys[begin:end], self.values[begin:end])

    def cut(self, count: int) -> "Columns":
        """Remove and return the first `count` records."""
        first = self.part(0, count)
        del self.offsets[:count], self.keys[:count], self.values[:count]
        return first


def decode(batch: DefaultRecordBatch) -> Columns:
    """The records of a batch of format 2 (kafka.apache.org/documentation/#recordbatch).

    Raises an Exception for what is not just as expected, which may be valid nevertheless. A
    varint of `number` is zigzag: halved, it is a number from 0, and odd, a negative one.
    """
    batch._maybe_uncompress()
    data = bytes(batch._buffer)
    at = batch._pos
    base = batch.base_offset
    offsets: list[int] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    for _ in range(batch.records_count):
        size = data[at]
        at += 1
        if size > 127:
            size += (data[at] - 1) << 7
            at += 1
            if size > LARGEST:
                size, at = _long(data, at - 2)
        end = 2 * at + size
        if data[at]:
            raise ValueError("attributes, which are not in use")
        at += 2
        if data[at - 1] > 127:  # of the timestamp, which is not used here
            at += 1
            if data[at - 1] > 127:
                _, at = _long(data, at - 2)
        number = data[at]
        at += 1
        if number > 127:
            number += (data[at] - 1) << 7
            at += 1
            if number > LARGEST:
                number, at = _long(data, at - 2)
        if number & 1:
            raise ValueError("a negative offset")
        offsets.append(base + (number >> 1))
        number = data[at]
        at += 1
        if number > 127:
            number, at = _long(data, at - 1)
        if number & 1:
            keys.append(None)
        else:
            start = at
            at += number >> 1
            keys.append(data[start:at])
        number = data[at]
        at += 1
        if number > 127:
            number += (data[at] - 1) << 7
            at += 1
            if number > LARGEST:
                number, at = _long(data, at - 2)
        if number & 1:
            values.append(None)
        else:
            start = at
            at += number >> 1
            values.append(data[start:at])
        if data[at]:
            at = _after_headers(data, at)
        else:
            at += 1
        if 2 * at != end:
            raise ValueError("another size")
    if at != len(data) or not offsets or offsets != sorted(offsets):
        raise ValueError("bytes after the records, no records, or not in order")
    return Columns(offsets, keys, values)


def _long(data: bytes, at: int) -> tuple[int, int]:
    """The varint of any length at `at`, still zigzag, and the position after it."""
    number, after = decode_varint(data, at)
    return 2 * number if number >= 0 else -2 * number - 1, after


def _after_headers(data: bytes, at: int) -> int:
    """The position after a record's headers. Raises ValueError, IndexError as the library does."""
    count, at = decode_varint(data, at)
    if count < 0:
        raise ValueError("a negative number of headers")
    for _ in range(count):
        size, at = decode_varint(data, at)
        if size < 0:
            raise ValueError("a negative size of a header's key")
        data[at : at + size].decode()
        at += size
        size, at = decode_varint(data, at)
        at += max(size, 0)
    return at
