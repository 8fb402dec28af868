"""Batches: record batches as a hostile producer may write them, whatever their bytes mean."""

import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from kafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode

from tests.support import segments

CODECS: dict[int, Callable[[bytes], bytes]] = {
    segments.NONE: bytes,
    segments.GZIP: partial(gzip_encode, compresslevel=1),
    segments.SNAPPY: snappy_encode,
    segments.LZ4: lz4_encode,
    segments.ZSTD: zstd_encode,
}
HEADER = struct.Struct(">qiibIhiqqqhii")


class Record(NamedTuple):
    """Its bytes; the key of a header need not be UTF-8."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[bytes, bytes | None]] = ()


def batch(records: Sequence[Record], compression: int = segments.NONE, offset: int = 0) -> bytes:
    """One batch of format 2 (kafka.apache.org/documentation/#recordbatch)."""
    plain = b"".join(_record(number, record) for number, record in enumerate(records))
    packed = CODECS[compression](plain)
    last = len(records) - 1
    size = HEADER.size - 12 + len(packed)
    now = int(1_000 * time.time())  # else Kafka deletes it, as it is too old
    fields = (offset, size, 0, 2, 0, compression, last, now, now, -1, -1, -1, len(records))
    return segments.sealed(HEADER.pack(*fields) + packed)


def _record(number: int, record: Record) -> bytes:
    parts = [b"\0", _varint(0), _varint(number), *_sized(record.key), *_sized(record.value)]
    parts.append(_varint(len(record.headers)))
    for key, value in record.headers:
        parts += [*_sized(key), *_sized(value)]
    return b"".join([_varint(sum(map(len, parts))), *parts])


def _sized(data: bytes | None) -> list[bytes]:
    return [_varint(-1)] if data is None else [_varint(len(data)), data]


def _varint(number: int) -> bytes:
    rest, encoded = (number << 1) ^ (number >> 63), bytearray()
    while rest > 127:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*encoded, rest])
