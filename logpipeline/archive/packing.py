"""Packing: files packed by zstd or gzip, whatever their names are.

zstd packs into frames of about a megabyte of whole lines each, so that a search can unpack those
alone that it needs. `zstdcat` reads all of them as one.
"""

import gzip
import io
import os
import shutil
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from logpipeline.files import draft_of, open_file, sync

PACKED = (".zst", ".gz")
BROKEN = (zstandard.ZstdError, gzip.BadGzipFile, zlib.error, EOFError)  # what reading may raise
LEVEL = 3  # zstd's own default
STEP = 512  # packed bytes at a time: zeros unpack to 32,768 times as many
BUFFER = 2**18  # bytes
CHUNK = 2**20  # bytes, unpacked
LARGEST_FRAME = 8 * CHUNK  # that is unpacked at once
FRAME_HEAD = 18  # bytes, at most
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Stopped(Exception):  # noqa: N818 - not a failure
    """The program stops; the next start packs the file."""


def pack(plain: Path, packed: Path, closing: threading.Event) -> None:
    """Write a packed copy of `plain`, on disk and compared with it.

    Raises OSError; Stopped once `closing` is set.
    """
    with draft_of(packed) as (fd, draft):
        with os.fdopen(fd, "wb") as target, _reading(plain) as source:
            if packed.suffix == ".zst":
                compressor = zstandard.ZstdCompressor(LEVEL, write_checksum=True)
                for lines in _whole_lines(source, closing):
                    target.write(compressor.compress(lines))
            else:
                with packer(target, packed.suffix, os.fstat(source.fileno()).st_size) as out:
                    for chunk in _chunks(source, closing):
                        out.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        shutil.copystat(plain, draft)
        _compare(plain, draft, closing)
    sync(packed.parent)


def packer(target: IO[bytes], suffix: str, size: int) -> IO[bytes]:
    """Packs `size` bytes that are written to it into `target`, which stays open."""
    if suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile("", "wb", fileobj=target))
    compressor = zstandard.ZstdCompressor(LEVEL, write_checksum=True)
    return cast(IO[bytes], compressor.stream_writer(target, size=size, closefd=False))


def unpacked(path: Path) -> IO[bytes]:
    """The contents of the file. Raises OSError; reading raises BROKEN too, also for a cut end."""
    file = path.open("rb")
    head = file.peek(len(ZSTD))
    if head.startswith(ZSTD):
        return io.BufferedReader(Frames(file), BUFFER)
    if head.startswith(GZIP):
        file.close()
        return cast(IO[bytes], gzip.open(path, "rb"))
    return file


class Frames(io.RawIOBase):
    """Frames of zstd after one another. The library's reader takes half a frame for a whole one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._chunks = self._unpack()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

    def _unpack(self) -> Iterator[bytes]:
        return (chunk for _, chunk in frames(self._file))


def frames(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Unpacked chunks from the file's position on, each with the position of its frame.

    Raises OSError, BROKEN.
    """
    data, at, start, frame, feed = b"", file.tell(), 0, None, STEP
    while True:
        if len(data) < FRAME_HEAD:
            data += file.read(BUFFER)
        if not data:
            break
        if frame is None:
            start, feed = at, _feed(data)
            frame = zstandard.ZstdDecompressor().decompressobj()
        part = data[:feed]
        chunk = frame.decompress(part)
        used = len(part) - len(frame.unused_data)
        data, at = data[used:], at + used
        if chunk:
            yield start, chunk
        if frame.eof:
            frame = None
    if frame:
        raise EOFError("it ends in the middle of a frame")


def _feed(data: bytes) -> int:
    """Packed bytes to unpack at a time: many where they cannot become too many."""
    size = zstandard.get_frame_parameters(data).content_size
    return BUFFER if size <= LARGEST_FRAME else STEP


def _compare(plain: Path, packed: Path, closing: threading.Event) -> None:
    """Raises OSError if the packed copy has other contents; Stopped."""
    try:
        with _reading(plain) as source, unpacked(packed) as back:
            chunks = _chunks(source, closing)
            if any(back.read(len(chunk)) != chunk for chunk in chunks) or back.read(1):
                raise OSError(f"the packed copy of {plain} differs from it")
    except BROKEN as error:
        raise OSError(f"cannot unpack the packed copy of {plain}: {error}") from None


def _reading(plain: Path) -> IO[bytes]:
    return os.fdopen(open_file(plain, os.O_RDONLY), "rb")


def _whole_lines(file: IO[bytes], closing: threading.Event) -> Iterator[bytes]:
    """The contents in parts that end with a line, where lines are not too long. Raises Stopped."""
    rest = b""
    for chunk in _chunks(file, closing):
        rest += chunk
        end = rest.rfind(b"\n") + 1 or (len(rest) if len(rest) >= LARGEST_FRAME else 0)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest or not file.tell():  # an empty file has one frame, too
        yield rest


def _chunks(file: IO[bytes], closing: threading.Event) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        if closing.is_set():
            raise Stopped
        yield chunk
