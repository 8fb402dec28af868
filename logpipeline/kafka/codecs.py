"""Codecs: the payload of a compressed batch, unpacked chunk by chunk.

A few bytes may unpack to gigabytes, or falsely claim to: so each chunk is unpacked only on request.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import partial

import lz4.frame
import snappy
import zstandard
from kafka import codec
from kafka.errors import UnsupportedCodecError

CHUNK = 2**17  # bytes of an unpacked chunk
STEP = 2**14  # packed bytes given to a decompressor at once: it copies those left over
# The errors that these codecs raise for damaged bytes.
DAMAGED = (
    *(ValueError, EOFError, RuntimeError),
    *(zlib.error, zstandard.ZstdError, snappy.UncompressError),
)
SNAPPY_MOST = 22  # largest ratio: three packed bytes repeat at most 64


def unpacked(kind: int, packed: bytes) -> Iterator[bytes]:
    """The payload of a batch whose attributes name codec `kind`. Iterating raises one of DAMAGED
    for damaged bytes. Raises UnsupportedCodecError."""
    try:
        return KINDS[kind](packed)
    except KeyError:
        raise UnsupportedCodecError(f"Unrecognized compression type: {kind}") from None


def _plain(packed: bytes) -> Iterator[bytes]:
    yield packed


def _gzip(packed: bytes) -> Iterator[bytes]:
    member = zlib.decompressobj(31)
    for begin in range(0, len(packed), STEP):
        data = packed[begin : begin + STEP]
        while True:
            if member.eof and data:
                member = zlib.decompressobj(31)
            chunk = member.decompress(data, CHUNK)
            yield chunk
            data = member.unconsumed_tail or member.unused_data
            if not data and len(chunk) < CHUNK:
                break


def _snappy(packed: bytes) -> Iterator[bytes]:
    if not codec._detect_xerial_stream(packed):
        yield _snappy_block(packed)
        return
    at = 16
    while at < len(packed):
        begin = at + 4
        at = begin + int.from_bytes(packed[at:begin], "big")
        yield _snappy_block(packed[begin:at])


def _snappy_block(block: bytes) -> bytes:
    """Unpack a whole block, if its stated size, a varint of up to five bytes, is possible."""
    size = 0
    for index, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            break
    if size > SNAPPY_MOST * len(block):
        raise ValueError(f"{len(block):,} bytes of snappy cannot unpack to {size:,} bytes")
    data: bytes = snappy.uncompress(block)
    return data


def _lz4(packed: bytes) -> Iterator[bytes]:
    frame = lz4.frame.LZ4FrameDecompressor()
    for begin in range(0, len(packed), STEP):
        data = packed[begin : begin + STEP]
        while not frame.eof:
            yield frame.decompress(data, CHUNK)
            data = b""
            if frame.needs_input:
                break


def _zstd(packed: bytes) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    yield from iter(partial(reader.read, CHUNK), b"")


KINDS: dict[int, Callable[[bytes], Iterator[bytes]]] = {
    0: _plain,
    1: _gzip,
    2: _snappy,
    3: _lz4,
    4: _zstd,
}
