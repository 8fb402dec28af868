"""Encodings: compressed bodies, expanded to a limited size."""

import io
import zlib
from collections.abc import Callable

import snappy
import zstandard

EXPANDED = 16 * 2**20  # bytes of an expanded body
WINDOW = 2**23  # bytes that a zstd frame may refer back to, as RFC 8878 recommends
MARK = b"\0\0the end\0\0"
END = zstandard.ZstdCompressor().compress(MARK)
FRAMED = b"\xff\x06\x00\x00sNaPpY"  # how a stream of snappy frames begins


class BadEncoding(Exception):  # noqa: N818 - it describes data, not a failure
    """A body cannot be expanded; str() is the reason."""


class TooMuch(Exception):  # noqa: N818
    """A body is larger than EXPANDED; str() is the sentence."""

    def __init__(self) -> None:
        super().__init__(f"the body has more than {EXPANDED:,} bytes when expanded: split it")


def expanded(body: bytes, encoding: bytes) -> bytes:
    """The body of a request with this Content-Encoding. Raises BadEncoding, TooMuch, and KeyError
    for an unknown encoding."""
    expand = EXPAND[encoding.strip().lower()]
    try:
        return expand(body)
    except (zlib.error, zstandard.ZstdError, EOFError, ValueError) as error:
        raise BadEncoding(f"the body is not valid {encoding.decode('latin-1')}: {error}") from error


def unsnap(body: bytes) -> bytes:
    """A block of snappy, which begins with its size. Raises ValueError, TooMuch."""
    size = shift = 0
    for byte in body[:5]:
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    if size > EXPANDED:
        raise TooMuch
    try:
        return bytes(snappy.uncompress(body))
    except snappy.UncompressError as error:
        raise ValueError(str(error)) from error


def _snappy(body: bytes) -> bytes:
    if not body.startswith(FRAMED):
        return unsnap(body)
    stream, parts, size = snappy.StreamDecompressor(), [], 0
    try:
        for at in range(0, len(body), 2**16):  # a frame expands to 64 KiB at most
            parts.append(stream.decompress(body[at : at + 2**16]))
            size += len(parts[-1])
            if size > EXPANDED:
                raise TooMuch
    except snappy.UncompressError as error:
        raise ValueError(str(error)) from error
    return b"".join(parts)


def _gzip(body: bytes) -> bytes:
    return _inflate(body, 31)


def _deflate(body: bytes) -> bytes:
    """zlib's format, or, as some clients send, the bare stream."""
    try:
        return _inflate(body, 15)
    except zlib.error:
        return _inflate(body, -15)


def _inflate(body: bytes, bits: int) -> bytes:
    """One or several streams, each of them whole. Raises zlib.error, EOFError, TooMuch."""
    parts, size = [], 0
    while body:
        stream = zlib.decompressobj(bits)
        parts.append(stream.decompress(body, EXPANDED + 1 - size))
        size += len(parts[-1])
        if size > EXPANDED:
            raise TooMuch
        if not stream.eof:
            raise EOFError("it is truncated")
        body = stream.unused_data
    return b"".join(parts)


def _zstd(body: bytes) -> bytes:
    """A frame of our own after the body shows whether the body's own frames are whole."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    source = io.BytesIO(body + END)
    with decompressor.stream_reader(source, read_across_frames=True) as stream:
        made = stream.read(EXPANDED + len(MARK) + 1)
    if len(made) > EXPANDED + len(MARK):
        raise TooMuch
    if not made.endswith(MARK):
        raise EOFError("it is truncated")
    return bytes(made[: -len(MARK)])


EXPAND: dict[bytes, Callable[[bytes], bytes]] = {
    b"": bytes,
    b"identity": bytes,
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _deflate,
    b"zstd": _zstd,
    b"snappy": _snappy,
}
