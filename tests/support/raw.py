"""Raw: batches that no client library would send, and how to send them."""

import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterable

import zstandard
from kafka import codec
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import encode_varint

from tests.support import segments
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
NOT_YET = {3, 5, 6}  # the partition is not there yet, or its leader is not
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
    packer = zlib.compressobj(wbits=31)
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
    """Send a batch to a broker of one, and return the offset it got. Raises AssertionError when
    Kafka refuses it."""
    answers: list[tuple[int, int]] = []

    def is_there() -> bool:
        answers.append(_produce(servers, topic, partition, batch))
        return answers[-1][0] not in NOT_YET

    until(is_there, 30)
    error, offset = answers[-1]
    assert not error, f"Kafka refuses it with error {error}"
    return offset


def _produce(servers: str, topic: str, partition: int, batch: bytes) -> tuple[int, int]:
    """Kafka's error and the offset."""
    batch = bytes(8) + batch[8:]  # the offset of a producer's batch is 0, and in no checksum
    name = topic.encode()
    body = struct.pack(">hhii", -1, -1, 30_000, 1) + struct.pack(">h", len(name)) + name
    body += struct.pack(">iii", 1, partition, len(batch)) + batch
    request = struct.pack(">hhih", 0, 7, 7, -1) + body
    host, _, port = servers.rpartition(":")
    with socket.create_connection((host, int(port)), 30) as broker, broker.makefile("rb") as answer:
        broker.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", answer.read(4))
        said = answer.read(size)
    error, offset = struct.unpack_from(">hq", said, 4 + 4 + 2 + len(name) + 4 + 4)
    return int(error), int(offset)
