"""Segments: bytes as a broker sends them for a partition, of every kind of record batch."""

import struct
from dataclasses import dataclass, field

from kafka.record import MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecordBatch as Layout
from kafka.record.util import calc_crc32c

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
LAST_OFFSET_DELTA = struct.calcsize(">qiibIh")


@dataclass(frozen=True)
class Record:
    """`skipped` offsets before it have been compacted away."""

    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    milliseconds: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Batch:
    """`magic` is the format, `skipped` are offsets compacted away at the batch's end."""

    records: list[Record] = field(default_factory=lambda: [Record(value=b"value")])
    magic: int = 2
    compression: int = NONE
    producer: int = -1
    control: bool = False
    aborts: bool = False
    skipped: int = 0


def segment(batches: list[Batch], first_offset: int = 0) -> bytes:
    """The batches one after the other."""
    whole, offset = b"", first_offset
    for batch in batches:
        data, offset = _batch(batch, offset)
        whole += data
    return whole


def sealed(data: bytes | bytearray) -> bytes:
    """One batch of format 2 with a checksum that fits its bytes."""
    data = bytearray(data)
    crc = calc_crc32c(memoryview(data)[Layout.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", data, Layout.CRC_OFFSET, crc)
    return bytes(data)


def _batch(batch: Batch, offset: int) -> tuple[bytes, int]:
    """Its bytes, and the offset after it."""
    new = batch.magic == 2
    transaction = (
        {"transactional": True, "producer_id": batch.producer}
        | {"producer_epoch": 0, "base_sequence": 0}
        if batch.producer >= 0
        else {}
    )
    builder = MemoryRecordsBuilder(
        batch.magic, batch.compression, 2**30, offset=0 if new else offset, **transaction
    )
    for record in batch.records:
        builder.skip(record.skipped)
        key = struct.pack(">hh", 0, not batch.aborts) if batch.control else record.key
        headers = list(record.headers) if new else []
        builder.append(1_700_000_000_000 + record.milliseconds, key, record.value, headers)
    builder.close()
    data, after = bytearray(builder.buffer()), builder.next_offset()
    if not new:
        return bytes(data), after
    struct.pack_into(">q", data, 0, offset)
    struct.pack_into(">i", data, LAST_OFFSET_DELTA, after - 1 + batch.skipped)
    if batch.control:
        data[Layout.ATTRIBUTES_OFFSET + 1] |= Layout.CONTROL_MASK
    return sealed(data), offset + after + batch.skipped
