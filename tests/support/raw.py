"""Raw: batches that no client library would send, and how to send them."""

import struct
import time
import zlib
from collections.abc import Callable, Iterable

import zstandard
from kafka import codec
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import encode_varint

from tests.support import segments
from tests.support.raw_producer import RawProducer, Refused
from tests.support.segments import Batch, segment
from tests.support.waiting import until

HEADER = DefaultRecordBatch.HEADER_STRUCT.size
CODECS: dict[int, Callable[[bytes], bytes]] = {
    segments.NONE: bytes,
    segments.GZIP: codec.gzip_encode,
    segments.SNAPPY: codec.snappy_encode,
    segments.LZ4: codec.lz4_encode,
    segments.ZSTD: zstandard.ZstdCompressor().compress,
}
TIMES = segments.LAST_OFFSET_DELTA + 4  # of a batch: old ones are soon deleted by Kafka
NOT_YET = {"3", "5", "6"}  # the partition is not there yet, or its leader is not
MILLIONS = 2**20  # bytes of a part of `giant`


def varint(number: int) -> bytes:
    made = bytearray()
    encode_varint(number, made.append)
    return bytes(made)


def record(
    number: int,
    value: bytes | None,
    key: bytes | None = None,
    headers: bytes = b"\x00",
    attributes: int = 0,
) -> bytes:
    """A record's bytes; `number` is its offset's distance from the batch's."""
    body = bytes([attributes]) + varint(5) + varint(number)
    for part in (key, value):
        body += varint(-1 if part is None else len(part)) + (part or b"")
    return varint(len(body + headers)) + body + headers


def giant(number: int, megabytes: int) -> Iterable[bytes]:
    """A record whose value is so large, in parts."""
    size = megabytes * MILLIONS
    head = b"\x00" + varint(5) + varint(number) + varint(-1) + varint(size)
    yield varint(len(head) + size + 1) + head
    for _ in range(megabytes):
        yield b"x" * MILLIONS
    yield b"\x00"


def zstd_of(parts: Iterable[bytes]) -> bytes:
    """As Java's streams pack it: the size is not in the frame; with the largest window."""
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return b"".join(map(packer.compress, parts)) + packer.flush()


def gzip_of(parts: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(wbits=31, strategy=zlib.Z_RLE)
    return b"".join(map(packer.compress, parts)) + packer.flush()


def sealed(packed: bytes, count: int, compression: int, last: int | None = None) -> bytes:
    """A batch with this payload under a right checksum; `last` is its last offset's distance."""
    data = bytearray(segment([Batch()], 100)[:HEADER])
    struct.pack_into(">i", data, 8, HEADER - 12 + len(packed))
    data[DefaultRecordBatch.ATTRIBUTES_OFFSET + 1] = compression
    struct.pack_into(">i", data, segments.LAST_OFFSET_DELTA, count - 1 if last is None else last)
    struct.pack_into(">qq", data, TIMES, now := int(time.time() * 1_000), now + 5)
    struct.pack_into(">i", data, HEADER - 4, count)
    return segments.sealed(data + packed)


def produce(servers: str, topic: str, partition: int, batch: bytes) -> int:
    """Send a batch to a broker of one, once the partition is there, and return the offset it got.

    Raises Refused, OSError.
    """
    batch = bytes(8) + batch[8:]  # the offset of a producer's batch is 0, and in no checksum
    offsets: list[int] = []

    def is_there() -> bool:
        with RawProducer(servers, topic, partition) as producer:
            try:
                offsets.append(producer.send(batch))
            except Refused as refusal:
                if str(refusal) not in NOT_YET:
                    raise
        return bool(offsets)

    until(is_there, 30)
    return offsets[0]
